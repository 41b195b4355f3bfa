// One file, a daemon that owns it, and shells that need not know: real processes.

import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { whoHolds } from '../../src/daemon/lock.ts';
import { Bench } from './bin.ts';

// Several processes, one after the other, on a machine that does other things as well.
vi.setConfig({ testTimeout: 90_000 });

let bench: Bench;
const daemons: SmallDaemon[] = [];
beforeEach(() => {
  bench = new Bench();
});
afterEach(async () => {
  for (const daemon of daemons.splice(0)) await daemon.kill();
  bench.clean();
});

/** test/daemon/smallDaemon.main.ts in a process of its own. */
class SmallDaemon {
  readonly child: ChildProcessWithoutNullStreams;
  readonly #ended: Promise<void>;
  #text = '';

  constructor(...words: readonly string[]) {
    const main = join(import.meta.dirname, 'smallDaemon.main.ts');
    const tsx = join(import.meta.dirname, '../../node_modules/tsx/dist/esm/index.mjs');
    const environment = { ...process.env, UV_THREADPOOL_SIZE: '16', TZ: 'UTC' };
    this.child = spawn(process.execPath, ['--import', tsx, main, ...words], { cwd: bench.folder, env: environment });
    this.#ended = new Promise((resolve) => this.child.on('close', () => resolve()));
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream.on('data', (data) => {
        this.#text += String(data);
        this.child.emit('said');
      });
    }
    daemons.push(this);
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  async says(line: RegExp): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const look = (): void => {
        if (line.test(this.#text)) resolve();
      };
      this.child.on('said', look);
      look();
      void this.#ended.then(() => (line.test(this.#text) ? resolve() : reject(new Error(`ended without ${line}: ${this.#text}`))));
    });
  }

  /** Resolves when it serves. */
  static async start(...words: readonly string[]): Promise<SmallDaemon> {
    const daemon = new SmallDaemon(...words);
    await daemon.says(/^serves$/m);
    return daemon;
  }

  async end(): Promise<void> {
    this.child.stdin.end();
    await this.#ended;
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.#ended;
  }
}

describe('where a daemon holds the file', () => {
  it('-c, -f and standard input are its clients', async () => {
    await SmallDaemon.start('jobs.duckdb');
    bench.write('make.sql', "CREATE TABLE t AS FROM range(3);\nUPSERT SCHEDULE s ( sched: '@daily', sql: 'SELECT 1' );\n");
    expect(await bench.run(['jobs.duckdb', '-f', 'make.sql'])).toMatchObject({ code: 0, stdout: expect.stringContaining('s: created') });
    const counted = await bench.run(['jobs.duckdb', '--format', 'csv', '-c', 'SELECT count(*) AS n FROM t; BEGIN; DELETE FROM t']);
    expect(counted).toMatchObject({
      code: 0,
      stdout: 'n\n3\n',
      stderr: 'note: the script ended inside a transaction, which was rolled back\n',
    });
    const piped = await bench.run(
      ['jobs.duckdb', '--format', 'csv'],
      "SET TimeZone = 'Asia/Tokyo';\nSELECT count(*) AS n, TIMESTAMPTZ '2027-01-01 00:00:00+00' AS t FROM t;\n",
    );
    expect(piped).toMatchObject({ code: 0, stdout: 'n,t\n3,2027-01-01 09:00:00+09\n', stderr: '' });
    const large = await bench.runShell('"$CUCKOO" jobs.duckdb --format csv -c "FROM range(1000000)" | tail -1');
    expect(large.stdout).toBe('999999\n');
    const early = await bench.runShell('"$CUCKOO" jobs.duckdb --format csv -c "FROM range(1000000000000)" | head -2');
    expect(early).toMatchObject({ stdout: 'range\n0\n', stderr: '' });
  });

  it('a mistake is told as ever, with its place', async () => {
    await SmallDaemon.start('jobs.duckdb');
    const script = "SELECT 1;\n  UPSERT SCHEDULE s ( shed: '@daily' );\n";
    const through = await bench.run(['jobs.duckdb', '--format', 'csv'], script);
    const alone = await bench.run([':memory:', '--format', 'csv'], script);
    expect(through).toEqual(alone);
    expect(through).toMatchObject({ code: 1, stderr: expect.stringMatching(/<stdin>:2:23[\s\S]*\^\^\^\^[\s\S]*did you mean .sched/i) });
  });

  it('it is not opened read-only beside it, and says why', async () => {
    const daemon = await SmallDaemon.start('jobs.duckdb');
    const refused = await bench.run(['jobs.duckdb', '--readonly', '-c', 'SELECT 1']);
    expect(refused).toMatchObject({ code: 4, stdout: '' });
    expect(refused.stderr).toContain(`is held by a Cuckoo daemon (process ${daemon.pid}), which writes it.`);
  });

  it('the shell is its client: prompt, transaction, commands, completion, and what falls due', async () => {
    const daemon = await SmallDaemon.start('jobs.duckdb');
    // A file of a stranger's, in which nothing of this user's would run by itself.
    const seat = bench.sit(['jobs.duckdb']);
    await seat.shows(new RegExp(`connected to the daemon \\(process ${daemon.pid}\\), which runs the schedules\\ncuckoo@daemon>$`));
    await seat.type("UPSERT SCHEDULE beat ( sched: every 1s, sql: 'SELECT 1' );\r", /beat: created/);
    await seat.shows(/\d\d:\d\d:\d\d beat succeeded in \d+ ms/);
    await seat.type('DISABLE SCHEDULE beat;\r', /beat: disabled/);
    await seat.type('BEGIN;\r', /cuckoo@daemon\*>$/);
    await seat.type('CREATE TABLE nest AS SELECT 42 AS egg;\r', /cuckoo@daemon\*>$/);
    await seat.type('SELECT egg FROM ne\t', /nest {3}new/);
    await seat.type('st;\r', /42/);
    await seat.type('.tables\r', /nest.*table.*1/);
    bench.write('more.sql', 'SELECT egg + 1 AS more FROM nest;\n');
    await seat.type('.read more.sql\r', /43/);
    await seat.type('ROLLBACK;\r', /cuckoo@daemon>$/);
    await seat.type('FROM nest;\r', /Table with name nest does not exist/);
    await seat.type('SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range % 7 = b.range % 3;\r', /a\.range/);
    await seat.shows(/Ctrl-C cancels/);
    await seat.type('\x03', /cancelled[\s\S]*cuckoo@daemon>$/);
    await seat.type('.quit\r', /\.quit/);
    expect(await seat.ended()).toBe(0);
  });
});

