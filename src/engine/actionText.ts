// Actions as text: what a person writes after `on_fail:`, and what the setting cron.on_fail keeps. They are read as values of a
// definition, so that both places mean the same.

import { Diagnostic } from '../core/diagnostic.ts';
import type { Value } from '../parser/ast.ts';
import { Cursor } from '../parser/cursor.ts';
import { readFreeValue } from '../parser/values.ts';
import type { Action } from '../scheduler/schedule.ts';
import { textOf } from './bind/fields.ts';

/** undefined where the value is none. */
export function actionOf(value: Value, field: string): Action | undefined {
  if (value.kind !== 'call' || value.arguments.length !== 1) return undefined;
  const [argument] = value.arguments;
  const text = argument === undefined ? '' : textOf(argument, field);
  if (value.name === 'emit') return { kind: 'emit', name: text };
  if (value.name === 'notify') return { kind: 'notify', channel: text };
  if (value.name === 'call') return { kind: 'call', procedure: text };
  return undefined;
}

/** One action, or a list of them. */
export function actionsOf(value: Value, field: string): readonly Action[] {
  return (value.kind === 'list' ? value.items : [value]).map((item) => {
    const action = actionOf(item, field);
    if (action !== undefined) return action;
    throw new Diagnostic('invalid_value', `'${field}' takes an action`, {
      span: item.span,
      hint: "legal: emit('event'), notify('channel'), call('procedure'), or a list of them",
    });
  });
}

/** `call('page_me')`, `[emit('failed'), call('page_me')]`, `none`. Throws a Diagnostic whose span lies in `text`. */
export function parseActions(text: string, field: string): readonly Action[] {
  if (text.trim().toLowerCase() === 'none') return [];
  const cursor = new Cursor(text);
  const value = readFreeValue(cursor);
  cursor.finish();
  const [mistake] = cursor.mistakes;
  if (mistake !== undefined) throw mistake;
  return actionsOf(value, field);
}

/** Text that `parseActions` reads as the same actions. */
export function printActions(actions: readonly Action[]): string {
  const [first] = actions;
  if (first === undefined) return 'none';
  return actions.length === 1 ? printAction(first) : `[${actions.map(printAction).join(', ')}]`;
}

function printAction(action: Action): string {
  switch (action.kind) {
    case 'emit':
      return `emit(${quoted(action.name)})`;
    case 'notify':
      return `notify(${quoted(action.channel)})`;
    case 'call':
      return `call(${quoted(action.procedure)})`;
    default:
      return action satisfies never;
  }
}

const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`;
