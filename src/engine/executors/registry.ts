// What `exe:` may name beside SQL, procedures and pipelines. The built-in kinds stand here like those that a host adds.

import { Diagnostic } from '../../core/diagnostic.ts';
import type { Executor } from './executor.ts';

/** Words that mean something else. */
const reserved = ['sql', 'procedure', 'pipeline', 'command', 'handler'];

export class Registry {
  readonly #executors = new Map<string, Executor>();

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
    const key = name.toLowerCase();
    if (reserved.includes(key) || !/^[a-z_][a-z0-9_]*$/.test(key)) {
      throw new Diagnostic('invalid_name', `an executor cannot be called '${name}'`, {
        hint: reserved.includes(key) ? 'the name is taken by a built-in kind' : 'a plain word: http_request',
      });
    }
    if (this.#executors.has(key)) throw new Diagnostic('duplicate_object', `there is an executor ${name} already`);
    this.#executors.set(key, executor);
    return () => this.#executors.delete(key);
  }

  addBuiltIn(name: 'command' | 'handler', executor: Executor): void {
    this.#executors.set(name, executor);
  }
}
