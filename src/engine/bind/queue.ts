// From UPSERT QUEUE to what the scheduler shares out: a weight among the queues, how much may run at once, how much may start.

import { Diagnostic } from '../../core/diagnostic.ts';
import { type DurationMs, parseDuration } from '../../core/duration.ts';
import type { ObjectValue, Value } from '../../parser/ast.ts';
import { Fields, inside, textOf } from './fields.ts';

export interface Queue {
  /** Its share of the workers when all are busy. */
  readonly weight: number;
  /** How many of its runs may be at work at once; null: as many as there are workers. */
  readonly concurrency: number | null;
  /** How many may start within a stretch of time; null: no limit. */
  readonly rate: Rate | null;
}

export interface Rate {
  readonly count: number;
  readonly perMs: DurationMs;
}

/** That of the queue `default`. */
const ordinaryWeight = 3;

export function bindQueue(definition: ObjectValue): Queue {
  const fields = new Fields(definition);
  const rate = fields.get('rate');
  return {
    weight: fields.integer('weight', 1, 1000) ?? ordinaryWeight,
    concurrency: fields.integer('concurrency', 1, 10_000) ?? null,
    rate: rate === undefined ? null : bindRate(rate),
  };
}

const rateHint = 'write how many runs may start in which time: 100 per 1m, 5 per second';

/** `100 per 1m`, `5 per second`. */
function bindRate(value: Value): Rate {
  const text = textOf(value, 'rate');
  const match = /^\s*(\d+)\s*(?:per|\/)\s*(.+?)\s*$/is.exec(text);
  const [, digits = '', length = ''] = match ?? [];
  if (match === null) throw new Diagnostic('invalid_value', `'rate' cannot be '${text}'`, { span: value.span, hint: rateHint });
  const count = Number(digits);
  if (count < 1 || count > 1_000_000) {
    throw new Diagnostic('invalid_value', `'rate' must allow from 1 to 1000000 starts, got ${digits}`, {
      span: value.span,
      hint: count < 1 ? 'PAUSE QUEUE name; stops a queue' : 'leave rate out for no limit',
    });
  }
  const perMs = inside(value, () => durationAt(text, length));
  if (perMs < 1 || perMs > longestRateMs) {
    throw new Diagnostic('invalid_value', `'rate' must name a time from 1ms to 31d, got ${length}`, { span: value.span, hint: rateHint });
  }
  return { count, perMs };
}

const longestRateMs = 31 * 86_400_000;

/** The length of time at the end of `text`; `minute` alone is one of them. */
function durationAt(text: string, length: string): DurationMs {
  const one = /^[a-z]+$/i.test(length);
  const start = text.lastIndexOf(length);
  try {
    return parseDuration(one ? `1 ${length}` : length);
  } catch (error) {
    if (error instanceof Diagnostic) throw error.at({ start, end: start + length.length });
    throw error;
  }
}
