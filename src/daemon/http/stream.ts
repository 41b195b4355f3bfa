// GET /stream: what the scheduler does, as it happens. The newest events are kept in a ring, so that a client whose connection broke off
// goes on where it was (Last-Event-ID); one that comes too late is told how many it has missed. Every client reads the ring at its own
// pace: a slow one costs no memory, and nobody waits for it.

import { randomBytes } from 'node:crypto';
import { z } from '@hono/zod-openapi';
import { Diagnostic } from '../../core/diagnostic.ts';
import { formatInstant } from '../../core/instant.ts';
import type { JsonObject } from '../../core/jsonValue.ts';
import { nameKey } from '../../core/name.ts';
import type { Events, SchedulerEvent, SchedulerEvents } from '../../scheduler/events.ts';
import { nameOf, type OpenRun } from '../../scheduler/run.ts';
import { pour } from './pour.ts';
import { Refusal } from './problem.ts';
import { type Desk, route } from './route.ts';
import { eventStreamHeaders, eventStreamType, eventText, heartbeat } from './sse.ts';

const mostKept = 4096;
const mostClients = 100;
/** Handed to a connection at once. */
const mostAtOnce = 256;

export function streamRoute(desk: Desk): void {
  const { parts, limits, draining } = desk;
  const ring = new EventRing(parts.engine.scheduler.events);
  draining.addEventListener('abort', () => ring.close(), { once: true });
  let clients = 0;
  route(
    desk,
    {
      method: 'get',
      path: '/api/v1/stream',
      operationId: 'streamEvents',
      summary: 'What the scheduler does, as it happens',
      description: `Server-sent events: ${kinds.join(', ')}. The last ${mostKept} are kept for clients that come again with Last-Event-ID; \`missed\` says that some were gone by then.`,
      tag: 'stream',
      role: 'viewer',
      query: z.strictObject({
        events: z
          .string()
          .optional()
          .openapi({ description: 'kinds, or what they begin with, with commas', example: 'run:finished,alert' }),
        job: z.string().optional().openapi({ description: 'events of this job only' }),
      }),
      answers: { 200: { description: 'events without end', content: { [eventStreamType]: z.string() } } },
    },
    async ({ query, context, gone }) => {
      if (clients >= mostClients) {
        throw new Refusal(new Diagnostic('too_busy', `${mostClients} clients listen already`), { headers: { 'Retry-After': '10' } });
      }
      const wants = filterOf(query.events, query.job);
      const after = context.env.incoming.headers['last-event-id'];
      const chunks = ring.follow({ after: typeof after === 'string' ? after : undefined, wants, over: AbortSignal.any([gone, draining]) });
      clients += 1;
      try {
        return await pour(context, { headers: eventStreamHeaders, chunks, clock: parts.clock, stallMs: limits.stallMs, heartbeat });
      } finally {
        clients -= 1;
      }
    },
  );
}

type Wants = (event: KeptEvent) => boolean;

function filterOf(events: string | undefined, job: string | undefined): Wants {
  const words = events?.split(',').map((word) => word.trim());
  const unknown = words?.find((word) => !kinds.some((kind) => isOf(kind, word)));
  if (unknown !== undefined) {
    throw new Refusal(new Diagnostic('invalid_value', `there is no event ${JSON.stringify(unknown)}`, { hint: kinds.join(', ') }));
  }
  return ({ kind, job: about }) =>
    (words === undefined || words.some((word) => isOf(kind, word))) &&
    (job === undefined || (about !== null && nameKey(about) === nameKey(job)));
}

/** `run` stands for all of `run:opened`, .. */
function isOf(kind: string, word: string): boolean {
  return kind === word || kind.startsWith(`${word}:`);
}

// ---- The ring ----

interface KeptEvent {
  readonly number: number;
  readonly kind: SchedulerEvent;
  /** The job that it is about. */
  readonly job: string | null;
  readonly data: JsonObject;
  /** Written once, for all who read it. */
  text: string | undefined;
}

class EventRing {
  /** Of this start of the daemon: ids of another one mean nothing here. */
  readonly #epoch = randomBytes(4).toString('hex');
  readonly #kept = new Array<KeptEvent | undefined>(mostKept);
  #next = 1;
  readonly #waiting = new Set<() => void>();
  readonly #stops: (() => void)[];

  constructor(events: Pick<Events, 'on'>) {
    this.#stops = kinds.map((kind) => events.on(kind, (detail) => this.#keep(kind, detail)));
  }

