import { describe, expect } from 'vitest';
import type { FinishedRun } from '../../../src/scheduler/run.ts';
import { test } from './fixture.ts';
import { eventsOf, type Served } from './served.ts';

const executions = '/api/v1/executions';

/** Answers the run's id, when it has ended. */
async function ran(served: Served, job: string): Promise<string> {
  return (await served.post(`/api/v1/jobs/${job}/run?wait=true`)).json.run_id;
}

const ok = { name: 'ok', sql: 'SELECT 42 AS answer' };
const bad = { name: 'bad', sql: "SELECT error('broken')", max_retries: 0 };
const never = 'SELECT sum(a.range * b.range) FROM range(10000000) a, range(1000000) b';

describe('lists', () => {
  test('the newest first, in pages that neither repeat nor hide', async ({ served }) => {
    await served.post('/api/v1/jobs', ok);
    await served.post('/api/v1/jobs', bad);
    const ids: string[] = [];
    for (const job of ['ok', 'bad', 'ok', 'ok', 'bad']) ids.unshift(await ran(served, job));
    const seen: string[] = [];
    let cursor: string | null = '';
    for (let pages = 0; cursor !== null; pages++) {
      expect(pages).toBeLessThan(4);
      const query: string = cursor === '' ? '' : `&cursor=${cursor}`;
      const { json } = await served.ask(`${executions}?limit=2${query}`);
      seen.push(...json.executions.map(({ run_id }: { run_id: string }) => run_id));
      // What comes in between belongs to the first page.
      if (pages === 0) await ran(served, 'ok');
      cursor = json.next_cursor;
    }
    expect(seen).toEqual(ids);
    expect((await served.ask(`${executions}?limit=500`)).json).toMatchObject({ executions: { length: 6 }, next_cursor: null });
  });

  test('filters by job, state in whatever words, and time', async ({ served }) => {
    await served.post('/api/v1/jobs', ok);
    await served.post('/api/v1/jobs', bad);
    for (const job of ['ok', 'bad', 'ok']) await ran(served, job);
    const count = async (query: string) => (await served.ask(`${executions}?${query}`)).json.executions?.length;
    const now = Date.now();
    const [before, after] = [new Date(now - 60_000).toISOString(), new Date(now + 60_000).toISOString()];
    const queries: [string, number | undefined][] = [
      ['job=OK', 2],
      ['job=bad&status=failed', 1],
      ['status=completed', 2],
      ['status=SUCCESS', 2],
      ['status=succeeded,failed', 3],
      ['status=timeout', 0],
      ['status=pending,running', 0],
      [`since=${before}`, 3],
      [`since=${after}`, 0],
      [`until=${before}`, 0],
      [`since=2020-01-01&until=${encodeURIComponent(after.replace('Z', '+00:00'))}`, 3],
      ['job=nobody', 0],
      ['status=', undefined],
      ['status=finished', undefined],
      ['since=yesterday', undefined],
      ['since=2026-13-01', undefined],
      ['limit=-1', undefined],
    ];
    for (const [query, wanted] of queries) expect(await count(query), query).toBe(wanted);
    expect((await served.ask('/api/v1/jobs/ok/executions?status=success')).json.executions.length).toBe(2);
    expect((await served.ask('/api/v1/jobs/nobody/executions')).status).toBe(404);
  });
});

