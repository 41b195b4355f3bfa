// Commands as people define them: through SQL, on real processes.

import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { inspect } from 'node:util';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { isAlive } from '../../support/commandTask.ts';
import { type Row, TestDatabase } from '../../support/database.ts';

const db = new TestDatabase();
const secret = 'hush-hush "42"';
const pin = '471103118899';

beforeAll(async () => {
  const { PATH } = process.env;
  await db.open({ environment: { PATH, SECRET: secret, KEPT: 'inherited', PIN: pin } });
});
afterAll(() => db.remove());
beforeEach(async () => {
  await db.run("UPSERT SCHEDULE job ( command: ['true'] )");
});

/** Runs a schedule of this definition, and answers its row. */
async function run(definition: string): Promise<Row> {
  await db.run(`UPSERT SCHEDULE job ( ${definition}, max_retries: 0 )`);
  const [finished] = await db.rows('RUN SCHEDULE job');
  const [row] = await db.rows('SELECT * FROM cron.runs WHERE run_id = ?', [finished?.['run_id']]);
  return row ?? expect.unreachable('it left no row');
}

async function lines(row: Row, stream = 'stdout'): Promise<unknown[]> {
  const found = await db.rows('SELECT line FROM cron.run_logs WHERE run_id = ? AND stream = ? ORDER BY logged_at', [row['run_id'], stream]);
  return found.map(({ line }) => line);
}

async function output(definition: string): Promise<unknown[]> {
  return lines(await run(definition));
}

describe('a list', () => {
  test('runs without a shell: nothing in it is quoted, and nothing is expanded', async () => {
    expect(await output(String.raw`command: ['printf', '%s\n', '* ; $(id) "x" ''y'' &', '', '$HOME!']`)).toEqual([
      `* ; $(id) "x" 'y' &`,
      '',
      '$HOME!',
    ]);
  });

  test('takes a parameter where it is a whole element, whatever is in it, and nowhere else', async () => {
    const value = `it''s "q" \`id\` $HOME; rm -rf /tmp/none & | > < \\ *`;
    const written = value.replaceAll("''", "'");
    expect(await output(`command: ['printf', '%s|', '$day', 'a$day', '$$day', '$DAY'], params: { day: '${value}' }`)).toEqual([
      `${written}|a$day|$day|${written}|`,
    ]);
    expect(await output(String.raw`command: ['printf', '%s', '$text'], params: { text: E'two\nlines' }`)).toEqual(['two', 'lines']);
  });

  test('takes numbers, lists and objects as JSON, and null as an empty text', async () => {
    const params = "{ n: 1.5, yes: true, list: [1, 'a'], object: { key: 'v' }, none: null }";
    expect(await output(`command: ['printf', '%s|', '$n', '$yes', '$list', '$object', '$none'], params: ${params}`)).toEqual([
      '1.5|true|[1,"a"]|{"key":"v"}||',
    ]);
  });

  test('takes what every run knows', async () => {
    const row = await run(
      "command: ['printf', '%s|', '$run_id', '$schedule', '$scheduled_at', '$attempt', '$previous_at', '$parent_run_id']",
    );
    expect(await lines(row)).toEqual([`${row['run_id']}|job|2026-11-20T12:00:00.000Z|1|||`]);
  });

  test('with a parameter that nobody gives is refused when it is defined, at its place', async () => {
    expect(await db.mistake("UPSERT SCHEDULE job ( command: ['echo', '$dya'], params: { day: 'x' } )")).toMatchObject({
      code: 'undefined_parameter',
      message: '$dya is no parameter of this command',
      hint: expect.stringMatching(/^did you mean \$day\? .*for the text itself write '\$\$dya'$/),
      at: "['echo', '$dya']",
    });
    expect(await db.mistake("UPSERT PROCEDURE report(day DATE) LANGUAGE command AS ['echo', '$dya']")).toMatchObject({
      code: 'undefined_parameter',
      at: "'$dya'",
    });
  });
});

