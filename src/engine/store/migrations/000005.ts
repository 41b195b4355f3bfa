// What it meant for its pipeline that a step had ended: whoever goes on with the run after a crash decides as it was decided then.

export const migration000005 = `
-- continue, skip or abort; NULL: the step is tried again.
ALTER TABLE cuckoo_ledger.closed_step ADD COLUMN verdict VARCHAR;
`;
