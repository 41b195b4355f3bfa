// What the daemon says while it runs: pino's lines, for people on a terminal and as JSON for machines, and one line for each run.

import type { Instant } from '../core/instant.ts';
import type { Events } from '../scheduler/events.ts';
import type { FinishedRun } from '../scheduler/run.ts';
import { timeText } from './answer.ts';
import type { DaemonConfig } from './daemonConfig.ts';

export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  /** From now on. */
  level: string;
}

export interface LogOptions extends Pick<DaemonConfig, 'logLevel' | 'logFormat'> {
  readonly output: NodeJS.WritableStream & { readonly isTTY?: boolean };
  readonly color: boolean;
}

/** In this process's own thread: a daemon that is killed has written what it said. */
export async function openLog({ logLevel, logFormat, output, color }: LogOptions): Promise<Log> {
  const { pino } = await import('pino');
  const isPretty = logFormat === 'pretty' || (logFormat === 'auto' && output.isTTY === true);
  const options = {
    level: logLevel,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  if (!isPretty) return pino(options, output) as Log;
  const { default: pretty } = await import('pino-pretty');
  return pino(
    options,
    pretty({
      colorize: color,
      sync: true,
      destination: output,
      translateTime: 'SYS:HH:MM:ss.l',
      ignore: 'pid,hostname',
      hideObject: true,
      // The message says it all, but for what to do about it.
      messageFormat: '{msg}{if hint}; {hint}{end}',
    }),
  ) as Log;
}

/** A line for each run, and for what the scheduler meets. Answers how to stop. */
export function logScheduler(events: Events, log: Log): () => void {
  const stops = [
    events.on('run:finished', (run) => logRun(run, log)),
    events.on('schedule:unreadable', ({ schedule, message }) => log.error({ schedule }, `schedule ${schedule} cannot be read: ${message}`)),
    events.on('schedule:disabled', ({ schedule, reason }) =>
      log.warn({ schedule }, `schedule ${schedule} has disabled itself after ${reason}`),
    ),
    events.on('clock:behind', ({ now, watermark }) =>
      log.warn(
        { now: iso(now), watermark: iso(watermark) },
        'the clock stands behind what is handled already: it is believed after 10 minutes',
      ),
    ),
    events.on('clock:believed', () => log.info({}, 'the clock is believed again')),
    events.on('ledger:trouble', ({ during, message }) =>
      log.error({ during }, `the ledger cannot be used (${during}): ${message}; it is tried again`),
    ),
    events.on('ledger:recovered', () => log.info({}, 'the ledger can be used again')),
    events.on('storage:low', ({ freeBytes, neededBytes }) =>
      log.error({ freeBytes, neededBytes }, 'the disk is nearly full: nothing is opened until there is room'),
    ),
    events.on('storage:enough', () => log.info({}, 'there is room on the disk again')),
    events.on('alert:raised', ({ rule, schedule, detail }) =>
      log.warn({ rule, schedule }, `alert: ${schedule ?? 'the scheduler'}: ${detail}`),
    ),
    events.on('alert:cleared', ({ rule, schedule }) => log.info({ rule, schedule }, `alert over: ${schedule ?? 'the scheduler'}: ${rule}`)),
    events.on('scheduler:paused', () => log.warn({}, 'the scheduler is paused: RESUME SCHEDULER lets it go on')),
    events.on('scheduler:resumed', () => log.info({}, 'the scheduler goes on')),
  ];
  return () => {
    for (const stop of stops) stop();
  };
}

function logRun(run: FinishedRun, log: Log): void {
  const { runId, schedule, scheduledAt, state, reason, durationMs, attempt, final } = run;
  const fields = { runId, schedule, scheduledAt: iso(scheduledAt), state, durationMs, attempt, ...(reason === null ? {} : { reason }) };
  const took = durationMs === null ? '' : ` in ${timeText(durationMs)}`;
  const why = reason === null ? '' : `: ${reason}`;
  const message = `${schedule === '' ? 'run' : schedule} ${iso(scheduledAt)} ${state.replace('_', ' ')}${took}${why}`;
  const isGood = state === 'succeeded' || state === 'skipped' || state === 'cancelled';
  if (isGood) log.info(fields, message);
  else if (final) log.error(fields, message);
  else log.warn(fields, message);
}

const iso = (at: Instant): string => new Date(at).toISOString();