describe('a text', () => {
  test('is read by /bin/sh, and its parameters are in the environment', async () => {
    const definition = `command: 'printf "%s|" "$CUCKOO_PARAM_DAY" "$CUCKOO_PARAM_A_LIST" "\${CUCKOO_PARAM_NONE-unset}"; echo $((1 + 2)) | cat'`;
    expect(await output(`${definition}, params: { day: 'a; b', a_list: [1], none: null }`)).toEqual(['a; b|[1]|unset|3']);
  });

  test('that names a parameter as a variable of the shell is warned about', async () => {
    const [answer] = await db.rows(`UPSERT SCHEDULE job ( command: 'report --day $day', params: { day: 'x' } )`);
    expect(answer?.['warnings']).toEqual(['$day is a variable of the shell here: the parameter is "$CUCKOO_PARAM_DAY"']);
  });
});

test('the environment is inherited, with what config adds and takes away, and with the values of the run', async () => {
  const definition = `command: 'env', config: { env: { ADDED: 'x=y', KEPT: null, PIN: null, TOKEN: env('SECRET') } }, params: { "odd name": 1 }`;
  const row = await run(definition);
  const variables = await lines(row);
  expect(variables).toEqual(
    expect.arrayContaining([
      'ADDED=x=y',
      'CUCKOO_PARAM_ODD_NAME=1',
      `CUCKOO_RUN_ID=${row['run_id']}`,
      'CUCKOO_SCHEDULE=job',
      'CUCKOO_ATTEMPT=1',
      'CUCKOO_SCHEDULED_AT=2026-11-20T12:00:00.000Z',
      'TOKEN=***',
      `PWD=${db.folder}`,
    ]),
  );
  expect(variables.some((line) => /^(?:KEPT|CUCKOO_PREVIOUS_AT|CUCKOO_PARENT_RUN_ID)=/.test(String(line)))).toBe(false);
  expect(await output("command: 'echo $KEPT'")).toEqual(['inherited']);
});

test('it runs in the folder of the database, or in the one that config names', async () => {
  expect(await output("command: ['pwd']")).toEqual([db.folder]);
  mkdirSync(join(db.folder, 'jobs'));
  writeFileSync(join(db.folder, 'jobs/report.sh'), '#!/bin/sh\necho "report for $1 in $(pwd)"\n', { mode: 0o755 });
  expect(await output("command: ['./report.sh', '$day'], params: { day: 'today' }, config: { cwd: './jobs' }")).toEqual([
    `report for today in ${db.folder}/jobs`,
  ]);
});

test('a key of config that a command does not know is refused, and so is a value that means nothing', async () => {
  const mistake = (config: string) => db.mistake(`UPSERT SCHEDULE job ( command: ['true'], config: ${config} )`);
  expect(await mistake("{ cdw: 'x' }")).toMatchObject({
    code: 'unknown_key',
    hint: expect.stringMatching(/^did you mean cwd\?/),
    at: "'x'",
  });
  expect(await mistake('{ cwd: 5 }')).toMatchObject({ code: 'wrong_type', at: '5' });
  expect(await mistake("{ env: { 'A=B': 'x' } }")).toMatchObject({ code: 'wrong_type', at: "'x'" });
  expect(await mistake('{ env: { A: [1] } }')).toMatchObject({ code: 'wrong_type', at: '[1]' });
  expect(await mistake('{ grace: 2h }')).toMatchObject({ message: 'grace takes a duration up to 1m: grace: 10s', at: '2h' });
});

