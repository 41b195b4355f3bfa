// Runs that are ended at any moment of their lives, by CANCEL RUN or by their timeout: each writes one row with its id in the
// transaction that closes it, so that what its row says can be compared with what it did.

import { rmSync } from 'node:fs';
import { type Engine, openEngine } from '../../src/engine/engine.ts';
import type { NativeDatabase, NativeParameter } from '../../src/engine/store/duckdb/native.ts';
import { systemClock } from '../../src/scheduler/clock.ts';
import type { OpenRun } from '../../src/scheduler/run.ts';

/**
 * open: 0 to 3 ms after it was asked for; start: 0 to 5 ms after a worker took it; commit: from when it writes until after the
 * COMMIT of its own transaction.
 */
export type Moment = 'open' | 'start' | 'commit' | 'timeout';

export interface EndReport {
  readonly runs: number;
  /** By state. */
  readonly states: Readonly<Record<string, number>>;
  /** Succeeded without their effect, ended otherwise with it, or with more than one. */
  readonly lies: readonly string[];
  readonly closedTwice: number;
  readonly toldTwice: number;
  readonly leftOpen: number;
}

const bodies: Readonly<Record<string, string>> = {
  short: "sql: 'INSERT INTO effects VALUES ($run_id)'",
  longer: "sql: 'INSERT INTO effects VALUES ($run_id); SELECT sum(i) FROM range(400000) t(i)'",
  later: "sql: 'SELECT sum(i * i) FROM range(400000) t(i); INSERT INTO effects VALUES ($run_id); SELECT 1'",
  called: 'call: puts, params: { n: 3 }',
  asked: "sql: 'INSERT INTO effects VALUES ($run_id)', when: 'SELECT count(*) > 0 FROM range(1000)'",
  followed: "sql: 'INSERT INTO effects VALUES ($run_id)'",
};

export async function endRuns(path: string, { runs, moment }: { readonly runs: number; readonly moment: Moment }): Promise<EndReport> {
  const engine = await openEngine(path, { zone: 'UTC', poolSize: 16, graceMs: 0 });
  const session = await engine.session({ actor: 'ada', admin: true });
  const rows = async (text: string) => (await session.execute(text)).toObjects();
  try {
    await rows('SET cron.workers = 6');
    await rows('CREATE TABLE effects(run_id VARCHAR)');
    await rows(
      'UPSERT PROCEDURE puts(n INTEGER) AS BEGIN SELECT * FROM range($n); INSERT INTO effects VALUES ($run_id); SELECT $n + 1; END',
    );
    for (const [name, body] of Object.entries(bodies)) {
      const timeouts = moment === 'timeout' ? [1, 2, 4, 7, 11, 16] : [null];
      for (const ms of timeouts)
        await rows(`UPSERT SCHEDULE ${name}_${ms ?? 0} ( ${body}, max_retries: 0${ms === null ? '' : `, timeout: ${ms}ms`} )`);
    }
    // Something follows it, so that it is marked and settled.
    const followed = moment === 'timeout' ? 'followed_7' : 'followed_0';
    await rows(`UPSERT SCHEDULE follower ( after: [${followed}], after_state: any, ${bodies['short']} )`);
    const names = (await rows("SELECT name FROM cron.schedules WHERE name <> 'follower'")).map(({ name }) => String(name));

    const life = watch(engine);
    if (moment === 'start') {
      engine.scheduler.events.on('run:started', ({ run }) => {
        if (run.schedule !== 'follower') later(5, () => cancel(engine, run.runId));
      });
    }
    if (moment === 'commit') {
      onCommit(engine.database, life.ids, (runId) => {
        if (Math.random() < 0.2) cancel(engine, runId);
        else later(6, () => cancel(engine, runId));
      });
    }
    await engine.scheduler.start();
    let left = runs;
    const lane = async (): Promise<void> => {
      while (left > 0) {
        left -= 1;
        const ended = engine.runByHand(names[left % names.length] ?? '', {});
        if (moment === 'open') {
          const { runId } = await life.nextOpened();
          later(3, () => cancel(engine, runId));
        }
        await ended;
      }
    };
    await Promise.all(Array.from({ length: 8 }, lane));
    await life.quiet();
    await settled(async () => Number((await rows(`SELECT count(*) AS n FROM ${engine.sql.ledger}.open_run`))[0]?.['n']) === 0);

    const found = await rows(`
      SELECT r.run_id, r.state, r.reason, (SELECT count(*)::INTEGER FROM effects e WHERE e.run_id = r.run_id) AS effects
      FROM cron.runs r`);
    const lies = found
      .filter(({ state, effects }) => effects !== (state === 'succeeded' ? 1 : 0))
      .map(({ run_id, state, reason, effects }) => `${run_id}: ${state} (${reason}), ${effects} effects`);
    const [twice] = await rows(
      `SELECT count(*)::INTEGER AS n FROM (SELECT run_id FROM ${engine.sql.ledger}.closed GROUP BY run_id HAVING count(*) > 1)`,
    );
    const [open] = await rows(`SELECT count(*)::INTEGER AS n FROM ${engine.sql.ledger}.open_run`);
    const states = await rows('SELECT state, count(*)::INTEGER AS runs FROM cron.runs GROUP BY state');
    return {
      runs: found.length,
      states: Object.fromEntries(states.map(({ state, runs: count }) => [String(state), Number(count)])),
      lies,
      closedTwice: Number(twice?.['n']),
      toldTwice: life.toldTwice,
      leftOpen: Number(open?.['n']),
    };
  } finally {
    await session.close();
    await engine.close();
    rmSync(path, { force: true });
  }
}

