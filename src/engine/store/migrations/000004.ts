// What work leaves behind beside its end: how many rows each statement changed, why a run has no better guarantee, what should be
// known of how it was run. Lists are JSON here, and lists in `cron.runs`.
//
// `cuckoo_work` holds what the steps of pipelines keep for the steps behind them, until their run is over.

export const migration000004 = `
ALTER TABLE cuckoo_ledger.closed ADD COLUMN guarantee_reason VARCHAR;
ALTER TABLE cuckoo_ledger.closed ADD COLUMN rows_by_statement JSON;
ALTER TABLE cuckoo_ledger.closed ADD COLUMN notes JSON;

CREATE SCHEMA IF NOT EXISTS cuckoo_work;
`;
