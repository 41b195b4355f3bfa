// What `exe:` may name beside SQL, procedures and pipelines. The built-in kinds stand here like those that a host adds; a host's own
// is trusted with nothing: what it throws, answers or never settles ends its run and nothing else.

import { Diagnostic } from '../../core/diagnostic.ts';
import { type Clock, systemClock } from '../../scheduler/clock.ts';
import { type Executor, type Task, TaskEnd, type TaskTarget } from './executor.ts';
import { patiently } from './patience.ts';

/** Words that mean something else. */
const reserved = ['sql', 'procedure', 'pipeline', 'command', 'handler'];

/** So long is waited for a host's executor that was told to end. */
const patienceMs = 5_000;

export class Registry {
  readonly #executors = new Map<string, Executor>();
  readonly #clock: Clock;

  constructor(clock: Clock = systemClock) {
    this.#clock = clock;
  }

  find(name: string): Executor | undefined {
    return this.#executors.get(name.toLowerCase());
  }

  has(name: string): boolean {
    return this.find(name) !== undefined;
  }

  /** Those that a host has added. */
  get names(): string[] {
    return [...this.#executors.keys()].filter((name) => !reserved.includes(name));
  }

  /** A host's own. Answers how to take it away. */
  add(name: string, executor: Executor): () => void {
    mustBeExecutor(name, executor);
    const key = name.toLowerCase();
    if (reserved.includes(key) || !/^[a-z_][a-z0-9_]*$/.test(key)) {
      throw new Diagnostic('invalid_name', `an executor cannot be called '${name}'`, {
        hint: reserved.includes(key) ? 'the name is taken by a built-in kind' : 'a plain word: http_request',
      });
    }
    if (this.#executors.has(key)) throw new Diagnostic('duplicate_object', `there is an executor ${name} already`);
    const guarded = hosted(executor, this.#clock);
    this.#executors.set(key, guarded);
    return () => {
      if (this.#executors.get(key) === guarded) this.#executors.delete(key);
    };
  }

  addBuiltIn(name: 'command' | 'handler', executor: Executor): void {
    this.#executors.set(name, executor);
  }

  /** Asks the target's executor: throws what is wrong, answers what is worth a warning. */
  async validate(target: TaskTarget): Promise<readonly string[]> {
    const executor = this.find(target.exe);
    if (executor?.validate === undefined) return [];
    const never = new AbortController();
    const timer = this.#clock.after(patienceMs, () => never.abort());
    try {
      const answered = await patiently(() => executor.validate?.(target), never.signal, this.#clock, 0);
      if (answered.kind === 'given up') {
        throw new Diagnostic('timed_out', `the executor ${target.exe} did not say within ${patienceMs / 1000} s whether this is right`);
      }
      return Array.isArray(answered.value) ? answered.value.map(String) : [];
    } finally {
      timer.cancel();
    }
  }
}

function hosted(executor: Executor, clock: Clock): Executor {
  const execute = async (task: Task): Promise<unknown> => {
    const ended = await patiently(() => executor.execute(task), task.signal, clock, patienceMs);
    if (ended.kind === 'settled') return ended.value;
    return new TaskEnd({
      notes: [`the executor ${task.exe} did not end within ${patienceMs / 1000} s and was given up: what it still does goes on unseen`],
    });
  };
  return { execute, validate: (target) => executor.validate?.(target) };
}

/** Callers without types. */
function mustBeExecutor(name: unknown, executor: unknown): void {
  const { execute, validate } = (executor ?? {}) as { readonly execute?: unknown; readonly validate?: unknown };
  if (typeof name === 'string' && typeof execute === 'function' && (validate === undefined || typeof validate === 'function')) return;
  throw new Diagnostic('usage', 'executor(): a name, and what it does', {
    hint: "executor('http_request', { execute: async (task) => .., validate: (target) => .. })",
  });
}
