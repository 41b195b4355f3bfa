// What `env('..')` has given to a run stands in no row and in no log, also where the work itself says it: there it reads `***`.

import type { JsonValue } from '../../core/jsonValue.ts';
import type { Outcome } from '../../scheduler/run.ts';

const mask = '***';
/** Of a secret of several lines, what is shorter is no secret by itself: a bracket of a JSON text. */
const leastPiece = 6;

export class Secrets {
  /** In UTF-8: as much of a text has to be known to find any of them. */
  readonly longestBytes: number;
  readonly #pattern: RegExp | undefined;
  readonly #whole: ReadonlySet<string>;

  constructor(secrets: readonly string[]) {
    const pieces = secrets.flatMap((secret) => secret.split(/\r?\n/).filter((piece) => piece.trim().length >= leastPiece));
    // The longest first: where one begins with another, both are gone.
    const all = [...new Set([...secrets, ...pieces])].filter((secret) => secret !== '').sort((left, right) => right.length - left.length);
    this.#whole = new Set(all);
    this.#pattern = all.length === 0 ? undefined : new RegExp(all.map(escaped).join('|'), 'g');
    this.longestBytes = Math.max(0, ...all.map((secret) => Buffer.byteLength(secret)));
  }

  masked(text: string): string {
    return this.#pattern === undefined ? text : text.replace(this.#pattern, mask);
  }

  /** At most `length` characters of the text, and no part of a secret. */
  maskedStart(text: string, length: number): string {
    let end = length;
    for (const match of this.#pattern === undefined ? [] : text.matchAll(this.#pattern)) {
      if (match.index >= end) break;
      if (match.index + match[0].length > end) end = match.index;
    }
    return this.masked(text.slice(0, end));
  }

  maskedJson(value: JsonValue): JsonValue {
    if (this.#pattern === undefined || value === null || typeof value === 'boolean') return value;
    if (typeof value === 'string') return this.masked(value);
    // A typed parameter makes a number of it.
    if (typeof value === 'number') return this.#whole.has(String(value)) ? mask : value;
    if (Array.isArray(value)) return value.map((item: JsonValue) => this.maskedJson(item));
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [this.masked(key), this.maskedJson(inner)]));
  }

  maskedOutcome(outcome: Outcome): Outcome {
    if (this.#pattern === undefined) return outcome;
    const { reason, result, error, notes } = outcome;
    return {
      ...outcome,
      reason: reason === null ? null : this.masked(reason),
      result: this.maskedJson(result),
      error: error === null ? null : { ...error, message: this.masked(error.message), detail: this.maskedJson(error.detail) },
      ...(notes === undefined ? {} : { notes: notes.map((note) => this.masked(note)) }),
    };
  }
}

function escaped(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&');
}
