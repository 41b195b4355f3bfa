// UPSERT, CREATE, ALTER, DROP, ENABLE and their kin: what changes a definition.

import { Diagnostic, type Span } from '../../core/diagnostic.ts';
import type { EnableStatement, Name, Noun, PauseQueueStatement, PauseSchedulerStatement, Statement } from '../ast.ts';
import type { Cursor } from '../cursor.ts';
import { places } from '../keys.ts';
import { readDefinition } from '../values.ts';
import { readProcedure } from './procedure.ts';
import { readDeadLetter } from './run.ts';

const nounWords = {
  SCHEDULE: 'schedule',
  PROCEDURE: 'procedure',
  PIPELINE: 'pipeline',
  CALENDAR: 'calendar',
  QUEUE: 'queue',
} as const satisfies Record<string, Noun>;

/** The noun that a keyword names; undefined if it names none of ours. */
export function nounOf(keyword: string): Noun | undefined {
  return Object.hasOwn(nounWords, keyword) ? nounWords[keyword as keyof typeof nounWords] : undefined;
}

export function readNoun(cursor: Cursor): Noun {
  return nounWords[cursor.expect('SCHEDULE', 'PROCEDURE', 'PIPELINE', 'CALENDAR', 'QUEUE') as keyof typeof nounWords];
}

/** UPSERT noun [AS] name [LIKE other] ( .. ) */
export function readUpsert(cursor: Cursor): Statement {
  const { start } = cursor.take();
  return readDefine(cursor, start, 'upsert');
}

/** CREATE [OR REPLACE] noun [IF NOT EXISTS] [AS] name ( .. ); with OR REPLACE it is an UPSERT. */
export function readCreate(cursor: Cursor): Statement {
  const { start } = cursor.take();
  const replace = cursor.accept('OR');
  if (replace) cursor.expect('REPLACE');
  return readDefine(cursor, start, replace ? 'upsert' : 'create');
}

function readDefine(cursor: Cursor, start: number, verb: 'upsert' | 'create'): Statement {
  const noun = readNoun(cursor);
  const ifNotExists = cursor.keyword() === 'IF' && cursor.keyword(cursor.after) === 'NOT';
  if (ifNotExists) {
    const { token } = cursor;
    cursor.take();
    cursor.take();
    cursor.expect('EXISTS');
    if (verb === 'upsert') {
      const span: Span = { start: token.start, end: cursor.end };
      cursor.mistake(
        'syntax_error',
        'UPSERT takes no IF NOT EXISTS',
        span,
        `it makes the ${noun} or changes it; to leave one alone write CREATE`,
      );
    }
  }
  const name = readNewName(cursor, noun);
  if (noun === 'procedure') return readProcedure(cursor, { start, verb, ifNotExists, name });
  const like = noun === 'schedule' && cursor.accept('LIKE') ? cursor.name('the name of another schedule') : undefined;
  if (!cursor.isSymbol('(')) {
    const also = noun === 'schedule' && like === undefined ? ['LIKE', "'('"] : ["'('"];
    throw cursor.expected(also, cursor.isSymbol('{') ? 'a definition stands in round brackets: ( key: value, .. )' : undefined);
  }
  const definition = readDefinition(cursor, places[noun]);
  const span = cursor.spanFrom(start);
  cursor.finish();
  return { kind: 'define', verb, noun, ifNotExists, name, like, definition, span };
}

/** `[AS] name`: a name that is `as` itself is written in double quotes. */
function readNewName(cursor: Cursor, noun: Noun): Name {
  cursor.accept('AS');
  return cursor.name(`the name of the ${noun}`);
}

/** ALTER noun name SET ( .. ) */
export function readAlter(cursor: Cursor): Statement {
  const { start } = cursor.take();
  const noun = readNoun(cursor);
  refuseIfExists(cursor, 'ALTER');
  const name = cursor.name(`the name of a ${noun}`);
  if (cursor.keyword() === 'RENAME') throw cursor.expected(['SET'], renameHint(noun, name.text));
  cursor.expect('SET');
  const changes = readDefinition(cursor, places[noun]);
  const span = cursor.spanFrom(start);
  if (changes.entries.length === 0) cursor.mistake('missing_key', 'this ALTER changes nothing', changes.span, 'name the keys to change');
  cursor.finish();
  return { kind: 'alter', noun, name, changes, span };
}

