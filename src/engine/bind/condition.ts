// `when` of a schedule: one question, whose first value must be true for a fire to run. Whether it is one, and answers true or
// false, is looked at when it is defined.

import { Diagnostic } from '../../core/diagnostic.ts';
import type { Value } from '../../parser/ast.ts';
import { type Act, factsOf } from '../../parser/facts.ts';
import { callOf } from '../calls.ts';
import type { Warning } from '../result.ts';
import type { Catalogue } from '../store/duckdb/catalogue.ts';
import { bindStatements, checkSyntax } from './body.ts';
import { inside } from './fields.ts';

const compare = 'compare it with something: SELECT count(*) > 0 FROM new_orders';

export async function checkCondition(
  text: string,
  value: Value | undefined,
  parameters: readonly string[],
  catalogue: Catalogue,
): Promise<Warning[]> {
  bindStatements(text, value, { onlyOne: true, parameters });
  const refused = await notAsking(text, catalogue);
  if (refused !== undefined) {
    if (value === undefined) throw refused;
    inside(value, () => {
      throw refused;
    });
  }
  await checkSyntax(text, value, catalogue);
  const [type] = (await catalogue.columnTypes(text)) ?? [];
  // A parameter has no type before a run gives it one, and DuckDB takes what has none for a number.
  const mayBeAnything = type === 'INTEGER' && factsOf(text).parameters.length > 0;
  if (type === undefined || type === 'BOOLEAN' || mayBeAnything) return [];
  return [{ message: `'when' answers ${article(type)} ${type}, and a fire runs only where it is true`, hint: compare }];
}

async function notAsking(text: string, catalogue: Catalogue): Promise<Diagnostic | undefined> {
  const [act] = factsOf(text).acts;
  const called = callOf(text)?.name;
  const calls = called !== undefined && (await catalogue.routine(called.text)) !== undefined;
  if (act === undefined && !calls) return undefined;
  const what = act === undefined ? 'CALL' : wordOf(act);
  return new Diagnostic('invalid_value', `'when' asks a question, and ${what} is none`, {
    span: act?.span ?? { start: 0, end: text.length },
    hint: 'write a query whose first value is true or false: SELECT count(*) > 0 FROM new_orders',
  });
}

function wordOf(act: Act): string {
  switch (act.kind) {
    case 'write':
    case 'object':
    case 'setting':
      return act.verb.toUpperCase();
    case 'copyTo':
      return 'COPY';
    case 'transaction':
      return act.control.toUpperCase();
    case 'attach':
    case 'detach':
    case 'use':
      return act.kind.toUpperCase();
    default:
      return act satisfies never;
  }
}

const article = (type: string): string => (/^(?:[AEIO]|UB|UH|UI|US|UT)/.test(type) ? 'an' : 'a');
