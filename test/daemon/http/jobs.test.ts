import { describe, expect } from 'vitest';
import { parse } from '../../../src/parser/parse.ts';
import { test } from './fixture.ts';

const jobs = '/api/v1/jobs';

describe('defining', () => {
  test('a job is made by its JSON, and the answer says which statement that was', async ({ served }) => {
    const { status, headers, json } = await served.post(jobs, {
      name: 'nightly',
      schedule: '0 2 * * *',
      timezone: 'Europe/Berlin',
      task: { type: 'sql', sql: 'SELECT 42' },
      max_retries: 5,
      tags: ['etl'],
    });
    expect([status, headers['location']]).toEqual([201, '/api/v1/jobs/nightly']);
    expect(json).toEqual({
      sql: expect.stringMatching(/^CREATE SCHEDULE nightly \(\n {2}sched: '0 2 \* \* \*',/),
      warnings: [{ message: expect.stringContaining('does not exist in Europe/Berlin'), hint: 'dst_gap: skip leaves that day out' }],
      name: 'nightly',
      outcome: 'created',
      changed: [],
      next_run: expect.stringMatching(/^\d{4}-\d\d-\d\dT0[01]:00:00Z$/),
      in_words: 'at 02:00 every day (Europe/Berlin)',
    });
    expect((await served.ask(`${jobs}/nightly`)).json).toMatchObject({
      name: 'nightly',
      sched: '0 2 * * *',
      call: 'SELECT 42',
      max_retries: 5,
      tags: ['etl'],
      status: 'scheduled',
      enabled: true,
    });
    // The statement says the same when it is typed.
    const again = await served.post('/api/v1/sql', { sql: json.sql.replace('CREATE', 'UPSERT') });
    expect(again.json.rows[0].outcome).toBe('unchanged');
    expect((await served.post(jobs, { name: 'NIGHTLY', schedule: '@daily', sql: 'SELECT 1' })).status).toBe(409);
    const versions = await served.post('/api/v1/sql', { sql: "SELECT changed_by FROM cron.schedule_versions WHERE schedule = 'nightly'" });
    expect(versions.json.rows).toEqual([{ changed_by: 'admin' }]);
  });

  test('PUT is the whole definition, new or not, and DELETE drops it', async ({ served }) => {
    const definition = { cron_expression: '0 2 * * *', sql: 'SELECT 1', description: 'first' };
    expect(await served.put(`${jobs}/a`, definition)).toMatchObject({ status: 201, json: { outcome: 'created' } });
    expect(await served.put(`${jobs}/a`, { ...definition, job_id: 'A' })).toMatchObject({ status: 200, json: { changed: ['name'] } });
    expect(await served.put(`${jobs}/A`, { sched: '0 3 * * *', sql: 'SELECT 1' })).toMatchObject({
      status: 200,
      json: { outcome: 'updated', changed: ['sched', 'description'] },
    });
    expect((await served.put(`${jobs}/A`, { ...definition, name: 'b' })).json).toMatchObject({ status: 400, source: 'body' });
    expect((await served.ask(`${jobs}/a`, { method: 'DELETE' })).json).toEqual({
      sql: 'DROP SCHEDULE a',
      warnings: [],
      name: 'a',
      outcome: 'dropped',
    });
    expect(await served.ask(`${jobs}/a`, { method: 'DELETE' })).toMatchObject({
      status: 404,
      json: { code: 'undefined_object', sql: 'DROP SCHEDULE a' },
    });
    expect((await served.ask(`${jobs}/a`)).status).toBe(404);
  });

  test('when it fires can be changed alone', async ({ served }) => {
    await served.put(`${jobs}/a`, { sched: '0 2 * * *', sql: 'SELECT 1', description: 'kept' });
    const { json } = await served.put(`${jobs}/a/schedule`, { cron_expression: '30 5 * * 1-5', timezone: 'Asia/Tokyo' });
    expect(json).toMatchObject({
      outcome: 'updated',
      changed: ['sched', 'timezone'],
      in_words: 'at 05:30 from Monday to Friday (Asia/Tokyo)',
    });
    expect(json.sql).toMatch(/^ALTER SCHEDULE a SET \(\n {2}sched: '30 5 \* \* 1-5',\n {2}timezone: 'Asia\/Tokyo'\n\)$/);
    expect((await served.ask(`${jobs}/a`)).json).toMatchObject({ sched: '30 5 * * 1-5', timezone: 'Asia/Tokyo', description: 'kept' });
    const wrong = await served.put(`${jobs}/a/schedule`, { cron_expression: '61 * * * *' });
    expect([wrong.status, wrong.json.code, wrong.json.sql.slice(wrong.json.span.start, wrong.json.span.end)]).toEqual([
      400,
      'invalid_cadence',
      '61',
    ]);
    expect((await served.put(`${jobs}/nobody/schedule`, { cron_expression: '@daily' })).status).toBe(404);
    expect((await served.put(`${jobs}/a/schedule`, { cron_expression: '@daily', timezone: 'Mars/Olympus' })).status).toBe(400);
  });

  test('a mistake has its place in the body', async ({ served }) => {
    const bodies: [string, string, number, string][] = [
      ['{"name": "a", "schedule": "61 * * * *", "sql": "SELECT 1"}', 'invalid_cadence', 400, '61'],
      ['{"name": "a", "shedule": "@daily", "sql": "SELECT 1"}', 'unknown_key', 400, '"shedule"'],
      ['{"name": "a", "schedule": "@daily", "exe": "procedure", "call": "nobody"}', 'undefined_object', 400, '"nobody"'],
      ['{"name": "a", "schedule": "@daily", "sql": "SELECT 1 +"}', 'syntax_error', 400, ''],
      ['{"name": "a", "schedule": "@daily", "timeout": 30, "sql": "SELECT 1"}', 'wrong_type', 400, '30'],
      ['{"schedule": "@daily", "sql": "SELECT 1"}', 'missing_key', 400, '{'],
      ['{"name": "a", "schedule": "@daily", "sql": "SELECT 1",}', 'syntax_error', 400, '}'],
      ['{"name": "a\\u0000b", "sql": "SELECT 1"}', 'invalid_encoding', 400, '"a\\u0000b"'],
    ];
    for (const [body, code, status, place] of bodies) {
      const { json, ...answer } = await served.post(jobs, body);
      expect([answer.status, json.code, json.source], answer.text).toEqual([status, code, 'body']);
      if (place !== '') expect(body.slice(json.span.start, json.span.end), answer.text).toBe(place);
    }
    expect((await served.ask(jobs)).json.jobs).toEqual([]);
  });

  test('no name becomes anything but a name', async ({ served }) => {
    const names = ['a"b; DROP SCHEDULE x; --', "it's/so", 'all', 'if', 'as', '%41 $$', '-- x\n', '__proto__'];
    await served.put(`${jobs}/x`, { sql: 'SELECT 1' });
    for (const name of names) {
      const path = `${jobs}/${encodeURIComponent(name)}`;
      const made = await served.post(jobs, { name, schedule: '@daily', sql: 'SELECT 1' });
      expect([made.status, made.json.name, made.headers['location']], made.text).toEqual([201, name, path]);
      expect((await served.ask(path)).json.name).toBe(name);
      for (const verb of ['disable', 'enable', 'run?wait=true']) {
        const { status, json, text } = await served.post(`${path}/${verb}`);
        expect([status, json.name ?? json.schedule], `${name} ${verb} ${text}`).toEqual([200, name]);
        const { statement } = parse(json.sql);
        expect(
          (statement as { names?: { text: string }[] }).names?.map(({ text: given }) => given),
          json.sql,
        ).toEqual([name]);
      }
      expect((await served.put(`${path}/schedule`, { cron_expression: '@hourly' })).json.name).toBe(name);
      expect((await served.ask(`${path}/executions`)).json.executions.length).toBe(1);
      expect((await served.ask(`${path}/upcoming`)).json.fires.length).toBe(10);
      expect((await served.put(path, { sched: '@daily', sql: 'SELECT 2' })).json.outcome).toBe('updated');
      expect((await served.ask(path, { method: 'DELETE' })).json).toMatchObject({ name, outcome: 'dropped' });
    }
    expect((await served.ask(jobs)).json.jobs.map(({ name }: { name: string }) => name)).toEqual(['x']);
    for (const name of ['%00', '%ed%a0%80', '%zz', '%20'])
      expect([400, 404], name).toContain((await served.post(`${jobs}/${name}/enable`)).status);
  });
});

describe('switching and running', () => {
  test('enable, disable, pause and resume, by POST and by PUT', async ({ served }) => {
    await served.put(`${jobs}/a`, { sched: '@daily', sql: 'SELECT 1' });
    expect((await served.post(`${jobs}/a/disable`)).json).toEqual({
      sql: 'DISABLE SCHEDULE a',
      warnings: [],
      name: 'a',
      outcome: 'disabled',
    });
    expect((await served.ask(`${jobs}/a`)).json).toMatchObject({ enabled: false, status: 'disabled', next_run: null });
    expect((await served.put(`${jobs}/a/enable`)).json.outcome).toBe('enabled');
    expect((await served.post(`${jobs}/a/pause`)).json).toMatchObject({ sql: 'PAUSE SCHEDULE a', outcome: 'disabled' });
    expect((await served.put(`${jobs}/a/resume`, {})).json.sql).toBe('RESUME SCHEDULE a');
    expect((await served.post(`${jobs}/nobody/enable`)).json).toMatchObject({ status: 404, sql: 'ENABLE SCHEDULE nobody', source: 'sql' });
    // A form that a page could post changes nothing.
    const form = await served.post(`${jobs}/a/disable`, 'x=1', { headers: { 'content-type': 'application/x-www-form-urlencoded' } });
    expect([form.status, (await served.ask(`${jobs}/a`)).json.enabled]).toEqual([415, true]);
  });

  test('a run is opened, or waited for, with parameters in the place of its own', async ({ served }) => {
    await served.run(
      'CREATE TABLE seen (x JSON)',
      'UPSERT PROCEDURE note(day VARCHAR, big HUGEINT) AS BEGIN INSERT INTO seen SELECT to_json({day: $day, big: $big::VARCHAR}); END',
    );
    await served.put(`${jobs}/a`, { task: { type: 'procedure', procedure: 'note' }, params: { day: 'never', big: 1 } });
    const input = '{"input": {"day": "it\'s 007", "big": 12345678901234567890}}';
    const waited = await served.post(`${jobs}/a/run?wait=true`, input);
    expect(waited).toMatchObject({ status: 200, json: { schedule: 'a', state: 'succeeded', failure: null } });
    expect(waited.json.sql).toContain('RUN SCHEDULE a WITH ( ');
    expect((await served.post('/api/v1/sql', { sql: 'FROM seen' })).json.rows).toEqual([
      { x: { day: "it's 007", big: '12345678901234567890' } },
    ]);
    const opened = await served.post(`${jobs}/a/execute`, {});
    expect(opened).toMatchObject({ status: 202, json: { sql: 'RUN SCHEDULE a', state: 'pending' } });
    expect(opened.headers['location']).toBe(`/api/v1/executions/${opened.json.run_id}`);
    expect((await served.post(`${jobs}/a/run`, { input: { nonsense: 1 } })).json).toMatchObject({
      status: 400,
      code: 'undefined_parameter',
    });
    expect((await served.post(`${jobs}/a/run`, { inputs: {} })).json).toMatchObject({
      status: 400,
      code: 'unknown_key',
      hint: 'did you mean "input"?',
    });
    expect((await served.post(`${jobs}/nobody/run`)).status).toBe(404);
  });

  test('a run that is waited for and fails was carried out, and says how it went', async ({ served }) => {
    await served.put(`${jobs}/bad`, { sql: "SELECT error('broken')", max_retries: 0 });
    const { status, json } = await served.post(`${jobs}/bad/run?wait=true`);
    expect(status).toBe(200);
    expect(json).toMatchObject({ state: 'failed', failure: { code: 'run_failed', detail: expect.stringContaining('broken') } });
  });

  test('whoever stops waiting stops nothing', async ({ served }) => {
    await served.run('CREATE TABLE done (x INTEGER)');
    await served.put(`${jobs}/slow`, {
      sql: 'INSERT INTO done SELECT count(*) FROM range(3000) a, range(50000) b WHERE a.range * b.range = 7',
    });
    const ended = new Promise((resolve) => served.engine.scheduler.events.on('run:finished', resolve));
    const started = new Promise((resolve) => served.engine.scheduler.events.on('run:started', resolve));
    const asked = served.request(`${jobs}/slow/run?wait=true`, { method: 'POST' });
    asked.on('error', () => undefined);
    await started;
    asked.destroy();
    expect(await ended).toMatchObject({ schedule: 'slow', state: 'succeeded' });
  });
});

describe('reading', () => {
  test('the list comes in pages, filtered', async ({ served }) => {
    for (const name of ['b', 'd', 'a', 'c', 'e'])
      await served.put(`${jobs}/${name}`, { sched: '@daily', sql: 'SELECT 1', tags: name < 'c' ? ['early'] : [] });
    await served.post(`${jobs}/b/disable`);
    const names = async (query: string) => (await served.ask(`${jobs}${query}`)).json.jobs.map(({ name }: { name: string }) => name);
    const first = (await served.ask(`${jobs}?limit=2`)).json;
    const second = (await served.ask(`${jobs}?limit=2&cursor=${first.next_cursor}`)).json;
    const third = (await served.ask(`${jobs}?limit=2&cursor=${second.next_cursor}`)).json;
    expect([first, second, third].map(({ jobs: page }) => page.map(({ name }: { name: string }) => name))).toEqual([
      ['a', 'b'],
      ['c', 'd'],
      ['e'],
    ]);
    expect(third.next_cursor).toBeNull();
    expect(await names('?enabled=false')).toEqual(['b']);
    expect(await names('?status=scheduled&tag=early')).toEqual(['a']);
    expect(await names('?name=%25D%25')).toEqual(['d']);
    expect(await names('?queue=default&limit=500')).toEqual(['a', 'b', 'c', 'd', 'e']);
    for (const query of ['?limit=0', '?limit=501', '?limit=x', '?cursor=%00', '?cursor=W10', '?status=asleep', '?enabled=yes', '?page=2']) {
      expect((await served.ask(`${jobs}${query}`)).status, query).toBe(400);
    }
  });

  test('its next fires, in words', async ({ served }) => {
    await served.put(`${jobs}/a`, { sched: '0 2 * * *', sql: 'SELECT 1' });
    const { json } = await served.ask(`${jobs}/a/upcoming?limit=2`);
    expect(json).toMatchObject({ schedule: 'a', in_words: 'at 02:00 every day (UTC)', warnings: [] });
    expect(json.fires.length).toBe(2);
    const { json: all } = await served.ask('/api/v1/upcoming?job=a');
    expect(all.upcoming.length).toBe(1);
    expect(all.upcoming[0]).toMatchObject({ schedule: 'a', zone: 'UTC', scheduled_at: json.fires[0].scheduled_at });
    expect((await served.ask('/api/v1/upcoming?since=2027-01-01&until=2027-03-01')).json).toMatchObject({
      status: 400,
      code: 'out_of_range',
    });
    expect((await served.ask(`${jobs}/nobody/upcoming`)).status).toBe(404);
  });
});

test('who asks at the same moment for the same is answered with one reading, and what is read then is never older than the question', async ({
  served,
}) => {
  await served.put(`${jobs}/a`, { sched: '@daily', sql: 'SELECT 1' });
  const answers = await Promise.all(Array.from({ length: 60 }, () => served.ask(`${jobs}/a`)));
  expect(answers.every(({ status, json }) => status === 200 && json.name === 'a')).toBe(true);
  const flood = Promise.all(Array.from({ length: 60 }, () => served.ask(`${jobs}/a`)));
  await served.post(`${jobs}/a/disable`);
  expect((await served.ask(`${jobs}/a`)).json.enabled).toBe(false);
  await flood;
});

describe('roles', () => {
  test('a viewer reads and cannot write, an operator runs and cannot define', async ({ served }) => {
    await served.put(`${jobs}/a`, { sched: '@daily', sql: 'SELECT 1' });
    const asked: [string, string, unknown, number, number][] = [
      ['GET', jobs, undefined, 200, 200],
      ['GET', `${jobs}/a`, undefined, 200, 200],
      ['GET', `${jobs}/a/executions`, undefined, 200, 200],
      ['POST', jobs, { name: 'b', sql: 'SELECT 1' }, 403, 403],
      ['PUT', `${jobs}/a`, { sql: 'SELECT 1' }, 403, 403],
      ['PUT', `${jobs}/a/schedule`, { cron_expression: '@daily' }, 403, 403],
      ['DELETE', `${jobs}/a`, undefined, 403, 403],
      ['POST', `${jobs}/a/disable`, undefined, 403, 200],
      ['PUT', `${jobs}/a/enable`, undefined, 403, 200],
      ['POST', `${jobs}/a/run?wait=true`, undefined, 403, 200],
      ['POST', '/api/v1/queues/default/pause', undefined, 403, 200],
      ['POST', '/api/v1/queues/default/resume', undefined, 403, 200],
      ['DELETE', '/api/v1/dead-letters', undefined, 403, 200],
      ['PUT', '/api/v1/calendars/c', {}, 403, 403],
    ];
    for (const [method, path, body, viewer, operator] of asked) {
      for (const [as, wanted] of [
        ['viewer', viewer],
        ['operator', operator],
      ] as const) {
        const { status, json } = await served.ask(path, { method, body, as });
        expect([status, json.code], `${as} ${method} ${path}`).toEqual([wanted, wanted === 403 ? 'forbidden' : json.code]);
      }
    }
    expect((await served.ask(jobs)).json.jobs.length).toBe(1);
  });
});