describe('a daemon that starts while a shell has the file', () => {
  it('gets it; the shell goes on as its client, and no fire is lost', async () => {
    const seat = bench.sit(['jobs.duckdb']);
    await seat.shows(/cuckoo>$/);
    await seat.type("UPSERT SCHEDULE beat ( sched: every 1s, sql: 'SELECT 1', catchup: none );\r", /beat succeeded/);
    await seat.type("SET TimeZone = 'Asia/Tokyo';\r.mode csv\r", /csv\ncuckoo>$/);
    const daemon = new SmallDaemon('jobs.duckdb');
    await daemon.says(/cannot open: .*is held by[\s\S]*asked: released\nserves/);
    await seat.shows(new RegExp(`the daemon \\(process ${daemon.pid}\\) has the file now; this shell is its client\n`));
    await seat.shows(/gone with the session: TimeZone = 'Asia\/Tokyo'\n/);
    await seat.shows(/cuckoo@daemon>$/);
    // What was set in the shell itself is still so.
    await seat.type("SELECT 'mode' AS still;\r", /still\nmode\n[\s\S]*beat succeeded/);
    const found = await bench.run([
      'jobs.duckdb',
      '--format',
      'csv',
      '-c',
      "SELECT count(*) FILTER (state = 'skipped') AS skipped, count(DISTINCT scheduled_at) - (epoch(max(scheduled_at)) - epoch(min(scheduled_at)) + 1) AS lost FROM cron.runs",
    ]);
    expect(found).toMatchObject({ code: 0, stdout: 'skipped,lost\n0,0.0\n' });
    await seat.type('.quit\r', /\.quit/);
    expect(await seat.ended()).toBe(0);
  });

  it('does not get it while something would be lost, and is told what', async () => {
    const seat = bench.sit(['jobs.duckdb', '--no-scheduler']);
    await seat.shows(/cuckoo>$/);
    const refusal = async (reason: RegExp): Promise<void> => {
      const daemon = new SmallDaemon('jobs.duckdb');
      await daemon.says(reason);
      await daemon.end();
    };
    await seat.type('BEGIN;\r', /cuckoo\*>$/);
    await refusal(/^asked: a transaction is open$/m);
    await seat.type('ROLLBACK;\r', /ROLLBACK\n(?:Time: .*\n)?cuckoo>$/);
    await seat.type('CREATE TEMP TABLE mine AS SELECT 1;\r', /CREATE TABLE.*\n(?:Time: .*\n)?cuckoo>$/);
    await refusal(/^asked: it has 1 temporary table: mine$/m);
    await seat.type("DROP TABLE mine; ATTACH ':memory:' AS other;\r", /ATTACH\n(?:Time: .*\n)?cuckoo>$/);
    await refusal(/^asked: it has attached 1 other database: other$/m);
    await seat.type('DETACH other;\r', /DETACH\n(?:Time: .*\n)?cuckoo>$/);
    await seat.type('SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range % 7 = b.range % 3;\r', /Ctrl-C cancels/);
    await refusal(/^asked: a statement is at work$/m);
    await seat.type('\x03', /cancelled[\s\S]*cuckoo>$/);
    await SmallDaemon.start('jobs.duckdb');
    await seat.shows(/cuckoo@daemon>$/);
  });

  it('does not get it from a script, which ends by itself', async () => {
    const script = bench.start(['jobs.duckdb', '--format', 'csv']);
    script.child.stdin.write("SELECT 'ready';\n");
    await script.says('ready\n');
    const daemon = new SmallDaemon('jobs.duckdb');
    await daemon.says(/^asked: it runs a script, and ends by itself$/m);
    script.child.stdin.end();
    await script.ended;
    await SmallDaemon.start('jobs.duckdb');
  });
});