test('what a schedule adds to a procedure, and a pipeline to its steps, is checked too', async () => {
  await db.run("UPSERT PROCEDURE report(day DATE) LANGUAGE command AS ['echo', '$day']");
  expect(await db.mistake("UPSERT SCHEDULE job ( call: report, config: { grac: '1s' } )")).toMatchObject({
    code: 'unknown_key',
    hint: expect.stringMatching(/^did you mean grace\?/),
  });
  const step = (command: string) =>
    `UPSERT PIPELINE p ( params: { floor: 1 }, steps: [ { name: s, command: ${command}, args: { day: 'x' } } ] )`;
  expect(await db.mistake(step("['echo', '$flor']"))).toMatchObject({
    code: 'undefined_parameter',
    hint: expect.stringMatching(/\$floor/),
    at: "'$flor'",
  });
  await db.run(step("['echo', '$floor', '$day', '$step', '$run_id']"));
  const [warned] = await db.rows(step("'echo $floor'"));
  expect(warned?.['warnings']).toEqual(['step s: $floor is a variable of the shell here: the parameter is "$CUCKOO_PARAM_FLOOR"']);
  expect(await db.mistake("UPSERT SCHEDULE job ( command: ['true'], resources: { io: idel } )")).toMatchObject({
    code: 'invalid_value',
    hint: 'did you mean idle? legal: idle, best_effort, realtime',
    at: 'idel',
  });
});

describe('a secret', () => {
  const used = `params: { token: env('SECRET'), pin: env('PIN') }, config: { env: { TOKEN: env('SECRET') } }`;

  test('reaches the command, and no row and no log, though the command prints it', async () => {
    const row = await run(`command: 'printf %s "$TOKEN" >&2; printf "%s\\n" "$CUCKOO_PARAM_PIN" "$TOKEN"; [ \${#TOKEN} = 14 ]', ${used}`);
    expect(row).toMatchObject({ state: 'succeeded' });
    expect(await lines(row)).toEqual(['***', '***']);
    expect(await lines(row, 'stderr')).toEqual(['***']);
    expect(inspect(row)).not.toMatch(/hush|471103118899/);
  });

  test('is masked in what an error says of it', async () => {
    const row = await run(`command: 'echo "cannot log in with $TOKEN" >&2; exit 2', ${used}`);
    expect(row).toMatchObject({ state: 'failed', error_message: 'exit code 2: cannot log in with ***' });
    expect(JSON.parse(String(row['error_detail']))).toEqual({ exit_code: 2, signal: null, stderr: ['cannot log in with ***'] });
    const missing = await run(`command: ['$token'], ${used}`);
    expect(missing).toMatchObject({ state: 'failed', error_message: 'there is no program ***' });
  });

  test('is nowhere in the file', async () => {
    await db.run('CHECKPOINT');
    // In a process of its own: reading the file in this one would take DuckDB's lock from it.
    const find = spawnSync('grep', ['-c', '-a', '-e', 'hush-hush', '-e', pin, db.path], { encoding: 'utf8' });
    expect(find).toMatchObject({ stdout: '0\n', status: 1 });
  });
});

describe('what it has come to', () => {
  test('a success has its exit code and its last line, and what it took', async () => {
    const row = await run(`command: 'echo first; echo error >&2; echo; echo last; echo'`);
    expect(row).toMatchObject({ state: 'succeeded', guarantee: 'at_least_once', error_code: null });
    expect(JSON.parse(String(row['result']))).toEqual({ exit_code: 0, last_line: 'last' });
    const logged = await db.rows('SELECT stream, level, line FROM cron.run_logs WHERE run_id = ? AND line <> $2', [row['run_id'], '']);
    expect(logged).toEqual(
      expect.arrayContaining([
        { stream: 'stdout', level: 'info', line: 'first' },
        { stream: 'stderr', level: 'warn', line: 'error' },
      ]),
    );
  });

  test('a failure has its exit code and the last line of its errors', async () => {
    const row = await run(`command: 'echo out; echo one >&2; echo two >&2; exit 3'`);
    expect(row).toMatchObject({ state: 'failed', error_code: 'run_failed', error_message: 'exit code 3: two', reason: 'exit code 3: two' });
    expect(JSON.parse(String(row['error_detail']))).toEqual({ exit_code: 3, signal: null, stderr: ['one', 'two'] });
  });

  test('a timeout ends it, and keeps what it has said', async () => {
    const row = await run(`command: 'echo begun; sleep 1000', timeout: 1s`);
    expect(row).toMatchObject({ state: 'timed_out', error_message: 'it ran longer than its timeout of 1s' });
    expect(await lines(row)).toEqual(['begun']);
  });

  test('CANCEL RUN ends it', async () => {
    await db.run(`UPSERT SCHEDULE job ( command: 'echo pid $$; sleep 1000' )`);
    const other = await db.newSession();
    const running = db.rows('RUN SCHEDULE job');
    const query = "SELECT run_id, line[4:]::INTEGER AS pid FROM cron.run_logs WHERE starts_with(line, 'pid ')";
    const said = async (): Promise<Row | undefined> => (await (await other.execute(query)).toObjects())[0];
    await expect.poll(said, { timeout: 10_000 }).toBeDefined();
    const { run_id: id, pid } = (await said()) ?? {};
    await other.execute(`CANCEL RUN '${id}'`);
    expect(await running).toMatchObject([{ state: 'cancelled' }]);
    expect(isAlive(Number(pid))).toBe(false);
  });
});

