// `services.logger`: a message and its fields become one line. It takes whatever it is given, because a log must never be what
// a run fails of; and it imports almost nothing, because it also runs inside of the threads and processes of handlers.

import { inspect } from 'node:util';
import type { LogCall, Logger, LogLevel, TaskLine } from './executor.ts';

/** A line is read by people, in a table: what is longer is cut. */
export const mostLineCharacters = 16_384;

export function loggerOf(log: (line: TaskLine) => void): Logger {
  const at =
    (level: LogLevel): LogCall =>
    (message, fields) =>
      log({ stream: 'log', level, text: lineText(fields === undefined ? textOf(message) : `${textOf(message)} ${fieldsText(fields)}`) });
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

/** Safe to store and to show: no control character moves a terminal's cursor or ends a text. */
export function lineText(line: string): string {
  const left = line.length - mostLineCharacters;
  const kept = left <= 0 ? line : `${line.slice(0, mostLineCharacters)} .. (${left} more characters)`;
  return unsafe.test(kept) ? Buffer.from(kept.replaceAll(controls, escaped)).toString() : kept;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it looks for.
const controls = /[\0-\x08\x0b-\x1f\x7f]/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: the same, and halves of characters.
const unsafe = /[\0-\x08\x0b-\x1f\x7f\ud800-\udfff]/;

function escaped(character: string): string {
  return `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`;
}

function textOf(message: unknown): string {
  return typeof message === 'string' ? message : shown(message);
}

function fieldsText(fields: unknown): string {
  try {
    return JSON.stringify(fields, (_, value: unknown) => plain(value)) ?? shown(fields);
  } catch {
    return shown(fields);
  }
}

function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return String(value);
  return value instanceof Error ? { name: value.name, message: value.message, stack: value.stack } : value;
}

/** Never throws: what throws while it is looked at is not worth a run. */
function shown(value: unknown): string {
  try {
    return inspect(value, { depth: 4, breakLength: Number.POSITIVE_INFINITY, maxArrayLength: 100, maxStringLength: mostLineCharacters });
  } catch {
    return `a ${typeof value}`;
  }
}
