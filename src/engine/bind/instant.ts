// An instant as a statement has it: with an offset, or as the clocks of a zone show it.

import type { Instant } from '../../core/instant.ts';
import type { InstantValue, StringValue } from '../../parser/ast.ts';
import { parseCadence } from '../../scheduler/cadence/cadence.ts';
import { inside, wrongType } from './fields.ts';

export function bindInstant(value: InstantValue | StringValue, field: string, zone: string): Instant {
  const cadence = inside(value, () => parseCadence(value.text.trim(), { zone }));
  if (cadence.kind === 'once') return cadence.at;
  throw wrongType(field, value, 'an instant');
}
