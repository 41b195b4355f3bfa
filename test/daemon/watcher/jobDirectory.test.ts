import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { describe, expect } from 'vitest';
import { job, test, type Watched } from './watched.ts';

test('files that come, change and go become schedules that are created, updated and dropped, within two seconds', async ({ watched }) => {
  watched.write('a.json', job('a'));
  await watched.start();
  expect(await watched.schedules()).toEqual(['a from a.json']);
  const began = performance.now();
  await watched.told('b created', () => watched.write('b.json', [job('b'), job('c')]));
  await watched.told('a updated', () => watched.replace('a.json', job('a', 'SELECT 2')));
  await watched.told('c dropped', () => watched.replace('b.json', [job('b')]));
  await watched.told('b dropped', () => watched.remove('b.json'));
  // Each of the four has two seconds.
  expect(performance.now() - began).toBeLessThan(8000);
  expect(await watched.schedules()).toEqual(['a from a.json']);
  expect(await watched.database.rows("SELECT call FROM cron.schedules WHERE name = 'a'")).toEqual([{ call: 'SELECT 2' }]);
});

test('a bad file is one visible error, and its last good definition stays', async ({ watched }) => {
  watched.write('a.json', job('a'));
  await watched.start();
  await watched.told('a.json: line 3', () => watched.write('a.json', { job_id: 'a', shedule: '0 1 * * *', sql: 'SELECT 1' }));
  const error = 'line 3, column 3: a job has no key "shedule" (did you mean "schedule"?)';
  expect(watched.messages('error')).toEqual([`a.json: ${error}`]);
  const sources = 'SELECT path, kind, schedules, state, error FROM cron.sources';
  expect(await watched.database.rows(sources)).toEqual([{ path: 'a.json', kind: 'json', schedules: 1n, state: 'error', error }]);
  expect(watched.source('a.json')).toMatchObject({ state: 'error', error, schedules: 1 });
  expect(await watched.schedules()).toEqual(['a from a.json']);
  // It is told once.
  await watched.told('b created', () => watched.write('b.json', job('b')));
  expect(watched.messages('error').length).toBe(1);
  await watched.told('a.json: is good again', () => watched.write('a.json', job('a', 'SELECT 2')));
  expect(await watched.database.rows(`${sources} WHERE error IS NOT NULL`)).toEqual([]);
});

test('all of a file is carried out, or nothing; other files are not kept waiting', async ({ watched }) => {
  watched.write('a.json', [job('a1'), { job_id: 'a2', exe: 'procedure', call: 'nobody' }, job('a3')]);
  watched.write('b.json', job('b'));
  watched.write('c.json', job('c', 'SELECT "x" FRMO y WHERE'));
  watched.write(
    'd.sql',
    "UPSERT SCHEDULE d ( sched: '@daily', sql: 'SELECT 1' );\nUPSERT SCHEDULE e ( sched: '61 * * * *', sql: 'SELECT 1' );",
  );
  await watched.start();
  expect(await watched.schedules()).toEqual(['b from b.json']);
  const errors = watched.messages('error').map((message) => message.replace(/: .*$/, ''));
  expect(errors).toEqual(['a.json', 'c.json', 'd.sql']);
  expect(watched.source('a.json')?.error).toMatch(/^line 13, column 13: procedure nobody does not exist/);
  expect(watched.source('c.json')?.error).toMatch(/^line 6, column 31: syntax error at or near "y" .*FRMO/);
  expect(watched.source('d.sql')?.error).toMatch(/^line 2, column 29: minute 61/);
});

test('files may build on one another, whatever they are called', async ({ watched }) => {
  watched.write('a.json', { job_id: 'child', after: 'parent', sql: 'SELECT 1' });
  watched.write('b.json', { job_id: 'grandchild', after: ['child'], exe: 'procedure', call: 'work' });
  watched.write('c.json', job('parent'));
  watched.write('z.sql', 'CREATE PROCEDURE work() AS BEGIN SELECT 1; END');
  await watched.start();
  expect(watched.messages('error')).toEqual([]);
  expect(await watched.schedules()).toEqual(['child from a.json', 'grandchild from b.json', 'parent from c.json']);
  for (const path of ['a.json', 'b.json', 'c.json', 'z.sql']) watched.remove(path);
  watched.write('k.json', job('k'));
  await watched.told('c.json (deleted)');
  expect(await watched.schedules()).toEqual(['k from k.json']);
  expect(await watched.database.rows('SELECT name FROM cron.procedures')).toEqual([]);
});

