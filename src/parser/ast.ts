// Everything the parser can say, as plain readonly data: a `kind`, a `span` into the text given to parse, and no methods.
// There are some thirty statements, so one file reads better than one file a node. The parser settles the shape of each
// statement and of each value under a known key; whether a name exists or a cadence makes sense is for the engine's bind.

import type { Span } from '../core/diagnostic.ts';

export type Statement =
  | DefineStatement
  | DefineProcedureStatement
  | AlterStatement
  | DropStatement
  | EnableStatement
  | ListStatement
  | DescribeStatement
  | ShowCreateStatement
  | ExplainScheduleStatement
  | ExplainCronStatement
  | ExplainPipelineStatement
  | CallStatement
  | RunScheduleStatement
  | RunPipelineStatement
  | BackfillStatement
  | SimulateStatement
  | RunIdStatement
  | CancelRunsStatement
  | DeadLetterStatement
  | PauseQueueStatement
  | PauseSchedulerStatement
  | BackupStatement
  | SetStatement
  | ResetStatement
  | PassThroughStatement;

export type Noun = 'schedule' | 'procedure' | 'pipeline' | 'calendar' | 'queue';

/** UPSERT noun [AS] name [LIKE other] ( .. ), and CREATE [IF NOT EXISTS]; CREATE OR REPLACE reads as UPSERT. */
export interface DefineStatement {
  readonly kind: 'define';
  readonly verb: 'upsert' | 'create';
  readonly noun: 'schedule' | 'pipeline' | 'calendar' | 'queue';
  readonly ifNotExists: boolean;
  readonly name: Name;
  /** Schedules only. */
  readonly like: Name | undefined;
  readonly definition: ObjectValue;
  readonly span: Span;
}

/** UPSERT PROCEDURE [AS] name [<{ .. }>] (parameters) [( options )] [LANGUAGE ..] AS body */
export interface DefineProcedureStatement {
  readonly kind: 'defineProcedure';
  readonly verb: 'upsert' | 'create';
  readonly ifNotExists: boolean;
  readonly name: Name;
  /** The older prefix `<{ kind: 'incremental', sched: '@daily' }>`. */
  readonly legacy: ObjectValue | undefined;
  readonly parameters: readonly Parameter[];
  readonly options: ObjectValue | undefined;
  readonly body: Body;
  readonly span: Span;
}

export interface Parameter {
  readonly name: Name;
  /** A type as DuckDB writes it: `DECIMAL(10,2)`, `VARCHAR[]`, `STRUCT(a INTEGER)`. */
  readonly type: Sql;
  readonly default: Sql | undefined;
  readonly span: Span;
}

export type Body = SqlBody | CommandBody | HandlerBody;

/**
 * LANGUAGE sql. `text` is what stands between the delimiters, without the blank space at both ends; `statements` are its
 * pieces. A place in `text` becomes a place in the statement by `toOffset(body, index)`.
 */
export interface SqlBody {
  readonly kind: 'sqlBody';
  readonly form: 'block' | 'braces' | 'dollar' | 'string';
  readonly text: string;
  readonly offsets: OffsetMap;
  readonly statements: readonly BodyStatement[];
  readonly span: Span;
}

/** One statement of a body: `text` is `body.text.slice(start, end)`; `span` is where it stands in the whole statement. */
export interface BodyStatement {
  readonly text: string;
  readonly start: number;
  readonly end: number;
  readonly span: Span;
}

/** LANGUAGE command: a list is run without a shell, a string by `/bin/sh -c`. */
export interface CommandBody {
  readonly kind: 'commandBody';
  readonly command: StringValue | ListValue;
  readonly span: Span;
}

/** LANGUAGE javascript: a module path, `path#export`. */
export interface HandlerBody {
  readonly kind: 'handlerBody';
  readonly path: StringValue;
  readonly span: Span;
}

/** ALTER noun name SET ( .. ): whole keys are replaced, `null` resets one. For a procedure these are its options. */
export interface AlterStatement {
  readonly kind: 'alter';
  readonly noun: Noun;
  readonly name: Name;
  readonly changes: ObjectValue;
  readonly span: Span;
}

export interface DropStatement {
  readonly kind: 'drop';
  readonly noun: Noun;
  readonly ifExists: boolean;
  readonly names: readonly Name[];
  readonly span: Span;
}

/** ENABLE | DISABLE | RESUME | PAUSE SCHEDULE name [, ..] | ALL. `names` is empty exactly when `all`. */
export interface EnableStatement {
  readonly kind: 'enable';
  readonly verb: 'enable' | 'disable' | 'resume' | 'pause';
  /** What the verb asks for: true for ENABLE and RESUME. */
  readonly enabled: boolean;
  readonly names: readonly Name[];
  readonly all: boolean;
  readonly span: Span;
}

