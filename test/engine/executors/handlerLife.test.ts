// What handlers leave behind: nothing.

import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { getPriority, tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Handlers } from '../../../src/engine/executors/handler/handlers.ts';
import { systemClock } from '../../../src/scheduler/clock.ts';
import { test as withDatabase } from '../../support/database.ts';
import { linesOf, runAgain, runHandler, threadCount, writeHandler } from '../../support/handlers.ts';
import { plainTask } from '../../support/plainTask.ts';

interface Held {
  readonly threads: number;
  readonly descriptors: number;
  readonly resources: number;
}

function held(): Held {
  return { threads: threadCount(), descriptors: readdirSync('/proc/self/fd').length, resources: process.getActiveResourcesInfo().length };
}

/** What ends, ends in its own time. */
async function settlesAt(expected: Held): Promise<Held> {
  let now = held();
  for (let tries = 0; tries < 2_000; tries++) {
    now = held();
    if (now.threads <= expected.threads && now.descriptors <= expected.descriptors && now.resources <= expected.resources) return expected;
    await systemClock.yieldTurn();
  }
  return now;
}

describe('runs of handlers', () => {
  withDatabase('leave no thread, descriptor, timer or memory behind', async ({ db }) => {
    const { handlers } = db.engine.worker;
    writeHandler(
      db,
      'module.mjs',
      "context.services.logger.info('here');\nreturn (await context.services.database.query('SELECT 1 AS one'))[0].one;",
    );
    handlers.add('inside', ({ services }) => {
      services.logger.info('here');
      return 1;
    });
    await db.run(
      'SET cron.workers = 4',
      "UPSERT SCHEDULE module ( handler: './jobs/module.mjs', sched: every 1s, catchup: none )",
      "UPSERT SCHEDULE inside ( handler: 'inside', sched: every 1s, catchup: none )",
    );
    const backfill = async (schedule: string, from: string, to: string): Promise<void> => {
      await db.run(`BACKFILL SCHEDULE ${schedule} FROM '${from}' TO '${to}' PARALLEL 4`);
    };
    for (const schedule of ['module', 'inside']) await backfill(schedule, '2026-11-20 10:00:00', '2026-11-20 10:00:20');
    const before = held();
    const memory = process.memoryUsage().rss;
    for (const schedule of ['module', 'inside']) await backfill(schedule, '2026-11-20 11:00:00', '2026-11-20 11:02:00');
    const states = await db.rows(
      "SELECT state, count(*) AS runs FROM cron.runs WHERE scheduled_at >= '2026-11-20 11:00:00+00' GROUP BY state",
    );
    expect(states).toEqual([{ state: 'succeeded', runs: 240n }]);
    expect(await settlesAt(before)).toEqual(before);
    expect(process.memoryUsage().rss - memory).toBeLessThan(150_000_000);
    const [{ lines } = {}] = await db.rows('SELECT count(*) AS lines FROM cron.run_logs');
    expect(lines).toBe(280n);
  });

  withDatabase('at once print each into its own log', async ({ db }) => {
    const path = writeHandler(
      db,
      'speaks.mjs',
      `for (let n = 0; n < 5; n++) { console.log(context.params.name + ' ' + n); await new Promise((resolve) => setTimeout(resolve, 1)); }`,
    );
    const names = ['ada', 'bob', 'cyd', 'dan'];
    for (const name of names) await db.run(`UPSERT SCHEDULE ${name} ( handler: '${path}', params: { name: ${name} } )`);
    const runs = await Promise.all(
      names.map(async (name) => {
        const session = await db.newSession();
        const [row] = await (await session.execute(`RUN SCHEDULE ${name}`)).toObjects();
        return { name, run: row ?? {} };
      }),
    );
    for (const { name, run } of runs) {
      expect(await linesOf(db, run)).toEqual(Array.from({ length: 5 }, (_, at) => `stdout info: ${name} ${at}`));
    }
  });
});

