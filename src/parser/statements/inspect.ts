// LIST, DESCRIBE, SHOW and EXPLAIN: what only looks. The tail of a LIST is DuckDB's own SQL, kept as written.

import type { ListedRelation, Sql, Statement } from '../ast.ts';
import type { Cursor } from '../cursor.ts';
import { bareCron, isString, readCount, readString } from '../values.ts';
import { nounOf, readNoun } from './define.ts';
import { readRunId } from './run.ts';

const relationWords: Readonly<Record<string, ListedRelation>> = {
  SCHEDULES: 'schedules',
  PROCEDURES: 'procedures',
  PIPELINES: 'pipelines',
  CALENDARS: 'calendars',
  QUEUES: 'queues',
  RUNS: 'runs',
  STEP_RUNS: 'step_runs',
  RUN_LOGS: 'run_logs',
  DEAD_LETTERS: 'dead_letters',
  SETTINGS: 'settings',
  SOURCES: 'sources',
  WORKERS: 'workers',
  SCHEDULE_VERSIONS: 'schedule_versions',
  SCHEDULE_HEALTH: 'schedule_health',
  ALERTS: 'alerts',
  LINEAGE: 'lineage',
};

const listed = ['SCHEDULES', 'PROCEDURES', 'PIPELINES', 'CALENDARS', 'QUEUES', 'RUNS', 'DEAD LETTERS', 'SETTINGS', 'SOURCES'] as const;

/** The relation that `LIST x` or `SHOW x` names; DEAD LETTERS is two words. */
export function relationOf(keyword: string, next: string): ListedRelation | undefined {
  if (keyword === 'DEAD' && next === 'LETTERS') return 'dead_letters';
  return Object.hasOwn(relationWords, keyword) ? relationWords[keyword] : undefined;
}

/** LIST x [LIKE 'p'] [WHERE ..] [ORDER BY ..] [LIMIT ..] [OFFSET ..], and SHOW x for the same. */
export function readList(cursor: Cursor): Statement {
  const isShow = cursor.keyword() === 'SHOW';
  const { start } = cursor.take();
  const relation = relationOf(cursor.keyword(), cursor.keyword(cursor.after));
  if (relation === undefined) {
    const singular = nounOf(cursor.keyword());
    throw cursor.expected(
      listed,
      singular === undefined ? undefined : `write LIST ${cursor.keyword()}S, or DESCRIBE ${cursor.keyword()} name`,
    );
  }
  const isDead = cursor.accept('DEAD');
  cursor.take();
  const isBare = cursor.is('end') || cursor.isSymbol(';');
  const ambiguous = isShow && isBare && !isDead;
  const like = cursor.accept('LIKE') ? readString(cursor, 'a pattern in quotes') : undefined;
  const clauses: Partial<Record<Clause, Sql>> = {};
  let from = 0;
  for (;;) {
    const at = clauseOrder.findIndex((clause, index) => index >= from && clause === cursor.keyword());
    const clause = clauseOrder[at];
    if (clause === undefined) break;
    cursor.take();
    if (clause === 'ORDER') cursor.expect('BY');
    clauses[clause] = cursor.expectSql(clauseWants[clause], (token) => clauseOrder.some((word) => word === cursor.keyword(token)));
    from = at + 1;
  }
  const span = cursor.spanFrom(start);
  const earlier = clauseOrder.slice(0, from).find((clause) => clause === cursor.keyword());
  if (earlier !== undefined) throw cursor.expected(['the end of the statement'], 'the order is WHERE, ORDER BY, LIMIT, OFFSET, each once');
  const could = clauseOrder.slice(from).map((clause) => (clause === 'ORDER' ? 'ORDER BY' : clause));
  cursor.finish(...(like === undefined && from === 0 ? ['LIKE'] : []), ...could);
  const { WHERE: where, ORDER: orderBy, LIMIT: limit, OFFSET: offset } = clauses;
  return { kind: 'list', relation, like, where, orderBy, limit, offset, ambiguous, span };
}

const clauseOrder = ['WHERE', 'ORDER', 'LIMIT', 'OFFSET'] as const;
type Clause = (typeof clauseOrder)[number];
const clauseWants: Record<Clause, string> = { WHERE: 'a condition', ORDER: 'a column', LIMIT: 'a number', OFFSET: 'a number' };

/** DESCRIBE noun name and DESCRIBE RUN 'id' */
export function readDescribe(cursor: Cursor): Statement {
  if (cursor.keyword(cursor.after) === 'RUN') return readRunId(cursor, 'describeRun');
  const { start } = cursor.take();
  const noun = readNoun(cursor);
  const name = cursor.name(`the name of a ${noun}`);
  const span = cursor.spanFrom(start);
  cursor.finish();
  return { kind: 'describe', noun, name, span };
}

/** SHOW CREATE noun name */
export function readShowCreate(cursor: Cursor): Statement {
  const { start } = cursor.take();
  if (cursor.keyword() !== 'CREATE') {
    const noun = cursor.keyword();
    throw cursor.expected(['CREATE', ...listed], `write DESCRIBE ${noun} or SHOW CREATE ${noun}`);
  }
  cursor.take();
  const noun = readNoun(cursor);
  const name = cursor.name(`the name of a ${noun}`);
  const span = cursor.spanFrom(start);
  cursor.finish();
  return { kind: 'showCreate', noun, name, span };
}

/** EXPLAIN SCHEDULE name [NEXT n], CRON 'expr' [IN 'zone'] [NEXT n], PIPELINE name [AS MERMAID], RUN 'id' */
export function readExplain(cursor: Cursor): Statement {
  if (cursor.keyword(cursor.after) === 'RUN') return readRunId(cursor, 'explainRun');
  const { start } = cursor.take();
  const what = cursor.expect('SCHEDULE', 'CRON', 'PIPELINE', 'RUN');
  if (what === 'CRON') {
    if (!isString(cursor.token)) throw bareCron(cursor);
    const expression = readString(cursor, 'a cadence in quotes');
    const zone = cursor.accept('IN') ? readString(cursor, 'a zone in quotes') : undefined;
    const next = cursor.accept('NEXT') ? readCount(cursor, 'a number of fires') : undefined;
    const span = cursor.spanFrom(start);
    cursor.finish(...(next === undefined ? ['NEXT'] : []), ...(zone === undefined && next === undefined ? ['IN'] : []));
    return { kind: 'explainCron', expression, zone, next, span };
  }
  const name = cursor.name(`the name of a ${what.toLowerCase()}`);
  if (what === 'SCHEDULE') {
    const next = cursor.accept('NEXT') ? readCount(cursor, 'a number of fires') : undefined;
    const span = cursor.spanFrom(start);
    cursor.finish(...(next === undefined ? ['NEXT'] : []));
    return { kind: 'explainSchedule', name, next, span };
  }
  const mermaid = cursor.accept('AS');
  if (mermaid) cursor.expect('MERMAID');
  const span = cursor.spanFrom(start);
  cursor.finish(...(mermaid ? [] : ['AS MERMAID']));
  return { kind: 'explainPipeline', name, mermaid, span };
}