test('what was made by hand is never touched; when it is gone, the file has the name', async ({ watched }) => {
  await watched.database.run("UPSERT SCHEDULE nightly ( sched: '@daily', sql: 'SELECT 42' )");
  watched.write('a.json', job('Nightly'));
  await watched.start();
  expect(watched.messages('error')).toEqual([
    'a.json: line 2, column 13: schedule Nightly was made by hand, and no file changes it (rename it here, or give the name to the file: DROP SCHEDULE Nightly;)',
  ]);
  expect(await watched.database.rows('SELECT name, call, version FROM cron.schedules')).toEqual([
    { name: 'nightly', call: 'SELECT 42', version: 1n },
  ]);
  await watched.told('Nightly created', () => watched.database.run('DROP SCHEDULE nightly'));
  expect(await watched.schedules()).toEqual(['Nightly from a.json']);
  // And the other way round: a file that goes drops only what it has made.
  await watched.database.run('DROP SCHEDULE nightly', "UPSERT SCHEDULE nightly ( sql: 'SELECT 43' )");
  watched.write('b.json', job('b'));
  await watched.told('b created');
  watched.remove('a.json');
  await watched.told('c created', () => watched.write('c.json', job('c')));
  await watched.jobs.reload();
  expect(await watched.schedules()).toEqual(['b from b.json', 'c from c.json', 'nightly from nowhere']);
});

/** Called with each statement of the session that the job directory opens. */
function beforeEach(watched: Watched, act: (text: string) => unknown): void {
  const { engine } = watched.database;
  const open = engine.session.bind(engine);
  engine.session = async (options) => {
    const session = await open(options);
    const execute = session.execute.bind(session);
    session.execute = async (text, parameters) => {
      await act(text);
      return execute(text, parameters);
    };
    return session;
  };
}

test('a name that somebody defines by hand at the same moment is theirs', async ({ watched }) => {
  let hasDefined = false;
  beforeEach(watched, async (text) => {
    if (text !== 'COMMIT' || hasDefined) return;
    hasDefined = true;
    await watched.database.run("UPSERT SCHEDULE x ( sql: 'SELECT 42' )");
  });
  watched.write('a.json', job('x'));
  watched.write('b.json', job('y'));
  await watched.start();
  expect(await watched.schedules()).toEqual(['x from nowhere', 'y from b.json']);
  expect(watched.source('a.json')).toMatchObject({ state: 'error', error: expect.stringContaining('schedule x was made by hand') });
});

test('of two files with one job_id the first by path has it, and the other is refused', async ({ watched }) => {
  watched.write('b.json', job('x', 'SELECT 2'));
  await watched.start();
  await watched.told('b.json: line 2', () => watched.write('a.json', job('x', 'SELECT 1')));
  expect(watched.messages('error')).toEqual([
    'b.json: line 2, column 13: schedule x is defined by a.json already (of two files the first by path has a name: rename one of them)',
  ]);
  expect(await watched.schedules()).toEqual(['x from a.json']);
  await watched.told('b.json: x updated', () => watched.remove('a.json'));
  expect(await watched.schedules()).toEqual(['x from b.json']);
});

test('a schedule that moves to another file, or whose file is renamed, stays the same schedule', async ({ watched }) => {
  watched.write('a.json', [job('x'), job('y')]);
  await watched.start();
  const ids = 'SELECT schedule_id, effective_from FROM cuckoo_ledger.schedule ORDER BY name';
  const before = await watched.database.rows(ids);
  await watched.told('y updated', () => {
    watched.write('b.json', job('y'));
    watched.replace('a.json', job('x'));
  });
  await watched.told('x updated', () => watched.move('a.json', 'c.json'));
  expect(await watched.schedules()).toEqual(['x from c.json', 'y from b.json']);
  expect(await watched.database.rows(ids)).toEqual(before);
  expect(watched.messages('error')).toEqual([]);
});