export type ListedRelation =
  | 'schedules'
  | 'procedures'
  | 'pipelines'
  | 'calendars'
  | 'queues'
  | 'runs'
  | 'step_runs'
  | 'run_logs'
  | 'dead_letters'
  | 'settings'
  | 'sources'
  | 'workers'
  | 'schedule_versions'
  | 'schedule_health'
  | 'alerts'
  | 'lineage';

/** LIST x [LIKE 'p'] [WHERE ..] [ORDER BY ..] [LIMIT ..] [OFFSET ..]; each part is the text after its keyword. */
export interface ListStatement {
  readonly kind: 'list';
  readonly relation: ListedRelation;
  readonly like: StringValue | undefined;
  readonly where: Sql | undefined;
  readonly orderBy: Sql | undefined;
  readonly limit: Sql | undefined;
  readonly offset: Sql | undefined;
  /** A bare `SHOW SCHEDULES`: DuckDB's wherever a table of that name is visible, ours else. The session decides. */
  readonly ambiguous: boolean;
  readonly span: Span;
}

export interface DescribeStatement {
  readonly kind: 'describe';
  readonly noun: Noun;
  readonly name: Name;
  readonly span: Span;
}

export interface ShowCreateStatement {
  readonly kind: 'showCreate';
  readonly noun: Noun;
  readonly name: Name;
  readonly span: Span;
}

export interface ExplainScheduleStatement {
  readonly kind: 'explainSchedule';
  readonly name: Name;
  /** NEXT n */
  readonly next: NumberValue | undefined;
  readonly span: Span;
}

export interface ExplainCronStatement {
  readonly kind: 'explainCron';
  readonly expression: StringValue;
  /** IN 'zone' */
  readonly zone: StringValue | undefined;
  readonly next: NumberValue | undefined;
  readonly span: Span;
}

export interface ExplainPipelineStatement {
  readonly kind: 'explainPipeline';
  readonly name: Name;
  readonly mermaid: boolean;
  readonly span: Span;
}

/** CALL name(args). Ours only if the catalogue knows the name: the session decides, and passes `text` on if not. */
export interface CallStatement {
  readonly kind: 'call';
  readonly name: Name;
  readonly arguments: readonly CallArgument[];
  /** The whole statement, byte for byte. */
  readonly text: string;
  readonly span: Span;
}

/** `expression` or `name => expression`. */
export interface CallArgument {
  readonly name: Name | undefined;
  readonly expression: Sql;
  readonly span: Span;
}

/** RUN SCHEDULE name [, ..] [WITH ( params )] [AWAIT] [ALONE] [DRY RUN] */
export interface RunScheduleStatement {
  readonly kind: 'runSchedule';
  readonly names: readonly Name[];
  readonly with: ObjectValue | undefined;
  readonly await: boolean;
  readonly alone: boolean;
  readonly dryRun: boolean;
  readonly span: Span;
}

export interface RunPipelineStatement {
  readonly kind: 'runPipeline';
  readonly name: Name;
  readonly with: ObjectValue | undefined;
  readonly await: boolean;
  readonly dryRun: boolean;
  readonly span: Span;
}

/** BACKFILL SCHEDULE name FROM ts TO ts [PARALLEL n] [ONLY MISSING] [DRY RUN] */
export interface BackfillStatement {
  readonly kind: 'backfill';
  readonly name: Name;
  readonly from: TimeValue;
  readonly to: TimeValue;
  readonly parallel: NumberValue | undefined;
  readonly onlyMissing: boolean;
  readonly dryRun: boolean;
  readonly span: Span;
}

export interface SimulateStatement {
  readonly kind: 'simulate';
  readonly from: TimeValue;
  readonly to: TimeValue;
  readonly span: Span;
}

/** DESCRIBE | CANCEL | RETRY | TAIL | EXPLAIN RUN 'id' */
export interface RunIdStatement {
  readonly kind: 'describeRun' | 'cancelRun' | 'retryRun' | 'tailRun' | 'explainRun';
  readonly run: StringValue;
  readonly span: Span;
}

/** CANCEL RUNS WHERE .. */
export interface CancelRunsStatement {
  readonly kind: 'cancelRuns';
  readonly where: Sql;
  readonly span: Span;
}

/** RETRY | DROP DEAD LETTER 'id' | ALL. `run` is undefined for ALL. */
export interface DeadLetterStatement {
  readonly kind: 'retryDeadLetter' | 'dropDeadLetter';
  readonly run: StringValue | undefined;
  readonly span: Span;
}

/** PAUSE | RESUME QUEUE name */
export interface PauseQueueStatement {
  readonly kind: 'pauseQueue';
  readonly paused: boolean;
  readonly name: Name;
  readonly span: Span;
}

/** PAUSE | RESUME SCHEDULER */
export interface PauseSchedulerStatement {
  readonly kind: 'pauseScheduler';
  readonly paused: boolean;
  readonly span: Span;
}

/** BACKUP TO 'path.duckdb' */
export interface BackupStatement {
  readonly kind: 'backup';
  readonly path: StringValue;
  readonly span: Span;
}

