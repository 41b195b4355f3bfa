// One file of the job directory, read: which definitions it holds, as statements, or the one reason why it cannot be used. Pure: the
// same text is read once, however often the directory is looked at. Every mistake has a line and a column of the file.

import { createHash } from 'node:crypto';
import { dirname, extname } from 'node:path';
import { Diagnostic, type Span } from '../../core/diagnostic.ts';
import { nameKey } from '../../core/name.ts';
import { keptText } from '../../engine/jobFiles.ts';
import type { DefineProcedureStatement, DefineStatement, Noun, Statement, Value } from '../../parser/ast.ts';
import { parse } from '../../parser/parse.ts';
import { print } from '../../parser/print.ts';
import { split } from '../../parser/split.ts';
import { toOffset } from '../../parser/text.ts';
import { type Job, type Origin, readJob, shownKind } from './job.ts';
import { type JsonNode, placeInString, readJson } from './jsonText.ts';

export type FileKind = 'json' | 'manifest' | 'sql';

export interface JobFile {
  /** Relative to the directory, with `/`. */
  readonly path: string;
  readonly kind: FileKind;
  /** Of what was read: files with one hash say the same. */
  readonly hash: string;
  readonly text: string;
  /** Empty where there is a problem. */
  readonly definitions: readonly Definition[];
  readonly problem: Problem | undefined;
}

export interface Problem {
  /** With line and column, and what to do. */
  readonly message: string;
  /** The text may only be half written. */
  readonly isHalf: boolean;
}

export interface Definition {
  readonly noun: Noun;
  readonly name: string;
  /** An UPSERT. */
  readonly text: string;
  /** What it makes, by noun and folded name; procedures and pipelines share one namespace. */
  readonly makes: readonly string[];
  /** As the catalogue would keep it; undefined where that cannot be told by the text alone. */
  readonly kept: string | undefined;
  readonly enabled: boolean | undefined;
  /** CREATE .. IF NOT EXISTS leaves alone what is there. */
  readonly onlyIfAbsent: boolean;
  /** In the file. */
  readonly span: Span;
  /** Where the parts of `text` stand in the file: all in one piece, or each by itself. */
  readonly origin: { readonly kind: 'piece'; readonly start: number } | { readonly kind: 'job'; readonly job: Job };
}

export interface ReadOptions {
  /** The directory. */
  readonly directory: string;
  readonly executors: readonly string[];
}

/** undefined: not a job file at all, such as the package.json of a module without jobs. */
export function readJobFile(path: string, text: string, options: ReadOptions): JobFile | undefined {
  const file = { path, kind: kindOfPath(path), hash: hashOf(text), text, definitions: [], problem: undefined };
  try {
    if (file.kind === 'sql') return { ...file, definitions: readScript(text) };
    const node = readJson(text);
    const jobs = jobsOf(node, path);
    if (jobs === undefined) return undefined;
    const folder = dirname(`${options.directory}/${path}`);
    const context = { folder, executors: options.executors, inManifest: jobs.kind === 'manifest' };
    const definitions = jobs.nodes.map((job) => definitionOf(readJob(job, context), text));
    refuseTwice(definitions);
    return { ...file, kind: jobs.kind, definitions };
  } catch (error) {
    if (!(error instanceof Diagnostic)) throw error;
    // A script that ends too early may still be good: whoever reads it waits until nobody writes.
    const isHalf = file.kind === 'json' && (error.code === 'unterminated' || error.code === 'syntax_error' || text.trim() === '');
    return { ...file, problem: { message: located(error, text), isHalf } };
  }
}

/** For one that could not be read as text. */
export function unreadableFile(path: string, message: string): JobFile {
  return { path, kind: kindOfPath(path), hash: '', text: '', definitions: [], problem: { message, isHalf: false } };
}

export function kindOfPath(path: string): 'json' | 'sql' {
  return extname(path).toLowerCase() === '.sql' ? 'sql' : 'json';
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 32);
}

// ---- JSON ----

interface Jobs {
  readonly kind: 'json' | 'manifest';
  readonly nodes: readonly JsonNode[];
}