/** The last that ended may still have a mark, until what follows it is opened, which nobody is told of who waits for ends. What stays open is counted. */
async function settled(isEmpty: () => Promise<boolean>): Promise<void> {
  for (let look = 0; look < 500 && !(await isEmpty()); look += 1) await systemClock.sleep(20);
}

function cancel(engine: Engine, runId: string): void {
  void engine.scheduler.cancel(runId, 'stop');
}

/** At a moment that is drawn, far finer than a timer has them. */
function later(mostMs: number, act: () => void): void {
  const at = performance.now() + Math.random() * mostMs;
  const look = (): void => {
    if (performance.now() < at) setImmediate(look);
    else act();
  };
  look();
}

/** What is opened and what ends. */
function watch({ scheduler }: Engine) {
  const ids = new Set<string>();
  const ended = new Map<string, number>();
  let waiting: ((run: OpenRun) => void)[] = [];
  let look = (): void => undefined;
  scheduler.events.on('run:opened', (run) => {
    ids.add(run.runId);
    for (const tell of waiting.splice(0, 1)) tell(run);
  });
  scheduler.events.on('run:finished', ({ runId }) => {
    ended.set(runId, (ended.get(runId) ?? 0) + 1);
    look();
  });
  return {
    ids,
    get toldTwice(): number {
      return [...ended.values()].filter((count) => count > 1).length;
    },
    nextOpened: () =>
      new Promise<OpenRun>((resolve) => {
        waiting = [...waiting, resolve];
      }),
    quiet: () =>
      new Promise<void>((resolve) => {
        look = () => {
          if ([...ids].every((runId) => ended.has(runId))) resolve();
        };
        look();
      }),
  };
}

/** Told once of each run, just before it writes, or before the first of the two texts is sent that close it in its transaction. */
function onCommit(database: NativeDatabase, ids: ReadonlySet<string>, tell: (runId: string) => void): void {
  const told = new Set<string>();
  const connect = database.connect.bind(database);
  database.connect = async (options) => {
    const native = await connect(options);
    const run = native.run.bind(native);
    const query = native.query.bind(native);
    const reached = (runId: string | undefined): void => {
      if (runId === undefined || !ids.has(runId) || told.has(runId)) return;
      told.add(runId);
      tell(runId);
    };
    native.query = (text, parameters, how) => {
      const values = parameters as Readonly<Record<string, NativeParameter>> | undefined;
      if (text.includes('INSERT INTO effects') && Math.random() < 0.5) reached(String(values?.['run_id']?.value));
      return query(text, parameters, how);
    };
    native.run = (text, how) => {
      const closes = text.startsWith('DELETE') && text.includes('txid_current()');
      if (closes) reached(/'([0-9a-f]{8}-[0-9a-f-]{27})'/.exec(text)?.[1]);
      return run(text, how);
    };
    return native;
  };
}
