// Handlers in threads. tinypool keeps them, and not piscina: it does as much here and brings nothing along, while piscina brings native
// packages for a dozen platforms; it misses that a thread ends by itself, which is watched for here. There is a pool for each module,
// because a thread cannot forget what it has imported: when a module changes, its pool is replaced, and so no handler ever meets the
// globals of another.
//
// Measured on two cores: a run in a thread that is there takes 0.4 ms of CPU, one that needs a new thread 40 ms. So threads stay for
// a while.

import { MessageChannel } from 'node:worker_threads';
import type { Tinypool } from 'tinypool';
import { Diagnostic } from '../../../core/diagnostic.ts';
import type { Clock, Timer } from '../../../scheduler/clock.ts';
import { type Resources, type Task, TaskEnd } from '../executor.ts';
import { computedMs, letThreadGiveWay } from '../niceness.ts';
import { attend, type GuestAnswer } from './attendant.ts';
import { entryOf } from './entry.ts';
import type { ThreadTask } from './guest/thread.ts';
import { type FromGuest, valuesOf } from './messages.ts';
import { exists, type HandlerModule, notThere } from './module.ts';
import { thrownError } from './thrown.ts';

/** What a handler may take to end by itself once it was told to. */
export const graceMs = 1_000;

/** A thread that nobody needs ends. */
const idleMs = 10_000;
/** So many modules whose threads have nothing to do keep them. */
const mostIdlePools = 8;
/** Between two looks at what the thread of a run computes. */
const lookEveryMs = 100;
/** More at once wait for a thread; the scheduler's `workers` are fewer. */
const mostThreads = 256;

export class Threads {
  readonly #clock: Clock;
  /** By module and limit, the one that was used last at the end. */
  readonly #pools = new Map<string, Pool>();
  readonly #ending = new Set<Promise<void>>();
  #closed = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async run(task: Task, module: HandlerModule): Promise<TaskEnd> {
    for (;;) {
      const pool = await this.#poolOf(module, task.resources.memoryBytes);
      const ended = await pool.run(task, module).finally(() => this.#tidy());
      if (ended.kind === 'end') return ended.end;
      // Its runs end with the module that they began with.
      this.#retire(pool);
    }
  }

