// What changing requests answer, of what their statements have.

import { answer } from './route.ts';
import type { Carried } from './statements.ts';

export interface Outcome extends Pick<Carried, 'sql' | 'warnings'> {
  readonly name: string;
  readonly outcome: string;
}

/** Of a statement about one object. */
export function outcomeOf({ sql, rows, warnings }: Carried): Outcome {
  const [{ name, outcome, changed, next_run, in_words } = {}] = rows;
  const more = changed === undefined ? {} : { changed, next_run: next_run ?? null, in_words: in_words ?? null };
  return { sql, warnings, name: String(name), outcome: String(outcome), ...more };
}

/** Of a statement that opens one run. */
export function runAnswer({ sql, warnings, rows, failure }: Carried): Response {
  const [run = {}] = rows;
  const isOpen = run['state'] === 'pending';
  return answer(isOpen ? 202 : 200, { sql, warnings, ...run, failure }, { Location: `/api/v1/executions/${String(run['run_id'])}` });
}
