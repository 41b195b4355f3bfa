// From a run to what is started: the command with its parameters, the folder, the environment. Parameters are whole arguments or
// variables of the environment, and never the text of a shell: there is nothing to quote.

import { resolve } from 'node:path';
import { Diagnostic } from '../../../core/diagnostic.ts';
import { parseDuration } from '../../../core/duration.ts';
import type { JsonValue } from '../../../core/jsonValue.ts';
import type { Task } from '../executor.ts';
import { checkConfigValues, variableName, wholeParameter } from './definition.ts';
import type { CommandOrder } from './messages.ts';

/** SIGTERM first, and SIGKILL when so much time has passed. */
const defaultGraceMs = 5_000;

/** Of `$$name`, the text is `$name`. */
const escapedParameter = /^\$\$[A-Za-z_]\w*$/;

/** A kernel takes no longer argument or variable. */
const mostBytes = 128 * 1024 - 1;

export function invocationOf(task: Task, home: string): Pick<CommandOrder, 'call' | 'folder' | 'variables' | 'graceMs'> {
  checkConfigValues(task.config);
  const { cwd, env, grace } = task.config;
  const own = ownValues(task);
  const call = typeof task.call === 'string' ? task.call : task.call.map((element) => argumentOf(element, task, own));
  const variables: Record<string, string | null> = {};
  for (const [name, value] of Object.entries((env ?? {}) as Readonly<Record<string, JsonValue>>)) variables[name] = textOf(value);
  for (const [name, value] of Object.entries(task.params)) variables[`CUCKOO_PARAM_${variableName(name)}`] = textOf(value);
  for (const [name, value] of Object.entries(own)) variables[`CUCKOO_${variableName(name)}`] = value;
  for (const [name, value] of Object.entries(variables)) checkSize(name, value);
  return {
    call,
    folder: resolve(home, typeof cwd === 'string' ? cwd : '.'),
    variables,
    graceMs: typeof grace === 'string' ? parseDuration(grace) : defaultGraceMs,
  };
}

/** The values that every run has, under the names of LANGUAGE's `$name`. */
function ownValues(task: Task): Readonly<Record<string, string | null>> {
  return {
    run_id: task.runId,
    schedule: task.jobId,
    scheduled_at: task.scheduledAt.toISOString(),
    previous_at: task.previousAt?.toISOString() ?? null,
    attempt: String(task.attempt),
    last_success_at: task.lastSuccessAt?.toISOString() ?? null,
    parent_run_id: task.parentRunId,
    step: task.step,
    item: task.item === null ? null : String(task.item),
  };
}

function argumentOf(element: string, { params }: Task, own: Readonly<Record<string, string | null>>): string {
  if (escapedParameter.test(element)) return element.slice(1);
  const name = wholeParameter.exec(element)?.[1];
  if (name === undefined) return checked(element, 'an argument');
  const given = Object.entries(params).find(([known]) => known.toLowerCase() === name.toLowerCase());
  if (given !== undefined) return checked(textOf(given[1]) ?? '', `parameter ${given[0]}`);
  const value = own[name.toLowerCase()];
  if (value !== undefined) return value ?? '';
  throw new Diagnostic('undefined_parameter', `$${name} is no parameter of this command`, {
    hint: `give it: params: { ${name}: .. }; for the text itself write '$$${name}'`,
  });
}

/** Text as it is, all else as JSON; NULL is no value. */
function textOf(value: JsonValue): string | null {
  if (value === null) return null;
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function checkSize(name: string, value: string | null): void {
  const what = name.startsWith('CUCKOO_PARAM_') ? `parameter ${name.slice('CUCKOO_PARAM_'.length).toLowerCase()}` : `variable ${name}`;
  if (value !== null) checked(value, what, name.length + 1);
}

/** What a process can be given. */
function checked(text: string, what: string, before = 0): string {
  const at = text.indexOf('\0');
  if (at !== -1) {
    throw new Diagnostic('invalid_value', `${what} holds a NUL character (the ${at + 1}. one), which no process can be given`, {
      hint: 'write it into a file or a table, and give its name',
    });
  }
  const bytes = Buffer.byteLength(text) + before;
  if (bytes <= mostBytes) return text;
  throw new Diagnostic('too_large', `${what} has ${bytes} bytes, and a process takes at most ${mostBytes} in one`, {
    hint: 'write it into a file or a table, and give its name',
  });
}
