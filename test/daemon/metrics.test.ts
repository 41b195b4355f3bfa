import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { createMetrics, type Metrics } from '../../src/daemon/metrics/metrics.ts';
import { type Engine, openEngine } from '../../src/engine/engine.ts';
import { type Clock, systemClock } from '../../src/scheduler/clock.ts';
import { VirtualClock } from '../../src/scheduler/simulation/virtualClock.ts';

class Desk {
  readonly folder = mkdtempSync(join(tmpdir(), 'cuckoo-metrics-'));
  engine!: Engine;
  metrics!: Metrics;

  async open(options: { readonly mostJobs?: number; readonly clock?: Clock } = {}): Promise<this> {
    this.engine = await openEngine(join(this.folder, 'my.duckdb'), { zone: 'UTC', poolSize: 16, graceMs: 100 });
    this.metrics = createMetrics({ engine: this.engine, clock: systemClock, ...options });
    await this.engine.scheduler.start();
    return this;
  }

  async run(...statements: readonly string[]): Promise<void> {
    const session = await this.engine.session({ actor: 'tester', admin: true });
    for (const statement of statements) await (await session.execute(statement)).toArray();
    await session.close();
  }

  /** By series with its labels: `cuckoo_jobs{state="enabled"}`. */
  async told(): Promise<ReadonlyMap<string, number>> {
    const lines = (await this.metrics.text()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]));
  }

  async close(): Promise<void> {
    await this.metrics?.close();
    await this.engine?.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

let desk: Desk;
afterEach(async () => {
  vi.restoreAllMocks();
  await desk.close();
});

const jobsOf = (told: ReadonlyMap<string, number>, name: string): string[] =>
  [...told.keys()].filter((key) => key.startsWith(`${name}{`)).map((key) => /job="([^"]*)"/.exec(key)?.[1] ?? '');

describe('what runs come to', () => {
  test('is counted by job and status, with durations and retries; no parameter, result or message is told', async () => {
    desk = await new Desk().open();
    await desk.run(
      "UPSERT SCHEDULE good ( sql: 'SELECT $word', params: { word: 'hush-parameter' } )",
      "UPSERT SCHEDULE bad ( sql: $$ SELECT error('hush-message') $$, max_retries: 1, retry_delay: 0s )",
      'RUN SCHEDULE good AWAIT',
      'RUN SCHEDULE good AWAIT',
      'RUN SCHEDULE bad AWAIT',
    );
    const told = await desk.told();
    expect(told.get('cuckoo_executions_total{job="good",status="succeeded"}')).toBe(2);
    expect(told.get('cuckoo_executions_total{job="bad",status="failed"}')).toBe(2);
    expect(told.get('cuckoo_retries_total')).toBe(1);
    expect(told.get('cuckoo_execution_duration_seconds_count')).toBe(4);
    expect(told.get('cuckoo_job_consecutive_failures{job="bad"}')).toBe(1);
    expect(Math.abs((told.get('cuckoo_last_success_timestamp_seconds{job="good"}') ?? 0) * 1000 - systemClock.now())).toBeLessThan(60_000);
    expect(told.has('cuckoo_last_success_timestamp_seconds{job="bad"}')).toBe(false);
    expect(await desk.metrics.text()).not.toContain('hush');
  });

  test('a fire of the clock is measured from its instant, and the next one is told', async () => {
    desk = await new Desk().open();
    const ended = new Promise<void>((resolve) => desk.engine.scheduler.events.on('run:finished', () => resolve()));
    await desk.run("UPSERT SCHEDULE often ( sched: 'every 1s', sql: 'SELECT 1' )");
    await ended;
    const told = await desk.told();
    expect(told.get('cuckoo_schedule_lag_seconds_count')).toBeGreaterThan(0);
    expect(told.get('cuckoo_schedule_lag_seconds_bucket{le="60"}')).toBe(told.get('cuckoo_schedule_lag_seconds_count'));
    expect(Math.abs((told.get('cuckoo_next_fire_timestamp_seconds{job="often"}') ?? 0) * 1000 - systemClock.now())).toBeLessThan(30_000);
  });

  test('skips are counted by a class of their reason, and misses as misfires', async () => {
    desk = await new Desk().open();
    const { events } = desk.engine.scheduler;
    const skipped = {
      runId: 'x',
      scheduleId: 1,
      schedule: 'load',
      exe: 'sql',
      call: '',
      trigger: 'cron',
      scheduledAt: 0,
      attempt: 1,
      state: 'skipped',
      final: true,
      result: null,
      rowsChanged: null,
      durationMs: null,
    } as const;
    for (const reason of ['overlap: the run before it has not finished', 'missed: no scheduler ran; catchup: none', 'said so', null])
      events.emit('run:finished', { ...skipped, reason });
    const told = await desk.told();
    expect(told.get('cuckoo_skips_total{reason="overlap"}')).toBe(1);
    expect(told.get('cuckoo_skips_total{reason="missed"}')).toBe(1);
    expect(told.get('cuckoo_skips_total{reason="other"}')).toBe(2);
    expect(told.get('cuckoo_skips_total{reason="calendar"}')).toBe(0);
    expect(told.get('cuckoo_misfires_total')).toBe(1);
    expect(jobsOf(told, 'cuckoo_executions_total')).toEqual([]);
  });
});

