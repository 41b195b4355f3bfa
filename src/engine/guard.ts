// The session guard: a session cannot break the others. All sessions and all runs of a process share one DuckDB instance, and
// one statement of any of them can take the file away (DETACH), change what every query means (SET default_order), make each
// `cron.x` ambiguous (ATTACH .. AS cron), or drop DuckDB's lock on the file by reading it as a file. What is known to do so is
// refused here, by the words that stand there and before DuckDB sees them, each with the statement to use instead.
//
// What a path is that is computed (`read_csv('day_' || current_date || '.csv')`) or bound is known only when the statement runs:
// `guardValues` looks at it then. It protects against accidents, not against an admin who means it: what a macro or a view that
// came with the file reads is seen by nobody here, and what DuckDB's lock says afterwards decides (HeldLock).

import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { Diagnostic, type Span } from '../core/diagnostic.ts';
import { type Act, type Facts, factsOf, type ObjectAct, type QualifiedName, type SettingAct, type WriteVerb } from '../parser/facts.ts';
import { tokenAt } from '../parser/lexer.ts';
import { parse } from '../parser/parse.ts';
import { split } from '../parser/split.ts';
import { decode } from '../parser/text.ts';
import { type Computed, fileReadsOf, mayCompute, mayReadFiles } from './fileReads.ts';
import { OpenFiles, samePath } from './openFiles.ts';
import { fatalSettings, ownSettings, sharedFunctions, sharedPragmas, sharedSettings } from './sharedSettings.ts';
import type { NativeParameter, NativeParameters, NativeStatement } from './store/duckdb/native.ts';

export interface GuardContext {
  /** May change what all sessions share. */
  readonly admin: boolean;
  /** The name under which the opened file is attached. */
  readonly mainDatabase: string;
  /** The opened file; undefined for `:memory:`. */
  readonly filePath: string | undefined;
}

/** Why a statement that is not ours may not go to DuckDB; undefined if it may. */
export function guard(text: string, context: GuardContext): Diagnostic | undefined {
  if (!worthALook(text)) return mayReadFiles(text) ? refuseFiles(text, undefined, context) : undefined;
  const facts = factsOf(text);
  for (const act of facts.acts) {
    const refused = refuseAct(act, text, facts, context);
    if (refused !== undefined) return refused;
  }
  return refuseFunctions(facts, context) ?? refuseFiles(text, facts, context) ?? refuseImport(facts, context);
}

/**
 * The same for SQL that runs by itself: bodies, `sql:`, `when`, steps. Beside all that a session may not do, nothing that ends
 * or leaves the run's transaction, and nothing of ours that defines or runs.
 */
export function guardBody(text: string): Diagnostic | undefined {
  const { statement, diagnostics } = parse(text);
  if (statement === undefined) return diagnostics[0];
  if (statement.kind !== 'passThrough' && statement.kind !== 'call') {
    return forbidden(
      'a run cannot define, list or run schedules',
      statement.span,
      'a body holds SQL and CALL; read definitions and history from the tables of schema cron',
    );
  }
  if (!worthALook(text)) return undefined;
  const facts = factsOf(text);
  for (const act of facts.acts) {
    const refused = refuseInBody(act);
    if (refused !== undefined) return refused;
  }
  const imported = facts.files.find((file) => file.by === 'import');
  if (imported !== undefined)
    return forbidden('a run cannot IMPORT a database', imported.span, 'what is in it is known only then: import it in a session');
  const job = jobFunctions.find((name) => facts.functions.has(name) && facts.names.has('cron'));
  if (job !== undefined) {
    return forbidden(
      `a run cannot call cron.${job}`,
      whole(text),
      'define schedules in a session; what a run decides, it can write into a table',
    );
  }
  return guard(text, anyFile);
}

/** A definition is checked without a session: against all files that this process holds. */
const anyFile: GuardContext = { admin: false, mainDatabase: '', filePath: undefined };

/** Most statements neither begin with one of these words nor hold one of those: they cost a microsecond. */
function worthALook(text: string): boolean {
  const first = tokenAt(text, 0);
  return (first.kind === 'word' && verbs.has(text.slice(first.start, first.end).toUpperCase())) || suspicious.test(text);
}

const verbs = new Set(
  'ATTACH DETACH USE SET RESET PRAGMA ALTER COPY IMPORT EXPORT EXPLAIN BEGIN START COMMIT END ROLLBACK ABORT SUMMARIZE DESCRIBE TABLE PIVOT UNPIVOT'.split(
    ' ',
  ),
);