test('what has not changed writes nothing, also after a restart', async ({ watched }) => {
  watched.write('a.json', [job('a'), { ...job('off'), enabled: false }]);
  watched.write(
    'b.sql',
    'CREATE QUEUE slow ( weight: 1 ); CREATE PROCEDURE p(x INTEGER) AS BEGIN SELECT $x; END; CREATE SCHEDULE s ( queue: slow, call: p, params: { x: 1 } ); UPSERT SCHEDULE t LIKE s ();',
  );
  watched.write('bad.json', '{');
  watched.write('past.json', { job_id: 'past', schedule: '2020-01-01T00:00:00Z', sql: 'SELECT 1' });
  const state = `SELECT (SELECT count(*) FROM cuckoo_ledger.schedule_version) AS versions, (SELECT max(seq) FROM cuckoo_ledger.tick) AS ticks,
    (SELECT list((path, read_at, state) ORDER BY path)::VARCHAR FROM cuckoo_ledger.job_file) AS files,
    (SELECT list((name_key, updated_at) ORDER BY name_key)::VARCHAR FROM cuckoo_ledger.job_file_object) AS objects`;
  await watched.start();
  const before = await watched.database.rows(state);
  expect(before).toMatchObject([{ versions: 5n }]);
  watched.database.clock.set('2026-11-20T13:00:00Z');
  await watched.jobs.reload();
  expect(await watched.database.rows(state)).toEqual(before);
  await watched.reopen();
  const atStart = await watched.database.rows(state);
  await watched.start();
  watched.write('a.json', JSON.stringify([job('a'), { ...job('off'), enabled: false }], undefined, 2));
  await watched.jobs.reload();
  expect(await watched.database.rows(state)).toEqual(atStart);
});

test('disabled by hand stays disabled, and dropped by hand comes back with the next look at everything', async ({ watched }) => {
  watched.write('a.json', [job('a'), job('b')]);
  await watched.start();
  await watched.database.run('DISABLE SCHEDULE a', 'DROP SCHEDULE b');
  await watched.told('a updated', () => watched.write('a.json', [job('a', 'SELECT 2'), job('b')]));
  expect(await watched.database.rows('SELECT name, enabled FROM cron.schedules ORDER BY name')).toEqual([
    { name: 'a', enabled: false },
    { name: 'b', enabled: true },
  ]);
});

test('an instant that is past is accepted, runs nothing, and says so', async ({ watched }) => {
  watched.write('cleanup.json', { job_id: 'cleanup', schedule: '2025-09-20T02:00:00Z', task: { type: 'sql', sql: 'SELECT 1' } });
  await watched.start();
  expect(watched.messages('warn')).toEqual([
    'cleanup.json: cleanup: every instant of this schedule is already past: it is finished and will not fire',
  ]);
  expect(watched.source('cleanup.json')).toMatchObject({ state: 'loaded', warnings: [expect.stringContaining('already past')] });
  expect(await watched.database.rows('SELECT name, status, next_run FROM cron.schedules')).toEqual([
    { name: 'cleanup', status: 'finished', next_run: null },
  ]);
});

describe('a file that is being written', () => {
  test('is read again until it is whole', async ({ watched }) => {
    watched.write('a.json', job('a'));
    await watched.start();
    const text = JSON.stringify(job('a', 'SELECT 2'));
    await watched.told('a updated', () => {
      watched.write('a.json', '');
      setTimeout(() => watched.write('a.json', text.slice(0, 20)), 100);
      setTimeout(() => watched.write('a.json', text), 250);
    });
    expect(watched.messages('error')).toEqual([]);
  });

  test('drops nothing that stands in its second half, where a half is a good script too', async ({ watched }) => {
    const one = "UPSERT SCHEDULE one ( sched: '@daily', sql: 'SELECT 1' );\n";
    const two = "UPSERT SCHEDULE two ( sched: '@daily', sql: 'SELECT 1' );\n";
    watched.write('a.sql', one + two);
    await watched.start();
    await watched.told('three created', () => {
      watched.write('a.sql', one);
      setTimeout(() => watched.write('a.sql', one + two + two.replace('two', 'three')), 150);
    });
    expect(await watched.database.rows('SELECT max(version) AS version FROM cron.schedules')).toEqual([{ version: 1n }]);
    // Empty is no script: somebody has begun to write, and not gone on.
    await watched.told('the file is empty', () => watched.write('a.sql', ''));
    expect((await watched.schedules()).length).toBe(3);
  });
});