function jobsOf(node: JsonNode, path: string): Jobs | undefined {
  if (node.kind === 'list') return { kind: 'json', nodes: node.items };
  if (node.kind !== 'object') {
    throw new Diagnostic('wrong_type', `a job file holds a job { .. } or a list of jobs, not ${shownKind(node)}`, { span: node.span });
  }
  const jobs = node.entries.find((entry) => entry.key.text === 'jobs');
  if (jobs === undefined) return /(?:^|\/)package\.json$/.test(path) ? undefined : { kind: 'json', nodes: [node] };
  if (jobs.value.kind !== 'list') {
    throw new Diagnostic('wrong_type', `jobs takes a list [ .. ], not ${shownKind(jobs.value)}`, { span: jobs.value.span });
  }
  return { kind: 'manifest', nodes: jobs.value.items };
}

function definitionOf(job: Job, fileText: string): Definition {
  const { statement, name } = job;
  const text = print(statement);
  const parsed = parse(text);
  const origin = { kind: 'job', job } as const;
  if (parsed.statement === undefined) throw inFile(Diagnostic.all(parsed.diagnostics), { text, origin, span: name.span }, fileText);
  if (parsed.statement.kind !== 'define') throw new Diagnostic('internal', 'a job was printed as something else', { span: name.span });
  return { ...ofStatement(parsed.statement), text, span: name.span, origin };
}

// ---- SQL ----

function readScript(text: string): Definition[] {
  if (text.trim() === '') {
    throw new Diagnostic('syntax_error', 'the file is empty', { hint: 'delete it to drop what it has made' });
  }
  const { statements, open } = split(text);
  if (open !== undefined && open.construct !== 'statement') {
    throw new Diagnostic('unterminated', `this ${open.construct} is never closed`, { span: open.span });
  }
  const definitions = statements.map((slice) => {
    const move = (offset: number): number => slice.start + offset;
    const parsed = parse(slice.text);
    if (parsed.statement === undefined) throw Diagnostic.all(parsed.diagnostics).movedBy(move);
    const span = { start: slice.start, end: slice.end };
    const { statement } = parsed;
    if (statement.kind !== 'define' && statement.kind !== 'defineProcedure') throw noDefinition(statement, slice.text, span);
    refusePointing(statement, move);
    // What a file says holds whatever was there before: CREATE and UPSERT mean the same, and have the same length.
    const own = /^create/i.test(slice.text) && statement.verb === 'create' ? `UPSERT${slice.text.slice('CREATE'.length)}` : slice.text;
    const upsert = statement.ifNotExists ? withoutCondition(own) : own;
    return { ...ofStatement(statement), text: upsert, span, origin: { kind: 'piece', start: slice.start } } as const;
  });
  refuseTwice(definitions);
  return definitions;
}

/** Blanks in the place of IF NOT EXISTS: every other character stays where it is. */
function withoutCondition(text: string): string {
  return text.replace(/\bIF(\s+)NOT(\s+)EXISTS\b/i, (words) => words.replace(/\S/g, ' '));
}

function noDefinition(statement: Statement, text: string, span: Span): Diagnostic {
  const [first = 'this'] = /^[A-Za-z]+/.exec(text) ?? [];
  const what = `${first.toUpperCase()} is ${statement.kind === 'passThrough' ? "DuckDB's" : 'none'}`;
  return new Diagnostic('forbidden', `a job file holds definitions, and ${what}`, {
    span: { start: span.start, end: span.start + first.length },
    hint: 'UPSERT or CREATE SCHEDULE, PROCEDURE, PIPELINE, CALENDAR, QUEUE; to drop what the file has made, take it out',
  });
}

/** `<{ sched: nightly }>` would change a schedule that stands somewhere else. */
function refusePointing(statement: DefineStatement | DefineProcedureStatement, move: (offset: number) => number): void {
  const pointed = legacyItems(statement).find((item) => !isCadence(item));
  if (pointed === undefined) return;
  throw new Diagnostic('unsupported', 'in a job file a procedure points no schedule at itself', {
    span: { start: move(pointed.span.start), end: move(pointed.span.end) },
    hint: `let the schedule say what it calls: UPSERT SCHEDULE .. ( call: ${statement.name.text} )`,
  });
}

function legacyItems(statement: DefineStatement | DefineProcedureStatement): readonly Value[] {
  if (statement.kind === 'define') return [];
  const sched = statement.legacy?.entries.find((entry) => entry.field === 'sched')?.value;
  if (sched === undefined || sched.kind === 'null') return [];
  return sched.kind === 'list' ? sched.items : [sched];
}

