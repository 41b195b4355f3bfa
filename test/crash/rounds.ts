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
  /** Runs of pipelines that went on behind what an earlier start had committed. */
  readonly resumed: number;
}

const victim = join(import.meta.dirname, 'victim.mjs');

export async function crashRounds({
  rounds,
  schedules,
  pipelines = false,
  random,
}: {
  rounds: number;
  schedules: number;
  /** Beside them, each second. */
  pipelines?: boolean;
  random: () => number;
}): Promise<CrashReport> {
  const folder = mkdtempSync(join(tmpdir(), 'cuckoo-crash-'));
  const file = join(folder, 'my.duckdb');
  let kills = 0;
  try {
    for (let round = 0; round < rounds; ) {
      const child = start(file, schedules, pipelines);
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
      const last = start(file, schedules, pipelines);
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

function start(file: string, schedules: number, pipelines: boolean) {
  const process_ = spawn(process.execPath, [victim, file, String(schedules), ...(pipelines ? ['pipelines'] : [])], {
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

/** What the rows of steps say is done, and what has been done; the last step's number counts the items, of which it has none itself. */
const doneSteps = `(SELECT run_id, step, item FROM cron.step_runs WHERE state = 'succeeded' AND kind <> 'for_each' AND step IN ('find', 'each', 'beside', 'last'))`;
const hitSteps = `(SELECT run_id, step, CASE WHEN step = 'each' THEN item END AS item FROM step_hits)`;

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
  'steps done without their row, or twice': `SELECT count(*) FROM (${hitSteps} EXCEPT ALL ${doneSteps})`,
  'rows of steps that were not done': `SELECT count(*) FROM (${doneSteps} EXCEPT ALL ${hitSteps})`,
  'tries of a step with two rows':
    'SELECT count(*) FROM (SELECT run_id, step, item, attempt FROM cron.step_runs GROUP BY ALL HAVING count(*) > 1)',
  'steps of one fire done twice': `SELECT count(*) FROM (
    SELECT scheduled_at, step, item FROM ${hitSteps} JOIN cron.runs USING (run_id) GROUP BY ALL HAVING count(*) > 1)`,
  'fires of the pipeline that lack a step': `SELECT count(*) FROM (
    SELECT r.scheduled_at FROM cron.runs r LEFT JOIN step_hits h USING (run_id) WHERE r.schedule = 'pipeline_steps' AND r.state <> 'skipped'
    GROUP BY ALL HAVING count(h.step) <> 9)`,
  'atomic pipelines done in part':
    'SELECT count(*) FROM (SELECT run_id FROM atomic_hits GROUP BY ALL HAVING list(part ORDER BY part) <> [1, 2])',
  'atomic pipelines that did not succeed': `SELECT count(*) FROM atomic_hits h WHERE NOT EXISTS (FROM cron.runs r WHERE r.run_id = h.run_id AND r.state = 'succeeded')`,
  'atomic pipelines without their effects': `SELECT count(*) FROM cron.runs r WHERE r.schedule = 'pipeline_whole' AND r.state = 'succeeded' AND NOT EXISTS (FROM atomic_hits h WHERE h.run_id = r.run_id)`,
  'atomic pipelines without the rows of their steps': `SELECT count(*) FROM cron.runs r WHERE r.schedule = 'pipeline_whole' AND r.state = 'succeeded'
    AND (SELECT count(*) FROM cron.step_runs s WHERE s.run_id = r.run_id AND s.state = 'succeeded') <> 3`,
  'results of steps that nobody dropped': "SELECT count(*) FROM duckdb_tables() WHERE schema_name = 'cuckoo_work'",
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
    const resumed = Number((await rows("SELECT count(*) FROM cron.runs WHERE notes IS NOT NULL AND exe = 'pipeline'"))[0]?.[0]);
    await session.close();
    return { runs, damage, killer, resumed };
  } finally {
    await engine.close();
  }
}