describe('what is not there drops nothing', () => {
  test('while the directory is gone; when it returns, it counts again', async ({ watched }) => {
    watched.write('a.json', job('a'));
    watched.write('b.json', job('b'));
    await watched.start();
    const aside = `${watched.directory}.aside`;
    await watched.told('what its files have made stays', () => renameSync(watched.directory, aside));
    expect(await watched.schedules()).toEqual(['a from a.json', 'b from b.json']);
    expect(await watched.database.rows('SELECT DISTINCT state, error FROM cron.sources')).toEqual([
      { state: 'absent', error: 'the directory is gone (it cannot be looked at: there is none); what the file has made stays' },
    ]);
    await watched.database.run("UPSERT SCHEDULE by_hand ( sql: 'SELECT 1' )");
    rmSync(join(aside, 'b.json'));
    await watched.told('b.json (deleted): b dropped', () => renameSync(aside, watched.directory));
    await watched.told('a updated', () => watched.write('a.json', job('a', 'SELECT 2')));
    expect(await watched.schedules()).toEqual(['a from a.json', 'by_hand from nowhere']);
    expect(await watched.database.rows('SELECT path, state FROM cron.sources')).toEqual([{ path: 'a.json', state: 'loaded' }]);
  });

  test('rm -r takes the files first, and still the directory is gone', async ({ watched }) => {
    for (let at = 0; at < 20; at++) watched.write(`j${at}.json`, job(`j${at}`));
    await watched.start();
    await watched.told('what its files have made stays', () => execFileSync('rm', ['-r', watched.directory]));
    expect((await watched.schedules()).length).toBe(20);
  });

  test('an empty directory in its place, as where something was mounted', async ({ watched }) => {
    watched.write('a.json', job('a'));
    await watched.start();
    await watched.told('another one stands there, and it is empty', () => {
      renameSync(watched.directory, `${watched.directory}.aside`);
      mkdirSync(watched.directory);
    });
    expect(await watched.schedules()).toEqual(['a from a.json']);
    await watched.told('b created', () => watched.write('b.json', job('b')));
    await watched.told('a dropped');
  });

  test('an empty directory at the start', async ({ watched }) => {
    watched.write('a.json', job('a'));
    await watched.start();
    await watched.reopen();
    watched.remove('a.json');
    await watched.start();
    expect(watched.messages('error')).toEqual([expect.stringContaining('it is empty, and was not before; what its files have made stays')]);
    expect(await watched.schedules()).toEqual(['a from a.json']);
  });

  test('another directory than before', async ({ watched }) => {
    watched.write('a.json', job('a'));
    await watched.start();
    await watched.reopen();
    const other = `${watched.directory}.other`;
    mkdirSync(other);
    renameSync(join(watched.directory, 'a.json'), join(other, 'b.json'));
    rmSync(watched.directory, { recursive: true });
    mkdirSync(watched.directory);
    await watched.start(other);
    // It is the same job in a file that is called otherwise.
    expect(await watched.schedules()).toEqual(['a from b.json']);
  });

  test('no directory at all at the start; files that come later are found', async ({ watched }) => {
    rmSync(watched.directory, { recursive: true });
    await watched.start();
    expect(watched.messages('error')).toEqual([expect.stringContaining('nothing is read until it is there')]);
    await watched.told('a created', () => watched.write('a.json', job('a')));
  });

  test('a file that was deleted while nobody watched is dropped at the start', async ({ watched }) => {
    watched.write('a.json', job('a'));
    watched.write('b.json', job('b'));
    await watched.start();
    await watched.reopen();
    watched.remove('a.json');
    await watched.start();
    expect(await watched.schedules()).toEqual(['b from b.json']);
  });
});