describe('one', () => {
  test('is found by its id, or by as much of it as is unique', async ({ served }) => {
    await served.post('/api/v1/jobs', ok);
    const id = await ran(served, 'ok');
    const { json } = await served.ask(`${executions}/${id}`);
    expect(json).toMatchObject({
      run_id: id,
      schedule: 'ok',
      state: 'succeeded',
      trigger: 'manual',
      result: [{ answer: 42 }],
      attempt: 1,
      final: true,
    });
    for (const written of [id.toUpperCase(), id.replaceAll('-', ''), id.slice(0, 20), id.slice(0, 8)]) {
      expect((await served.ask(`${executions}/${written}`)).json.run_id, written).toBe(id);
    }
    await ran(served, 'ok');
    expect((await served.ask(`${executions}/${id.slice(0, 8)}`)).json).toMatchObject({ status: 400, code: 'ambiguous' });
    for (const written of [
      'x',
      id.replace(/.$/, (last) => (last === '0' ? '1' : '0')),
      'ffffffff-ffff-7fff-bfff-ffffffffffff',
      "01'; DROP",
      '%00',
      'a'.repeat(300),
    ]) {
      expect((await served.ask(`${executions}/${encodeURIComponent(written)}`)).status, written).toBe(404);
    }
  });

  test('its steps, in their order and in pages', async ({ served }) => {
    await served.run(
      "UPSERT PIPELINE p ( steps: [ { name: one, query: 'SELECT 1 AS a', as: rows }, { name: each, for_each: rows, sql: 'SELECT 2' }, { name: last, sql: 'SELECT 3' } ] )",
    );
    await served.post('/api/v1/jobs', { name: 'p', task: { type: 'pipeline', pipeline: 'p' } });
    const id = await ran(served, 'p');
    const { json } = await served.ask(`${executions}/${id}/steps`);
    expect(json.steps.map(({ step, state }: { step: string; state: string }) => `${step} ${state}`)).toEqual(
      expect.arrayContaining(['one succeeded', 'last succeeded']),
    );
    expect(json.next_cursor).toBeNull();
    const first = (await served.ask(`${executions}/${id}/steps?limit=1`)).json;
    const second = (await served.ask(`${executions}/${id}/steps?limit=500&cursor=${first.next_cursor}`)).json;
    expect([...first.steps, ...second.steps]).toEqual(json.steps);
    expect((await served.ask(`${executions}/01a1f9be-22d2-7001-90fa-730e9b2993fe/steps`)).status).toBe(404);
  });

  test('its lines, in pages', async ({ served }) => {
    await served.post('/api/v1/jobs', { name: 'talk', command: ['sh', '-c', 'for n in 1 2 3 4 5; do echo line $n; done'] });
    const id = await ran(served, 'talk');
    const all = (await served.ask(`${executions}/${id}/logs`)).json;
    const lines = all.lines.filter(({ stream }: { stream: string }) => stream === 'stdout');
    expect(lines.map(({ line }: { line: string }) => line)).toEqual(['line 1', 'line 2', 'line 3', 'line 4', 'line 5']);
    const seen: unknown[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const { json }: { json: { lines: unknown[]; next_cursor: string | null } } = await served.ask(
        `${executions}/${id}/logs?limit=2${cursor === '' ? '' : `&cursor=${cursor}`}`,
      );
      seen.push(...json.lines);
      cursor = json.next_cursor;
    }
    expect(seen).toEqual(all.lines);
  });
});

describe('following', () => {
  test('lines come as events while they are written, and the last says how it ended', async ({ served }) => {
    await served.post('/api/v1/jobs', {
      name: 'talk',
      command: ['sh', '-c', 'echo first; read answer < wait; echo $answer'],
      timeout: '20s',
    });
    const { json } = await served.post('/api/v1/jobs', { name: 'fifo', command: ['sh', '-c', 'rm -f wait; mkfifo wait'] });
    expect(json.outcome).toBe('created');
    expect((await served.post('/api/v1/jobs/fifo/run?wait=true')).json.failure).toBeNull();
    const { run_id: id } = (await served.post('/api/v1/jobs/talk/run')).json;
    const response = await served.begin(`${executions}/${id}/logs`, { headers: { accept: 'text/event-stream' }, as: 'viewer' });
    expect(response.headers['content-type']).toBe('text/event-stream');
    const events = eventsOf(response);
    const told: string[] = [];
    let last = '';
    for await (const { event, id: at, data } of events) {
      if (event === 'line') {
        told.push(data.line);
        last = at ?? '';
      }
      if (data?.line === 'first') await served.post('/api/v1/jobs', { name: 'answer', command: ['sh', '-c', 'echo second > wait'] });
      if (data?.line === 'first') await served.post('/api/v1/jobs/answer/run');
      if (event === 'end') expect(data).toMatchObject({ run_id: id, state: 'succeeded' });
    }
    expect(told).toEqual(expect.arrayContaining(['first', 'second']));
    // Whoever comes again has what came after.
    const again = await served.begin(`${executions}/${id}/logs`, { headers: { accept: 'text/event-stream', 'last-event-id': last } });
    const kinds: string[] = [];
    for await (const { event } of eventsOf(again)) kinds.push(event);
    expect(kinds.at(-1)).toBe('end');
    expect(kinds.length).toBeLessThan(told.length);
  });

  test('a client that goes ends nothing but its following; a daemon that drains ends the following', async ({ served }) => {
    await served.post('/api/v1/jobs', { name: 'slow', sql: never });
    const { run_id: id } = (await served.post('/api/v1/jobs/slow/run')).json;
    const first = await served.begin(`${executions}/${id}/logs`, { headers: { accept: 'text/event-stream' } });
    first.destroy();
    await served.executing(/TAIL RUN/, false);
    expect((await served.ask(`${executions}/${id}`)).json.state).toMatch(/pending|running/);
    const second = await served.begin(`${executions}/${id}/logs`, { headers: { accept: 'text/event-stream' } });
    await served.app.close();
    const kinds: string[] = [];
    for await (const { event } of eventsOf(second)) kinds.push(event);
    expect(kinds.at(-1)).toBe('error');
  });
});