const suspicious =
  /cron|cuckoo|read_|_scan|scan_|parquet_|sniff_|st_read|_logging|_logs|enable_profil|_peg_parser|\b(?:from|join|using)\b(?:[\s(]|\/\*[\s\S]*?\*\/|--.*)*['"$]/i;

const jobFunctions = ['schedule', 'unschedule', 'alter_job', 'schedule_in_database'];

function refuseAct(act: Act, text: string, facts: Facts, context: GuardContext): Diagnostic | undefined {
  switch (act.kind) {
    case 'transaction':
    case 'copyTo':
      return undefined;
    case 'attach':
      return refuseAttach(act, text, context);
    case 'detach':
      if (!isMain(act.name, context)) return undefined;
      return forbidden(`${act.name} is the database that every session works in`, act.span, 'close the session to leave it');
    case 'use':
      return act.target.some((part) => isOurs(part)) ? refuseUse(act.span) : undefined;
    case 'setting':
      return refuseSetting(act, context);
    case 'object':
      return refuseObject(act, text, facts, context);
    case 'write':
      // TRUNCATE ONLY t
      if (act.target.length === 1 && /^only$/i.test(act.target[0] ?? '') && facts.names.has('cuckoo_ledger')) {
        return refuseWrite(act.verb, ['cuckoo_ledger', '..'], act.span);
      }
      return touchesOurs(act.target, context) ? refuseWrite(act.verb, act.target, act.span) : undefined;
    default:
      return act satisfies never;
  }
}

function refuseInBody(act: Act): Diagnostic | undefined {
  switch (act.kind) {
    case 'transaction':
      return forbidden(
        `${act.control.toUpperCase()} would end the run's own transaction`,
        act.span,
        'a run is one transaction already; for statements that commit one by one, make a procedure with ( atomic: false )',
      );
    case 'attach':
    case 'detach':
      return forbidden(
        `a run cannot ${act.kind.toUpperCase()} a database`,
        act.span,
        'attached databases are shared: attach it once, in a session',
      );
    case 'use':
      return forbidden('USE changes what the names of a run mean', act.span, 'write names in full: schema.table or database.schema.table');
    case 'setting':
      if (act.name !== 'schema' && act.name !== 'search_path') return undefined;
      return forbidden(
        `${act.name} changes what the names of a run mean`,
        act.span,
        'write names in full: schema.table or database.schema.table',
      );
    case 'write':
      if (!isJobUpdate(act.verb, act.target)) return undefined;
      return forbidden('a run cannot change schedules', act.span, 'disable it in a session: DISABLE SCHEDULE name;');
    case 'object':
      if (act.what !== 'database') return undefined;
      return forbidden('a run cannot ALTER a database', act.span, 'attached databases are shared: name them in a session');
    case 'copyTo':
      return undefined;
    default:
      return act satisfies never;
  }
}

function refuseAttach(act: Extract<Act, { kind: 'attach' }>, text: string, context: GuardContext): Diagnostic | undefined {
  const alias = act.alias ?? (act.path === undefined ? undefined : defaultAlias(act.path));
  if (alias !== undefined && isOurs(alias)) {
    const path = act.path ?? '..';
    return forbidden(
      `a database called ${alias} would make every ${alias}.x ambiguous`,
      act.span,
      `give it another name: ATTACH '${path}' AS my_${alias}`,
    );
  }
  // ATTACH OR REPLACE puts another file in the place of the one that everybody works in.
  if (alias !== undefined && isMain(alias, context) && /^\s*attach\s+or\b/i.test(withoutComments(text))) {
    return forbidden(`${alias} is the database that every session works in`, act.span, 'give the other file a name of its own');
  }
  return undefined;
}

/** What DuckDB calls a file without AS: its name up to the first dot. */
function defaultAlias(path: string): string {
  return basename(path.replace(/^[a-z]+:(?!\/\/)/, '').replace(/[?#].*$/, '')).replace(/\..*$/s, '');
}

function refuseUse(span: Span): Diagnostic {
  return forbidden(
    'the schemas cron and cuckoo_ledger cannot be the ones that bare names mean',
    span,
    'write cron.runs, cron.schedules, ..',
  );
}

function refuseSetting(act: SettingAct, context: GuardContext): Diagnostic | undefined {
  const { name } = act;
  const statement = `${act.verb.toUpperCase()} ${name}`;
  if (name === 'schema' || name === 'search_path') {
    const parts = (act.value ?? '').split(/[\s,."']+/);
    return parts.some((part) => isOurs(part)) ? refuseUse(act.span) : undefined;
  }
  if (fatalSettings.has(name))
    return forbidden(
      `${statement} would stop the database for every session`,
      act.span,
      'restrict what may be read and written when the process is started',
    );
  if (profiling.test(name) && act.verb !== 'reset') return refuseProfiling(act.span);
  const shared =
    sharedSettings.has(name) || (act.verb === 'pragma' && sharedPragmas.has(name)) || (act.scope === 'global' && ownSettings.has(name));
  if (!shared || context.admin) return undefined;
  const own = act.scope === 'global' && ownSettings.has(name);
  return forbidden(
    `${statement} changes it for every session`,
    act.span,
    own
      ? `leave GLOBAL out: SET ${name} is the session's own`
      : 'an admin may set it in a session, never in a body; SET VARIABLE and SET of session settings are free',
  );
}

function refuseObject(act: ObjectAct, text: string, facts: Facts, context: GuardContext): Diagnostic | undefined {
  const { verb, what, target } = act;
  const name = target.at(-1) ?? '';
  if (what === 'database') {
    // ALTER DATABASE x SET ALIAS TO y
    const alias = /\bto\s+"?([^\s";]+)"?\s*;?\s*$/i.exec(text)?.[1];
    if (isMain(name, context))
      return forbidden(
        `${name} is the database that every session works in`,
        act.span,
        'its name comes from the file: rename the file while nothing has it open',
      );
    if (alias !== undefined && isOurs(alias))
      return forbidden(`a database called ${alias} would make every ${alias}.x ambiguous`, act.span, 'give it another name');
    return undefined;
  }
  if (what === 'schema') {
    if (!isOurs(name) || !inMain(target, context)) return undefined;
    return forbidden(
      `schema ${name.toLowerCase()} is Cuckoo's own`,
      act.span,
      verb === 'create' ? 'it exists in every file; give yours another name' : 'DROP SCHEDULE, DROP PROCEDURE, .. remove what is in it',
    );
  }
  const indexesOurs = what === 'index' && facts.names.has('cuckoo_ledger');
  if (touchesOurs(target, context) || indexesOurs) {
    const hint =
      verb === 'create'
        ? 'create it in a schema of your own'
        : 'what is in it is changed by statements: UPSERT, ALTER, DROP SCHEDULE, PROCEDURE, PIPELINE, CALENDAR, QUEUE';
    return forbidden(`schema ${indexesOurs ? 'cuckoo_ledger' : schemaOf(target)} is Cuckoo's own`, act.span, hint);
  }
  if (what === 'macro' && /^(?:cron|cuckoo)_/i.test(name)) {
    return forbidden(
      `names that begin with ${name.slice(0, name.indexOf('_') + 1).toLowerCase()} belong to Cuckoo's functions`,
      act.span,
      'give the macro another name',
    );
  }
  return undefined;
}

const profiling = /^enable_profil(?:e|ing)$/;

function refuseProfiling(span: Span | undefined): Diagnostic {
  return forbidden(
    "it would profile Cuckoo's own statements too, in the middle of the answers",
    span,
    'EXPLAIN ANALYZE SELECT ..; profiles one statement',
  );
}

function refuseFunctions(facts: Facts, context: GuardContext): Diagnostic | undefined {
  if ([...facts.functions].some((name) => profiling.test(name))) return refuseProfiling(undefined);
  if (context.admin) return undefined;
  const found = [...facts.functions].find((name) => sharedFunctions.has(name));
  if (found === undefined) return undefined;
  return forbidden(`${found}() changes it for every session`, undefined, 'an admin may call it in a session, never in a body');
}

// Writes to our schemas: the statement to use instead.

function refuseWrite(verb: WriteVerb, target: QualifiedName, span: Span): Diagnostic | undefined {
  const relation = target.at(-1)?.toLowerCase() ?? '';
  const inCron = schemaOf(target) === 'cron';
  if (inCron && ((relation === 'job_run_details' && verb === 'delete') || isJobUpdate(verb, target))) return undefined;
  const shown = inCron ? relation : (relationOf[relation] ?? relation);
  return forbidden(`${target.join('.')} is changed by statements only`, span, insteadOf(shown, verb));
}

function isJobUpdate(verb: WriteVerb, target: QualifiedName): boolean {
  return verb === 'update' && schemaOf(target) === 'cron' && target.at(-1)?.toLowerCase() === 'job';
}

/** Which relation of `cron` shows a base table. */
const relationOf: Readonly<Record<string, string>> = {
  schedule: 'schedules',
  schedule_version: 'schedules',
  routine: 'procedures',
  calendar: 'calendars',
  queue: 'queues',
  setting: 'settings',
  open_run: 'runs',
  closed: 'runs',
  closed_step: 'step_runs',
  run_log: 'run_logs',
  dead_letter_settled: 'dead_letters',
  pg_cron_job: 'job',
};

function insteadOf(relation: string, verb: WriteVerb): string {
  const removes = verb === 'delete' || verb === 'truncate';
  const makes = verb === 'insert' || verb === 'copy';
  switch (relation) {
    case 'schedules':
      if (removes) return 'DROP SCHEDULE name;';
      return makes
        ? 'UPSERT SCHEDULE name ( sched: .., sql: .. );'
        : 'ALTER SCHEDULE name SET ( key: value ); or ENABLE | DISABLE SCHEDULE name;';
    case 'procedures':
    case 'pipelines':
    case 'calendars':
    case 'queues': {
      const noun = relation.slice(0, -1).toUpperCase();
      return removes ? `DROP ${noun} name;` : `UPSERT ${noun} name ..;`;
    }
    case 'settings':
      return removes ? 'RESET cron.name;' : 'SET cron.name = value;';
    case 'runs':
    case 'step_runs':
    case 'run_logs':
      if (removes) return 'old history goes by rule: ALTER SCHEDULE name SET ( keep: { succeeded: 30d, failed: 1y } );';
      return makes ? 'RUN SCHEDULE name; makes a run' : "CANCEL RUN 'id'; or RETRY RUN 'id';";
    case 'dead_letters':
      return removes ? "DROP DEAD LETTER 'id';" : "RETRY DEAD LETTER 'id';";
    case 'job':
      return removes ? "SELECT cron.unschedule('name');" : "SELECT cron.schedule('name', '0 3 * * *', $$ .. $$);";
    case 'job_run_details':
      return 'DELETE FROM cron.job_run_details WHERE ..; is carried out, nothing else';
    default:
      return 'it shows what the scheduler does; LIST and SELECT read it';
  }
}

// Files: whoever closes a file descriptor of the open database drops DuckDB's lock on it, and COPY TO writes over it.

function refuseFiles(text: string, facts: Facts | undefined, context: GuardContext): Diagnostic | undefined {
  // glob() lists names and opens nothing.
  const mentions = [...(facts?.files ?? []), ...fileReadsOf(text).mentions].filter(({ by }) => by !== 'glob');
  const open = new OpenFiles(context.filePath);
  for (const { path, by, span } of mentions) {
    const file = open.named(path);
    // DuckDB knows the files that it has attached, but not by the other name of a hard link.
    if (file !== undefined && !(by === 'attach' && samePath(path, file))) {
      const writes = facts?.acts.some((act) => act.kind === 'copyTo' && act.path === path) ?? false;
      return openDatabase(path, span, writes);
    }
    const emptied = by === 'copy' && facts?.names.has('overwrite') === true && open.liesIn(path);
    if (emptied) return forbidden('OVERWRITE would empty the folder that holds the open database', span, 'choose another folder');
  }
  return undefined;
}

function openDatabase(path: string, span: Span, writes: boolean): Diagnostic {
  return forbidden(
    writes ? `'${path}' is an open database: this would write over it` : `'${path}' is an open database, which must not be read as a file`,
    span,
    writes ? 'choose another file' : "query its tables, or make a copy with BACKUP TO 'copy.duckdb'; and read that",
  );
}

/**
 * The same for what is known only when a statement runs: its values are there, and what it computes is computed here first.
 * Every statement passes on its way to DuckDB, also those of bodies; most cost a look at their words.
 */
export function guardValues(statement: NativeStatement, database: OpenedDatabase): Promise<void> | undefined {
  if (mayLeave.test(statement.text)) return refuseLeaving(statement, database);
  if (!mayCompute(statement.text)) return undefined;
  const { computed } = fileReadsOf(statement.text);
  return computed.length === 0 ? undefined : refuseComputed(statement, computed, database);
}

export interface OpenedDatabase {
  readonly path: string;
  /** The name under which it is attached. */
  readonly catalogue: string;
}

const mayLeave = /^(?:[^'"]*\W)?(?:use|search_path|schema)\b/i;

/** USE of another database: `cron.schedules` would be unknown there, or the other file's. Which names are databases DuckDB knows. */
async function refuseLeaving(statement: NativeStatement, { catalogue }: OpenedDatabase): Promise<void> {
  const { text } = statement;
  for (const act of factsOf(text).acts) {
    const isPath = act.kind === 'setting' && (act.name === 'schema' || act.name === 'search_path');
    if (act.kind !== 'use' && !isPath) continue;
    const [first = '', ...others] = await statement.texts(
      'SELECT list(database_name ORDER BY database_oid ASC NULLS LAST) FROM duckdb_databases() WHERE NOT internal',
      {},
    );
    const foreign = new Set([first, ...others].map((name) => name.toLowerCase()));
    foreign.delete(catalogue.toLowerCase());
    const hint = (name: string): string =>
      `its tables are reached by their full names: ${name}.main.t; a schema of ${catalogue} may be used`;
    if (act.kind === 'use' || act.verb !== 'reset') {
      const names = act.kind === 'use' ? [act.target] : act.value === undefined ? [] : pathEntries(act.value);
      const name = names.find(([database = '']) => foreign.has(database.toLowerCase()))?.[0];
      if (name !== undefined) throw forbidden(`from ${name}, cron.schedules would not be this file's any more`, act.span, hint(name));
      // What is computed is not looked at, so it is not taken.
      const behind = act.kind === 'use' ? undefined : tokenAt(text, tokenAt(text, act.span.end).end);
      if (behind !== undefined && behind.kind !== 'end' && !';)'.includes(text.slice(behind.start, behind.end)))
        throw forbidden('a path of schemas is one text', act.span, "SET search_path = 'work,main'");
    } else if (first.toLowerCase() !== catalogue.toLowerCase()) {
      // The file has another name than its own, and DuckDB began with a database in memory.
      throw forbidden(`${act.name} would then be ${first}`, act.span, `USE ${catalogue};`);
    }
  }
}

/** `main, other.main`: the names of each entry. */
function pathEntries(value: string): QualifiedName[] {
  const entries: string[][] = [[]];
  for (let token = tokenAt(value, 0); token.kind !== 'end'; token = tokenAt(value, token.end)) {
    if (token.kind === 'symbol' && value[token.start] === ',') entries.push([]);
    else if (token.kind !== 'symbol') entries.at(-1)?.push(decode(value, token).text);
  }
  return entries;
}

async function refuseComputed(statement: NativeStatement, computed: readonly Computed[], database: OpenedDatabase): Promise<void> {
  const open = new OpenFiles(database.path);
  const writes = /^\W*copy\b[\s\S]*\bto\b/i.test(statement.text);
  for (const each of computed) {
    const { kind, by, span } = each;
    if (each.later !== undefined && !isSettled(each)) {
      // A name of a table, which is what a macro gives to query_table, opens no database.
      if (by === 'query_table' || (each.ending !== undefined && !open.mayEndWith(each.ending))) continue;
      throw forbidden(
        `what ${by} opens here is known only when it is used, and could then be the open database`,
        span,
        "write the path as a constant, or let it end with one: .. || '.csv'",
      );
    }
    const values = parametersFor(each, statement.parameters);
    // Without a value the statement fails by itself, and says which one.
    if (values === undefined) continue;
    if (changes(each.expression)) {
      throw forbidden(`what ${by} opens changes from one look to the next`, span, "SET VARIABLE path = ..; and read getvariable('path')");
    }
    const texts = await textsOf(each, values, statement);
    for (const text of texts) {
      if (kind === 'path') {
        if (open.named(text) !== undefined) throw openDatabase(text, span, writes && by === 'copy');
        continue;
      }
      const refused = guard(text, { admin: true, mainDatabase: '', filePath: database.path });
      if (refused !== undefined) throw forbidden(`${by}: ${refused.message}`, span, refused.hint ?? '');
      await guardValues({ ...statement, text, parameters: undefined }, database);
    }
  }
}

/** Answers the same whenever it is asked, but for the date. */
function isSettled({ later, expression, parameters }: Computed): boolean {
  return later === 'view' && parameters.size === 0 && !/getvariable|getenv|current_setting/i.test(expression);
}

const changing = /^(?:nextval|random|gen_random_uuid|uuid(?:v4|v7)?)$/;

/** Only what is called counts: a text that names such a function, as the SQL given to json_serialize_plan may, stays the same. */
function changes(expression: string): boolean {
  return [...factsOf(`SELECT ${expression}`).functions].some((name) => changing.test(name));
}

/** What the expression needs, by the names that it has there; undefined where a value is missing. */
function parametersFor({ parameters }: Computed, given: NativeParameters | undefined): Record<string, NativeParameter> | undefined {
  const values: Record<string, NativeParameter> = {};
  const byName = new Map(Object.entries(given ?? {}).map(([name, value]) => [name.toLowerCase(), value]));
  for (const [shown, wanted] of parameters) {
    // A list is a record of its places, from 0.
    const key = typeof wanted === 'number' && Array.isArray(given) ? String(wanted - 1) : String(wanted).toLowerCase();
    const value = byName.get(key);
    if (value === undefined) return undefined;
    values[shown] = value;
  }
  return values;
}

async function textsOf(
  { kind, by, expression, constant, span }: Computed,
  values: Record<string, NativeParameter>,
  statement: NativeStatement,
): Promise<readonly string[]> {
  if (constant !== undefined && kind !== 'serialized') return [constant];
  try {
    return await statement.texts(
      kind === 'serialized' ? `SELECT json_deserialize_sql((${expression}\n))` : `SELECT (${expression}\n)`,
      values,
    );
  } catch (error) {
    if (!(error instanceof Diagnostic) || notItsOwn.has(error.code)) throw error;
    const refused = `what ${by} opens cannot be told before it is opened: ${error.message}`;
    const hint = 'write the path as a constant, a parameter, or an expression of these';
    throw new Diagnostic('forbidden', refused, { span, hint, cause: error });
  }
}

/** Errors that the statement itself would have met. */
const notItsOwn: ReadonlySet<string> = new Set(['aborted_transaction', 'cancelled', 'closed', 'fatal', 'conversion']);

/** IMPORT DATABASE runs two files of statements, which are looked at as if they stood here. */
function refuseImport(facts: Facts, context: GuardContext): Diagnostic | undefined {
  for (const { path, by, span } of facts.files) {
    if (by !== 'import') continue;
    for (const name of ['schema.sql', 'load.sql']) {
      const file = join(path, name);
      for (const { text } of split(contentOf(file)).statements) {
        const refused = guard(text, context);
        if (refused !== undefined)
          return new Diagnostic('forbidden', `${file}: ${refused.message}`, { span, hint: refused.hint, cause: refused });
      }
    }
  }
  return undefined;
}

/** Nothing where there is no file: then DuckDB says so. */
function contentOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

/** Whether the text opens an open file, or may: planning it would read it. */
export function opensItself(text: string): boolean {
  if (!worthALook(text) && !mayReadFiles(text)) return false;
  const open = new OpenFiles(undefined);
  const mayOpen = ({ kind, constant, ending }: Computed): boolean =>
    kind === 'query' && constant !== undefined ? opensItself(constant) : ending === undefined || open.mayEndWith(ending);
  return refuseFiles(text, factsOf(text), anyFile) !== undefined || fileReadsOf(text).computed.some(mayOpen);
}

// Names.

function isOurs(name: string): boolean {
  return /^(?:cron|cuckoo_ledger|cuckoo_work)$/i.test(name);
}

function isMain(name: string, context: GuardContext): boolean {
  return name.toLowerCase() === context.mainDatabase.toLowerCase();
}

/** Whether `target`, a schema, lies in the main database: without a database it may. */
function inMain(target: QualifiedName, context: GuardContext): boolean {
  const [database] = target.slice(0, -1);
  return database === undefined || isMain(database, context) || context.mainDatabase === '';
}

/** Whether the object `target`, a table or a column of one, lies in one of our schemas. */
function touchesOurs(target: QualifiedName, context: GuardContext): boolean {
  const at = target.slice(0, -1).findIndex(isOurs);
  return at === 0 || (at > 0 && inMain(target.slice(0, at + 1), context));
}

function schemaOf(target: QualifiedName): string {
  return target.slice(0, -1).find(isOurs)?.toLowerCase() ?? '';
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\/|--[^\n]*/g, ' ');
}

function whole(text: string): Span {
  return { start: 0, end: text.length };
}

function forbidden(message: string, span: Span | undefined, hint: string): Diagnostic {
  return new Diagnostic('forbidden', message, { span, hint });
}