describe('what lies in a directory', () => {
  test("editors' files, hidden files and folders, and what is no job file are passed over", async ({ watched }) => {
    const names = ['.a.json.swp', '.#a.json', '#a.json#', 'a.json~', '.a.json', '~a.json', 'a.json.tmp', 'README.md', '.git/a.json'];
    for (const name of [...names, 'node_modules/x/a.json', 'm/package-lock.json', 'm/tsconfig.json', 'm/package.json']) {
      watched.write(name, name.endsWith('package.json') ? { name: 'm' } : 'no job at all');
    }
    mkdirSync(join(watched.directory, 'folder.json'));
    execFileSync('mkfifo', [join(watched.directory, 'pipe.json')]);
    watched.write('a.json', job('a'));
    await watched.start();
    expect(watched.jobs.sources().map(({ path }) => path)).toEqual(['a.json']);
    expect(watched.messages('error')).toEqual([]);
  });

  test('folders are looked into, and those that come', async ({ watched }) => {
    watched.write('team/a.json', job('a'));
    await watched.start();
    expect(await watched.schedules()).toEqual(['a from team/a.json']);
    await watched.told('b created', () => watched.write('other/deep/b.json', job('b')));
    await watched.told('b updated', () => watched.write('other/deep/b.json', job('b', 'SELECT 2')));
    await watched.told('b dropped', () => watched.remove('other'));
    expect(await watched.schedules()).toEqual(['a from team/a.json']);
  });

  test('links are followed, also where a hidden folder behind them is changed for another', async ({ watched }) => {
    watched.write('..2026_1/a.json', job('a'));
    watched.write('..2026_2/a.json', job('a', 'SELECT 2'));
    watched.link('..data', '..2026_1');
    watched.link('a.json', '..data/a.json');
    watched.link('again', '.');
    await watched.start();
    expect(await watched.schedules()).toEqual(['a from a.json']);
    await watched.told('a updated', () => {
      watched.link('..data_tmp', '..2026_2');
      watched.move('..data_tmp', '..data');
    });
    await watched.told('a.json: the file cannot be read: there is none', () => watched.remove('..data'));
    expect(await watched.schedules()).toEqual(['a from a.json']);
  });

  test('a link to the directory may be changed for another, as a deployment does', async ({ watched }) => {
    watched.write('../releases/1/a.json', job('a'));
    watched.write('../releases/1/b.json', job('b'));
    watched.write('../releases/2/a.json', job('a', 'SELECT 2'));
    watched.link('../current', 'releases/1');
    await watched.start(join(watched.database.folder, 'current'));
    expect(await watched.schedules()).toEqual(['a from a.json', 'b from b.json']);
    await watched.told('b dropped', () => {
      watched.link('../next', 'releases/2');
      watched.move('../next', '../current');
    });
    expect(await watched.database.rows('SELECT name, call FROM cron.schedules')).toEqual([{ name: 'a', call: 'SELECT 2' }]);
    await watched.told('a updated', () => watched.write('../releases/2/a.json', job('a', 'SELECT 3')));
  });

  test('a directory that everybody may write to is warned of', async ({ watched }) => {
    chmodSync(watched.directory, 0o777);
    await watched.start();
    expect(watched.messages('warn')).toEqual([expect.stringContaining('everybody may write to')]);
  });

  test('what cannot be read is an error of its own', async ({ watched }) => {
    watched.write('big.json', `{"job_id": "big", "sql": "${' '.repeat(1_100_000)}"}`);
    watched.write('latin.json', Buffer.from('{"job_id": "caf\xe9", "sql": "SELECT 1"}', 'latin1'));
    watched.write('bom.json', `\ufeff${JSON.stringify(job('bom'))}`);
    watched.link('database.json', watched.database.path);
    await watched.start();
    expect(watched.messages('error')).toEqual([
      'big.json: the file has 1100028 bytes; a job file has 1 MB at most (split it into several)',
      'database.json: this is the open database itself',
      'latin.json: the file is not UTF-8 text (save it as UTF-8)',
    ]);
    expect(await watched.schedules()).toEqual(['bom from bom.json']);
  });
});

test('a script makes and drops what is not a schedule, too; what others still use stays, and says why', async ({ watched }) => {
  watched.write(
    'a.sql',
    'CREATE PROCEDURE purge() AS BEGIN SELECT 1; END; CREATE CALENDAR de ( weekend: [sat, sun] ); CREATE QUEUE slow ( weight: 1 );',
  );
  await watched.start();
  await watched.database.run("UPSERT SCHEDULE by_hand ( call: purge, sched: '@daily' )");
  await watched.told('a.sql: the file is gone', () => watched.remove('a.sql'));
  expect(await watched.database.rows("SELECT state, error FROM cron.sources WHERE path = 'a.sql'")).toEqual([
    { state: 'error', error: 'the file is gone: procedure purge is used by schedule by_hand (drop or change schedule by_hand first)' },
  ]);
  await watched.told('purge dropped', () => watched.database.run('DROP SCHEDULE by_hand'));
  for (const noun of ['procedures', 'calendars']) expect(await watched.database.rows(`SELECT name FROM cron.${noun}`)).toEqual([]);
  expect(await watched.database.rows("SELECT name FROM cron.queues WHERE name = 'slow'")).toEqual([]);
  expect(await watched.database.rows("SELECT path FROM cron.sources WHERE path = 'a.sql'")).toEqual([]);
});

