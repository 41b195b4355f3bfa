// The interactive shell as a process on a terminal, with a scheduler that really runs.

import { watch } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Bench, type Seat } from './bin.ts';

const control = (letter: string): string => String.fromCharCode(letter.toUpperCase().charCodeAt(0) - 64);
const every = (name: string, sql: string): string => `UPSERT SCHEDULE ${name} ( sched: every 1s, sql: '${sql}' );\r`;

// Several processes in a test, one after the other.
vi.setConfig({ testTimeout: 60_000 });

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
});
afterEach(() => bench.clean());

async function leave(seat: Seat): Promise<void> {
  await seat.shows(/cuckoo>$/);
  await seat.type(control('d'), /$/);
  expect(await seat.ended()).toBe(0);
}

describe('the shell', () => {
  it('runs what falls due, and tells it over what is being typed', async () => {
    const seat = bench.sit(['jobs.duckdb']);
    await seat.shows(/\(no schedules yet\)\ncuckoo>$/);
    await seat.type(every('beat', 'SELECT 1'), /beat: created; next run/);
    await seat.type('SELECT 4', /\d\d:\d\d:\d\d beat succeeded in \d+ ms(?: {2}×\d+)?\ncuckoo> SELECT 4$/);
    await seat.shows(/beat succeeded in \d+ ms {2}×[3-9]\ncuckoo> SELECT 4$/);
    await seat.type('2 AS answer;\r', /cuckoo> SELECT 42 AS answer;\n[\s\S]*│ +42 │/);
    await seat.type('.fires off\r', /\.fires off\n(?:.*beat.*\n)?cuckoo>$/);
    await seat.type("SELECT count(*) >= 3 AS enough FROM cron.runs WHERE state = 'succeeded';\r", /│ true +│/);
    await leave(seat);
    const again = bench.sit(['jobs.duckdb']);
    await again.shows(/scheduler running in this shell \(1 schedule, next: beat (?:now|in 1s)\)\n/);
    await again.shows(/beat succeeded/);
    await leave(again);
  });

  it('runs nothing with --no-scheduler and with --readonly, and says nothing of it', async () => {
    await bench.run(['jobs.duckdb', '-c', every('beat', 'SELECT 1')]);
    for (const option of ['--no-scheduler', '--readonly']) {
      const seat = bench.sit([option, 'jobs.duckdb']);
      await seat.shows(/cuckoo>$/);
      await seat.type('SELECT count(*) AS runs FROM cron.runs;\r', /│ +0 │/);
      expect(seat.screen.text).not.toContain('scheduler');
      await leave(seat);
    }
  });

  it('has a scheduler for a database in memory too', async () => {
    const seat = bench.sit([':memory:']);
    await seat.shows(/scheduler running in this shell/);
    await seat.type(every('beat', 'SELECT 1'), /beat succeeded/);
    await leave(seat);
  });
});

