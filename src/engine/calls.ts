// Who calls whom: read from the definitions themselves, so that nothing that is still called can be dropped.

import type { CallStatement } from '../parser/ast.ts';
import { parse } from '../parser/parse.ts';
import { split } from '../parser/split.ts';
import type { Action, Schedule } from '../scheduler/schedule.ts';
import type { Routine } from './routine.ts';

/** The names of routines that a schedule calls: its target, its actions, and what its SQL calls. */
export function callsOfSchedule(schedule: Schedule): string[] {
  const { exe, call } = schedule.target;
  const target = exe === 'procedure' || exe === 'pipeline' ? [String(call), String(call).split('.')[0] ?? ''] : [];
  const texts = exe === 'sql' ? [String(call)] : [];
  return [...target, ...texts.flatMap(callsOfSql), ...callsOfActions([...schedule.onComplete, ...schedule.onFail, ...schedule.onSkip])];
}

/** The same for a procedure or a pipeline. */
export function callsOfRoutine(routine: Routine): string[] {
  if (routine.kind === 'procedure') return routine.body.language === 'sql' ? callsOfSql(routine.body.text) : [];
  const steps = routine.steps.flatMap(({ work }) =>
    work.kind === 'call' ? [work.routine] : 'statements' in work ? work.statements.flatMap(({ text }) => callsOfSql(text)) : [],
  );
  return [...steps, ...callsOfActions([...routine.onComplete, ...routine.onFail, ...routine.onSkip])];
}

export function callsOfActions(actions: readonly Action[]): string[] {
  return actions.flatMap((action) => (action.kind === 'call' ? [action.procedure] : []));
}

function callsOfSql(text: string): string[] {
  if (!/\bcall\b/i.test(text)) return [];
  return split(text).statements.flatMap((statement) => {
    const call = callOf(statement.text);
    return call === undefined ? [] : [call.name.text];
  });
}

/** The CALL that a statement of a body is; whether the catalogue knows its name is another question. */
export function callOf(text: string): CallStatement | undefined {
  if (!/^\s*(?:call\b|--|\/\*)/i.test(text)) return undefined;
  const { statement } = parse(text);
  return statement?.kind === 'call' ? statement : undefined;
}
