// What DESCRIBE answers: a row of a relation turned on its side. What is not there is left out, and times are this session's.

import type { Result } from '../result.ts';
import { TimestampTz, type Value } from '../value.ts';
import { answer, type StatementContext, text } from './context.ts';

export type Property = readonly [name: string, value: string];

export function description(properties: readonly Property[]): Result {
  return answer({ tag: 'DESCRIBE', columns: [text('property'), text('value')], rows: properties, form: 'properties' });
}

/** The definition has SHOW CREATE to itself. */
export async function propertiesOf(row: Readonly<Record<string, Value>>, context: StatementContext): Promise<Property[]> {
  const zone = await zoneOf(context);
  return Object.entries(row).flatMap(([name, value]): Property[] => {
    const shown = name === 'definition' ? '' : shownIn(zone, value);
    return shown === '' || shown === '{}' || shown === '[]' ? [] : [[name, shown]];
  });
}

/** In which the session is shown its times. */
export async function zoneOf({ connection }: StatementContext): Promise<string> {
  const [session] = await connection.all<{ zone: string }>("SELECT current_setting('TimeZone') AS zone");
  return session?.zone ?? 'UTC';
}

function shownIn(zone: string, value: Value): string {
  if (value === null) return '';
  if (value instanceof TimestampTz) return value.toStringIn(zone);
  return Array.isArray(value) ? value.map((item) => shownIn(zone, item)).join(', ') : String(value);
}
