// What follows a run or a step: `emit('event')`, `notify('channel')`, `call('procedure')`, alone or in a list.

import { Diagnostic } from '../../core/diagnostic.ts';
import type { Value } from '../../parser/ast.ts';
import type { Action } from '../../scheduler/schedule.ts';
import type { Warning } from '../result.ts';
import type { Catalogue } from '../store/duckdb/catalogue.ts';
import { missingRoutine } from './arguments.ts';
import { type Fields, textOf } from './fields.ts';

export function bindActions(fields: Fields, field: string): readonly Action[] {
  return fields.items(field).map((item) => {
    const action = actionOf(item, field);
    if (action !== undefined) return action;
    throw new Diagnostic('invalid_value', `'${field}' takes an action`, {
      span: item.span,
      hint: "legal: emit('event'), notify('channel'), call('procedure'), or a list of them",
    });
  });
}

export function actionOf(value: Value, field: string): Action | undefined {
  if (value.kind !== 'call' || value.arguments.length !== 1) return undefined;
  const [argument] = value.arguments;
  const text = argument === undefined ? '' : textOf(argument, field);
  if (value.name === 'emit') return { kind: 'emit', name: text };
  if (value.name === 'notify') return { kind: 'notify', channel: text };
  if (value.name === 'call') return { kind: 'call', procedure: text };
  return undefined;
}

/** A procedure that is called must exist; what nothing delivers yet is a warning. `places` are actions by their key. */
export async function checkActions(
  places: Readonly<Record<string, readonly Action[]>>,
  fields: Fields,
  catalogue: Catalogue,
  warnings: Warning[],
): Promise<void> {
  for (const [field, list] of Object.entries(places)) {
    for (const action of list) {
      if (action.kind === 'call') {
        const routine = (await catalogue.routine(action.procedure))?.routine;
        if (routine?.kind === 'procedure') continue;
        const span = fields.get(field)?.span ?? fields.span;
        if (routine === undefined) throw await missingRoutine('procedure', action.procedure, span, catalogue);
        throw new Diagnostic('undefined_object', `${routine.name} is a pipeline, and call('..') takes a procedure`, {
          span,
          hint: `let a schedule with after: .. run it: exe: pipeline, call: ${routine.name}`,
        });
      }
      warnings.push(undelivered(field, action.kind === 'emit' ? `emit('${action.name}')` : `notify('${action.channel}')`));
    }
  }
}

export function undelivered(place: string, what: string): Warning {
  return { message: `${place}: ${what} is stored, but nothing delivers it yet`, hint: "a run that reaches it logs 'not delivered'" };
}
