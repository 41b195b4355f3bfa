// Handlers that are functions of this process: `db.handler('name', fn)`. They cost microseconds, and are trusted: what they do to
// the process they do to the scheduler.

import { Diagnostic } from '../../../core/diagnostic.ts';
import type { Clock } from '../../../scheduler/clock.ts';
import { type Task, TaskEnd } from '../executor.ts';
import { patiently } from '../patience.ts';
import { type Handler, type HandlerContext, valuesOf } from './messages.ts';
import { thrownError } from './thrown.ts';

/** So long is waited for a function that was told to end. */
const patienceMs = 1_000;

export class Functions {
  readonly #functions = new Map<string, Handler>();

  find(name: string): Handler | undefined {
    return this.#functions.get(name.toLowerCase());
  }

  get names(): string[] {
    return [...this.#functions.keys()];
  }

  /** Answers how to take it away. */
  add(name: string, handler: Handler): () => void {
    if (typeof name !== 'string' || typeof handler !== 'function') {
      throw new Diagnostic('usage', 'handler(): a name, and a function', { hint: "handler('sync', async (context) => ..)" });
    }
    if (!/^[a-z_][\w-]*$/i.test(name)) {
      throw new Diagnostic('invalid_name', `a handler cannot be called '${name}'`, {
        hint: 'a plain word: sync_orders; what has a dot or a slash is the path of a module',
      });
    }
    const key = name.toLowerCase();
    if (this.#functions.has(key)) throw new Diagnostic('duplicate_object', `there is a handler ${name} already`);
    this.#functions.set(key, handler);
    return () => {
      if (this.#functions.get(key) === handler) this.#functions.delete(key);
    };
  }
}

/** Its value, or how it ended. */
export async function runFunction(handler: Handler, task: Task, clock: Clock): Promise<unknown> {
  try {
    const ended = await patiently(() => handler(contextOf(task)), task.signal, clock, patienceMs);
    if (ended.kind === 'settled') return ended.value;
    return new TaskEnd({
      notes: [
        `it did not settle within ${patienceMs / 1000} s after it was told to end, and was given up: what it still does goes on unseen`,
      ],
    });
  } catch (error) {
    return new TaskEnd({ error: thrownError(error) });
  }
}

function contextOf(task: Task): HandlerContext {
  return {
    ...valuesOf(task),
    signal: task.signal,
    progress: (fraction, message) => task.progress(fraction, message),
    services: task.services,
  };
}
