// LIST RUNS reads closed and open runs each by itself where that is all the same. Here it is.

import { createHash } from 'node:crypto';
import { describe, expect } from 'vitest';
import type { TestDatabase } from '../../support/database.ts';
import { test } from '../../support/database.ts';
import { underneath } from '../../support/underneath.ts';

/** 300 closed runs of three schedules and 40 open ones, in turns. */
async function manyRuns(db: TestDatabase): Promise<void> {
  const common = `
    (printf('%012x', 1795000000000 + i * 1000) || '7' || printf('%03x', i) || '8' || substr(md5(i::VARCHAR), 1, 15))::UUID AS run_id,
    1 + i % 3 AS schedule_id, ['one', 'two', 'Other'][1 + i % 3] AS schedule, 'sql' AS exe, 'SELECT 1' AS call, 'cron' AS trigger,
    make_timestamptz((1795000000000 + i * 1000) * 1000) AS scheduled_at, make_timestamptz((1795000000000 + i // 7 * 7000) * 1000) AS opened_at,
    1 + i % 2 AS attempt, 'default' AS queue, 'normal' AS priority, '{}'::JSON AS params, 1 AS schedule_version, run_id AS root_run_id`;
  await underneath(
    db.engine,
    `INSERT INTO cuckoo_ledger.closed BY NAME SELECT ${common}, scheduled_at AS started_at,
       make_timestamptz((1795000000000 + i * 1000 + i % 13) * 1000) AS finished_at, ['succeeded', 'failed', 'skipped', 'timed_out'][1 + i % 4] AS state,
       CASE WHEN i % 4 = 1 THEN 'it''s 100%' END AS reason, i % 5 <> 0 AS final, 0 AS consecutive_failures, 0 AS opened_fires
     FROM range(340) AS numbers(i) WHERE i % 9 <> 0 OR i < 36`,
  );
  await underneath(
    db.engine,
    `INSERT INTO cuckoo_ledger.open_run BY NAME SELECT ${common}, 'open' AS stage, false AS alone FROM range(340) AS numbers(i) WHERE i % 9 = 0 AND i >= 36`,
  );
}

