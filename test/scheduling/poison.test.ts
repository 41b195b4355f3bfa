// Files are written by other hands too, and not everything in them stays as it was defined. What is spoiled fails alone, and says
// so; everybody else is on time.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { Engine } from '../../src/engine/engine.ts';
import { multiply } from '../support/manySchedules.ts';
import { tearBound, underneath } from '../support/underneath.ts';
import { VirtualEngine } from '../support/virtualEngine.ts';

const folder = mkdtempSync(join(tmpdir(), 'cuckoo-poison-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Poison {
  /** What it is defined with; `sql: 'SELECT 1'` without. */
  readonly does?: string;
  /** What somebody does to the file. */
  readonly spoil: (engine: Engine, name: string) => Promise<unknown>;
  /** What `cron.schedule_health` says: of its run, or of its definition. */
  readonly says: readonly [condition: 'failing' | 'absent', detail: RegExp];
}

/** A run keeps the version with which it was opened, so that one is spoiled too. */
const bound =
  (change: string) =>
  async (engine: Engine, name: string): Promise<void> => {
    await underneath(engine, `UPDATE cuckoo_ledger.schedule SET bound = json_merge_patch(bound, '${change}') WHERE name = '${name}'`);
    await underneath(
      engine,
      `UPDATE cuckoo_ledger.schedule_version SET bound = json_merge_patch(bound, '${change}') WHERE schedule = '${name}'`,
    );
  };
const instead = (text: string) => (engine: Engine, name: string) =>
  underneath(engine, `UPDATE cuckoo_ledger.schedule SET bound = '${text}' WHERE name = '${name}'`);
const gone = (kind: string, name: string) => (engine: Engine) =>
  underneath(engine, `DELETE FROM cuckoo_ledger.${kind} WHERE name = '${name}'`);

const poisons: Readonly<Record<string, Poison>> = {
  without_procedure: {
    does: 'call: purge, params: { keep: 7 }',
    spoil: gone('routine', 'purge'),
    says: ['failing', /procedure purge does not exist/],
  },
  wrong_parameter: {
    does: 'call: sweep, params: { keep: 7 }',
    spoil: bound('{"params":{"keep":{"kind":"literal","value":"a while"}}}'),
    says: ['failing', /Could not convert string 'a while' to INT32/],
  },
  wrong_text: { spoil: bound('{"target":{"call":"SELEC 1"}}'), says: ['failing', /syntax error at or near "SELEC"/] },
  wrong_when: { spoil: bound('{"when":"SELECT true FROM nowhere"}'), says: ['failing', /Table with name nowhere does not exist/] },
  unknown_executor: { spoil: bound('{"target":{"exe":"oracle"}}'), says: ['failing', /there is no executor oracle/] },
  without_calendar: {
    does: "sql: 'SELECT 1', calendar: office",
    spoil: gone('calendar', 'office'),
    says: ['absent', /calendar office does not exist/],
  },
  torn: { spoil: tearBound, says: ['absent', /is not JSON/] },
  text: { spoil: instead('"text"'), says: ['absent', /is not an object/] },
  a_few_keys: { spoil: instead('{"overlap":"skip"}'), says: ['absent', /has no 'overlapLimit'/] },
  unknown_zone: { spoil: bound('{"timing":{"zone":"Mars/Olympus_Mons"}}'), says: ['absent', /no time zone 'Mars\/Olympus_Mons'/] },
  unknown_cadence: { spoil: bound('{"timing":{"cadences":[{"kind":"lunar"}]}}'), says: ['absent', /cadence of an unknown kind/] },
  half_a_cadence: { spoil: bound('{"timing":{"cadences":[{"kind":"cron"}]}}'), says: ['absent', /./] },
  unknown_overlap: { spoil: bound('{"overlap":"perhaps"}'), says: ['absent', /wrong 'overlap': "perhaps"/] },
  unknown_catchup: { spoil: bound('{"catchup":"sometimes"}'), says: ['absent', /wrong 'catchup': "sometimes"/] },
  wrong_max_runs: { spoil: bound('{"maxRuns":"many"}'), says: ['absent', /wrong 'maxRuns': "many"/] },
};
const names = Object.keys(poisons);
const others = 1000;

test('what somebody has spoiled in the file fails alone and says so, while 1,000 others run on time', { timeout: 120_000 }, async () => {
  const path = join(folder, 'my.duckdb');
  const before = await VirtualEngine.open(path, { startAt: '2026-11-20T12:00:00Z' });
  await before.run(
    'UPSERT PROCEDURE purge(keep INTEGER) AS BEGIN SELECT $keep; END',
    'UPSERT PROCEDURE sweep(keep INTEGER) AS BEGIN SELECT $keep; END',
    'UPSERT CALENDAR office ( weekend: [sat, sun] )',
    "UPSERT SCHEDULE well ( sched: every 1m, ends: '2026-11-20T12:02:00Z', sql: 'SELECT 1' )",
  );
  await multiply(before.engine, 'well', others - 1);
  for (const [name, { does = "sql: 'SELECT 1'", spoil }] of Object.entries(poisons)) {
    await before.run(`UPSERT SCHEDULE ${name} ( sched: every 1m, ${does}, max_retries: 0 )`);
    await spoil(before.engine, name);
  }
  await before.close();

  const engine = await VirtualEngine.open(path, { startAt: '2026-11-20T12:00:30Z' });
  try {
    await engine.engine.scheduler.start();
    await engine.until('2026-11-20T12:01:10Z');
    const onTime = `SELECT count(*) FROM cron.runs WHERE schedule LIKE 'well%' AND state = 'succeeded' AND started_at = '2026-11-20 12:01:00Z'`;
    expect(await engine.value(onTime)).toBe(BigInt(others));
    const said = await engine.rows('SELECT schedule, condition, detail FROM cron.schedule_health');
    const expected = Object.entries(poisons).map(
      ([
        schedule,
        {
          says: [condition, detail],
        },
      ]) => ({
        schedule,
        condition,
        detail: expect.stringMatching(detail),
      }),
    );
    expect(said.sort((one, other) => names.indexOf(String(one['schedule'])) - names.indexOf(String(other['schedule'])))).toEqual(expected);

    // Whoever looks sees the others, and what is spoiled can be mended, or dropped.
    expect(await engine.value('SELECT count(*) FROM cron.schedules')).toBe(BigInt(others + names.length));
    const upcoming = "SELECT count(*) FROM cron.upcoming('2026-11-20 12:01:00Z', '2026-11-20 12:01:01Z') WHERE schedule LIKE 'well%'";
    expect(await engine.value(upcoming)).toBe(BigInt(others));
    await engine.run("UPSERT SCHEDULE another ( sched: every 1m, sql: 'SELECT 1' )");
    for (const name of names.filter((known) => known !== 'torn'))
      await engine.run(`UPSERT SCHEDULE ${name} ( sched: every 1m, sql: 'SELECT 2' )`);
    await engine.run('DISABLE SCHEDULE torn', 'DROP SCHEDULE torn');
    await engine.until('2026-11-20T12:02:00Z');
    const mended = `SELECT count(*) FROM cron.runs WHERE schedule NOT LIKE 'well%' AND state = 'succeeded' AND scheduled_at = '2026-11-20 12:02:00Z'`;
    expect(await engine.value(mended)).toBe(BigInt(names.length));
  } finally {
    await engine.close();
  }
});
