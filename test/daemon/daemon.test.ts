// The daemon and its commands as a user meets them: real processes, real sockets.

import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Bench, type Ended, type Running } from './bin.ts';

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
});
afterEach(() => bench.clean());

const file = 'jobs.duckdb';

interface Served {
  readonly running: Running;
  readonly url: string;
}

async function serve(...flags: readonly string[]): Promise<Served> {
  const running = bench.start(['daemon', file, '--listen', '127.0.0.1:0', ...flags]);
  await running.says('cuckoo serves');
  const url = /"url":"(http:[^"]+)"/.exec(running.stdout)?.[1] ?? '';
  return { running, url };
}

const token = (): string => readFileSync(bench.path('.local/state/cuckoo/token'), 'utf8').trim();

function ask(
  url: string,
  { method = 'GET', path, body, as }: { method?: string; path: string; body?: object; as?: string },
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const headers = { 'Content-Type': 'application/json', ...(as === undefined ? {} : { Authorization: `Bearer ${as}` }) };
    const asked = request(`${url}${path}`, { method, headers, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
    });
    asked.on('error', reject);
    asked.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

const command = (...words: readonly string[]): Promise<Ended> => bench.run(words);
const sql = (text: string): Promise<Ended> => bench.run([file, '-c', text, '--format', 'csv']);

describe('a daemon', () => {
  it('owns the file, runs what falls due, and is told and asked by statements, commands and HTTP alike', async () => {
    const { running, url } = await serve();
    expect(statSync(bench.path('.local/state/cuckoo/token')).mode & 0o777).toBe(0o600);
    expect((await ask(url, { path: '/healthz' })).status).toBe(200);
    expect((await ask(url, { path: '/readyz' })).status).toBe(200);
    const define = { sql: "UPSERT SCHEDULE beat ( sched: every 1s, sql: 'SELECT 42 AS answer' )" };
    expect((await ask(url, { method: 'POST', path: '/api/v1/sql', body: define })).status).toBe(401);
    expect((await ask(url, { method: 'POST', path: '/api/v1/sql', body: define, as: token() })).status).toBe(200);
    await running.says('"schedule":"beat"');
    expect((await sql('SELECT name FROM cron.schedules')).stdout).toContain('beat');
    expect(JSON.parse((await command('list_jobs', '--file', file, '--json')).stdout)).toMatchObject([{ name: 'beat', sched: 'every 1s' }]);
    expect(await command('disable_job', 'beat', '--file', file)).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('beat: disabled'),
    });
    expect((await command('job_status', 'beat', '--file', file)).stdout).toContain('disabled');
    expect(await command('run_job', 'beat', '--wait', '--file', file)).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('{"answer":42}'),
    });
    expect(JSON.parse((await command('history', 'beat', '--limit', '1', '--file', file, '--json')).stdout)).toMatchObject([
      { state: 'succeeded' },
    ]);
    expect((await command('status', '--file', file)).stdout).toContain(`daemon, process ${running.child.pid}`);
    expect(running.stdout).not.toContain(token());
  });

  it('waits a moment for a script that has the file', async () => {
    const script = bench.start([file, '--format', 'csv']);
    script.child.stdin.write("SELECT 'ready';\n");
    await script.says('ready\n');
    const running = bench.start(['daemon', file, '--listen', 'none']);
    await running.says('it is asked to hand over');
    script.child.stdin.end();
    await running.says('cuckoo serves');
    running.child.kill('SIGTERM');
    expect((await running.ended).code).toBe(0);
  });

  it('stops in order: no run is left, the file is free, and nothing stays behind', async () => {
    const { running } = await serve();
    expect(await command('stop', '--file', file)).toMatchObject({ code: 0 });
    expect(await running.ended).toMatchObject({ code: 0, stdout: expect.stringContaining('"msg":"stopped"') });
    expect(existsSync(bench.path(`${file}.cuckoo`))).toBe(false);
    expect(existsSync(bench.path(`${file}.wal`))).toBe(false);
    expect(await command('stop', '--file', file)).toMatchObject({ code: 3, stderr: expect.stringContaining('no daemon holds') });
    expect((await command('status', '--file', file)).stdout).toContain('no daemon');
  });

  it('drains: it opens nothing more, says so, waits for what is at work, and hurries when it is told twice', async () => {
    const { running, url } = await serve('--drain-timeout', '1h');
    await sql("UPSERT SCHEDULE long ( command: ['sleep', '600'], timeout: none )");
    await sql('RUN SCHEDULE long');
    const isRunning = async (): Promise<boolean> =>
      (await sql("SELECT count(*) AS n FROM cron.runs WHERE state = 'running'")).stdout.includes('1');
    while (!(await isRunning()));
    running.child.kill('SIGTERM');
    await running.says('draining: 1 run at work');
    expect(await ask(url, { path: '/readyz' })).toMatchObject({ status: 503, text: expect.stringContaining('draining') });
    expect((await ask(url, { path: '/healthz' })).status).toBe(200);
    running.child.kill('SIGTERM');
    expect(await running.ended).toMatchObject({ code: 0 });
    const { stdout } = await sql("SELECT state || ' ' || reason AS told FROM cron.runs WHERE schedule = 'long' AND state <> 'pending'");
    expect(stdout).toContain('interrupted the scheduler stopped');
  });

  it('loses nothing when it is killed', async () => {
    const first = await serve();
    await sql('CREATE TABLE beats ( moment TIMESTAMPTZ )');
    await sql("UPSERT SCHEDULE beat ( sched: every 1s, sql: 'INSERT INTO beats VALUES ($scheduled_at)' )");
    await first.running.says('"schedule":"beat"');
    first.running.child.kill('SIGKILL');
    await first.running.ended;
    const second = await serve();
    await second.running.says('"schedule":"beat"');
    expect(await command('stop', '--file', file)).toMatchObject({ code: 0 });
    const { stdout } = await sql(
      "SELECT (SELECT count(*) FROM beats) = (SELECT count(*) FROM cron.runs WHERE state = 'succeeded') AS same, count(*) = count(DISTINCT moment) AS once FROM beats",
    );
    expect(stdout).toContain('true,true');
  });

  it('reads its configuration again on SIGHUP, and keeps the old one where the new is wrong', async () => {
    writeFileSync(bench.path('cuckoo.config.json'), '{ "logLevel": "info" }');
    const { running } = await serve();
    writeFileSync(bench.path('cuckoo.config.json'), '{ "logLevel": "loud" }');
    running.child.kill('SIGHUP');
    await running.says('the configuration stays as it is');
    writeFileSync(bench.path('cuckoo.config.json'), '{ "sandbox": true }');
    running.child.kill('SIGHUP');
    await running.says('changed, and counts from the next start: sandbox');
  });

  it('reaches nothing beyond the file with --sandbox', async () => {
    await serve('--sandbox');
    expect(await sql("UPSERT SCHEDULE s ( command: ['true'] )")).toMatchObject({ code: 1, stderr: expect.stringContaining('--sandbox') });
    expect(await sql("COPY (SELECT 1) TO 'out.csv'")).toMatchObject({ code: 1 });
    expect(await sql("SELECT * FROM read_text('/etc/hostname')")).toMatchObject({ code: 1 });
    expect(existsSync(bench.path('out.csv'))).toBe(false);
    expect(await sql("UPSERT SCHEDULE s ( sql: 'SELECT 1' )")).toMatchObject({ code: 0 });
  });

  it('is told apart from what it cannot do: a port in use, a second daemon, a wrong word', async () => {
    const { running, url } = await serve();
    const port = new URL(url).port;
    const other = await bench.run(['daemon', 'other.duckdb', '--listen', `127.0.0.1:${port}`]);
    expect(other).toMatchObject({ code: 1, stderr: expect.stringContaining(port) });
    const second = await bench.run(['daemon', file, '--listen', '127.0.0.1:0']);
    expect(second).toMatchObject({ code: 4, stderr: expect.stringContaining(`process ${running.child.pid}`) });
    expect(await bench.run(['daemon', file, '--listen', '0.0.0.0:0'])).toMatchObject({ code: 6 });
    expect(await bench.run(['daemon', file, '--lisen', '1'])).toMatchObject({ code: 2, stderr: expect.stringContaining('--listen') });
    expect(await command('job_status', 'nowhere', '--file', file)).toMatchObject({ code: 1, stderr: expect.stringContaining('nowhere') });
  });

  it('tells the logs of a run, and follows one to its end', async () => {
    await serve();
    await sql(`UPSERT SCHEDULE talk ( command: ['/bin/sh', '-c', 'echo one; echo two >&2; exit 3'], max_retries: 0 )`);
    expect(await command('run_job', 'talk', '--wait', '--file', file)).toMatchObject({
      code: 7,
      stdout: expect.stringContaining('failed'),
    });
    const [run] = JSON.parse((await command('history', 'talk', '--file', file, '--json')).stdout) as { run_id: string }[];
    const logs = await command('logs', String(run?.run_id).slice(0, 13), '--file', file);
    expect(logs.stdout).toMatch(/stdout\s+one\n.*stderr\s+two/);
    expect((await command('logs', String(run?.run_id), '-f', '--file', file)).stdout).toContain('failed');
  });
});