describe('what there is now', () => {
  test('is told of jobs, workers, queues, the scheduler, DuckDB and the files', async () => {
    desk = await new Desk().open();
    await desk.run(
      "UPSERT SCHEDULE nightly ( sched: '0 4 * * *', sql: 'SELECT 1' )",
      "UPSERT SCHEDULE off ( sched: '0 4 * * *', sql: 'SELECT 1', enabled: false )",
    );
    const told = await desk.told();
    expect(told.get('cuckoo_jobs{state="enabled"}')).toBe(1);
    expect(told.get('cuckoo_jobs{state="disabled"}')).toBe(1);
    expect(jobsOf(told, 'cuckoo_next_fire_timestamp_seconds')).toEqual(['nightly']);
    expect(told.get('cuckoo_workers{state="idle"}')).toBeGreaterThan(0);
    expect(told.get('cuckoo_queue_depth{queue="default",state="pending"}')).toBe(0);
    expect(told.get('cuckoo_scheduler_up')).toBe(1);
    expect(told.get('cuckoo_scheduler_mode{mode="running"}')).toBe(1);
    expect(told.get('cuckoo_alerts{rule="failures"}')).toBe(0);
    expect(told.get('cuckoo_sources{state="error"}')).toBe(0);
    expect(told.get('cuckoo_duckdb_memory_bytes')).toBeGreaterThan(0);
    expect(told.get('cuckoo_file_bytes')).toBeGreaterThan(0);
    expect(told.get('cuckoo_disk_free_bytes')).toBeGreaterThan(0);
    expect(told.get('cuckoo_process_resident_memory_bytes')).toBeGreaterThan(0);
    const parts = [...told].filter(([key]) => key.startsWith('cuckoo_metrics_part_read'));
    expect(parts.map(([, value]) => value)).toEqual([1, 1, 1, 1, 1]);
  });

  test('how many jobs there are is counted anew when definitions have changed', async () => {
    const clock = new VirtualClock({ startAt: systemClock.now() });
    desk = await new Desk().open({ clock });
    await desk.run("UPSERT SCHEDULE a ( sql: 'SELECT 1' )");
    expect((await desk.told()).get('cuckoo_jobs{state="enabled"}')).toBe(1);
    await desk.run('DISABLE SCHEDULE a', "UPSERT SCHEDULE b ( sql: 'SELECT 1' )", "UPSERT SCHEDULE c ( sql: 'SELECT 1' )");
    expect((await desk.told()).get('cuckoo_jobs{state="enabled"}')).toBe(1);
    await clock.advance(5_000);
    const told = await desk.told();
    expect(told.get('cuckoo_jobs{state="enabled"}')).toBe(2);
    expect(told.get('cuckoo_jobs{state="disabled"}')).toBe(1);
  });

  test('a pause is told', async () => {
    desk = await new Desk().open();
    await desk.run('PAUSE SCHEDULER');
    const told = await desk.told();
    expect(told.get('cuckoo_scheduler_up')).toBe(0);
    expect(told.get('cuckoo_scheduler_mode{mode="paused"}')).toBe(1);
  });

  test('a part that cannot be read is left out, said to be, and hides no other', async () => {
    desk = await new Desk().open();
    const open = desk.engine.session.bind(desk.engine);
    vi.spyOn(desk.engine, 'session').mockImplementation(async (options) => {
      const session = await open(options);
      const execute = session.execute.bind(session);
      session.execute = (text, parameters) =>
        text.includes('duckdb_memory') ? Promise.reject(new Error('no')) : execute(text, parameters);
      return session;
    });
    const told = await desk.told();
    expect(told.get('cuckoo_metrics_part_read{part="memory"}')).toBe(0);
    expect(told.has('cuckoo_duckdb_memory_bytes')).toBe(false);
    expect(told.get('cuckoo_metrics_part_read{part="jobs"}')).toBe(1);
    expect(told.get('cuckoo_metrics_part_read{part="sources"}')).toBe(1);
    expect(told.get('cuckoo_jobs{state="enabled"}')).toBe(0);
  });

  test('a query that never answers is given up, and the page comes', async () => {
    desk = await new Desk().open();
    const open = desk.engine.session.bind(desk.engine);
    vi.spyOn(desk.engine, 'session').mockImplementation(async (options) => {
      const session = await open(options);
      const execute = session.execute.bind(session);
      session.execute = (text, parameters) =>
        execute(
          text.includes('cron.sources') ? 'SELECT sum(a.range * b.range) FROM range(10000000) a, range(10000000) b' : text,
          parameters,
        );
      return session;
    });
    const told = await desk.told();
    expect(told.get('cuckoo_metrics_part_read{part="sources"}')).toBe(0);
    expect(told.get('cuckoo_metrics_part_read{part="alerts"}')).toBe(1);
  });

  test('however many ask, the file is asked once in five seconds', async () => {
    desk = await new Desk().open();
    const opened = vi.spyOn(desk.engine, 'session');
    await desk.run("UPSERT SCHEDULE a ( sql: 'SELECT 1' )");
    opened.mockClear();
    await Promise.all(Array.from({ length: 50 }, () => desk.metrics.text()));
    await desk.metrics.text();
    expect(opened).toHaveBeenCalledTimes(1);
  });
});

