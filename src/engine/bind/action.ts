// What follows a run or a step: `emit('event')`, `notify('channel')`, `call('procedure')`, alone or in a list.

import { Diagnostic, type Span } from '../../core/diagnostic.ts';
import type { Action } from '../../scheduler/schedule.ts';
import { actionsOf } from '../actionText.ts';
import type { Warning } from '../result.ts';
import type { Catalogue } from '../store/duckdb/catalogue.ts';
import { missingRoutine } from './arguments.ts';
import type { Fields } from './fields.ts';

export function bindActions(fields: Fields, field: string): readonly Action[] {
  const value = fields.get(field);
  return value === undefined ? [] : actionsOf(value, field);
}

/** A procedure that is called must exist; what nothing delivers yet is a warning. `places` are actions by their key. */
export async function checkActions(
  places: Readonly<Record<string, readonly Action[]>>,
  fields: Fields,
  catalogue: Catalogue,
  warnings: Warning[],
): Promise<void> {
  for (const [field, list] of Object.entries(places)) {
    const span = fields.get(field)?.span ?? fields.span;
    for (const action of list) await checkAction(action, field, span, catalogue, warnings);
  }
}

export async function checkAction(action: Action, place: string, span: Span, catalogue: Catalogue, warnings: Warning[]): Promise<void> {
  if (action.kind !== 'call') {
    warnings.push(undelivered(place, action.kind === 'emit' ? `emit('${action.name}')` : `notify('${action.channel}')`));
    return;
  }
  const routine = (await catalogue.routine(action.procedure))?.routine;
  if (routine?.kind === 'procedure') return;
  if (routine === undefined) throw await missingRoutine('procedure', action.procedure, span, catalogue);
  throw new Diagnostic('undefined_object', `${routine.name} is a pipeline, and call('..') takes a procedure`, {
    span,
    hint: `let a schedule with after: .. run it: exe: pipeline, call: ${routine.name}`,
  });
}

export function undelivered(place: string, what: string): Warning {
  return { message: `${place}: ${what} is stored, but nothing delivers it yet`, hint: "a run that reaches it logs 'not delivered'" };
}
