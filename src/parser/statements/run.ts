// RUN, BACKFILL, SIMULATE, CANCEL, RETRY, TAIL and the dead letters: what starts runs, or ends them. Their options stand in any
// order, each once.

import type {
  DeadLetterStatement,
  InstantValue,
  NumberValue,
  ObjectValue,
  RunIdStatement,
  Statement,
  StringValue,
  TimeValue,
} from '../ast.ts';
import { type Cursor, quote } from '../cursor.ts';
import { freePlace } from '../keys.ts';
import { instantOf, isInstant, isString, readCount, readDefinition, readInstant, readString } from '../values.ts';

/** RUN SCHEDULE name [, ..] [WITH ( .. )] [AWAIT] [ALONE] [DRY RUN] and RUN PIPELINE name [WITH ( .. )] [AWAIT] [DRY RUN] */
export function readRun(cursor: Cursor): Statement {
  const { start } = cursor.take();
  if (cursor.keyword() === 'PROCEDURE') throw cursor.expected(['SCHEDULE', 'PIPELINE'], 'a procedure is called: CALL name(..)');
  const noun = cursor.expect('SCHEDULE', 'PIPELINE');
  let given: ObjectValue | undefined;
  const flags = { await: false, alone: false, dryRun: false };
  const options = {
    WITH: () => {
      given = readDefinition(cursor, freePlace);
    },
    AWAIT: () => {
      flags.await = true;
    },
    'DRY RUN': () => {
      flags.dryRun = true;
    },
  };
  if (noun === 'PIPELINE') {
    const name = cursor.name('the name of a pipeline');
    readOptions(cursor, options);
    const span = cursor.spanFrom(start);
    return { kind: 'runPipeline', name, with: given, await: flags.await, dryRun: flags.dryRun, span };
  }
  const names = cursor.names('the name of a schedule');
  readOptions(cursor, {
    ...options,
    ALONE: () => {
      flags.alone = true;
    },
  });
  return { kind: 'runSchedule', names, with: given, ...flags, span: cursor.spanFrom(start) };
}

/** BACKFILL SCHEDULE name FROM ts TO ts [PARALLEL n] [ONLY MISSING] [DRY RUN] */
export function readBackfill(cursor: Cursor): Statement {
  const { start } = cursor.take();
  cursor.expect('SCHEDULE');
  const name = cursor.name('the name of a schedule');
  const { from, to } = readStretch(cursor, 'PARALLEL', 'ONLY', 'DRY');
  let parallel: NumberValue | undefined;
  let onlyMissing = false;
  let dryRun = false;
  readOptions(cursor, {
    PARALLEL: () => {
      parallel = readCount(cursor, 'a number of runs side by side');
    },
    'ONLY MISSING': () => {
      onlyMissing = true;
    },
    'DRY RUN': () => {
      dryRun = true;
    },
  });
  return { kind: 'backfill', name, from, to, parallel, onlyMissing, dryRun, span: cursor.spanFrom(start) };
}

/** SIMULATE SCHEDULES FROM ts TO ts */
export function readSimulate(cursor: Cursor): Statement {
  const { start } = cursor.take();
  cursor.expect('SCHEDULES');
  const { from, to } = readStretch(cursor);
  const span = cursor.spanFrom(start);
  cursor.finish();
  return { kind: 'simulate', from, to, span };
}

/** CANCEL RUN 'id' and CANCEL RUNS WHERE .. */
export function readCancel(cursor: Cursor): Statement {
  const { start } = cursor.token;
  if (cursor.keyword(cursor.after) !== 'RUNS') return readRunId(cursor, 'cancelRun', ['RUN', 'RUNS']);
  cursor.take();
  cursor.take();
  cursor.expect('WHERE');
  const where = cursor.expectSql('a condition', () => false);
  const span = cursor.spanFrom(start);
  cursor.finish();
  return { kind: 'cancelRuns', where, span };
}

/** RETRY RUN 'id' and RETRY DEAD LETTER 'id' | ALL */
export function readRetry(cursor: Cursor): Statement {
  if (cursor.keyword(cursor.after) === 'DEAD') return readDeadLetter(cursor, 'retryDeadLetter');
  return readRunId(cursor, 'retryRun', ['RUN', 'DEAD']);
}

