// A command as a run gives it to its executor, and what it says.

import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { CommandExecutor } from '../../src/engine/executors/command/command.ts';
import type { Enforcement } from '../../src/engine/executors/command/messages.ts';
import type { Services, Task, TaskEnd, TaskLine } from '../../src/engine/executors/executor.ts';

export class TestCommands {
  readonly lines: TaskLine[] = [];
  dropped = 0;
  readonly #executor: CommandExecutor;
  #lookers: (() => void)[] = [];

  constructor(folder: string, enforcement: Enforcement = 'cgroup') {
    this.#executor = new CommandExecutor({ environment: { ...process.env }, file: `${folder}/my.duckdb`, enforcement });
  }

  run(call: Task['call'], parts: Partial<Task> = {}): Promise<TaskEnd> {
    return this.#executor.execute({
      jobId: 'test',
      executionId: runId,
      runId,
      exe: 'command',
      call,
      step: null,
      item: null,
      params: {},
      config: {},
      scheduledAt: new Date('2026-11-20T12:00:00Z'),
      previousAt: null,
      lastSuccessAt: null,
      parentRunId: null,
      attempt: 1,
      retryOf: null,
      resources: {},
      isolation: 'thread',
      timeoutMs: null,
      signal: new AbortController().signal,
      secrets: [],
      mostLines: 10_000,
      services: {} as Services,
      progress: () => undefined,
      log: (line) => {
        this.lines.push(line);
        for (const look of this.#lookers.splice(0)) look();
      },
      drop: (count) => {
        this.dropped += count;
      },
      ...parts,
    });
  }

  get texts(): string[] {
    return this.lines.map(({ text }) => text);
  }

  /** Answers when a line has come that is so. */
  async line(matches: RegExp): Promise<string> {
    for (;;) {
      const found = this.texts.find((text) => matches.test(text));
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => this.#lookers.push(resolve));
    }
  }

  close(): Promise<void> {
    return this.#executor.close();
  }
}

/** Of this process's tests: others run beside them. */
export const runId = randomUUID();

/** Whether there is a process of that number that has not ended; one that waits to be asked for has. */
export function isAlive(pid: number): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return false;
  }
}