describe('a daemon that is gone', () => {
  it('is missed at once; the next statement opens the file here, and what was open is lost', async () => {
    const daemon = await SmallDaemon.start('jobs.duckdb');
    const seat = bench.sit(['jobs.duckdb']);
    await seat.shows(/cuckoo@daemon>$/);
    await seat.type('CREATE TABLE t (i INTEGER); BEGIN; INSERT INTO t VALUES (1);\r', /cuckoo@daemon\*>$/);
    await daemon.kill();
    await seat.shows(new RegExp(`the daemon \\(process ${daemon.pid}\\) is gone: the next statement looks for the file anew\n`));
    await seat.shows(/the open transaction was rolled back\n/);
    await seat.shows(/cuckoo@daemon!>$/);
    await seat.type('INSERT INTO t VALUES (2);\r', /aborted[\s\S]*cuckoo!>$/);
    await seat.shows(/the file is open in this shell\n.* temporary tables and settings of the session before are gone/);
    await seat.shows(/scheduler running in this shell/);
    await seat.type('ROLLBACK; SELECT count(*) AS n FROM t;\r', /│ +0 │[\s\S]*cuckoo>$/);
    expect((await whoHolds(bench.path('jobs.duckdb')))?.kind).toBe('shell');
  });

  it('is found again where it has come back, and a statement that was at work says that nobody knows', async () => {
    const daemon = await SmallDaemon.start('jobs.duckdb');
    const seat = bench.sit(['jobs.duckdb']);
    await seat.shows(/cuckoo@daemon>$/);
    await seat.type('SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range % 7 = b.range % 3;\r', /Ctrl-C cancels/);
    await daemon.kill();
    await seat.shows(/unreachable[\s\S]*Whether the statement took effect is not known/);
    const other = await SmallDaemon.start('jobs.duckdb');
    await seat.type('SELECT 7 * 6;\r', /42/);
    await seat.shows(new RegExp(`connected to the daemon \\(process ${other.pid}\\)`));
    await other.end();
    await seat.shows(/the daemon stops: the next statement looks for the file anew/);
    await seat.type('SELECT 7 * 7;\r', /49[\s\S]*cuckoo>$/);
  });

  it('fails a script in the middle of it', async () => {
    const daemon = await SmallDaemon.start('jobs.duckdb');
    const script = bench.start(['jobs.duckdb', '--format', 'csv']);
    script.child.stdin.write("SELECT 'ready';\n");
    await script.says('ready\n');
    await daemon.kill();
    script.child.stdin.end('SELECT 1;\n');
    expect(await script.ended).toMatchObject({ code: 1, stderr: expect.stringContaining(`the daemon (process ${daemon.pid}) is gone`) });
  });
});

describe('a daemon of another version', () => {
  it('is told apart by both versions', async () => {
    bench.write('jobs.duckdb', '');
    const server = createServer((_, response) => {
      response.end(`${JSON.stringify({ protocol: 7, pid: 4711, kind: 'daemon', version: '9.9.9', since: '2027-01-01T00:00:00.000Z' })}\n`);
    });
    await new Promise<void>((resolve) => server.listen(bench.path('jobs.duckdb.cuckoo'), resolve));
    const { code, stderr } = await bench.run(['jobs.duckdb', '-c', 'SELECT 1']);
    await new Promise((resolve) => server.close(resolve));
    expect(code).toBe(1);
    expect(stderr).toMatch(/the daemon \(process 4711\) speaks protocol 7 \(cuckoo 9\.9\.9\), and this cuckoo protocol 1 \(cuckoo \d/);
  });
});