  close(): void {
    for (const stop of this.#stops.splice(0)) stop();
    this.#wake();
  }

  /** Texts of events, several at once where there are several. */
  async *follow({
    after,
    wants,
    over,
  }: {
    readonly after: string | undefined;
    readonly wants: Wants;
    readonly over: AbortSignal;
  }): AsyncGenerator<string, void, undefined> {
    const wake = (): void => this.#wake();
    over.addEventListener('abort', wake);
    try {
      let number = this.#after(after);
      if (number === undefined) {
        yield eventText({ id: this.#idOf(this.#next - 1), event: 'missed', data: { count: null } });
        number = this.#next;
      }
      while (!over.aborted) {
        const oldest = Math.max(1, this.#next - mostKept);
        if (number < oldest) {
          yield eventText({ id: this.#idOf(oldest - 1), event: 'missed', data: { count: oldest - number } });
          number = oldest;
        }
        let text = '';
        for (const end = Math.min(this.#next, number + mostAtOnce); number < end; number++) {
          const event = this.#kept[number % mostKept];
          if (event !== undefined && wants(event)) text += this.#textOf(event);
        }
        if (text !== '') yield text;
        else if (number === this.#next) await new Promise<void>((resolve) => this.#waiting.add(resolve));
      }
    } finally {
      over.removeEventListener('abort', wake);
    }
  }

  /** Where to go on; undefined: that cannot be told. */
  #after(id: string | undefined): number | undefined {
    if (id === undefined) return this.#next;
    const [epoch, number] = id.split('-');
    if (epoch !== this.#epoch || !/^\d{1,15}$/.test(number ?? '') || Number(number) >= this.#next) return undefined;
    return Number(number) + 1;
  }

  #idOf(number: number): string {
    return `${this.#epoch}-${number}`;
  }

  #textOf(event: KeptEvent): string {
    event.text ??= eventText({ id: this.#idOf(event.number), event: event.kind, data: event.data });
    return event.text;
  }

  #keep<Kind extends SchedulerEvent>(kind: Kind, detail: SchedulerEvents[Kind]): void {
    const told = tellers[kind](detail);
    if (told === undefined) return;
    this.#kept[this.#next % mostKept] = { number: this.#next, kind, text: undefined, ...told };
    this.#next += 1;
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }
}

// ---- What is told of each, in the words of the API ----

type Told = Pick<KeptEvent, 'job' | 'data'> | undefined;

const ofAll = (data: JsonObject = {}): Told => ({ job: null, data });
const ofJob = (job: string, data: JsonObject = {}): Told => ({ job, data: { schedule: job, ...data } });

const runOf = (run: OpenRun, more: JsonObject = {}): Told => ({
  job: run.schedule,
  data: {
    run_id: run.runId,
    schedule: nameOf(run),
    trigger: run.trigger,
    scheduled_at: formatInstant(run.scheduledAt),
    attempt: run.attempt,
    queue: run.queue,
    ...more,
  },
});

const tellers: { readonly [Kind in SchedulerEvent]: (detail: SchedulerEvents[Kind]) => Told } = {
  'scheduler:started': ({ schedules }) => ofAll({ schedules }),
  'scheduler:paused': () => ofAll(),
  'scheduler:resumed': () => ofAll(),
  'scheduler:stopped': () => ofAll(),
  // Most do nothing but say that time passes.
  'tick:done': ({ opened, skipped, lagMs }) => (opened + skipped === 0 ? undefined : ofAll({ opened, skipped, lag_ms: lagMs })),
  'run:opened': (run) => runOf(run),
  'run:started': ({ run, startedAt }) => runOf(run, { started_at: formatInstant(startedAt) }),
  'run:progress': ({ run, fraction, message }) => runOf(run, { progress: fraction, progress_message: message }),
  'run:finished': (run) => ({
    job: run.schedule,
    data: {
      run_id: run.runId,
      schedule: nameOf(run),
      trigger: run.trigger,
      scheduled_at: formatInstant(run.scheduledAt),
      attempt: run.attempt,
      state: run.state,
      reason: run.reason,
      final: run.final,
      rows_changed: run.rowsChanged,
      duration_ms: run.durationMs,
    },
  }),
  'definitions:changed': () => ofAll(),
  'schedule:unreadable': ({ schedule, message }) => ofJob(schedule, { message }),
  'schedule:disabled': ({ schedule, reason }) => ofJob(schedule, { reason }),
  'clock:behind': ({ now, watermark }) => ofAll({ now: formatInstant(now), watermark: formatInstant(watermark) }),
  'clock:believed': ({ now, watermark }) => ofAll({ now: formatInstant(now), watermark: formatInstant(watermark) }),
  'ledger:trouble': ({ during, message }) => ofAll({ during, message }),
  'ledger:recovered': () => ofAll(),
  'storage:low': ({ freeBytes, neededBytes }) => ofAll({ free_bytes: freeBytes, needed_bytes: neededBytes }),
  'storage:enough': () => ofAll(),
  'alert:raised': (alert) => alertOf(alert),
  'alert:cleared': (alert) => alertOf(alert),
};

const kinds = Object.keys(tellers) as SchedulerEvent[];

function alertOf({ rule, schedule, runId, since, endedAt, detail }: SchedulerEvents['alert:raised']): Told {
  const ended = endedAt === null ? null : formatInstant(endedAt);
  return { job: schedule, data: { rule, schedule, run_id: runId, since: formatInstant(since), ended_at: ended, detail } };
}