function refuseIfExists(cursor: Cursor, verb: string): void {
  if (!isIfExists(cursor)) return;
  const span: Span = { start: cursor.token.start, end: cursor.after.end };
  throw new Diagnostic('syntax_error', `${verb} takes no IF EXISTS`, {
    span,
    hint: `leave IF EXISTS out: ${verb} changes what exists, and only DROP takes it`,
  });
}

function isIfExists(cursor: Cursor): boolean {
  return cursor.keyword() === 'IF' && cursor.keyword(cursor.after) === 'EXISTS';
}

/** Runs and versions stay with the old name: a new one is a new thing. */
function renameHint(noun: Noun, name: string): string {
  const upper = noun.toUpperCase();
  const copy =
    noun === 'schedule'
      ? `UPSERT SCHEDULE new_name LIKE ${name} ()`
      : `take its text from SHOW CREATE ${upper} ${name}, run it with the new name`;
  return `nothing is renamed: ${copy}, then DROP ${upper} ${name}`;
}

/** DROP noun [IF EXISTS] name [, ..] and DROP DEAD LETTER 'id' | ALL */
export function readDrop(cursor: Cursor): Statement {
  if (cursor.keyword(cursor.after) === 'DEAD') return readDeadLetter(cursor, 'dropDeadLetter');
  const { start } = cursor.take();
  const noun = readNoun(cursor);
  const ifExists = isIfExists(cursor);
  if (ifExists) {
    cursor.take();
    cursor.take();
  }
  const names = [cursor.name(`the name of a ${noun}`)];
  while (cursor.acceptSymbol(',')) {
    if (isIfExists(cursor))
      throw cursor.expected([`the name of a ${noun}`], `IF EXISTS stands first: DROP ${noun.toUpperCase()} IF EXISTS a, b`);
    names.push(cursor.name(`the name of a ${noun}`));
  }
  const span = cursor.spanFrom(start);
  cursor.finish("','");
  return { kind: 'drop', noun, ifExists, names, span };
}

/** ENABLE | DISABLE SCHEDULE name [, ..] | ALL */
export function readEnable(cursor: Cursor, verb: 'enable' | 'disable'): EnableStatement {
  const { start } = cursor.take();
  if (cursor.keyword() === 'SCHEDULER' || cursor.keyword() === 'QUEUE') {
    const other = verb === 'enable' ? 'RESUME' : 'PAUSE';
    throw cursor.expected(['SCHEDULE'], `write ${other} ${cursor.keyword()}`);
  }
  cursor.expect('SCHEDULE');
  return readSwitched(cursor, start, verb);
}

/** PAUSE | RESUME SCHEDULE name [, ..] | ALL, QUEUE name, SCHEDULER */
export function readPause(cursor: Cursor, verb: 'pause' | 'resume'): EnableStatement | PauseQueueStatement | PauseSchedulerStatement {
  const { start } = cursor.take();
  const what = cursor.expect('SCHEDULE', 'SCHEDULER', 'QUEUE');
  if (what === 'SCHEDULE') return readSwitched(cursor, start, verb);
  const paused = verb === 'pause';
  if (what === 'SCHEDULER') {
    const span = cursor.spanFrom(start);
    cursor.finish();
    return { kind: 'pauseScheduler', paused, span };
  }
  refuseIfExists(cursor, verb.toUpperCase());
  const name = cursor.name('the name of a queue');
  const span = cursor.spanFrom(start);
  cursor.finish();
  return { kind: 'pauseQueue', paused, name, span };
}

function readSwitched(cursor: Cursor, start: number, verb: EnableStatement['verb']): EnableStatement {
  refuseIfExists(cursor, verb.toUpperCase());
  const all = cursor.accept('ALL');
  const names = all ? [] : cursor.names('the name of a schedule, or ALL');
  const span = cursor.spanFrom(start);
  cursor.finish(...(all ? [] : ["','"]));
  return { kind: 'enable', verb, enabled: verb === 'enable' || verb === 'resume', names, all, span };
}
