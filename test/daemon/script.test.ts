// The command as scripts use it: real processes, real files.

import { existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { PassThrough, Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Output } from '../../src/daemon/output.ts';
import type { Mode } from '../../src/daemon/render/mode.ts';
import { invalidUtf8, runStream } from '../../src/daemon/script.ts';
import { type Outcome, Shell } from '../../src/daemon/shell.ts';
import { openEngine } from '../../src/engine/engine.ts';
import { systemClock } from '../../src/scheduler/clock.ts';
import { Bench } from './bin.ts';

/** The same shell in this process: a process of its own costs more than what most tests ask. */
async function runHere(
  script: string,
  { mode = 'csv', columns }: { readonly mode?: Mode; readonly columns?: number } = {},
): Promise<{ outcome: Outcome; output: string; errors: string }> {
  const engine = await openEngine(':memory:');
  const session = await engine.session({ actor: 'test', admin: true });
  const errors = new PassThrough();
  const output = new PassThrough({ highWaterMark: 1_000_000 });
  const shell = new Shell({
    place: engine,
    session,
    output: new Output(columns === undefined ? output : Object.assign(output, { isTTY: true, columns }), 'standard output'),
    errors,
    clock: systemClock,
    mode,
    color: { output: false, errors: false },
    interactive: false,
  });
  const outcome = await runStream(shell, Readable.from([Buffer.from(script)]), '<stdin>');
  await session.close();
  await engine.close();
  return { outcome, output: String(output.read() ?? ''), errors: String(errors.read() ?? '') };
}

let bench: Bench;
beforeAll(() => {
  bench = new Bench();
});
afterAll(() => bench.clean());

describe('what is run', () => {
  it('-c and -f in the order given, on the file that was named', async () => {
    const file = bench.write('order.sql', "INSERT INTO t VALUES ('file');\n");
    const ended = await bench.run([
      'order.duckdb',
      '--format',
      'csv',
      '-c',
      "CREATE TABLE t (word VARCHAR); INSERT INTO t VALUES ('first')",
      '-f',
      file,
      '-c',
      'FROM t',
    ]);
    expect(ended).toEqual({ code: 0, signal: null, stdout: 'word\nfirst\nfile\n', stderr: '' });
    expect(existsSync(bench.path('order.duckdb'))).toBe(true);
  });

  it('standard input, statement by statement, on ./cuckoo.duckdb where no file is named', async () => {
    const ended = await bench.run(['--format', 'csv'], 'SELECT 1 AS a;\n.mode json\nSELECT 2 AS b');
    expect(ended).toMatchObject({ code: 0, stderr: '' });
    expect(ended.stdout).toContain('a\n1\n');
    expect(JSON.parse(ended.stdout.slice(4))).toEqual([{ b: 2 }]);
    expect(existsSync(bench.path('cuckoo.duckdb'))).toBe(true);
  });

  it('the file that CUCKOO_FILE names', async () => {
    await bench.run(['-c', 'SELECT 1'], '', { CUCKOO_FILE: bench.path('named.duckdb') });
    expect(existsSync(bench.path('named.duckdb'))).toBe(true);
  });

  it('answers before its input has ended', async () => {
    const running = bench.start([':memory:', '--format', 'csv']);
    running.child.stdin.write("SELECT 'one' AS x;\n");
    await running.says('one');
    running.child.stdin.write("SELECT 'two' AS x;\n");
    await running.says('two');
    running.child.stdin.end();
    expect((await running.ended).code).toBe(0);
  });

  it('definitions, and their answer as a sentence', async () => {
    const script = `CREATE TABLE beats (moment TIMESTAMPTZ);
UPSERT SCHEDULE heartbeat ( sched: every 5s, sql: 'INSERT INTO beats SELECT now()' );
UPSERT SCHEDULE heartbeat ( sched: every 5s, sql: 'INSERT INTO beats SELECT now()' );
.mode csv
DROP SCHEDULE heartbeat;
`;
    const ended = await bench.run(['sentence.duckdb'], script);
    expect(ended).toMatchObject({ code: 0, stderr: '' });
    expect(ended.stdout).toMatch(/^heartbeat: created; next run .* \((?:in \ds|now)\); every 5 seconds/m);
    expect(ended.stdout).toMatch(/^heartbeat: unchanged; next run/m);
    expect(ended.stdout).toMatch(/^name,outcome.*\nheartbeat,dropped/m);
  });

  it('nothing where there is nothing', async () => {
    expect(await bench.run([':memory:'], '-- only a comment\n')).toEqual({ code: 0, signal: null, stdout: '', stderr: '' });
    expect(await bench.run([':memory:', '-c', ''])).toMatchObject({ code: 0, stdout: '' });
  });

  it('files within files, up to .quit', async () => {
    bench.write('inner.sql', "SELECT 'inner' AS x;\n");
    bench.write('outer.sql', ".mode csv\n.read inner.sql\n.quit\nSELECT 'never';\n");
    expect(await bench.run([':memory:', '-f', 'outer.sql', '-c', "SELECT 'never'"])).toMatchObject({ code: 0, stdout: 'x\ninner\n' });
  });

  it('results into files', async () => {
    const script = `.mode csv
.once one.csv
SELECT 1 AS a;
SELECT 2 AS b;
.output rest.csv
SELECT 3 AS c;
SELECT 4 AS d;
.output
SELECT 5 AS e;
`;
    expect(await bench.run([':memory:'], script)).toMatchObject({ code: 0, stdout: 'b\n2\ne\n5\n' });
    expect(readFileSync(bench.path('one.csv'), 'utf8')).toBe('a\n1\n');
    expect(readFileSync(bench.path('rest.csv'), 'utf8')).toBe('c\n3\nd\n4\n');
  });
});

describe('a mistake', () => {
  it('stops the script, names file, line and column, and leaves the rest undone', async () => {
    bench.write('bad.sql', "CREATE TABLE a (x INTEGER);\n\n  INSERT INTO a\n  VALUES (1), ('one');\nCREATE TABLE b (x INTEGER);\n");
    const ended = await bench.run(['bad.duckdb', '-f', 'bad.sql', '-c', 'CREATE TABLE c (x INTEGER)']);
    expect(ended.code).toBe(1);
    expect(ended.stderr).toMatch(/bad\.sql:[34]:\d+/);
    const tables = await bench.run([
      'bad.duckdb',
      '--format',
      'csv',
      '-c',
      'SELECT table_name FROM duckdb_tables() WHERE schema_name = $$main$$',
    ]);
    expect(tables.stdout).toBe('table_name\na\n');
  });

  it.each([
    ['SELECT 1;\n\n  SELEC 2;', '<stdin>:3:3'],
    ["SELECT '🐦'; UPSERT SCHEDULE x ( sechd: '@daily' );", '<stdin>:1:33'],
    ["SELECT 1;\nSELECT 'abc", '<stdin>:2:8'],
    ['.mode csv\n.tabels', '<stdin>:2:1'],
    ['SELECT 1; /* open', '<stdin>:1:11'],
    ['SELECT $$ open', '<stdin>:1:8'],
    ['UPSERT PROCEDURE p() AS BEGIN SELECT 1;', '<stdin>:1:25'],
    ['.read nowhere.sql', '<stdin>:1:1'],
  ])('in %j is at %s', async (script, place) => {
    const { outcome, errors } = await runHere(script);
    expect(outcome).toBe('failed');
    expect(errors).toContain(place);
    expect(errors).toContain('hint:');
    expect(errors).not.toContain('internal');
  });

  it('in -c says so, and which of them it is where there are several', async () => {
    expect((await bench.run([':memory:', '-c', 'SELECT 1; SELEC'])).stderr).toContain('-c:1:11');
    expect((await bench.run([':memory:', '-c', 'SELECT 1', '-c', 'SELEC'])).stderr).toContain('-c #2:1:1');
  });

  it('in a transaction takes the transaction back, and says that', async () => {
    const ended = await bench.run(['back.duckdb', '-c', 'CREATE TABLE t (x INTEGER); BEGIN; INSERT INTO t VALUES (1); SELEC']);
    expect(ended).toMatchObject({ code: 1, stderr: expect.stringContaining('rolled back') });
    expect((await bench.run(['back.duckdb', '--format', 'csv', '-c', 'SELECT count(*) AS n FROM t'])).stdout).toBe('n\n0\n');
  });

  it('that DuckDB finds has a caret under the place', async () => {
    const { stderr } = await bench.run([':memory:', '-c', 'CREATE TABLE products (id INTEGER);\nSELECT id, nmae FROM products']);
    expect(stderr).toContain('-c:2:12');
    expect(stderr).toContain('SELECT id, nmae FROM products\n');
    expect(stderr).toMatch(/│ {12}\^+\n/);
  });
});

const runs = `CREATE TABLE t (x INTEGER);
UPSERT SCHEDULE good ( sql: 'INSERT INTO t VALUES (1), (2)' );
UPSERT SCHEDULE bad ( sql: 'SELECT nope FROM t', max_retries: 0 );
UPSERT SCHEDULE idle ( sql: 'SELECT 1', when: 'SELECT false' );
`;

describe('a run that did not succeed', () => {
  it.each([
    ['-c', (words: string[]) => [...words, '-c', 'RUN SCHEDULE bad', '-c', 'RUN SCHEDULE good'], ''],
    ['-f', (words: string[]) => [...words, '-f', 'run.sql'], ''],
    ['<stdin>', (words: string[]) => words, 'RUN SCHEDULE bad;\nRUN SCHEDULE good;\n'],
    ['.read', (words: string[]) => words, '.read run.sql\n'],
  ])('stops a script with exit code 1: %s', async (from, words, input) => {
    const file = `runs${from.replaceAll(/\W/g, '')}.duckdb`;
    bench.write('run.sql', 'RUN SCHEDULE bad;\nRUN SCHEDULE good;\n');
    const ended = await bench.run(words([file, '-c', runs, ...(input === '' ? [] : ['-f', '-'])]), input);
    expect(ended.code).toBe(1);
    expect(ended.stdout).not.toMatch(/^(bad|good): (failed|succeeded)/m);
    expect(ended.stderr).toMatch(
      /^error\[run_failed\] bad: failed; in schedule bad.*nope.*\n.*:1:14\n.*RUN SCHEDULE bad\n.*\^\^\^\nhint: EXPLAIN RUN '/,
    );
  });

  it('has its row in the modes for programs, and each run that did succeed has its sentence', async () => {
    const programs = await runHere(`${runs}RUN SCHEDULE good, bad;`);
    expect(programs).toMatchObject({ outcome: 'failed', errors: expect.stringContaining('error[run_failed] bad: failed') });
    expect(programs.output).toMatch(
      /^run_id,schedule,state,reason,duration_ms,rows_changed,result\n.*,good,succeeded,.*\n.*,bad,failed,.*nope/m,
    );
    const people = await runHere(`${runs}RUN SCHEDULE good, bad, idle;`, { mode: 'duckbox' });
    expect(people.output).toMatch(/^good: succeeded in \d+ ms; 2 rows changed\nidle: skipped; when: the condition was false\n$/m);
  });

  it('is no failure where it was skipped', async () => {
    const script = `${runs}RUN SCHEDULE idle; SELECT 'behind' AS x;`;
    expect(await runHere(script)).toMatchObject({ outcome: 'done', output: expect.stringMatching(/behind\n$/), errors: '' });
  });
});

describe('in the modes for people', () => {
  it('a setting, and what was dropped and disabled, are a sentence', async () => {
    const script = `${runs}SET cron.workers = '2'; RESET cron.workers; DISABLE SCHEDULE good; DROP SCHEDULE IF EXISTS bad, none;`;
    for (const mode of ['duckbox', 'box', 'line'] as const) {
      const { output } = await runHere(script, { mode });
      expect(output).toMatch(/\nworkers: 2\nworkers: 4\ngood: disabled\nbad: dropped\nnone: absent\n$/);
    }
    expect((await runHere("SET cron.workers = '2'")).output).toBe('name,value\nworkers,2\n');
  });

  it('a definition is text to be copied, whatever the width, and runs again', async () => {
    const define = `UPSERT SCHEDULE s (\n  sched: every 1h,\n  sql: 'SELECT ''${'long '.repeat(30)}\x1b[2J'' AS x'\n);\n`;
    const { output } = await runHere(`${define}SHOW CREATE SCHEDULE s;`, { mode: 'duckbox' });
    expect(output.split('\n').slice(1).join('\n')).toBe(define);
    const again = await runHere(`${define}.mode csv\n${define}`);
    expect(again.output).toContain('s,unchanged,');
    const shown = await runHere(`${define}SHOW CREATE SCHEDULE s;`, { mode: 'duckbox', columns: 40 });
    expect(shown.output).toContain(`${'long '.repeat(30)}\\u001b[2J`);
  });

  it('a table of a query stays a table, whatever its columns are called', async () => {
    expect((await runHere("SELECT 'a' AS name, 'b' AS outcome", { mode: 'box' })).output).toContain('│ name │ outcome │');
  });

  it('sentences and warnings are folded to the terminal', async () => {
    const { output } = await runHere("UPSERT SCHEDULE s ( sched: 'last business day of month at 17:30', sql: 'SELECT 1' );", {
      mode: 'duckbox',
      columns: 60,
    });
    const lines = output.trimEnd().split('\n');
    expect(lines.length).toBeGreaterThan(1);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(60);
    expect(output.replaceAll(/\n {3}/g, ' ')).toMatch(/^s: created; next run .*; at 17:30 on the last business day of the month \(.*\)\n$/);
  });

  it('LIST shows the columns that matter, in 80 columns too', async () => {
    const { output } = await runHere(`${runs}LIST SCHEDULES;`, { mode: 'duckbox', columns: 80 });
    expect(output).toMatch(/│ +name +│ +status +│ +next_run +│/);
    expect(output).toMatch(/30 columns \(\d shown\)/);
  });
});

it('all mistakes of a statement are told, each at its place', async () => {
  const { errors } = await runHere("UPSERT SCHEDULE x ( schd: '@daily', timout: 5, sql: 'SELECT 1' );");
  expect(errors.match(/<stdin>:1:\d+/g)).toEqual(['<stdin>:1:21', '<stdin>:1:37']);
  expect(errors).toMatch(/did you mean 'sched'[\s\S]*did you mean 'timeout'/);
});

describe('the command line', () => {
  it.each([
    [['--formt', 'csv'], '--format'],
    [['--format', 'xml'], 'modes: '],
    [['a.duckdb', 'b.duckdb'], '--help'],
  ])('that is wrong is explained, and ends with 2: %j', async (words, hint) => {
    const ended = await bench.run(words);
    expect(ended).toMatchObject({ code: 2, stdout: '' });
    expect(ended.stderr).toContain(hint);
  });

  it('answers --version and --help without an engine', async () => {
    expect(await bench.run(['--version'])).toMatchObject({ code: 0, stdout: expect.stringMatching(/^cuckoo \d/) });
    expect(await bench.run(['--help', 'nix.duckdb'])).toMatchObject({ code: 0, stdout: expect.stringContaining('Usage: cuckoo') });
    expect(existsSync(bench.path('nix.duckdb'))).toBe(false);
  });
});

describe('files that are none', () => {
  it('not UTF-8: the offset of the byte is told, and nothing is run', async () => {
    bench.write('latin.sql', Buffer.from("CREATE TABLE t AS SELECT 1;\nSELECT 'caf\xe9';", 'latin1'));
    const ended = await bench.run(['latin.duckdb', '-f', 'latin.sql']);
    expect(ended).toMatchObject({ code: 1, stderr: expect.stringContaining('byte 39') });
    expect(
      (await bench.run(['latin.duckdb', '--format', 'csv', '-c', 'SELECT count(*) AS n FROM duckdb_tables() WHERE schema_name = $$main$$']))
        .stdout,
    ).toBe('n\n0\n');
  });

  it('a character cut in two between pieces of standard input is whole', async () => {
    const running = bench.start([':memory:', '--format', 'csv']);
    const bytes = Buffer.from("SELECT 'é🐦' AS x;\n");
    running.child.stdin.write(bytes.subarray(0, 9));
    running.child.stdin.write(bytes.subarray(9, 12));
    running.child.stdin.end(bytes.subarray(12));
    expect(await running.ended).toMatchObject({ code: 0, stdout: 'x\né🐦\n' });
  });

  it.each([
    ['a folder', 'folder', 'folder'],
    ['text', 'text.duckdb', 'text file with SQL'],
    ['CSV', 'data.csv', 'CREATE TABLE t AS FROM'],
    ['SQLite', 'lite.db', 'SQLite'],
    ['in no folder', 'no/such/folder/x.duckdb', 'folder'],
  ])('%s as FILE', async (_what, name, said) => {
    mkdirSync(bench.path('folder'), { recursive: true });
    bench.write('text.duckdb', 'SELECT 1;\nThis is no database, only some text that is long enough.\n');
    bench.write('data.csv', 'id,name\n1,one\n');
    bench.write('lite.db', Buffer.concat([Buffer.from('SQLite format 3\0'), Buffer.alloc(4080)]));
    const ended = await bench.run([name, '-c', 'SELECT 1']);
    expect(ended).toMatchObject({ code: 1, stdout: '' });
    expect(ended.stderr).toContain(said);
    expect(ended.stderr).toContain('hint:');
    expect(ended.stderr).not.toContain('internal');
  });

  it('a missing file for --readonly', async () => {
    const ended = await bench.run(['missing.duckdb', '--readonly', '-c', 'SELECT 1']);
    expect(ended.code).toBe(1);
    expect(ended.stderr).toContain('missing.duckdb');
    expect(existsSync(bench.path('missing.duckdb'))).toBe(false);
  });

  it('the open database itself, for .read, .output and .once', async () => {
    await bench.run(['self.duckdb', '-c', 'CREATE TABLE t AS SELECT 42 AS x']);
    const size = statSync(bench.path('self.duckdb')).size;
    for (const command of ['.read self.duckdb', '.output self.duckdb', '.once ./self.duckdb']) {
      const ended = await bench.run(['self.duckdb'], `${command}\nSELECT 1;`);
      expect(ended).toMatchObject({ code: 1, stderr: expect.stringContaining('the open database itself') });
    }
    expect(statSync(bench.path('self.duckdb')).size).toBe(size);
  });
});

describe('a file that is in use', () => {
  it('ends with 4 and names its holder; read-only too; and opens when the holder has gone', async () => {
    const holder = bench.start(['held.duckdb', '--format', 'csv']);
    holder.child.stdin.write("CREATE TABLE t AS SELECT 1 AS x;\nSELECT 'ready' AS x;\n");
    await holder.says('ready');
    for (const words of [['held.duckdb'], ['held.duckdb', '--readonly']]) {
      const second = await bench.run([...words, '-c', 'SELECT 1']);
      expect(second).toMatchObject({ code: 4, stdout: '', stderr: expect.stringContaining(String(holder.child.pid)) });
    }
    holder.child.kill('SIGKILL');
    await holder.ended;
    expect(await bench.run(['held.duckdb', '--format', 'csv', '-c', 'FROM t'])).toMatchObject({ code: 0, stdout: 'x\n1\n' });
  });

  it('for reading only, by several at a time', async () => {
    await bench.run(['shared.duckdb', '-c', 'CREATE TABLE t AS SELECT 1 AS x']);
    const first = bench.start(['shared.duckdb', '--readonly', '--format', 'csv']);
    first.child.stdin.write("SELECT 'ready' AS x;\n");
    await first.says('ready');
    expect(await bench.run(['shared.duckdb', '--readonly', '--format', 'csv', '-c', 'FROM t'])).toMatchObject({
      code: 0,
      stdout: 'x\n1\n',
    });
    const write = await bench.run(['shared.duckdb', '--readonly', '-c', 'INSERT INTO t VALUES (2)']);
    expect(write.code).toBe(1);
    expect(write.stderr).toContain('read-only');
    first.child.stdin.end();
    await first.ended;
  });
});

describe('the other end', () => {
  it('that reads no further ends the program quietly', async () => {
    const running = bench.start([':memory:', '--format', 'csv', '-c', 'SELECT range AS x FROM range(10000000)', '-c', "SELECT 'never'"]);
    await running.says('x\n');
    running.child.stdout.destroy();
    const ended = await running.ended;
    expect(ended).toMatchObject({ code: 141, stderr: '' });
  });

  it('that is full is told once', async () => {
    const { code, stderr } = await bench.runShell(`"$CUCKOO" :memory: --format csv -c 'FROM range(100000)' > /dev/full`);
    expect(code).toBe(1);
    expect(stderr.match(/no space left/g)).toHaveLength(1);
    expect(stderr).toContain('disk_full');
  });

  it('that is a full file fails the statement and not what follows', async () => {
    const script = '.mode csv\n.output /dev/full\nSELECT range AS x FROM range(100000);\n';
    const ended = await bench.run([':memory:'], script);
    expect(ended).toMatchObject({ code: 1, stdout: '' });
    expect(ended.stderr).toContain('cannot write to /dev/full');
  });

  it('that reads slowly slows the query down and costs no memory', async () => {
    const { child, ended } = bench.start([':memory:', '--format', 'csv', '-c', "SELECT repeat('x', 1000) AS x FROM range(300000)"]);
    child.stdout.removeAllListeners('data');
    let length = 0;
    let early = 0;
    let most = 0;
    child.stdout.on('data', (text: string) => {
      length += text.length;
      // A result that was kept whole would be 300 MB; each look lets the writer run ahead as far as it dares.
      const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
      const megabytes = Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024;
      if (length < 10_000_000) early = Math.max(early, megabytes);
      most = Math.max(most, megabytes);
    });
    expect((await ended).code).toBe(0);
    expect(length).toBe(2 + 300_000 * 1001);
    expect(most - early).toBeLessThan(150);
  });
});

describe('SIGINT', () => {
  it('ends the statement, takes the transaction back and ends with 130', async () => {
    const running = bench.start([
      'interrupted.duckdb',
      '--format',
      'csv',
      '-c',
      "CREATE TABLE t (x BIGINT); BEGIN; INSERT INTO t VALUES (1); SELECT 'ready'",
      '-c',
      'SELECT count(*) FROM range(10000000000) a, range(100) b',
      '-c',
      'COMMIT',
    ]);
    await running.says('ready');
    running.child.kill('SIGINT');
    const ended = await running.ended;
    expect(ended).toMatchObject({ code: 130, stderr: expect.stringContaining('rolled back') });
    expect((await bench.run(['interrupted.duckdb', '--format', 'csv', '-c', 'SELECT count(*) AS n FROM t'])).stdout).toBe('n\n0\n');
  });

  it('ends the wait for standard input', async () => {
    const running = bench.start([':memory:', '--format', 'csv']);
    running.child.stdin.write("SELECT 'ready' AS x;\n");
    await running.says('ready');
    running.child.kill('SIGINT');
    expect((await running.ended).code).toBe(130);
  });
});

describe('the first byte that is not UTF-8', () => {
  it.each([
    [[0x61, 0xff], 1, false],
    [[0xc3, 0xa9, 0xc3], 2, true],
    [[0xe2, 0x82], 0, true],
    [[0xc0, 0x80], 0, false],
    [[0xed, 0xa0, 0x80], 0, false],
    [[0xf4, 0x90, 0x80, 0x80], 0, false],
    [[0xf0, 0x9f, 0x90, 0xa6, 0x80], 4, false],
  ])('of %j is at %d', (bytes, offset, unfinished) => {
    expect(invalidUtf8(Uint8Array.from(bytes))).toEqual({ offset, unfinished });
  });
});
