// The real crash test: a process under load is killed with SIGKILL at random points, round after round, and started again on the
// same file. Afterwards the file itself is asked whether anything was lost or done twice.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openEngine } from '../../src/engine/engine.ts';
import { systemClock } from '../../src/scheduler/clock.ts';

export interface Damage {
  readonly [question: string]: number;
}

export interface CrashReport {
  readonly runs: number;
  readonly kills: number;
  /** What must be none. */
  readonly damage: Damage;
  readonly killer: readonly string[];
}

const victim = join(import.meta.dirname, 'victim.mjs');

export async function crashRounds({
  rounds,
  schedules,
  random,
}: {
  rounds: number;
  schedules: number;
  random: () => number;
}): Promise<CrashReport> {
  const folder = mkdtempSync(join(tmpdir(), 'cuckoo-crash-'));
  const file = join(folder, 'my.duckdb');
  let kills = 0;
  try {
    for (let round = 0; round < rounds; ) {
      const child = start(file, schedules);
      // Its killer may be quicker.
      if (await child.says('ready')) {
        await systemClock.sleep(random() * 1500);
        child.process.kill('SIGKILL');
        round += 1;
      }
      kills += 1;
      await child.ended;
      if (kills > rounds + 20) throw new Error(`it dies by itself: ${child.output()}`);
    }
    for (let tries = 0; ; tries++) {
      const last = start(file, schedules);
      if (await last.says('ready')) {
        await systemClock.sleep(1500);
        last.process.kill('SIGTERM');
        if (await last.says('quiet')) {
          await last.ended;
          break;
        }
      }
      kills += 1;
      if (tries > 10) throw new Error(`it did not end in peace: ${last.output()}`);
    }
    return { ...(await examine(file)), kills };
  } finally {
    if (process.env['KEEP'] === undefined) rmSync(folder, { recursive: true, force: true });
    else process.stderr.write(folder);
  }
}

function start(file: string, schedules: number) {
  const process_ = spawn(process.execPath, [victim, file, String(schedules)], {
    env: { ...process.env, TZ: 'UTC', UV_THREADPOOL_SIZE: '16' },
  });
  let output = '';
  const watchers = new Set<() => void>();
  for (const stream of [process_.stdout, process_.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      for (const look of watchers) look();
    });
  }
  const ended = new Promise<void>((resolve) => process_.on('close', () => resolve()));
  return {
    process: process_ as ChildProcess,
    ended,
    output: () => output,
    /** false: it has ended without saying so. */
    says: (word: string): Promise<boolean> =>
      new Promise((resolve) => {
        const look = (): void => {
          if (output.includes(`${word}\n`)) resolve(true);
        };
        watchers.add(look);
        look();
        void ended.then(() => resolve(output.includes(`${word}\n`)));
      }),
  };
}

/** Each answers how many there are of what must not be. */
const questions: Readonly<Record<string, string>> = {
  'rows without a succeeded run': `SELECT count(*) FROM hits h WHERE NOT EXISTS (FROM cron.runs r WHERE r.run_id = h.run_id AND r.state = 'succeeded')`,
  'succeeded runs without their row': `SELECT count(*) FROM cron.runs r WHERE r.state = 'succeeded' AND r.schedule LIKE 's%' AND NOT EXISTS (FROM hits h WHERE h.run_id = r.run_id)`,
  'runs with two rows': 'SELECT count(*) FROM (SELECT run_id FROM hits GROUP BY run_id HAVING count(*) > 1)',
  'instants done twice': 'SELECT count(*) FROM (SELECT schedule, scheduled_at FROM hits GROUP BY ALL HAVING count(*) > 1)',
  'instants opened twice': `SELECT count(*) FROM (SELECT schedule, scheduled_at FROM cron.runs WHERE attempt = 1 AND trigger IN ('interval', 'catchup') AND state <> 'skipped' GROUP BY ALL HAVING count(*) > 1)`,
  'attempts with one number':
    'SELECT count(*) FROM (SELECT schedule, root_run_id, attempt FROM cron.runs GROUP BY ALL HAVING count(*) > 1)',
  'attempts left out': 'SELECT count(*) FROM (SELECT schedule, root_run_id FROM cron.runs GROUP BY ALL HAVING max(attempt) <> count(*))',
  'chains without an end':
    'SELECT count(*) FROM (SELECT schedule, root_run_id FROM cron.runs GROUP BY ALL HAVING count(*) FILTER (final) <> 1)',
  'runs still open': 'SELECT count(*) FROM cuckoo_ledger.open_run',
  'tokens still there': 'SELECT count(*) FROM cuckoo_ledger.token',
  'followers done twice': 'SELECT count(*) FROM (SELECT parent_run_id FROM followed GROUP BY ALL HAVING count(*) > 1)',
  'successes of s0 that nobody followed': `SELECT count(*) FROM cron.runs p WHERE p.schedule = 's0' AND p.state = 'succeeded'
    AND p.finished_at < (SELECT max(changed_at) FROM cron.schedule_versions WHERE schedule = 'child')
    AND NOT EXISTS (FROM cron.runs c WHERE c.schedule = 'child' AND c.scheduled_at >= p.scheduled_at AND coalesce(c.first_scheduled_at, c.scheduled_at) <= p.scheduled_at)`,
  // From its definition to the last tick, each second is a run, a skipped row, or part of a skipped stretch.
  'schedules with seconds uncovered or covered twice': `
    WITH until AS (SELECT max(changed_at) AS disabled_at, schedule FROM cron.schedule_versions WHERE list_contains(changed, 'enabled') GROUP BY schedule),
    begun AS (SELECT effective_from AS defined_at, name AS schedule FROM cuckoo_ledger.schedule),
    covered AS (
      SELECT schedule, sum(CASE WHEN state = 'skipped' THEN coalesce(fires, 1) ELSE 1 END) AS seconds, min(coalesce(first_scheduled_at, scheduled_at)) AS first, max(scheduled_at) AS last
      FROM cron.runs WHERE attempt = 1 AND trigger IN ('interval', 'catchup') GROUP BY schedule)
    SELECT count(*) FROM covered JOIN begun USING (schedule) JOIN until USING (schedule)
    WHERE seconds <> date_diff('second', first, last) + 1 OR first > defined_at + INTERVAL 2 SECOND OR last < disabled_at - INTERVAL 2 SECOND`,
};

async function examine(file: string): Promise<Omit<CrashReport, 'kills'>> {
  const engine = await openEngine(file, { readOnly: true });
  try {
    const session = await engine.session({ actor: 'test', admin: true });
    const rows = async (text: string) => (await session.execute(text)).toArray();
    const damage: Record<string, number> = {};
    for (const [question, text] of Object.entries(questions)) damage[question] = Number((await rows(text))[0]?.[0]);
    const killer = (await rows("SELECT state || ' ' || attempt FROM cron.runs WHERE schedule = 'killer' ORDER BY attempt")).map(([text]) =>
      String(text),
    );
    const runs = Number((await rows("SELECT count(*) FROM cron.runs WHERE state = 'succeeded'"))[0]?.[0]);
    await session.close();
    return { runs, damage, killer };
  } finally {
    await engine.close();
  }
}