  /** Ends all threads. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const pool of this.#pools.values()) this.#retire(pool);
    await Promise.all(this.#ending);
  }

  async #poolOf(module: HandlerModule, memoryBytes: number | undefined): Promise<Pool> {
    const key = `${memoryBytes ?? ''} ${module.path}`;
    const found = this.#pools.get(key);
    if (found !== undefined) {
      this.#pools.delete(key);
      this.#pools.set(key, found);
      return found;
    }
    if (!exists(module)) throw notThere(module);
    const { Tinypool } = await import('tinypool');
    if (this.#closed) throw new Diagnostic('closed', 'the database is closed');
    const made = this.#pools.get(key) ?? new Pool(key, Tinypool, this.#clock, memoryBytes);
    this.#pools.set(key, made);
    return made;
  }

  #retire(pool: Pool): void {
    if (this.#pools.get(pool.key) === pool) this.#pools.delete(pool.key);
    const ending = pool.close();
    this.#ending.add(ending);
    void ending.finally(() => this.#ending.delete(ending));
  }

  #tidy(): void {
    const idle = [...this.#pools.values()].filter((pool) => pool.isIdle);
    for (const pool of idle.slice(0, Math.max(idle.length - mostIdlePools, 0))) this.#retire(pool);
  }
}

type Ended = { readonly kind: 'stale' } | { readonly kind: 'end'; readonly end: TaskEnd };

class Pool {
  readonly key: string;
  readonly #clock: Clock;
  readonly #pool: Tinypool;
  readonly #memoryBytes: number | undefined;
  readonly #running = new Set<ThreadRun>();
  readonly #ends = new WeakMap<PooledThread, Promise<void>>();
  #idle: (() => void) | undefined;
  #closing: Promise<void> | undefined;

  constructor(key: string, Pools: typeof Tinypool, clock: Clock, memoryBytes: number | undefined) {
    this.key = key;
    this.#clock = clock;
    this.#memoryBytes = memoryBytes;
    const megabytes = memoryBytes === undefined ? undefined : Math.max(Math.floor(memoryBytes / 1024 / 1024), 8);
    this.#pool = new Pools({
      filename: entryOf('thread'),
      minThreads: 0,
      maxThreads: mostThreads,
      idleTimeout: idleMs,
      ...(megabytes === undefined
        ? {}
        : { resourceLimits: { maxOldGenerationSizeMb: megabytes, maxYoungGenerationSizeMb: Math.max(Math.floor(megabytes / 8), 2) } }),
    });
    // A thread that failed before it had a task, such as one with too little memory to begin: it may have been any waiting run's.
    this.#pool.on('error', (error: unknown) => {
      for (const run of this.#running) if (!run.hasBegun) run.fail(error);
    });
  }

  get isIdle(): boolean {
    return this.#running.size === 0;
  }

  /** When its runs have ended. Safe to call twice. */
  close(): Promise<void> {
    this.#closing ??= (async () => {
      if (!this.isIdle) {
        await new Promise<void>((resolve) => {
          this.#idle = resolve;
        });
      }
      await this.#pool.destroy();
    })();
    return this.#closing;
  }

  async run(task: Task, module: HandlerModule): Promise<Ended> {
    const run = new ThreadRun(task, module, this.#clock);
    this.#running.add(run);
    try {
      // Of itself it makes a new thread whenever none is idle, also where enough are on their way: 37 for 8 runs at once.
      this.#pool.options.maxThreads = Math.min(this.#running.size, mostThreads);
      const answered = run.in(this.#pool, (threadId) => this.#endOf(threadId));
      this.#watchThreads();
      const answer = await answered;
      if (answer.kind === 'stale') return answer;
      const { end } = answer;
      const error = end.error?.detail === outOfMemory ? { ...end.error, message: this.#outOfMemory(), detail: null } : end.error;
      return { kind: 'end', end: new TaskEnd({ ...end, error, notes: [...end.notes, ...unenforced(task.resources)] }) };
    } finally {
      this.#running.delete(run);
      if (this.isIdle) this.#idle?.();
    }
  }

  /** tinypool does not hear of a thread that ends by itself. */
  #watchThreads(): void {
    for (const thread of threadsOf(this.#pool)) {
      if (this.#ends.has(thread)) continue;
      const { threadId } = thread;
      const end = new Promise<void>((resolve) => thread.once('exit', resolve));
      this.#ends.set(thread, end);
      // What it has said last is heard first.
      void end.then(() => this.#clock.yieldTurn()).then(() => this.#ended(threadId));
    }
  }

  /** undefined: it has not begun, or nobody keeps it any more. */
  #endOf(threadId: number): Promise<void> | undefined {
    const thread = threadsOf(this.#pool).find((each) => each.threadId === threadId);
    return thread === undefined ? undefined : this.#ends.get(thread);
  }

  #ended(threadId: number): void {
    for (const run of this.#running) if (run.threadId === threadId) run.fail(new Error('its thread ended before it answered'));
  }

  #outOfMemory(): string {
    const limit =
      this.#memoryBytes === undefined ? 'Node allows a thread' : `its limit of ${Math.round(this.#memoryBytes / 1024 / 1024)} MB`;
    return `its thread took more memory than ${limit}`;
  }
}

const outOfMemory = 'out of memory';

/** What is used of tinypool's threads, which are typed as if they might be processes. */
interface PooledThread {
  readonly threadId: number;
  once(event: 'exit', listener: () => void): void;
}

function threadsOf(pool: Tinypool): readonly PooledThread[] {
  return pool.threads as unknown as readonly PooledThread[];
}

class ThreadRun {
  readonly #task: Task;
  readonly #module: HandlerModule;
  readonly #clock: Clock;
  readonly #counts = new Int32Array(new SharedArrayBuffer(20));
  #settle: (answer: GuestAnswer) => void = () => {};
  readonly #answered: Promise<GuestAnswer>;

  constructor(task: Task, module: HandlerModule, clock: Clock) {
    this.#task = task;
    this.#module = module;
    this.#clock = clock;
    this.#answered = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  get hasBegun(): boolean {
    return Atomics.load(this.#counts, 2) === 1;
  }

  /** 0 before it has begun. */
  get threadId(): number {
    return Atomics.load(this.#counts, 3);
  }

  fail(error: unknown): void {
    const code = (error as { readonly code?: unknown } | null)?.code;
    const known = code === 'ERR_WORKER_OUT_OF_MEMORY' ? { code: 'out_of_memory', message: '', detail: outOfMemory } : thrownError(error);
    this.#settle(ended({ error: known }));
  }

  async in(pool: Tinypool, endOf: (threadId: number) => Promise<void> | undefined): Promise<GuestAnswer> {
    const task = this.#task;
    const { port1: port, port2 } = new MessageChannel();
    const counts = this.#counts;
    const hear = attend(task, (message) => port.postMessage(message));
    port.on('message', (message: FromGuest) => {
      const answer = hear(message);
      if (answer !== undefined) this.#settle(answer);
      if (message.kind === 'lines') {
        Atomics.add(counts, 1, 1);
        Atomics.notify(counts, 1);
      }
    });
    const stop = new AbortController();
    let timer: Timer | undefined;
    const onAbort = (): void => {
      port.postMessage({ kind: 'abort' });
      timer = this.#clock.after(graceMs, () => {
        this.#settle(ended({ notes: [`it did not end within ${graceMs / 1000} s after it was told to, and its thread was ended`] }));
      });
    };
    task.signal.addEventListener('abort', onAbort, { once: true });
    if (task.signal.aborted) onAbort();
    const watch = this.#watchComputing();
    const assignment: ThreadTask = { module: this.#module, values: valuesOf(task), port: port2, counts };
    const running = pool.run(assignment, { transferList: [port2], signal: stop.signal }).then(
      () => undefined,
      (error: unknown) => this.fail(error),
    );
    try {
      const answer = await this.#answered;
      if (answer.kind === 'end' && answer.end.reusable) {
        await running;
        return answer;
      }
      const end = endOf(this.threadId);
      stop.abort();
      // One that was never handed over has nobody else who would close it.
      port2.close();
      const isOver = end === undefined || (await this.#endsSoon(end));
      return isOver || answer.kind === 'stale' ? answer : withNote(answer, stuck);
    } finally {
      task.signal.removeEventListener('abort', onAbort);
      timer?.cancel();
      watch();
      port.close();
    }
  }

  /** One that computes and computes gives way, for as long as its thread lasts; a short one is not slowed down. Answers how to stop. */
  #watchComputing(): () => void {
    let before: number | undefined;
    let timer: Timer;
    const look = (): void => {
      const thread = Atomics.load(this.#counts, 4);
      const now = computedMs(thread);
      if (now !== undefined && before !== undefined && now - before > lookEveryMs / 2) {
        letThreadGiveWay(thread);
        return;
      }
      before = now;
      timer = this.#clock.after(lookEveryMs, look, { keepsProcessAlive: false });
    };
    timer = this.#clock.after(lookEveryMs, look, { keepsProcessAlive: false });
    return () => timer.cancel();
  }

  async #endsSoon(end: Promise<void>): Promise<boolean> {
    let timer: Timer | undefined;
    const late = new Promise<boolean>((resolve) => {
      timer = this.#clock.after(graceMs, () => resolve(false));
    });
    try {
      return await Promise.race([end.then(() => true), late]);
    } finally {
      timer?.cancel();
    }
  }
}

/** A call that does not return, such as execSync, cannot be interrupted. */
const stuck = 'its thread is inside of a call that cannot be interrupted, and ends when that returns';

function withNote(answer: Extract<GuestAnswer, { kind: 'end' }>, note: string): GuestAnswer {
  return { kind: 'end', end: { ...answer.end, notes: [...answer.end.notes, note] } };
}

/** What a schedule asks for and a thread cannot have. */
function unenforced({ cpu, memoryBytes, nice, io }: Resources): string[] {
  const words = Object.entries({ cpu, nice, io }).flatMap(([name, value]) => (value === undefined ? [] : [name]));
  return [
    ...(memoryBytes === undefined
      ? []
      : ['memory: in a thread the limit holds for what JavaScript allocates, not for buffers; isolation: process limits both']),
    ...(words.length === 0 ? [] : [`${words.join(', ')}: a thread cannot be limited so; isolation: process can`]),
  ];
}

function ended(details: Partial<Extract<GuestAnswer, { kind: 'end' }>['end']>): GuestAnswer {
  return { kind: 'end', end: { result: null, error: null, notes: [], cpuMs: null, peakMemoryBytes: null, reusable: false, ...details } };
}