test('when the daemon is gone, any DuckDB tells which schedules came from which file', async ({ watched }) => {
  watched.write('a.json', [job('a'), job('b')]);
  watched.write('bad.json', '{');
  await watched.start();
  await watched.jobs.close();
  await watched.database.close();
  expect(await plainRows(watched.database.path, 'SELECT path, schedules::INTEGER, state FROM cron.sources ORDER BY path')).toEqual([
    ['a.json', 2, 'loaded'],
    ['bad.json', 0, 'error'],
  ]);
  expect(await plainRows(watched.database.path, 'SELECT name, source FROM cron.schedules ORDER BY name')).toEqual([
    ['a', 'a.json'],
    ['b', 'a.json'],
  ]);
});

test('many files at once are scheduled in a few transactions', async ({ watched }) => {
  await watched.start();
  let commits = 0;
  watched.database.engine.scheduler.events.on('definitions:changed', () => {
    commits += 1;
  });
  for (let at = 0; at < 60; at++) watched.write(`j${at}.json`, { job_id: `j${at}`, sql: 'SELECT 1' });
  await watched.jobs.reload();
  expect((await watched.schedules()).length).toBe(60);
  expect(commits).toBeLessThan(20);
});

test('a change does not wait for the many before it', async ({ watched }) => {
  const { clock } = watched.database;
  const real = clock.monotonicMs;
  let ahead = 0;
  clock.monotonicMs = () => real() + ahead;
  // Each statement takes long, so that a transaction holds few.
  beforeEach(watched, (text) => {
    if (text.startsWith('UPSERT')) ahead += 600;
  });
  await watched.start();
  for (let at = 0; at < 60; at++) watched.write(`j${at}.json`, { job_id: `j${at}`, sql: 'SELECT 1' });
  await watched.told('created');
  watched.write('late.json', job('late'));
  await watched.until(() => watched.source('late.json') !== undefined);
  expect(watched.jobs.sources().length).toBeLessThan(61);
});

test('task types that the host has registered are run by their executors', async ({ watched }) => {
  const { engine, clock } = watched.database;
  const seen: unknown[] = [];
  engine.worker.executors.add('http_request', {
    execute: async (task) => {
      seen.push(task.config);
      return null;
    },
  });
  watched.write('a.json', {
    job_id: 'a',
    schedule: '*/5 * * * *',
    task: { type: 'http_request', url: 'https://example.org', method: 'POST' },
  });
  await watched.start();
  expect(watched.messages('error')).toEqual([]);
  clock.set('2026-11-20T12:05:00Z');
  await engine.scheduler.tick(clock.now());
  expect(seen).toEqual([{ url: 'https://example.org', method: 'POST' }]);
});

test('close lets go of everything, twice', async ({ watched }) => {
  const { clock } = watched.database;
  const open = new Set<object>();
  const after = clock.after;
  clock.after = (ms, callback, options) => {
    const timer = after(
      ms,
      () => {
        open.delete(timer);
        callback();
      },
      options,
    );
    const cancel = (): void => {
      open.delete(timer);
      timer.cancel();
    };
    open.add(timer);
    return { cancel };
  };
  const watches = () => process.getActiveResourcesInfo().filter((name) => name === 'FSEventWrap').length;
  const before = [watches(), open.size];
  watched.write('a.json', job('a'));
  const jobs = await watched.start();
  await watched.told('b created', () => watched.write('b.json', job('b')));
  expect(watches()).toBeGreaterThan(before[0] ?? 0);
  await jobs.close();
  await jobs.close();
  expect(open.size).toBe(before[1]);
  // The system takes a moment.
  await expect.poll(watches, { timeout: 5000 }).toBe(before[0]);
  await jobs.reload();
});

/** As any DuckDB sees the file. */
async function plainRows(path: string, sql: string): Promise<unknown[]> {
  const instance = await DuckDBInstance.create(path, { access_mode: 'READ_ONLY' });
  const connection = await instance.connect();
  try {
    return (await connection.runAndReadAll(sql)).getRows();
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}
