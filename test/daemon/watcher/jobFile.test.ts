import { describe, expect, test } from 'vitest';
import { Diagnostic } from '../../../src/core/diagnostic.ts';
import { inFile, located, readJobFile } from '../../../src/daemon/watcher/jobFile.ts';

const options = { directory: '/srv/jobs', executors: ['http_request'] };

/** The statements of a file that must be good. */
function textsOf(content: unknown, path = 'jobs.json'): string[] {
  const file = readJobFile(path, typeof content === 'string' ? content : JSON.stringify(content), options);
  expect(file?.problem).toBeUndefined();
  return file?.definitions.map((definition) => definition.text) ?? [];
}

function problemOf(content: unknown, path = 'jobs.json'): string | undefined {
  const text = typeof content === 'string' ? content : JSON.stringify(content, undefined, 2);
  return readJobFile(path, text, options)?.problem?.message;
}

describe('a JSON job becomes an UPSERT SCHEDULE', () => {
  test('a daily command', () => {
    const job = {
      job_id: 'daily-report',
      description: "the day's sales",
      schedule: '0 1 * * *',
      task: { type: 'execute_command', command: '/usr/bin/python /opt/report.py' },
    };
    expect(textsOf(job)).toEqual([
      `UPSERT SCHEDULE "daily-report" (
  description: $$the day's sales$$,
  sched: '0 1 * * *',
  command: '/usr/bin/python /opt/report.py'
)`,
    ]);
  });

  test('an instant runs once', () => {
    const job = { job_id: 'cleanup', schedule: '2025-09-20T02:00:00Z', task: { type: 'execute_command', command: ['rm', '-f', 'x'] } };
    expect(textsOf(job)).toEqual([`UPSERT SCHEDULE cleanup (\n  run_at: '2025-09-20T02:00:00Z',\n  command: ['rm', '-f', 'x']\n)`]);
  });

  test('every type of task', () => {
    const tasks = [
      { type: 'sql', sql: "INSERT INTO log VALUES ('it''s')" },
      { type: 'execute_sql', query: 'SELECT 1', params: { day: '007', n: 12345678901234567890n.toString(), on: true, list: [1, 'x'] } },
      { type: 'procedure', procedure: 'purge', parameters: { keep: 30 } },
      { type: 'pipeline', name: 'restock' },
      { type: 'handler', handler: './lib/sync.js#run', config: { region: 'eu', token: { $env: 'TOKEN' } }, timeout: '10m' },
      {
        type: 'execute_command',
        command: 'python3',
        args: ['report.py', 7],
        cwd: './reports',
        env: { TZ: 'UTC' },
        resources: { memory: '512MB', nice: 10 },
      },
      { type: 'http_request', url: 'https://example.org', headers: { accept: 'text/plain' } },
    ];
    expect(textsOf(tasks.map((task, at) => ({ job_id: `j${at}`, task }))).map((text) => text.replace(/\s+/g, ' '))).toEqual([
      "UPSERT SCHEDULE j0 ( sql: $$INSERT INTO log VALUES ('it''s')$$ )",
      "UPSERT SCHEDULE j1 ( sql: 'SELECT 1', params: { day: '007', n: '12345678901234567890', \"on\": true, list: [1, 'x'] } )".replace(
        '"on"',
        'on',
      ),
      'UPSERT SCHEDULE j2 ( exe: procedure, call: purge, params: { keep: 30 } )',
      'UPSERT SCHEDULE j3 ( exe: pipeline, call: restock )',
      "UPSERT SCHEDULE j4 ( handler: '/srv/jobs/lib/sync.js#run', config: { region: 'eu', token: env('TOKEN') }, timeout: 10m )",
      "UPSERT SCHEDULE j5 ( command: ['python3', 'report.py', 7], resources: { memory: 512MB, nice: 10 }, config: { cwd: './reports', env: { TZ: 'UTC' } } )",
      "UPSERT SCHEDULE j6 ( exe: http_request, call: 'http_request', config: { url: 'https://example.org', headers: { accept: 'text/plain' } } )",
    ]);
  });

  test('every key of a schedule may stand beside', () => {
    const job = {
      $schema: './job.schema.json',
      job_id: 'nightly load',
      cron: ['0 2 * * *', '30 14 * * MON-FRI'],
      tz: 'Europe/Berlin',
      sql: 'CALL load()',
      enabled: false,
      tags: ['etl', 'night'],
      owner: 'data@example.org',
      overlap: 'queue',
      overlap_limit: 3,
      catchup: 'none',
      jitter: '30 seconds',
      timeout: 'none',
      retry: '3 times with linear_backoff',
      retry_delays: ['1m', '5m'],
      priority: 'high',
      queue: 'critical',
      keep: { succeeded: '30d' },
      on_fail: ["emit('load.failed')", { notify: 'ops' }],
      on_complete: 'call(report)',
      calendar: null,
    };
    expect(textsOf(job)).toEqual([
      `UPSERT SCHEDULE "nightly load" (
  sched: ['0 2 * * *', '30 14 * * MON-FRI'],
  timezone: 'Europe/Berlin',
  sql: 'CALL load()',
  enabled: false,
  tags: [etl, night],
  owner: 'data@example.org',
  overlap: queue,
  overlap_limit: 3,
  catchup: none,
  jitter: '30 seconds',
  timeout: none,
  retry: 3 times with linear_backoff,
  retry_delays: [1m, 5m],
  priority: high,
  queue: critical,
  keep: { succeeded: 30d },
  on_fail: [emit('load.failed'), notify('ops')],
  on_complete: call('report'),
  calendar: null
)`,
    ]);
  });

  test('text that would break out of its quotes stays text', () => {
    const evil = "'); DROP SCHEDULE x; --";
    const [text] = textsOf({ job_id: evil, description: evil, schedule: '0 1 * * *', sql: 'SELECT $$a$$', params: { [evil]: evil } });
    expect(text).toContain(`UPSERT SCHEDULE "${evil}"`);
    const file = readJobFile('x.json', JSON.stringify({ job_id: evil, sql: 'SELECT 1' }), options);
    expect(file?.definitions.map(({ name, makes }) => [name, makes])).toEqual([[evil, [`schedule:${evil.toLowerCase()}`]]]);
  });
});

