// `handler: ..` and `exe: handler`: JavaScript that a run calls. A plain name is a function that the host has registered, and runs
// in this process; a path is a module, and runs in a thread, or in a process of its own.

import { Diagnostic } from '../../../core/diagnostic.ts';
import { suggest } from '../../../parser/suggest.ts';
import type { Clock } from '../../../scheduler/clock.ts';
import { type Executor, type Task, TaskEnd, type TaskTarget } from '../executor.ts';
import { Functions, runFunction } from './functions.ts';
import type { Handler } from './messages.ts';
import { exists, type HandlerModule, moduleOf, notThere } from './module.ts';
import type { Processes } from './processes.ts';
import type { Threads } from './threads.ts';
import { thrownError } from './thrown.ts';

export interface HandlerParts {
  readonly clock: Clock;
  /** Where relative paths start. */
  readonly folder: string;
  /** Where programs are looked for. */
  readonly path?: string | undefined;
}

export class Handlers implements Executor {
  readonly #parts: HandlerParts;
  readonly #functions = new Functions();
  #threads: Promise<Threads> | undefined;
  #processes: Promise<Processes> | undefined;

  constructor(parts: HandlerParts) {
    this.#parts = parts;
  }

  /** `db.handler(name, fn)`. Answers how to take it away. */
  add(name: string, handler: Handler): () => void {
    return this.#functions.add(name, handler);
  }

  /** What is not there may come later: it is worth a warning only. */
  validate({ call, isolation }: TaskTarget): readonly string[] {
    const name = textOf(call);
    if (this.#functions.find(name) !== undefined) {
      if (isolation === 'process') throw inThisProcess(name);
      return [];
    }
    if (isolation === 'none' || isPlainName(name)) return [this.#notRegistered(name).message];
    const module = moduleOf(name, this.#parts.folder);
    return exists(module) ? [] : [notThere(module).message];
  }

  async execute(task: Task): Promise<unknown> {
    try {
      const name = textOf(task.call);
      const registered = this.#functions.find(name);
      if (registered !== undefined) {
        if (task.isolation === 'process') throw inThisProcess(name);
        return await runFunction(registered, task, this.#parts.clock);
      }
      if (task.isolation === 'none' || isPlainName(name)) throw this.#notRegistered(name);
      const module = moduleOf(name, this.#parts.folder);
      return await this.#runModule(task, module);
    } catch (error) {
      return new TaskEnd({ error: thrownError(error) });
    }
  }

  /** Ends all threads and processes. Safe to call twice. */
  async close(): Promise<void> {
    await Promise.all([(await this.#threads)?.close(), (await this.#processes)?.close()]);
  }

  /** Threads and processes cost a file's start nothing: what they need is loaded with the first of them. */
  async #runModule(task: Task, module: HandlerModule): Promise<TaskEnd> {
    const { clock, path } = this.#parts;
    if (task.isolation === 'process') {
      this.#processes ??= import('./processes.ts').then(({ Processes }) => new Processes({ clock, path }));
      return (await this.#processes).run(task, module);
    }
    this.#threads ??= import('./threads.ts').then(({ Threads }) => new Threads(clock));
    return (await this.#threads).run(task, module);
  }

  #notRegistered(name: string): Diagnostic {
    const near = suggest(name, this.#functions.names);
    return new Diagnostic('undefined_object', `no handler ${name} is registered in this process`, {
      hint: `${near === undefined ? '' : `did you mean ${near}? `}register it before the scheduler starts: open(path, { handlers: { ${isPlainName(name) ? name : 'name'}: fn } }); a module is named by its path: './jobs/${isPlainName(name) ? name : 'sync'}.js'`,
    });
  }
}

function textOf(call: string | readonly string[]): string {
  if (typeof call === 'string') return call;
  throw new Diagnostic('wrong_type', 'a handler is named by a text, not a list', { hint: "handler: './jobs/sync.js'" });
}

function isPlainName(call: string): boolean {
  return /^[a-z_][\w-]*$/i.test(call);
}

function inThisProcess(name: string): Diagnostic {
  return new Diagnostic('invalid_value', `${name} is a function of this process, and cannot run in a process of its own`, {
    hint: 'leave isolation out, or name a module: a file runs in a thread or in a process',
  });
}