describe('what cannot be started', () => {
  const cases: readonly (readonly [string, string, string, RegExp | null])[] = [
    ["['no-such-program']", 'file_not_found', 'there is no program no-such-program', /^it was looked for in PATH: /],
    ["['./nothing.sh']", 'file_not_found', './nothing.sh does not exist', /^it was looked for as \/.*\/nothing\.sh$/],
    ["['./folder']", 'file_not_found', './folder is a directory, and no program', null],
    [
      "['./plain.py']",
      'file_not_found',
      './plain.py is not executable',
      /^chmod \+x plain\.py, or name what reads it: \['python3', '\.\/plain\.py'\]$/,
    ],
    ["['plain.py']", 'file_not_found', 'there is no program plain.py', /^it lies in the working directory: write '\.\/plain\.py'$/],
    ["['./unread.sh']", 'file_not_found', './unread.sh wants to be read by /bin/none, which does not exist', /its first line/],
    ["[' ']", 'invalid_value', 'the command has no name', null],
  ];

  beforeAll(() => {
    mkdirSync(join(db.folder, 'folder'));
    writeFileSync(join(db.folder, 'plain.py'), 'print(1)\n');
    writeFileSync(join(db.folder, 'unread.sh'), '#!/bin/none\n', { mode: 0o755 });
  });

  for (const [command, code, message, hint] of cases) {
    test(`${command}: ${message}`, async () => {
      const row = await run(`command: ${command}`);
      expect(row).toMatchObject({ state: 'failed', error_code: code, error_message: message, result: null });
      if (hint !== null) expect(JSON.parse(String(row['error_detail']))).toEqual({ hint: expect.stringMatching(hint) });
    });
  }

  test('a working directory that does not exist', async () => {
    expect(await run("command: ['true'], config: { cwd: 'gone' }")).toMatchObject({
      error_code: 'file_not_found',
      error_message: `the working directory ${join(db.folder, 'gone')} does not exist`,
    });
  });

  test('a parameter that no process can be given: NUL, or too much', async () => {
    expect(await run(`command: ['true'], params: { note: sql('''a'' || chr(0)') }`)).toMatchObject({
      error_code: 'invalid_value',
      error_message: 'parameter note holds a NUL character (the 2. one), which no process can be given',
    });
    expect(await run(`command: ['true'], params: { rows: sql('repeat(''x'', 200000)') }`)).toMatchObject({
      error_code: 'too_large',
      error_message: 'parameter rows has 200018 bytes, and a process takes at most 131071 in one',
    });
    const many = Array.from({ length: 40 }, (_, at) => `p${at}: sql('repeat(''x'', 100000)')`).join(', ');
    expect(await run(`command: ['true'], params: { ${many} }`)).toMatchObject({
      error_code: 'too_large',
      error_message: 'its arguments and its environment are more than a process can be given',
    });
  });
});