describe('commands without a daemon', () => {
  it('open the file themselves', async () => {
    await sql("UPSERT SCHEDULE s ( sql: 'SELECT $x AS x', params: { x: 1 } )");
    expect(await command('run_job', 's', '--wait', '--param', 'x=7', '--file', file)).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('{"x":7}'),
    });
    expect((await command('doctor', '--file', file)).stdout).toContain('nobody holds the file');
  });

  it('show how a daemon would be set up, the unit that runs it, and what shells complete', async () => {
    expect((await command('config', 'show', '--origin')).stdout).toMatch(/listen\s+127\.0\.0\.1:8470\s+default/);
    const unit = await command('service', 'install', '--print', '--file', 'a b.duckdb', '--workers', '8');
    expect(unit.stdout).toMatch(/ExecStart=.* daemon ".*a b\.duckdb" --log-format json --workers 8\n/);
    for (const shell of ['bash', 'zsh', 'fish']) expect((await command('completion', shell)).stdout).toContain('run_job');
    expect(await bench.runShell('"$CUCKOO" completion bash | bash -n')).toMatchObject({ code: 0, stderr: '' });
  });

  it('make tokens that are shown once and kept as hashes', async () => {
    const made = await command('token', 'create', 'ci', '--role', 'operator');
    const kept = readFileSync(bench.path('.local/state/cuckoo/access.json'), 'utf8');
    expect(made.stdout.trim().length).toBeGreaterThan(40);
    expect(kept).not.toContain(made.stdout.trim());
    expect((await command('token', 'list')).stdout).toContain('ci  operator');
    expect(await command('token', 'revoke', 'ci')).toMatchObject({ code: 0 });
    expect((await command('token', 'list')).stdout).toBe('');
  });
});