test("a module's manifest: names, milliseconds, retries, handlers beside the manifest", () => {
  const manifest = {
    name: 'my-module',
    version: '1.0.0',
    capabilities: { jobs: true },
    jobs: [
      {
        name: 'Data Sync Job',
        handler: 'jobs/sync.js',
        description: 'Syncs data from external API',
        schedule: '0 * * * *',
        timeout: 600000,
        retries: 3,
        config: { url: 'https://example.org' },
      },
    ],
  };
  const text = JSON.stringify(manifest);
  expect(readJobFile('my-module/package.json', text, options)).toMatchObject({ kind: 'manifest' });
  expect(textsOf(manifest, 'my-module/package.json')).toEqual([
    `UPSERT SCHEDULE "Data Sync Job" (
  handler: '/srv/jobs/my-module/jobs/sync.js',
  description: 'Syncs data from external API',
  sched: '0 * * * *',
  timeout: 10m,
  max_retries: 3,
  config: { url: 'https://example.org' }
)`,
  ]);
});

test('the package.json of a module without jobs is no job file', () => {
  expect(readJobFile('my-module/package.json', '{"name":"my-module"}', options)).toBeUndefined();
});

describe('a mistake in JSON has its line and column, and says what was probably meant', () => {
  const mistakes: readonly (readonly [name: string, content: unknown, problem: string])[] = [
    [
      'half of it',
      '{\n  "job_id": "a",\n  "sch',
      'line 3, column 3: this string is never closed (close it with " in its line; a line break in it is \\n)',
    ],
    ['a number', '7', 'line 1, column 1: a job file holds a job { .. } or a list of jobs, not the number 7'],
    ['no name', { schedule: '0 1 * * *' }, 'line 1, column 1: the job has no job_id (add "job_id": "nightly_load")'],
    ['a name misspelled', { jobid: 'a' }, 'line 2, column 3: the job has no job_id (did you mean "job_id"?)'],
    ['two names', { job_id: 'a', name: 'b' }, 'line 3, column 3: the job is named twice, by job_id and by name (keep job_id)'],
    ['an unknown key', { job_id: 'a', shedule: 'x' }, 'line 3, column 3: a job has no key "shedule" (did you mean "schedule"?)'],
    [
      'an unknown type',
      { job_id: 'a', task: { type: 'execute_comand' } },
      'line 4, column 13: there is no task type "execute_comand" (did you mean execute_command? types: execute_command, sql, procedure, pipeline, handler, http_request)',
    ],
    [
      'a task without its command',
      { job_id: 'a', task: { type: 'execute_command', comand: 'x' } },
      'line 5, column 5: a task of type execute_command needs \'command\' (did you mean "command"?)',
    ],
    [
      'an unknown key in a task',
      { job_id: 'a', task: { type: 'sql', sql: 'SELECT 1', confg: {} } },
      'line 6, column 5: a task of type sql has no key "confg" (did you mean "config"?)',
    ],
    [
      'a number for a duration',
      { job_id: 'a', sql: 'SELECT 1', timeout: 60 },
      'line 4, column 14: timeout takes a duration, not the number 60 (give it a unit: "timeout": "60s")',
    ],
    [
      'text for a number',
      { job_id: 'a', sql: 'SELECT 1', max_retries: '3' },
      "line 4, column 18: max_retries takes a whole number of at least 0, not the text '3' (write it without quotes: 3)",
    ],
    [
      'a word that is none of the choices',
      { job_id: 'a', sql: 'SELECT 1', overlap: 'quue' },
      "line 4, column 14: overlap cannot be 'quue' (did you mean queue? it takes skip, queue, allow or replace)",
    ],
    [
      'an unknown key deeper in',
      { job_id: 'a', sql: 'SELECT 1', keep: { suceeded: '1d' } },
      'line 5, column 5: keep has no key "suceeded" (did you mean "succeeded"?)',
    ],
    [
      'one job twice',
      [
        { job_id: 'a', sql: 'SELECT 1' },
        { job_id: 'A', sql: 'SELECT 1' },
      ],
      'line 7, column 15: schedule A stands in this file twice (a name stands once)',
    ],
    [
      'a key said twice',
      { job_id: 'a', sql: 'SELECT 1', task: { type: 'sql', sql: 'SELECT 2' } },
      "line 6, column 5: the job says 'sql' twice (say it once)",
    ],
    ['a NUL', '{"job_id": "a\\u0000"}', 'line 1, column 12: a string holds a NUL character'],
    ['half a character', '{"job_id": "a", "sql": "\\ud800"}', 'line 1, column 24: a string holds half of a surrogate pair'],
  ];
  for (const [name, content, problem] of mistakes) test(name, () => expect(problemOf(content)).toBe(problem));
});

