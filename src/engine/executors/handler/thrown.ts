// What a handler has thrown, as its run's row keeps it. JavaScript lets anything be thrown, and what is thrown may throw again when
// it is looked at. It imports almost nothing, because it runs where the handler ran, and only plain data comes back from there.

import { inspect, types } from 'node:util';
import { Diagnostic } from '../../../core/diagnostic.ts';
import type { JsonObject, JsonValue } from '../../../core/jsonValue.ts';
import type { RunError } from '../../../scheduler/run.ts';

const mostCharacters = 16_384;
const deepestCause = 8;
const mostErrors = 10;

export function thrownError(thrown: unknown): RunError {
  try {
    if (thrown instanceof Diagnostic) return { code: thrown.code, message: cut(thrown.message), detail: detailOf(thrown, 0) };
    if (isError(thrown)) return { code: 'run_failed', message: messageOf(thrown), detail: detailOf(thrown, 0) };
    const message = typeof thrown === 'string' && thrown !== '' ? cut(thrown) : `it threw ${shown(thrown)}`;
    return { code: 'run_failed', message, detail: typeof thrown === 'object' && thrown !== null ? { thrown: shown(thrown) } : null };
  } catch {
    return { code: 'run_failed', message: `it threw a ${typeof thrown} that cannot be looked at`, detail: null };
  }
}

function isError(value: unknown): value is Error {
  return value instanceof Error || types.isNativeError(value);
}

function messageOf(error: Error): string {
  const { message, name } = error;
  return typeof message === 'string' && message !== '' ? cut(message) : cut(String(name));
}

function detailOf(error: Error, depth: number): JsonObject {
  const { name, stack, cause } = error;
  const errors: unknown = 'errors' in error ? error.errors : undefined;
  return {
    name: cut(String(name)),
    ...(typeof stack === 'string' ? { stack: cut(ownStack(stack)) } : {}),
    ...(error instanceof Diagnostic && error.hint !== undefined ? { hint: cut(error.hint) } : {}),
    ...fieldsOf(error),
    ...(cause === undefined || depth >= deepestCause ? {} : { cause: causeOf(cause, depth + 1) }),
    ...(Array.isArray(errors) && depth < deepestCause
      ? { errors: errors.slice(0, mostErrors).map((each) => causeOf(each, depth + 1)) }
      : {}),
  };
}

function causeOf(cause: unknown, depth: number): JsonValue {
  return isError(cause) ? { message: messageOf(cause), ...detailOf(cause, depth) } : shown(cause);
}

/** `code`, `status` and the like, which say more than words; a Diagnostic has said all that matters. */
function fieldsOf(error: Error): JsonObject {
  if (error instanceof Diagnostic) return {};
  const fields = Object.entries(error).filter(([name, value]) => !said.has(name) && ['string', 'number', 'boolean'].includes(typeof value));
  return Object.fromEntries(fields.slice(0, 20).map(([name, value]) => [name, typeof value === 'string' ? cut(value) : value]));
}

const said: ReadonlySet<string> = new Set(['name', 'message', 'stack', 'cause', 'errors']);

/** Without what stands below the handler: our own frames tell nobody anything. */
function ownStack(stack: string): string {
  return stack
    .split('\n')
    .filter((line) => !/^\s+at .*(?:\/executors\/handler\/|\/executors\/patience\.|\/tinypool\/|\(?node:internal\/)/.test(line))
    .join('\n');
}

function shown(value: unknown): string {
  try {
    return cut(inspect(value, { depth: 2, maxArrayLength: 20, maxStringLength: 1000 }));
  } catch {
    return `a ${typeof value}`;
  }
}

function cut(text: string): string {
  return text.length <= mostCharacters ? text : `${text.slice(0, mostCharacters)} ..`;
}