export function readRunId(cursor: Cursor, kind: RunIdStatement['kind'], legal: readonly [string, ...string[]] = ['RUN']): RunIdStatement {
  const { start } = cursor.take();
  if (cursor.keyword() !== 'RUN') throw cursor.expected(legal.map((word) => (word === 'DEAD' ? 'DEAD LETTER' : word)));
  cursor.take();
  const run = readString(cursor, 'the id of a run in quotes');
  const span = cursor.spanFrom(start);
  cursor.finish();
  return { kind, run, span };
}

export function readDeadLetter(cursor: Cursor, kind: DeadLetterStatement['kind']): DeadLetterStatement {
  const { start } = cursor.take();
  cursor.take();
  cursor.expect('LETTER', 'LETTERS');
  let run: StringValue | undefined;
  if (!cursor.accept('ALL')) run = readString(cursor, 'the id of a run in quotes, or ALL');
  const span = cursor.spanFrom(start);
  cursor.finish();
  return { kind, run, span };
}

/** `options`: what may follow. */
function readStretch(cursor: Cursor, ...options: readonly string[]): { from: TimeValue; to: TimeValue } {
  cursor.expect('FROM');
  const from = readTime(cursor, ['TO']);
  cursor.expect('TO');
  const to = readTime(cursor, options);
  const [first, last] = [from, to].map((time) =>
    time.kind === 'instant' ? time : time.kind === 'string' ? instantOf(time.text, time.span) : undefined,
  );
  if (first !== undefined && last !== undefined && isAfter(first, last)) {
    cursor.mistake(
      'invalid_value',
      `TO ${quote(to.kind === 'string' ? to.text : last.text)} is before FROM`,
      to.span,
      'the earlier instant stands first',
    );
  }
  return { from, to };
}

function readTime(cursor: Cursor, stops: readonly string[]): TimeValue {
  if (beginsExpression(cursor, stops)) {
    return { kind: 'expression', ...cursor.expectSql('an instant', (token) => stops.includes(cursor.keyword(token))) };
  }
  if (cursor.is('instant')) return readInstant(cursor);
  if (!isString(cursor.token)) throw cursor.expected(['an instant'], "write '2027-09-20 02:00', or 2027-09-20T02:00:00Z");
  const written = readString(cursor, 'an instant');
  const instant = instantOf(written.text.trim(), written.span);
  if (instant === undefined || !isInstant(instant)) {
    cursor.mistake(
      'invalid_value',
      `${quote(written.text)} is not an instant`,
      written.span,
      "write '2027-09-20 02:00', or 2027-09-20T02:00:00Z",
    );
  }
  return written;
}

/** `now() - INTERVAL 1 DAY`, `current_date`, `DATE '2027-09-20'`, `'2027-09-20'::DATE + 1` */
function beginsExpression(cursor: Cursor, stops: readonly string[]): boolean {
  const { token, after } = cursor;
  if (cursor.isSymbol('(')) return true;
  if (token.kind === 'instant' || isString(token)) return after.kind === 'symbol' && !cursor.isSymbol(';', after);
  const word = cursor.keyword();
  if (word === '' || stops.includes(word)) return false;
  return wordsOfNow.has(word) || isString(after) || cursor.isSymbol('(', after) || cursor.isSymbol('.', after);
}

const wordsOfNow: ReadonlySet<string> = new Set(['CURRENT_DATE', 'CURRENT_TIMESTAMP', 'LOCALTIMESTAMP']);

/** Only where both count from the same offset, or both in the zone of their use: else it takes the clock to know. */
function isAfter(first: InstantValue, last: InstantValue): boolean {
  if (first.offsetMinutes !== last.offsetMinutes) return false;
  const fields = ['year', 'month', 'day', 'hour', 'minute', 'second', 'millisecond'] as const;
  const different = fields.find((field) => first[field] !== last[field]);
  return different !== undefined && first[different] > last[different];
}

/** Each option once, in any order; those of two words have a blank in their name. Nothing else may follow. */
function readOptions(cursor: Cursor, options: Readonly<Record<string, () => void>>): void {
  const left = new Map(Object.entries(options));
  for (;;) {
    const option = [...left.keys()].find((name) => name.split(' ')[0] === cursor.keyword());
    if (option === undefined) break;
    cursor.take();
    const second = option.split(' ')[1];
    if (second !== undefined) cursor.expect(second);
    left.get(option)?.();
    left.delete(option);
  }
  const again = Object.keys(options).find((name) => name.split(' ')[0] === cursor.keyword());
  if (again !== undefined) throw cursor.expected([...left.keys(), 'the end of the statement'], `${again} stands once`);
  cursor.finish(...left.keys());
}
