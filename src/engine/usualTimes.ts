// How long the runs of schedules usually take, from history: for alerts about slow runs (scheduler/usualTimes.ts asks for few
// schedules, now and then), and for whoever plays what will be.

import type { ReadUsualTimes } from '../scheduler/usualTimes.ts';
import type { Admission } from './admission.ts';
import { Connection } from './store/duckdb/connection.ts';
import type { NativeDatabase } from './store/duckdb/native.ts';
import type { Sql } from './store/duckdb/sql.ts';
import { usualTimesSql } from './store/duckdb/usualTimesSql.ts';

export interface UsualTimesParts {
  readonly database: NativeDatabase;
  readonly sql: Sql;
  readonly admission: Admission;
}

/** One look at history, among the runs and not among the ledger's own statements: it can wait. */
export function usualTimesReader({ database, sql, admission }: UsualTimesParts): ReadUsualTimes {
  const text = usualTimesSql({ ledger: sql.ledger, which: 'schedule_id IN (SELECT unnest($ids::JSON::BIGINT[]))' });
  return (scheduleIds, signal) =>
    admission.run(
      'run',
      async () => {
        const connection = new Connection(await database.connect(), signal);
        try {
          const { rows } = await connection.table(text, { ids: JSON.stringify(scheduleIds) });
          return new Map(rows.map(([id, ms]) => [Number(id), Number(ms)]));
        } finally {
          await connection.close();
        }
      },
      signal,
    );
}