/** Of the run with that number: an open one where it is divisible by 9 and at least 36. */
function idOf(number: number): string {
  const time = (1_795_000_000_000 + number * 1000).toString(16).padStart(12, '0');
  const rest = createHash('md5').update(String(number)).digest('hex').slice(0, 15);
  return `${time}7${number.toString(16).padStart(3, '0')}8${rest}`.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

interface Tail {
  readonly where?: string;
  readonly order?: string;
  readonly limit?: string;
  readonly values?: readonly unknown[] | Readonly<Record<string, unknown>>;
}

const tails: readonly Tail[] = [
  {},
  { limit: 'LIMIT 50' },
  { limit: 'LIMIT 20 OFFSET 310' },
  { limit: 'LIMIT 20 OFFSET 1000' },
  { limit: 'LIMIT 0' },
  { limit: 'LIMIT 100000 -- all\n' },
  { limit: 'LIMIT 50 OFFSET 20000' },
  { limit: 'LIMIT 10 + 5' },
  { limit: 'LIMIT 10%' },
  { limit: 'LIMIT ?', values: [7] },
  { where: "state = 'pending'", limit: 'LIMIT 5' },
  { where: "state = 'failed' OR final", limit: 'LIMIT 9' },
  { where: "schedule = ? AND runs.attempt = ? AND '?' <> '$1' /* ? */", limit: 'LIMIT 12', values: ['two', 2] },
  { where: 'schedule = $2 AND attempt = $1', limit: 'LIMIT 12', values: [1, 'one'] },
  { where: 'schedule = $name', limit: 'LIMIT 12', values: { name: 'one' } },
  { where: "cron.runs.schedule = 'one'", limit: 'LIMIT 3' },
  { where: 'attempt = (SELECT max(r.attempt) FROM cron.runs r WHERE r.schedule = runs.schedule)', limit: 'LIMIT 3' },
  { where: 'schedule = ?', order: 'duration_ms DESC NULLS LAST, 1', limit: 'LIMIT 11 OFFSET 4', values: ['Other'] },
  { where: `run_id = '${idOf(7)}'` },
  { where: `run_id = '${idOf(45)}'`, limit: 'LIMIT 5' },
  { where: `RUN_ID='${idOf(7)}' OR (NOT run_id = '${idOf(5)}' AND attempt = ?)`, limit: 'LIMIT 30', values: [2] },
  { where: `run_id = '${idOf(7)}' OR run_id = '${idOf(45)}'`, order: 'run_id DESC' },
  { where: `run_id = '${idOf(7).toUpperCase()}'` },
  { where: `run_id = '${idOf(7)}' || ''`, limit: 'LIMIT 5' },
  { where: `'' || run_id = '${idOf(7)}'` },
  { where: `runs.run_id = '${idOf(7)}' OR cron.runs.run_id = '${idOf(8)}'` },
  { where: `run_id = 'nobody' OR run_id = '${idOf(7)}'` },
  { where: `run_id = (SELECT run_id FROM cuckoo_ledger.closed WHERE run_id = '${idOf(7)}')::VARCHAR` },
  { order: 'runs.schedule, state DESC NULLS FIRST, run_id', limit: 'LIMIT 60' },
  { order: 'cron.runs.run_id', limit: 'LIMIT 60' },
  { order: 'ALL', limit: 'LIMIT 5' },
  { order: 'lower(schedule), run_id', limit: 'LIMIT 20' },
  { order: 'row_number() OVER (ORDER BY run_id DESC)', limit: 'LIMIT 20' },
  { order: 'CASE WHEN schedule = ? THEN 1 END, run_id', limit: 'LIMIT 20', values: ['two'] },
];

describe('LIST RUNS', () => {
  test('answers what a SELECT over cron.runs does, whatever stands behind it', async ({ db }) => {
    await manyRuns(db);
    for (const { where, order, limit = '', values } of tails) {
      const [filter, asked] = [where === undefined ? '' : ` WHERE ${where}`, order === undefined ? '' : ` ORDER BY ${order}`];
      const list = `LIST RUNS${filter}${asked} ${limit}`;
      const select = `SELECT * FROM cron.runs${filter}${asked === '' ? ' ORDER BY opened_at DESC, run_id DESC' : asked} ${limit}`;
      expect(await db.rows(list, values), list).toEqual(await db.rows(select, values));
    }
  });

  test('takes a name’s pattern and the words of states', async ({ db }) => {
    await manyRuns(db);
    const select = `SELECT * FROM cron.runs WHERE schedule ILIKE 'O%' AND (state = 'succeeded' OR attempt = 1) ORDER BY opened_at DESC, run_id DESC LIMIT 30`;
    expect(await db.rows("LIST RUNS LIKE 'O%' WHERE state = 'success' OR attempt = 1 LIMIT 30")).toEqual(await db.rows(select));
  });

  test('points at the place of a mistake, wherever it is read', async ({ db }) => {
    expect(await db.mistake('LIST RUNS WHERE stat = 1 LIMIT 5')).toMatchObject({ code: 'undefined_column', at: 'stat' });
    expect(await db.mistake('LIST RUNS WHERE id IS NULL LIMIT 5')).toMatchObject({ code: 'undefined_column', at: 'id' });
    const one = `run_id = '${idOf(7)}'`;
    expect(await db.mistake(`LIST RUNS WHERE ${one} AND stat = 1`)).toMatchObject({ code: 'undefined_column', at: 'stat' });
    expect(await db.mistake(`LIST RUNS WHERE ${one} AND id IS NULL LIMIT 5`)).toMatchObject({ code: 'undefined_column', at: 'id' });
    expect(await db.mistake('LIST RUNS ORDER BY opened LIMIT 5')).toMatchObject({ code: 'undefined_column', at: 'opened' });
  });
});