function isCadence(item: Value): boolean {
  return !(item.kind === 'word' || item.kind === 'string') || /^@|\s|^\d{4}-/.test(item.text);
}

// ---- Both ----

function ofStatement(statement: DefineStatement | DefineProcedureStatement) {
  const noun: Noun = statement.kind === 'define' ? statement.noun : 'procedure';
  const name = statement.name.text;
  const enabled = statement.kind === 'define' ? statement.definition.entries.find((entry) => entry.field === 'enabled')?.value : undefined;
  const alone = statement.kind === 'define' && statement.noun === 'schedule' && statement.like === undefined ? statement : undefined;
  return {
    noun,
    name,
    makes: [madeKey(noun, name), ...(legacyItems(statement).length > 0 ? [madeKey('schedule', name)] : [])],
    kept: alone === undefined ? undefined : keptText(alone),
    enabled: enabled?.kind === 'boolean' ? enabled.value : undefined,
    onlyIfAbsent: statement.ifNotExists,
  };
}

export function madeKey(noun: Noun, name: string): string {
  return `${noun === 'pipeline' ? 'procedure' : noun}:${nameKey(name)}`;
}

function refuseTwice(definitions: readonly Definition[]): void {
  const seen = new Set<string>();
  for (const { makes, noun, name, span } of definitions) {
    for (const key of makes) {
      if (seen.has(key)) {
        throw new Diagnostic('duplicate_object', `${noun} ${name} stands in this file twice`, { span, hint: 'a name stands once' });
      }
      seen.add(key);
    }
  }
}

// ---- Places ----

/** A mistake in the text of a definition, as one of the file that holds it. */
export function inFile(
  error: Diagnostic,
  { text, origin, span }: Pick<Definition, 'text' | 'origin' | 'span'>,
  fileText: string,
): Diagnostic {
  if (error.span === undefined) return error.at(span);
  if (origin.kind === 'piece') return error.movedBy((offset) => origin.start + offset);
  return error.at(spanInJob(error.span, text, origin.job, fileText));
}

/** The JSON value of which a part of the printed statement was made; inside of a text the place in it. */
function spanInJob(span: Span, text: string, { statement, name, origins }: Job, fileText: string): Span {
  // The printer writes one entry after the other, so each text of the first entries is a beginning of the whole.
  const endOf = (count: number): number =>
    print({ ...statement, definition: { ...statement.definition, entries: statement.definition.entries.slice(0, count) } }).length - 2;
  const index = origins.findIndex((_, at) => span.start < endOf(at + 1));
  const origin = origins[index];
  if (
    origin === undefined ||
    (index === 0 && span.start < print({ ...statement, definition: { ...statement.definition, entries: [] } }).length - 2)
  ) {
    return name.span;
  }
  const parsed = parse(text).statement;
  const value = parsed?.kind === 'define' ? parsed.definition.entries[index]?.value : undefined;
  return (value === undefined ? undefined : insideText(span, value, origin, fileText)) ?? origin.value.span;
}

function insideText(span: Span, value: Value, { value: node }: Origin, fileText: string): Span | undefined {
  if (value.kind !== 'string' || node.kind !== 'string' || value.text !== node.text) return undefined;
  if (span.start <= value.span.start || span.end > value.span.end) return undefined;
  let start = 0;
  while (start < value.text.length && toOffset(value, start) < span.start) start += 1;
  let end = start;
  while (end < value.text.length && toOffset(value, end) < span.end) end += 1;
  return { start: placeInString(fileText, node, start), end: placeInString(fileText, node, Math.max(end, start + 1)) };
}

/** `line 3, column 15: a job has no key "shedule" (did you mean "schedule"?)` */
export function located(error: Diagnostic, fileText: string): string {
  const hint = error.hint === undefined ? '' : ` (${error.hint})`;
  const more = error.more.length === 0 ? '' : `; and ${error.more.length} more mistake${error.more.length === 1 ? '' : 's'}`;
  if (error.span === undefined) return `${error.message}${hint}${more}`;
  const before = fileText.slice(0, error.span.start);
  const line = before.split('\n').length;
  const column = before.length - before.lastIndexOf('\n');
  return `line ${line}, column ${column}: ${error.message}${hint}${more}`;
}