test('a mistake that the engine finds in a printed job stands at its place in the JSON', () => {
  const text = String.raw`{
  "job_id": "a",
  "schedule": "0 1 * * *",
  "sql": "INSERT INTO \"t\"\n  SELECT 1 FRMO x"
}`;
  const [definition] = readJobFile('a.json', text, options)?.definitions ?? [];
  if (definition === undefined) return expect.unreachable();
  const placed = (part: string): string => {
    const start = definition.text.indexOf(part);
    return located(inFile(new Diagnostic('internal', part, { span: { start, end: start + part.length } }), definition, text), text);
  };
  expect(placed('FRMO')).toBe('line 4, column 41: FRMO');
  expect(placed('0 1 * * *')).toBe('line 3, column 16: 0 1 * * *');
  expect(placed('UPSERT')).toBe('line 2, column 13: UPSERT');
  expect(text.split('\n')[3]?.slice(40, 44)).toBe('FRMO');
});

describe('a SQL file holds definitions', () => {
  test('of every noun; CREATE means what UPSERT means', () => {
    const texts = textsOf(
      `-- the week
CREATE CALENDAR de ( weekend: [sat, sun] );
UPSERT QUEUE slow ( weight: 1 );
CREATE PROCEDURE purge(keep INTEGER) AS BEGIN DELETE FROM t; SELECT 1; END;
CREATE OR REPLACE PIPELINE p ( steps: [ { name: a, sql: 'SELECT 1' } ] );
create schedule if not exists s ( sched: '@daily', call: purge )`,
      'all.sql',
    );
    expect(texts.map((text) => text.slice(0, 30).trim())).toEqual(
      [
        'UPSERT CALENDAR de ( weekend:',
        'UPSERT QUEUE slow ( weight: 1',
        'UPSERT PROCEDURE purge(keep IN',
        'CREATE OR REPLACE PIPELINE p (',
        'UPSERT schedule               s',
      ].map((text) => text.slice(0, 30).trim()),
    );
  });

  const mistakes: readonly (readonly [name: string, content: string, problem: string])[] = [
    ['nothing', '', 'the file is empty (delete it to drop what it has made)'],
    [
      'SQL of DuckDB',
      "UPSERT SCHEDULE a ( sql: 'SELECT 1' );\n  INSERT INTO t VALUES (1);",
      "line 2, column 3: a job file holds definitions, and INSERT is DuckDB's (UPSERT or CREATE SCHEDULE, PROCEDURE, PIPELINE, CALENDAR, QUEUE; to drop what the file has made, take it out)",
    ],
    [
      'a statement of ours that defines nothing',
      'DROP SCHEDULE a;',
      'line 1, column 1: a job file holds definitions, and DROP is none (UPSERT or CREATE SCHEDULE, PROCEDURE, PIPELINE, CALENDAR, QUEUE; to drop what the file has made, take it out)',
    ],
    [
      'pg_cron',
      "SELECT cron.schedule('a', '* * * * *', 'SELECT 1')",
      "line 1, column 1: a job file holds definitions, and SELECT is DuckDB's (UPSERT or CREATE SCHEDULE, PROCEDURE, PIPELINE, CALENDAR, QUEUE; to drop what the file has made, take it out)",
    ],
    [
      'a key misspelled',
      "\nUPSERT SCHEDULE a (\n  sechd: '@daily' )",
      "line 3, column 3: a schedule has no key 'sechd' (did you mean 'sched'?)",
    ],
    ['a string that is never closed', "UPSERT SCHEDULE a ( sql: 'SELECT 1 );", 'line 1, column 26: this string is never closed'],
    ['a body that is never closed', 'CREATE PROCEDURE p() AS BEGIN SELECT 1;', 'line 1, column 25: this BEGIN block is never closed'],
    [
      'a procedure that points a schedule at itself',
      "CREATE PROCEDURE p <{ sched: 'nightly' }> () AS BEGIN SELECT 1; END",
      'line 1, column 30: in a job file a procedure points no schedule at itself (let the schedule say what it calls: UPSERT SCHEDULE .. ( call: p ))',
    ],
  ];
  for (const [name, content, problem] of mistakes) test(name, () => expect(problemOf(content, 'a.sql')).toBe(problem));

  test('a procedure of the older form makes the schedule of its name, too', () => {
    const file = readJobFile('a.sql', "CREATE PROCEDURE p <{ sched: '@daily' }> () AS BEGIN SELECT 1; END", options);
    expect(file?.definitions.map(({ makes }) => makes)).toEqual([['procedure:p', 'schedule:p']]);
  });

  test('only comments define nothing, which is no mistake', () => {
    expect(textsOf('-- nothing for now\n', 'a.sql')).toEqual([]);
  });
});
