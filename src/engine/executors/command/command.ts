// `command: ['program', 'argument']` and `command: 'text for a shell'`: invocation -> runner -> what it has come to.

import { createHash, randomBytes } from 'node:crypto';
import { dirname } from 'node:path';
import type { RunError } from '../../../scheduler/run.ts';
import { type Executor, type Task, TaskEnd, type TaskTarget } from '../executor.ts';
import { checkCommand } from './definition.ts';
import { invocationOf } from './invocation.ts';
import type { CommandReport, Enforcement } from './messages.ts';
import { Runner } from './runner.ts';

export interface CommandParts {
  /** What every command inherits. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** The database's; `:memory:` has none. Commands run in its folder unless they name another. */
  readonly file: string;
  /** For tests: what is tried to limit commands and to find their processes; everything without it. */
  readonly enforcement?: Enforcement;
}

/** Of the last line, in the result. */
const mostOfLastLine = 1_000;
/** Where the log does not say. */
const defaultMostLines = 10_000;

export class CommandExecutor implements Executor {
  readonly #runner: Runner;
  readonly #home: string;
  /** Of this file: the same run id in a copy of it is another run. */
  readonly #fileMark: string;

  constructor({ environment, file, enforcement = 'cgroup' }: CommandParts) {
    const inherited = Object.entries(environment).filter(
      (entry): entry is [string, string] => entry[1] !== undefined && !isOfARun(entry[0]),
    );
    this.#runner = new Runner({ environment: Object.fromEntries(inherited), enforcement });
    const inMemory = file === ':memory:';
    this.#home = inMemory ? process.cwd() : dirname(file);
    this.#fileMark = inMemory ? randomBytes(4).toString('hex') : createHash('sha256').update(file).digest('hex').slice(0, 8);
  }

  validate(target: TaskTarget): readonly string[] {
    return checkCommand(target);
  }

  async execute(task: Task): Promise<TaskEnd> {
    const command = {
      ...invocationOf(task, this.#home),
      mark: `${this.#markOf(task.runId)}${randomBytes(6).toString('hex')}`,
      sweeps: task.retryOf === null || task.retryOf === undefined ? [] : [this.#markOf(task.retryOf)],
      resources: task.resources,
      mostLines: task.mostLines ?? defaultMostLines,
      secrets: task.secrets,
    };
    const report = await this.#runner.run(command, {
      signal: task.signal,
      onLines: (dropped, lines) => {
        if (dropped > 0) task.drop?.(dropped);
        for (const { stream, text } of lines) task.log({ stream, level: stream === 'stdout' ? 'info' : 'warn', text });
      },
    });
    return endOf(report);
  }

  /** Commands that still run are ended. Safe to call twice. */
  close(): Promise<void> {
    return this.#runner.close();
  }

  #markOf(runId: string): string {
    return `${this.#fileMark}.${runId}.`;
  }
}

/** Of a run around this one. */
function isOfARun(name: string): boolean {
  return /^CUCKOO_(?:PARAM_.*|RUN_ID|SCHEDULE|SCHEDULED_AT|PREVIOUS_AT|ATTEMPT|LAST_SUCCESS_AT|PARENT_RUN_ID|STEP|ITEM)$/.test(name);
}

function endOf(report: CommandReport): TaskEnd {
  const { exitCode, lastLine, cpuMs, peakMemoryBytes, memoryExceeded, refusal } = report;
  const error = errorOf(report);
  const survived = error === null && memoryExceeded !== null;
  return new TaskEnd({
    result: refusal === null ? { exit_code: exitCode, last_line: lastLine === null ? null : lastLine.slice(0, mostOfLastLine) } : null,
    error,
    cpuMs,
    peakMemoryBytes,
    notes: survived ? [...report.notes, `a process of it was ended, because ${tooMuch(memoryExceeded)}`] : report.notes,
  });
}

function errorOf({ refusal, exitCode, signal, memoryExceeded, lastErrorLines }: CommandReport): RunError | null {
  if (refusal !== null)
    return { code: refusal.code, message: refusal.message, detail: refusal.hint === null ? null : { hint: refusal.hint } };
  if (exitCode === 0) return null;
  const detail = { exit_code: exitCode, signal, stderr: lastErrorLines };
  if (memoryExceeded !== null) return { code: 'out_of_memory', message: `it was ended, because ${tooMuch(memoryExceeded)}`, detail };
  const how = signal === null ? `exit code ${exitCode}` : `ended by ${signal}`;
  const last = lastErrorLines.at(-1);
  return { code: 'run_failed', message: last === undefined ? how : `${how}: ${last.slice(0, mostOfLastLine)}`, detail };
}

function tooMuch({ allowedBytes, takenBytes }: NonNullable<CommandReport['memoryExceeded']>): string {
  const allowed = `${megabytes(allowedBytes)} of memory`;
  return takenBytes === null
    ? `it needed more than the ${allowed} that it is allowed`
    : `it took ${megabytes(takenBytes)} of the ${allowed} that it is allowed`;
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1_000_000)} MB`;
}