/** SET cron.name = value: `name` is the part after `cron.`. */
export interface SetStatement {
  readonly kind: 'set';
  readonly name: Name;
  readonly value: Value;
  readonly span: Span;
}

/** RESET cron.name */
export interface ResetStatement {
  readonly kind: 'reset';
  readonly name: Name;
  readonly span: Span;
}

/** Not ours: DuckDB gets `text` exactly as it was given. */
export interface PassThroughStatement {
  readonly kind: 'passThrough';
  readonly text: string;
  /** Its first words in capitals, four at most: `['CREATE', 'OR', 'REPLACE', 'VIEW']`. */
  readonly firstWords: readonly string[];
  /** `cron` or `cuckoo` stands somewhere in the text: worth a closer look (facts.ts), as for `SELECT cron.schedule(..)`. */
  readonly mentionsCron: boolean;
  readonly span: Span;
}

/** A plain or "quoted" name, as written (`"it""s"` has the text `it"s`); compare names without case. */
export interface Name {
  readonly text: string;
  readonly quoted: boolean;
  readonly span: Span;
}

/** A piece of DuckDB SQL that we do not look into: an expression, a type, a condition. */
export interface Sql {
  readonly text: string;
  readonly span: Span;
}

/** An end of a stretch of time; an expression is evaluated by DuckDB. */
export type TimeValue = InstantValue | StringValue | TimeExpression;

export interface TimeExpression extends Sql {
  readonly kind: 'expression';
}

export type Value =
  | StringValue
  | NumberValue
  | BooleanValue
  | NullValue
  | SizeValue
  | ClockValue
  | InstantValue
  | DurationValue
  | WordValue
  | PhraseValue
  | ListValue
  | ObjectValue
  | CallValue;

/**
 * Where decoded text stands in the statement: pairs (index in the text, offset in the statement), rising; between two pairs
 * both run in step. Empty for a value that was made by hand. Read it by `toOffset` (text.ts).
 */
export type OffsetMap = readonly (readonly [index: number, offset: number])[];

/** `'it''s'`, `E'a\n'`, `$$..$$`, and in value position `".."`. `text` is decoded. */
export interface StringValue {
  readonly kind: 'string';
  readonly text: string;
  readonly style: 'single' | 'double' | 'escape' | 'dollar';
  readonly offsets: OffsetMap;
  readonly span: Span;
}

/** `text` keeps every digit of a number that a double cannot hold. */
export interface NumberValue {
  readonly kind: 'number';
  readonly value: number;
  readonly text: string;
  readonly span: Span;
}

export interface BooleanValue {
  readonly kind: 'boolean';
  readonly value: boolean;
  readonly span: Span;
}

export interface NullValue {
  readonly kind: 'null';
  readonly span: Span;
}

/** `512MB` is 512,000,000 bytes and `512MiB` 536,870,912, as in DuckDB. */
export interface SizeValue {
  readonly kind: 'size';
  readonly bytes: number;
  readonly text: string;
  readonly span: Span;
}

/** `18:00`, `18:00:30` */
export interface ClockValue {
  readonly kind: 'clock';
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
  readonly text: string;
  readonly span: Span;
}

/** `2027-09-20T02:00:00Z`, or without offset (then in the zone of its use), or a date alone. The fields are in range. */
export interface InstantValue {
  readonly kind: 'instant';
  readonly year: number;
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
  readonly millisecond: number;
  /** Minutes east of UTC; undefined where none was written. */
  readonly offsetMinutes: number | undefined;
  readonly dateOnly: boolean;
  readonly text: string;
  readonly span: Span;
}

/** `1h30m`. `none` is a word, `'30 seconds'` a string. */
export interface DurationValue {
  readonly kind: 'duration';
  readonly ms: number;
  readonly text: string;
  readonly span: Span;
}

/** `skip`, `nightly.load`, `@daily`: `parts` are as written, without the dots; an alias keeps its `@`. */
export interface WordValue {
  readonly kind: 'word';
  readonly text: string;
  readonly parts: readonly string[];
  readonly span: Span;
}

/** `every 30m`: as written, with one blank for each stretch of white space and comments. */
export interface PhraseValue {
  readonly kind: 'phrase';
  readonly text: string;
  readonly offsets: OffsetMap;
  readonly span: Span;
}

export interface ListValue {
  readonly kind: 'list';
  readonly items: readonly Value[];
  readonly span: Span;
}

export interface ObjectValue {
  readonly kind: 'object';
  readonly entries: readonly Entry[];
  readonly span: Span;
}

/** `key: value`. `field` is what the key means: `sched` for `schedule` and `cron`, lower case; the key itself in free objects. */
export interface Entry {
  readonly key: Name;
  readonly field: string;
  readonly value: Value;
  readonly span: Span;
}

/** `env('SLACK_URL')`, `skip('..')`; `name` is in lower case. */
export interface CallValue {
  readonly kind: 'call';
  readonly name: string;
  readonly arguments: readonly Value[];
  readonly span: Span;
}
