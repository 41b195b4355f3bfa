// ALTER reads a definition from the catalogue and lays the changes over it. What then proves wrong may stand in the stored part,
// whose places are places in another text: there the mistake points at the name in the statement that was given.

import type { Span } from '../../core/diagnostic.ts';
import type { ObjectValue, Value } from '../../parser/ast.ts';
import type { StatementContext } from './context.ts';
import { storedDefinition } from './definition.ts';

/** The entries of a stored definition, all of which stand at `span`. */
export function storedDefinitionAt(text: string, span: Span, context: StatementContext): ObjectValue {
  return objectAt(storedDefinition(text, context), span);
}

function objectAt(object: ObjectValue, span: Span): ObjectValue {
  const entries = object.entries.map((entry) => ({ ...entry, key: { ...entry.key, span }, value: valueAt(entry.value, span), span }));
  return { ...object, entries, span };
}

function valueAt(value: Value, span: Span): Value {
  switch (value.kind) {
    case 'object':
      return objectAt(value, span);
    case 'list':
      return { ...value, items: value.items.map((item) => valueAt(item, span)), span };
    case 'call':
      return { ...value, arguments: value.arguments.map((item) => valueAt(item, span)), span };
    case 'string':
    case 'phrase':
      return { ...value, offsets: [], span };
    case 'number':
    case 'boolean':
    case 'null':
    case 'size':
    case 'clock':
    case 'instant':
    case 'duration':
    case 'word':
      return { ...value, span };
    default:
      return value satisfies never;
  }
}