test('a procedure that is a command has typed parameters, with defaults', async () => {
  await db.run(
    `UPSERT PROCEDURE report(day DATE, keep INTEGER DEFAULT 7, note VARCHAR DEFAULT NULL) LANGUAGE command
       AS ['sh', '-c', 'echo "$1 $2 $CUCKOO_PARAM_DAY \${CUCKOO_PARAM_NOTE-unset}"', 'sh', '$day', '$keep']`,
  );
  const row = await run(`call: report, params: { day: sql('DATE ''2027-01-31''') }`);
  expect(row).toMatchObject({ state: 'succeeded', guarantee: 'at_least_once' });
  expect(await lines(row)).toEqual(['2027-01-31 7 2027-01-31 unset']);
});

test('several of one run at once do not disturb each other', async () => {
  await db.run(
    `UPSERT SCHEDULE job ( command: ['sh', '-c', 'for i in 1 2 3; do echo "$1 $i"; sleep 0.01; done', 'sh', '$run_id'], overlap: allow )`,
  );
  const sessions = await Promise.all(Array.from({ length: 8 }, () => db.newSession()));
  const runs = await Promise.all(sessions.map(async (session) => (await (await session.execute('RUN SCHEDULE job')).toObjects())[0]));
  for (const finished of runs) {
    const id = finished?.['run_id'];
    expect(await lines({ run_id: id } as Row)).toEqual([1, 2, 3].map((at) => `${id} ${at}`));
  }
});

test('a flood of a gigabyte is one row with its first and last lines, and holds nothing else up', async () => {
  const delay = monitorEventLoopDelay({ resolution: 5 });
  delay.enable();
  const row = await run(`command: 'echo the first; yes | head -c 1000000000; echo the last', timeout: 2m`);
  delay.disable();
  expect(row).toMatchObject({ state: 'succeeded' });
  expect(JSON.parse(String(row['result']))).toEqual({ exit_code: 0, last_line: 'the last' });
  const said = await lines(row);
  expect([said[0], said[1], said.at(-2), said.at(-1)]).toEqual(['the first', 'y', 'y', 'the last']);
  const [dropped] = await lines(row, 'scheduler');
  expect(said.length + Number(/^(\d+) lines dropped$/.exec(String(dropped))?.[1])).toBe(500_000_002);
  expect(said.length).toBeLessThanOrEqual(10_000);
  expect(delay.percentile(99) / 1e6).toBeLessThan(50);
}, 120_000);

test('binary output is a log that can be read', async () => {
  const row = await run("command: 'head -c 100000 /dev/urandom'");
  expect(row).toMatchObject({ state: 'succeeded' });
  const [bad] = await db.rows(
    String.raw`SELECT count(*) FROM cron.run_logs WHERE run_id = ? AND regexp_matches(line, '[\x00-\x08\x0a-\x1f\x7f]')`,
    [row['run_id']],
  );
  expect(bad).toEqual({ 'count_star()': 0n });
});

test('when the scheduler is killed, its commands end', async () => {
  const script = `
    import { open } from ${JSON.stringify(new URL('../../../dist/index.js', import.meta.url).href)};
    const db = await open(process.argv[1]);
    await (await db.sql("UPSERT SCHEDULE long ( command: 'trap \\"\\" HUP; echo $$ > pid; setsid sleep 1000 & echo $! >> pid; wait' )")).toArray();
    await (await db.sql('RUN SCHEDULE long')).toArray();`;
  const file = join(db.folder, 'killed.duckdb');
  const host = spawn(process.execPath, ['--input-type=module', '-e', script, file], { stdio: ['ignore', 'ignore', 'inherit'] });
  const said = (): number[] => readFileSync(join(db.folder, 'pid'), 'utf8').trim().split('\n').map(Number);
  await expect.poll(() => said().length, { timeout: 20_000 }).toBe(2);
  const pids = said();
  expect(pids.map(isAlive)).toEqual([true, true]);
  host.kill('SIGKILL');
  await expect.poll(() => pids.some(isAlive), { timeout: 10_000 }).toBe(false);
});