describe('closing', () => {
  withDatabase('ends the threads of a database, those that are kept too', async ({ db }) => {
    const path = writeHandler(db, 'kept.mjs', 'return 1;');
    await db.run(`UPSERT SCHEDULE h ( handler: '${path}' )`);
    const before = threadCount();
    await runAgain(db, 'h');
    expect(threadCount()).toBeGreaterThan(before);
    await db.close();
    expect(threadCount()).toBeLessThanOrEqual(before);
  });

  withDatabase('ends a handler that loops, and one that loads for ever', async ({ db }) => {
    await db.close();
    await db.open({ graceMs: 0 });
    const path = writeHandler(
      db,
      'loops.mjs',
      'context.progress(0);\nawait new Promise((resolve) => setTimeout(resolve, 50));\nfor (;;) {}',
    );
    await db.run(`UPSERT SCHEDULE h ( handler: '${path}' )`);
    const begun = new Promise<void>((resolve) => {
      db.engine.scheduler.events.on('run:progress', () => resolve());
    });
    const running = runAgain(db, 'h').catch(() => 'closed');
    await begun;
    const before = threadCount();
    await db.close();
    expect(threadCount()).toBeLessThan(before);
    await running;
  });
});

describe('1,000 runs', () => {
  test('in threads and in this process leave no thread, descriptor, timer or memory behind', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'cuckoo-test-'));
    const handlers = new Handlers({ clock: systemClock, folder });
    try {
      const first = held();
      writeFileSync(
        join(folder, 'm.mjs'),
        'let calls = 0;\nexport default ({ params }) => { if (params.n % 10 === 0) throw new Error("tenth"); return ++calls; };',
      );
      handlers.add('inside', ({ params }) => params['n']);
      const run = (n: number): Promise<unknown> => handlers.execute(plainTask({ call: n % 4 === 0 ? 'inside' : 'm.mjs', params: { n } }));
      for (let n = 0; n < 100; n++) await run(n);
      const before = held();
      const memory = process.memoryUsage().rss;
      for (let n = 0; n < 1_000; n += 4) await Promise.all([0, 1, 2, 3].map((at) => run(n + at)));
      // Three at once, where one was.
      const after = held();
      expect(after.threads - before.threads).toBeLessThanOrEqual(3);
      expect(after.descriptors - before.descriptors).toBeLessThanOrEqual(12);
      expect(process.memoryUsage().rss - memory).toBeLessThan(100_000_000);
      await handlers.close();
      expect(await settlesAt(first)).toEqual(first);
    } finally {
      await handlers.close();
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

describe('many modules', () => {
  test('keep the threads of only those that were used last', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'cuckoo-test-'));
    const handlers = new Handlers({ clock: systemClock, folder });
    try {
      const before = threadCount();
      for (let number = 0; number < 20; number++) {
        writeFileSync(join(folder, `m${number}.mjs`), `export default () => ${number};`);
        expect(await handlers.execute(plainTask({ call: `m${number}.mjs` }))).toMatchObject({ result: number, error: null });
      }
      for (let tries = 0; tries < 2_000 && threadCount() - before > 10; tries++) await systemClock.yieldTurn();
      // Eight, and what Node starts beside the first.
      expect(threadCount() - before).toBeLessThanOrEqual(10);
      expect(threadCount() - before).toBeGreaterThanOrEqual(8);
    } finally {
      await handlers.close();
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

describe('priority', () => {
  withDatabase('a thread that computes gives way to the scheduler, a short run does not, and a process does', async ({ db }) => {
    const path = writeHandler(
      db,
      'niceness.mjs',
      `const { readFileSync } = await import('node:fs');
       const niceness = () => Number(readFileSync('/proc/thread-self/stat', 'utf8').split(') ')[1].split(' ')[16]);
       while (context.params.computes && niceness() === 0);
       return niceness();`,
    );
    expect(await runHandler(db, path, 'params: { computes: false }')).toMatchObject({ result: '0' });
    expect(await runHandler(db, path, 'params: { computes: true }, timeout: 20s')).toMatchObject({ result: '5' });
    expect(await runHandler(db, path, 'isolation: process, params: { computes: false }')).toMatchObject({ result: '5' });
    expect(getPriority()).toBe(0);
  });
});