describe('series stay few', () => {
  test('jobs beyond the bound are counted together, and their number is told; one that is dropped makes room', async () => {
    desk = await new Desk().open({ mostJobs: 2 });
    const define = (name: string): string => `UPSERT SCHEDULE ${name} ( sched: '0 4 * * *', sql: 'SELECT 1' )`;
    await desk.run(...['a', 'b', 'c', 'd'].map(define), ...['a', 'c', 'd'].map((name) => `RUN SCHEDULE ${name} AWAIT`));
    const told = await desk.told();
    expect(told.get('cuckoo_executions_total{job="a",status="succeeded"}')).toBe(1);
    expect(told.get('cuckoo_executions_total{job="(other)",status="succeeded"}')).toBe(2);
    expect(jobsOf(told, 'cuckoo_next_fire_timestamp_seconds')).toEqual(['a', 'b']);
    expect(told.get('cuckoo_jobs_without_series')).toBe(2);
    await desk.run('DROP SCHEDULE a', 'RUN SCHEDULE c AWAIT');
    const after = await desk.told();
    expect(after.get('cuckoo_executions_total{job="c",status="succeeded"}')).toBe(1);
    expect(jobsOf(after, 'cuckoo_executions_total').sort()).toEqual(['(other)', 'c']);
    expect(jobsOf(after, 'cuckoo_next_fire_timestamp_seconds')).toEqual(['b', 'c']);
    expect(after.get('cuckoo_jobs_without_series')).toBe(1);
  });

  test('answers are counted by route and a known method', async () => {
    desk = await new Desk().open();
    desk.metrics.observed({ method: 'GET', route: '/api/v1/jobs/{name}', status: 404, durationMs: 12 });
    desk.metrics.observed({ method: 'BREW', route: 'unknown', status: 405, durationMs: 1 });
    const told = await desk.told();
    expect(told.get('cuckoo_http_requests_total{method="GET",route="/api/v1/jobs/{name}",status="404"}')).toBe(1);
    expect(told.get('cuckoo_http_requests_total{method="other",route="unknown",status="405"}')).toBe(1);
    expect(told.get('cuckoo_http_request_duration_seconds_bucket{le="0.025",method="GET",route="/api/v1/jobs/{name}"}')).toBe(1);
  });

  test('after close nothing is counted', async () => {
    desk = await new Desk().open();
    await desk.metrics.close();
    await desk.metrics.close();
    await desk.run("UPSERT SCHEDULE a ( sql: 'SELECT 1' )", 'RUN SCHEDULE a AWAIT');
    expect((await desk.told()).get('cuckoo_execution_duration_seconds_count')).toBe(0);
  });
});