describe('changing', () => {
  test('cancel ends what runs, and says so where it has ended already', async ({ served }) => {
    await served.post('/api/v1/jobs', { name: 'slow', sql: never });
    for (const [method, path] of [
      ['POST', '/cancel'],
      ['DELETE', ''],
    ] as const) {
      const started = new Promise((resolve) => served.engine.scheduler.events.on('run:started', resolve));
      const { run_id: id } = (await served.post('/api/v1/jobs/slow/run')).json;
      await started;
      const { status, json } = await served.ask(`${executions}/${id}${path}`, { method, as: 'operator' });
      expect([status, json]).toEqual([
        200,
        { sql: `CANCEL RUN '${id}'`, warnings: [], run_id: id, schedule: 'slow', outcome: 'cancelled' },
      ]);
      expect((await served.ask(`${executions}/${id}`)).json).toMatchObject({ state: 'cancelled', reason: 'cancelled by the operator' });
      expect(await served.ask(`${executions}/${id}${path}`, { method })).toMatchObject({
        status: 409,
        json: { status: 409, sql: `CANCEL RUN '${id}'` },
      });
    }
  });

  test('retry is the next attempt; dead letters are retried, dropped, and gone', async ({ served }) => {
    await served.post('/api/v1/jobs', bad);
    const ids = [await ran(served, 'bad'), await ran(served, 'bad'), await ran(served, 'bad')];
    const letters = '/api/v1/dead-letters';
    const open = async () => (await served.ask(letters)).json.dead_letters.map(({ run_id }: { run_id: string }) => run_id);
    expect(await open()).toEqual([...ids].reverse());
    const page = (await served.ask(`${letters}?limit=2&job=bad`)).json;
    const next = (await served.ask(`${letters}?limit=2&job=bad&cursor=${page.next_cursor}`)).json;
    expect([...page.dead_letters, ...next.dead_letters].map(({ run_id }) => run_id)).toEqual([...ids].reverse());
    const ended = (id: string) =>
      new Promise<FinishedRun>((resolve) => served.engine.scheduler.events.on('run:finished', (run) => run.runId === id && resolve(run)));
    const retried = await served.post(`${executions}/${ids[0]}/retry`);
    expect(retried).toMatchObject({ status: 202, json: { sql: `RETRY RUN '${ids[0]}'`, schedule: 'bad', state: 'pending' } });
    await ended(retried.json.run_id);
    const again = await served.post(`${letters}/${ids[1]}/retry`);
    expect(again.json.sql).toBe(`RETRY DEAD LETTER '${ids[1]}'`);
    expect((await served.post(`${letters}/${ids[1]}/retry`)).status).toBe(404);
    expect((await served.ask(`${letters}/${ids[2]}`, { method: 'DELETE' })).json).toEqual({
      sql: `DROP DEAD LETTER '${ids[2]}'`,
      warnings: [],
      runs: [{ run_id: ids[2], schedule: 'bad', outcome: 'dropped' }],
    });
    expect(await open()).not.toContain(ids[2]);
    expect((await served.post(`${letters}/retry`)).json.sql).toBe('RETRY DEAD LETTER ALL');
    expect((await served.ask(letters, { method: 'DELETE' })).json.sql).toBe('DROP DEAD LETTER ALL');
  });
});

describe('the stream', () => {
  test('tells what the scheduler does, and goes on where a connection broke off', async ({ served }) => {
    await served.post('/api/v1/jobs', ok);
    const response = await served.begin('/api/v1/stream?events=run', { as: 'viewer' });
    const events = eventsOf(response);
    const id = await ran(served, 'ok');
    const kinds: string[] = [];
    let last: string | undefined;
    for await (const { event, data, id: at } of events) {
      expect(data).toMatchObject({ run_id: id, schedule: 'ok', attempt: 1 });
      kinds.push(event);
      if (event === 'run:started') last = at;
      if (event === 'run:finished') break;
    }
    expect(kinds).toEqual(['run:opened', 'run:started', 'run:finished']);
    const second = await ran(served, 'ok');
    const again = eventsOf(await served.begin('/api/v1/stream?events=run:finished&job=OK', { headers: { 'last-event-id': last ?? '' } }));
    const finished: string[] = [];
    for await (const { data } of again) {
      finished.push(data.run_id);
      if (finished.length === 2) break;
    }
    expect(finished).toEqual([id, second]);
  });

  test('who comes too late, or from another start of the daemon, is told so', async ({ served }) => {
    for (const id of ['00000000-7', 'nonsense']) {
      const events = eventsOf(await served.begin('/api/v1/stream', { headers: { 'last-event-id': id } }));
      for await (const { event, data } of events) {
        expect([event, data]).toEqual(['missed', { count: null }]);
        break;
      }
    }
    const { emit } = served.engine.scheduler.events;
    const quiet = eventsOf(await served.begin('/api/v1/stream?events=storage'));
    served.engine.scheduler.events.emit('storage:enough', {});
    let first: string | undefined;
    for await (const { id } of quiet) {
      first = id;
      break;
    }
    for (let count = 0; count < 5000; count++) emit.call(served.engine.scheduler.events, 'storage:enough', {});
    const late = eventsOf(await served.begin('/api/v1/stream?events=storage', { headers: { 'last-event-id': first ?? '' } }));
    for await (const { event, data } of late) {
      expect([event, data.count]).toEqual(['missed', 5000 - 4096]);
      break;
    }
  });

  test('kinds that there are not are refused', async ({ served }) => {
    expect((await served.ask('/api/v1/stream?events=runs')).json).toMatchObject({ status: 400, detail: 'there is no event "runs"' });
  });
});

