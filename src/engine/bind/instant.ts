// An instant as a statement has it: with an offset, as the clocks of a zone show it, or an expression, which DuckDB evaluates.

import { Diagnostic } from '../../core/diagnostic.ts';
import type { Instant } from '../../core/instant.ts';
import type { InstantValue, StringValue, TimeExpression, TimeValue } from '../../parser/ast.ts';
import { parseCadence } from '../../scheduler/cadence/cadence.ts';
import type { Connection } from '../store/duckdb/connection.ts';
import { TimestampTz, type Value } from '../value.ts';
import { inside, wrongType } from './fields.ts';

/** FROM .. TO: expressions are evaluated once, before anything is done. */
export async function bindStretch(
  { from, to }: { readonly from: TimeValue; readonly to: TimeValue },
  zone: string,
  connection: Connection,
): Promise<readonly [from: Instant, to: Instant]> {
  const first = await bindInstant(from, 'FROM', zone, connection);
  const last = await bindInstant(to, 'TO', zone, connection);
  if (last < first) throw new Diagnostic('invalid_value', 'TO is before FROM', { span: to.span, hint: 'the earlier instant stands first' });
  return [first, last];
}

async function bindInstant(value: TimeValue, field: string, zone: string, connection: Connection): Promise<Instant> {
  return value.kind === 'expression' ? evaluated(value, field, zone, connection) : written(value, field, zone);
}

function written(value: InstantValue | StringValue, field: string, zone: string): Instant {
  const cadence = inside(value, () => parseCadence(value.text.trim(), { zone }));
  if (cadence.kind === 'once') return cadence.at;
  throw wrongType(field, value, 'an instant');
}

async function evaluated(expression: TimeExpression, field: string, zone: string, connection: Connection): Promise<Instant> {
  const [at, text] = await answerOf(expression, connection);
  if (at instanceof TimestampTz && at.isFinite) return at.epochMs;
  // A date, a time without an offset and a text mean what they would mean if they were written.
  if (typeof text === 'string' && !(at instanceof TimestampTz)) {
    try {
      const cadence = parseCadence(text.trim(), { zone });
      if (cadence.kind === 'once') return cadence.at;
    } catch (error) {
      if (!(error instanceof Diagnostic)) throw error;
    }
  }
  throw new Diagnostic('wrong_type', `'${field}' takes an instant, and this is ${text === null ? 'NULL' : `'${String(text)}'`}`, {
    span: expression.span,
    hint: "as in now() - INTERVAL 7 DAYS, or '2027-09-20 02:00'",
  });
}

async function answerOf({ text, span }: TimeExpression, connection: Connection): Promise<readonly (Value | undefined)[]> {
  const before = 'SELECT value, value::VARCHAR FROM (SELECT (';
  try {
    return (await connection.table(`${before}${text}\n) AS value)`)).rows[0] ?? [];
  } catch (error) {
    if (!(error instanceof Diagnostic)) throw error;
    const place = (index: number): number => Math.min(Math.max(index - before.length, 0), text.length) + span.start;
    throw error.span === undefined ? error.at(span) : error.movedBy(place);
  }
}