describe('a file with schedules that this user has not run before', () => {
  it('runs nothing until RESUME SCHEDULER, and is known from then on', async () => {
    const insert = every('beat', 'INSERT INTO beats SELECT now()');
    await bench.run(['jobs.duckdb', '-c', 'CREATE TABLE beats (seen TIMESTAMPTZ)', '-c', insert]);
    const bob = { XDG_STATE_HOME: bench.path('bob') };
    const seat = bench.sit(['jobs.duckdb'], bob);
    await seat.shows(/this file has 1 schedule that you have not run before: beat; nothing runs until RESUME SCHEDULER;\ncuckoo>$/);
    await seat.type('LIST SCHEDULES;\r', /beat.*scheduled/);
    await seat.type('SELECT count(*) AS runs FROM cron.runs;\r', /│ +0 │/);
    await seat.type('RUN SCHEDULE beat;\r', /beat: succeeded in .* 1 row changed/);
    await seat.type('RESUME SCHEDULER;\r', /scheduler running in this shell \(1 schedule/);
    await seat.shows(/beat succeeded in \d+ ms \(1 row\)/);
    await leave(seat);
    const again = bench.sit(['jobs.duckdb'], bob);
    await again.shows(/scheduler running in this shell/);
    await leave(again);
  });

  it('is known where this user has defined them in a script', async () => {
    await bench.run(['jobs.duckdb'], every('beat', 'SELECT 1'));
    const seat = bench.sit(['jobs.duckdb']);
    await seat.shows(/scheduler running in this shell \(1 schedule/);
    await leave(seat);
  });

  it('is held for who has lost the list, and says why', async () => {
    await bench.run(['jobs.duckdb', '-c', every('beat', 'SELECT 1')]);
    bench.write('.local/state/cuckoo/trust', 'not a list\n');
    const seat = bench.sit(['jobs.duckdb']);
    await seat.shows(/note: what you have run before is not known: .*\n[\s\S]*nothing runs until RESUME SCHEDULER;/);
    await leave(seat);
  });
});

describe('leaving', () => {
  /** Resolves when the file is written. */
  function appears(name: string): Promise<void> {
    return new Promise((resolve) => {
      const watcher = watch(bench.folder, (_event, path) => {
        if (path !== name) return;
        watcher.close();
        resolve();
      });
    });
  }

  it('waits for a run at work, and no longer after Ctrl-C', async () => {
    const seat = bench.sit(['jobs.duckdb']);
    await seat.shows(/cuckoo>$/);
    const began = appears('began.csv');
    const sql = "COPY (SELECT 1) TO ''began.csv''; SELECT count(*) FROM range(100000000000) a, range(1000) b";
    await seat.type(every('long', sql), /long: created/);
    await began;
    await seat.type('.quit\r', /\.quit\nwaiting for 1 run \(Ctrl-C leaves at once\)$/);
    const since = performance.now();
    await seat.type(control('c'), /\^C\n.* long interrupted after .*: the scheduler stopped; retry in/);
    expect(await seat.ended()).toBe(0);
    // It would have waited for five seconds.
    expect(performance.now() - since).toBeLessThan(4000);
  });

  it('waits until a run at work has ended, which is told', async () => {
    const seat = bench.sit(['jobs.duckdb']);
    await seat.shows(/cuckoo>$/);
    const began = appears('began.csv');
    const sql = "COPY (SELECT 1) TO ''began.csv''; SELECT count(*) FROM range(1000000000) a";
    await seat.type(every('short', sql), /short: created/);
    await began;
    await seat.type(control('d'), /waiting for 1 run.*\n.*short succeeded/);
    expect(await seat.ended()).toBe(0);
  });
});

describe('after an error that stops DuckDB', () => {
  it('the shell goes on, and so does its scheduler', async () => {
    const seat = bench.sit(['jobs.duckdb']);
    await seat.shows(/cuckoo>$/);
    await seat.type(every('beat', 'SELECT 1'), /beat succeeded/);
    // A mistake in DuckDB 1.5.6, which stops the whole instance.
    await seat.type("PREPARE p AS SELECT typeof($1), $1::VARCHAR; EXECUTE p('x');\r", /error\[fatal\]/);
    await seat.type('.fires off\r', /\.fires off\n[\s\S]*cuckoo>$/);
    await seat.type('.fires on\r', /\.fires on\n[\s\S]*beat succeeded/);
    await seat.type('SELECT 42 AS answer;\r', /│ +42 │/);
    await leave(seat);
  });

  it('a shell on a database in memory, which is lost, says so once and ends', async () => {
    const seat = bench.sit([':memory:']);
    await seat.shows(/cuckoo>$/);
    await seat.type("PREPARE p AS SELECT typeof($1), $1::VARCHAR; EXECUTE p('x');\r", /error\[fatal\]/);
    await seat.type('SELECT 5;\r', /SELECT 5;\nerror\[fatal\]/);
    expect(await seat.ended()).toBe(1);
    expect(seat.screen.text.match(/error\[fatal\]/g)).toHaveLength(2);
    expect(seat.screen.text).not.toContain('trouble');
  });
});

describe('runs that take a while', () => {
  const load = `export default async function ({ progress, params, services }) {
    services.logger.info('began');
    progress(0.7, 'page 7 of 10');
    await new Promise((resolve) => setTimeout(resolve, params.ms));
    if (params.fails) throw new Error('no page 8');
    return 10;
  }`;
  const slow = (name: string, params: string): string =>
    `UPSERT SCHEDULE ${name} ( handler: './load.mjs', params: { ${params} }, max_retries: 0 );\r`;

  it('show how far they are, tell of several each end as it comes, and can be followed', async () => {
    bench.write('load.mjs', load);
    const seat = bench.sit(['jobs.duckdb']);
    await seat.shows(/cuckoo>$/);
    await seat.type(slow('long', 'ms: 4000'), /long: created/);
    await seat.type(slow('short', 'ms: 10, fails: true'), /short: created/);
    await seat.type('RUN SCHEDULE long, short AWAIT;\r', /AWAIT;\nshort: failed; no page 8\n {3}hint: EXPLAIN RUN '\S+'; tells more\n/);
    await seat.shows(/tells more\n1 of 2 {2}long {2}█+░+ {2}70 % {2}page 7 of 10 {2}\d s {2}Ctrl-C ends the wait$/);
    await seat.shows(/tells more\nlong: succeeded in [\d.]+ s; result 10\n(?:Time: .*\n)?cuckoo>$/);
    await seat.type('RUN SCHEDULE long;\r', /long: pending\n {3}hint: TAIL RUN '\S+'; follows it\n/);
    const [, id] = /TAIL RUN '(\S+)'/.exec(seat.screen.text) ?? [];
    await seat.type(`TAIL RUN '${id}';\r`, /\d\d:\d\d:\d\d\.\d{3} {2}info {4}began\nlong {2}█+░+ {2}70 % {2}page 7 of 10 {2}\d s/);
    await seat.type(control('c'), /began\n.*no longer followed: the run goes on[\s\S]*CANCEL RUN '\S+'; ends it/);
    await seat.type(`TAIL RUN '${id}';\r`, /info {4}began\n\d\d:\d\d:\d\d\.\d{3} {2}cuckoo {2}succeeded in [\d.]+ s\n/);
    await leave(seat);
    // Whoever has seen it end there need not hear of it again.
    expect(seat.screen.text).not.toMatch(/long succeeded in/);
  });

  it('tell scripts in the end, in the order in which they were named, and have their lines read as a table', async () => {
    bench.write('load.mjs', load);
    const define = (name: string, params: string): string => slow(name, params).trim();
    const { stdout } = await bench.run(
      ['--format', 'json', 'jobs.duckdb'],
      `${define('long', 'ms: 300')} ${define('short', 'ms: 1')} RUN SCHEDULE long, short AWAIT;`,
    );
    const runs = JSON.parse(`[${stdout.trim().split('\n[').at(-1)}`.replace(/^\[\[/, '[')) as { run_id: string; schedule: string }[];
    expect(runs.map(({ schedule }) => schedule)).toEqual(['long', 'short']);
    const tail = `TAIL RUN '${runs[0]?.run_id}'`;
    const text = await bench.run(['jobs.duckdb', '-c', tail]);
    expect(text).toMatchObject({ code: 0, stderr: '' });
    expect(text.stdout).toMatch(/^\d\d:\d\d:\d\d\.\d{3} {2}info {4}began\n\d\d:\d\d:\d\d\.\d{3} {2}cuckoo {2}succeeded in [\d.]+ m?s\n$/);
    const rows = await bench.run(['--format', 'csv', 'jobs.duckdb', '-c', tail]);
    expect(rows.stdout.replaceAll(/^\d{4}-.*?,/gm, 'at,')).toBe(
      `logged_at,step,stream,level,line\nat,,log,info,began\nat,,scheduler,info,${/succeeded in [\d.]+ m?s/.exec(text.stdout)?.[0]}\n`,
    );
  });
});
