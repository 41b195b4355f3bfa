// All that /metrics tells: each series with its name, what it says and its labels. A name is a promise, like a column's: alert rules and
// dashboards are made of them (docs/operations.md). Labels come from closed sets and, of jobs, from a bounded one (jobNames.ts); what
// people have written into parameters, results or messages is none.

import { Counter, Gauge, Histogram, Registry } from 'prom-client';

export type Series = ReturnType<typeof makeSeries>;

/** From what nobody sees to what everybody calls late. */
const lagBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 15, 60, 300, 3600];
const durationBuckets = [0.005, 0.025, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14_400];
const requestBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 15];

/** In a registry of its own: what else a process measures is its own affair. */
export function makeSeries() {
  const registry = new Registry();
  const registers = [registry];
  const counter = <Label extends string>(name: string, help: string, labelNames: readonly Label[] = []): Counter<Label> =>
    new Counter({ name: `cuckoo_${name}`, help, labelNames, registers });
  const gauge = <Label extends string>(name: string, help: string, labelNames: readonly Label[] = []): Gauge<Label> =>
    new Gauge({ name: `cuckoo_${name}`, help, labelNames, registers });
  const histogram = <Label extends string>(
    name: string,
    help: string,
    buckets: readonly number[],
    labelNames: readonly Label[] = [],
  ): Histogram<Label> => new Histogram({ name: `cuckoo_${name}`, help, labelNames, buckets: [...buckets], registers });

  return {
    registry,

    // Runs.
    executions: counter('executions_total', 'Attempts of runs that have ended, by how; what was skipped is not among them.', [
      'job',
      'status',
    ]),
    executionDuration: histogram('execution_duration_seconds', 'How long attempts were at work.', durationBuckets),
    scheduleLag: histogram(
      'schedule_lag_seconds',
      'Lateness: from the instant that the cadence names to the start of the first attempt.',
      lagBuckets,
    ),
    retries: counter('retries_total', 'Attempts that were begun because one before them had failed.'),
    skips: counter('skips_total', 'Fires that were refused, by why; a stretch of missed instants counts once, as in cron.runs.', [
      'reason',
    ]),
    misfires: counter('misfires_total', 'Fires that were missed because no scheduler ran; a stretch counts once.'),
    running: gauge('running', 'Runs at work.'),

    // Jobs.
    jobs: gauge('jobs', 'Schedules: enabled or disabled; and those of them that cannot be read.', ['state']),
    jobsWithoutSeries: gauge('jobs_without_series', "Schedules beyond the first 1000, which are told together as job='(other)'."),
    nextFire: gauge('next_fire_timestamp_seconds', 'When a schedule is due next.', ['job']),
    lastSuccess: gauge('last_success_timestamp_seconds', 'The nominal time of the newest run that succeeded.', ['job']),
    consecutiveFailures: gauge('job_consecutive_failures', 'Runs that failed for good, one after another.', ['job']),

    // What waits, and for whom.
    workers: gauge('workers', 'Runs that may be at work at once: active or idle.', ['state']),
    queueDepth: gauge('queue_depth', 'Runs by queue: pending, active, or scheduled (retries before their time).', ['queue', 'state']),
    alerts: gauge('alerts', 'Rules that are broken now (cron.alerts).', ['rule']),
    sources: gauge('sources', 'Files of the job directory, by state.', ['state']),

    // The scheduler itself.
    schedulerUp: gauge('scheduler_up', '1: it opens what falls due.'),
    schedulerMode: gauge('scheduler_mode', '1 for the mode that it is in.', ['mode']),
    loopLag: gauge('loop_lag_seconds', 'How late the scheduler itself was when it last had something due.'),
    ledgerTroubled: gauge('ledger_troubled', '1: the ledger cannot be used, and is tried again.'),
    ledgerTroubles: counter('ledger_troubles_total', 'Calls of the ledger that failed; each is tried again.'),
    storageLow: gauge('storage_low', '1: the disk is nearly full, and nothing is opened.'),
    clockBehind: gauge('clock_behind', '1: the clock stands behind what is handled already.'),

    // The engine and the process.
    duckdbMemory: gauge('duckdb_memory_bytes', 'Memory that DuckDB holds.'),
    duckdbSpill: gauge('duckdb_spill_bytes', 'What DuckDB has put on the disk for want of memory.'),
    fileBytes: gauge('file_bytes', 'Size of the database file.'),
    walBytes: gauge('wal_bytes', 'Size of its log.'),
    diskFree: gauge('disk_free_bytes', 'Room on the disk of the file.'),
    eventLoopDelay: gauge(
      'event_loop_delay_seconds',
      "How long the process kept its timers waiting since it was last asked: '0.5', '0.99', '1'.",
      ['quantile'],
    ),
    residentMemory: gauge('process_resident_memory_bytes', 'Memory of the process.'),
    processCpu: counter('process_cpu_seconds_total', 'CPU time of the process since its start.'),
    processStart: gauge('process_start_time_seconds', 'When the process began.'),

    // The door.
    httpRequests: counter('http_requests_total', 'Answers, by the route as it is written.', ['method', 'route', 'status']),
    httpDuration: histogram('http_request_duration_seconds', 'How long answers took.', requestBuckets, ['method', 'route']),

    // Who tells.
    buildInfo: gauge('build_info', 'Always 1.', ['version', 'duckdb', 'node']),
    partRead: gauge('metrics_part_read', '0: this part could not be read, and its series are left out.', ['part']),
  };
}