describe('queues, calendars, procedures and pipelines', () => {
  test('how full the queues are, and how busy the workers; a paused one keeps what waits', async ({ served }) => {
    await served.post('/api/v1/jobs', { ...ok, queue: 'low' });
    expect((await served.post('/api/v1/queues/low/pause')).json).toEqual({
      sql: 'PAUSE QUEUE low',
      warnings: [],
      name: 'low',
      outcome: 'paused',
    });
    await served.post('/api/v1/jobs/ok/run');
    const { json } = await served.ask('/api/v1/queues/status', { as: 'viewer' });
    expect(json.queues.find(({ name }: { name: string }) => name === 'low')).toEqual({
      name: 'low',
      paused: true,
      pending: 1,
      active: 0,
      completed: 0,
      failed: 0,
      scheduled: 0,
    });
    expect(json.workers).toEqual({ total: 4, active: 0, idle: 4 });
    const ended = new Promise((resolve) => served.engine.scheduler.events.on('run:finished', resolve));
    expect((await served.post('/api/v1/queues/low/resume')).json.outcome).toBe('resumed');
    await ended;
    expect((await served.ask('/api/v1/queues')).json.queues.find(({ name }: { name: string }) => name === 'low')).toMatchObject({
      weight: 1,
      completed: 1,
    });
    expect((await served.post('/api/v1/queues/nowhere/pause')).status).toBe(404);
  });

  test('calendars are read, made and dropped', async ({ served }) => {
    const calendar = '/api/v1/calendars/tokyo';
    const made = await served.put(calendar, { weekend: ['sat', 'sun'], holidays: ['2027-01-01'] });
    expect([made.status, made.json.outcome, made.json.sql.split('\n')[0]]).toEqual([201, 'created', 'UPSERT CALENDAR tokyo (']);
    expect(await served.put(calendar, { weekend: ['sun'] })).toMatchObject({
      status: 200,
      json: { outcome: 'updated', changed: ['weekend', 'holidays'] },
    });
    expect((await served.ask(calendar)).json).toMatchObject({ name: 'tokyo', definition: expect.stringContaining("weekend: ['sun']") });
    expect((await served.ask('/api/v1/calendars')).json.calendars.length).toBe(1);
    expect((await served.put(calendar, { weekend: ['someday'] })).status).toBe(400);
    expect((await served.put(calendar, { weekends: [] })).json.hint).toBe('did you mean "weekend"?');
    await served.post('/api/v1/jobs', { ...ok, schedule: '@daily', calendar: 'tokyo' });
    expect((await served.ask(calendar, { method: 'DELETE' })).json).toMatchObject({ status: 409, code: 'in_use' });
    await served.ask('/api/v1/jobs/ok', { method: 'DELETE' });
    expect((await served.ask(calendar, { method: 'DELETE' })).json.outcome).toBe('dropped');
    expect((await served.ask(calendar)).status).toBe(404);
  });

  test('procedures and pipelines are read', async ({ served }) => {
    await served.run(
      'UPSERT PROCEDURE tidy(keep INTEGER DEFAULT 7) AS BEGIN SELECT $keep; END',
      "UPSERT PIPELINE flow ( steps: [ { name: one, sql: 'SELECT 1' } ] )",
    );
    expect((await served.ask('/api/v1/procedures')).json.procedures.map(({ name }: { name: string }) => name)).toEqual(['tidy']);
    expect((await served.ask('/api/v1/procedures/TIDY')).json).toMatchObject({ name: 'tidy', language: 'sql', body: 'SELECT $keep;' });
    expect((await served.ask('/api/v1/pipelines/flow')).json).toMatchObject({
      name: 'flow',
      definition: expect.stringContaining('UPSERT PIPELINE flow'),
    });
    expect((await served.ask('/api/v1/pipelines/tidy')).status).toBe(404);
  });
});
