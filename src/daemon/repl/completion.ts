// What Tab offers. Our own statements are completed from a table of their words and from the parser's table of keys; everything
// else is asked of DuckDB (`sql_auto_complete`), which knows its grammar and its tables better than we do. The first half of the
// file is pure: text in, what is wanted out; only `Completer` asks a session.

import { readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { keyIn, type Place, places, type Shape } from '../../parser/keys.ts';
import { type Token, tokenAt } from '../../parser/lexer.ts';
import { split } from '../../parser/split.ts';
import { modes } from '../render/mode.ts';
import { findCommand, shellCommands } from './commands.ts';
import type { Completion } from './editor.ts';

export type CatalogueNoun = 'schedule' | 'procedure' | 'pipeline' | 'calendar' | 'queue';

/** What may stand at the cursor. */
export interface Wanted {
  /** The range of the statement that a candidate replaces: the word that was begun. */
  readonly start: number;
  readonly typed: string;
  readonly words: readonly string[];
  readonly names: readonly CatalogueNoun[];
  /** Whether DuckDB is asked as well. */
  readonly duckdb: boolean;
}

export interface CompletionSource {
  names(noun: CatalogueNoun): Promise<readonly string[]>;
  /** The answer of `sql_auto_complete`, its starts in UTF-16. */
  duckdb(statement: string): Promise<readonly DuckdbSuggestion[]>;
}

export interface DuckdbSuggestion {
  readonly text: string;
  readonly start: number;
  readonly kind: string;
  readonly score: number;
}

const mostCandidates = 200;

export class Completer {
  readonly #source: CompletionSource;

  constructor(source: CompletionSource) {
    this.#source = source;
  }

  async complete(text: string, cursor: number): Promise<Completion | undefined> {
    const before = text.slice(0, cursor);
    const line = before.slice(before.lastIndexOf('\n') + 1);
    const start = statementStart(before);
    if (/^\s*[.\\][A-Za-z?]*/.test(line) && before.slice(start).trim() === line.trim()) return this.#completeCommand(line, cursor);
    const statement = before.slice(start);
    const wanted = wantedAt(statement);
    const found = new Map<string, number>();
    const offer = (candidate: string, from: number): void => {
      if (!found.has(candidate) && found.size < mostCandidates) found.set(candidate, from);
    };
    for (const noun of wanted.names) {
      for (const name of await this.#source.names(noun)) {
        const written = writtenName(name);
        if (beginsWith(written, wanted.typed) || beginsWith(name, wanted.typed)) offer(written, wanted.start);
      }
    }
    for (const word of wanted.words) {
      if (beginsWith(word, wanted.typed)) offer(inCaseOf(word, wanted.typed), wanted.start);
    }
    if (wanted.duckdb) {
      for (const { text: suggestion, start: from } of prefixesOnly(await this.#source.duckdb(statement))) offer(suggestion, from);
    }
    const [first] = found.values();
    if (first === undefined) return undefined;
    // One menu replaces one range: what begins elsewhere is left out.
    const candidates = [...found].filter(([, from]) => from === first).map(([candidate]) => candidate);
    return { start: start + first, end: cursor, candidates };
  }

  async #completeCommand(line: string, cursor: number): Promise<Completion | undefined> {
    const match = /^(\s*)([.\\])(\S*)(\s+)?(.*)$/s.exec(line);
    if (match === null) return undefined;
    const [, , prefix = '.', name = '', gap, argument = ''] = match;
    if (gap === undefined) {
      const candidates = shellCommands.filter((command) => beginsWith(command.name, name)).map((command) => completed(command, prefix));
      return candidates.length === 0 ? undefined : { start: cursor - name.length - 1, end: cursor, candidates };
    }
    const candidates = await this.#argumentsOf(findCommand(name)?.takes, argument);
    return candidates.length === 0 ? undefined : { start: cursor - argument.length, end: cursor, candidates };
  }

  async #argumentsOf(takes: string | undefined, typed: string): Promise<readonly string[]> {
    switch (takes) {
      case 'MODE':
        return modes.filter((mode) => beginsWith(mode, typed));
      case 'on|off|auto':
        return ['on', 'off', 'auto'].filter((word) => beginsWith(word, typed));
      case 'on|off|failures':
        return ['on', 'off', 'failures'].filter((word) => beginsWith(word, typed));
      case 'NAME':
        return (await this.#source.names('schedule')).map(writtenName).filter((name) => beginsWith(name, typed));
      case 'TABLE':
        return (await this.#source.duckdb(`FROM ${typed}`))
          .filter(({ kind, score }) => kind === 'table' && score === 0)
          .map(({ text }) => text);
      case 'FILE':
        return filesLike(typed);
      case 'COMMAND':
        return shellCommands.map((command) => command.name).filter((name) => beginsWith(name, typed.replace(/^[.\\]/, '')));
      default:
        return [];
    }
  }
}

/** What the statement's last, perhaps unfinished word could be. */
export function wantedAt(statement: string): Wanted {
  const tokens: Token[] = [];
  for (let token = tokenAt(statement, 0); token.kind !== 'end'; token = tokenAt(statement, token.end)) tokens.push(token);
  const last = tokens.at(-1);
  const behind = statement.slice(last?.end ?? 0);
  if (/--[^\n]*$/.test(behind) || tokenAt(statement, last?.end ?? 0).unterminated) {
    return { start: statement.length, typed: '', words: [], names: [], duckdb: false };
  }
  const touched = last !== undefined && last.end === statement.length ? last : undefined;
  const inQuotes = touched?.unterminated === true;
  // `cron.time` is one word that was begun, `cron.` too.
  let begun = tokens.length;
  if (touched !== undefined && isBegun(statement, touched)) {
    begun--;
    for (let next = tokens[begun - 1]; next !== undefined; next = tokens[begun - 1]) {
      const follower = tokens[begun];
      if (follower === undefined || next.end !== follower.start || !isBegun(statement, next)) break;
      if ((raw(statement, next) === '.') === (raw(statement, follower) === '.')) break;
      begun--;
    }
  }
  const start = tokens[begun]?.start ?? statement.length;
  const typed = statement.slice(start);
  const complete = tokens.slice(0, begun);
  const head = complete.map((token) =>
    token.kind === 'word' ? statement.slice(token.start, token.end).toUpperCase() : raw(statement, token),
  );
  if (inQuotes) return { start, typed: '', words: [], names: [], duckdb: !isOurs(head) };
  const definition = wantedInDefinition(statement, complete);
  if (definition !== undefined) return { start, typed, duckdb: false, ...definition };
  const { words, names } = wantedAfter(head);
  return { start, typed, words, names, duckdb: !isOurs(head) };
}

function isBegun(statement: string, token: Token): boolean {
  return token.kind === 'word' || token.kind === 'alias' || raw(statement, token) === '.';
}

const nouns = ['SCHEDULE', 'PROCEDURE', 'PIPELINE', 'CALENDAR', 'QUEUE'] as const;
const runOptions = ['WITH', 'AWAIT', 'ALONE', 'DRY RUN'] as const;
const tail = ['LIKE', 'WHERE', 'ORDER BY', 'LIMIT', 'OFFSET'] as const;
const lists = ['SCHEDULES', 'RUNS', 'PROCEDURES', 'PIPELINES', 'CALENDARS', 'QUEUES', 'DEAD LETTERS', 'SETTINGS', 'SOURCES'] as const;
const settings = [
  'timezone',
  'workers',
  'check_interval',
  'late_within',
  'max_retries',
  'retry_delay',
  'timeout',
  'catchup',
  'log_lines',
  'result_rows',
];

/** Words after words: `*` is a name of the noun before it, `NOUN` any of our nouns; `<noun>` offers names instead of words. */
const grammar: readonly (readonly [path: string, next: readonly string[]])[] = [
  [
    '',
    [
      'UPSERT',
      'LIST',
      'RUN',
      'BACKFILL',
      'SIMULATE',
      'CANCEL',
      'RETRY',
      'TAIL',
      'ENABLE',
      'DISABLE',
      'PAUSE',
      'RESUME',
      'BACKUP TO',
      'CREATE',
      'ALTER',
      'DROP',
      'SHOW',
      'DESCRIBE',
      'EXPLAIN',
      'CALL',
    ],
  ],
  ['UPSERT', nouns],
  ['UPSERT NOUN', ['AS', '<noun>']],
  ['UPSERT NOUN AS', ['<noun>']],
  ['UPSERT SCHEDULE *', ['LIKE', '(']],
  ['UPSERT SCHEDULE AS *', ['LIKE', '(']],
  ['CREATE', [...nouns, 'OR REPLACE']],
  ['CREATE OR REPLACE', nouns],
  ['CREATE NOUN', ['IF NOT EXISTS']],
  ['ALTER', nouns],
  ['ALTER NOUN', ['<noun>']],
  ['ALTER NOUN *', ['SET (']],
  ['DROP', [...nouns, 'DEAD LETTER']],
  ['DROP NOUN', ['IF EXISTS', '<noun>']],
  ['DROP NOUN IF EXISTS', ['<noun>']],
  ['DROP DEAD LETTER', ['ALL']],
  ['ENABLE', ['SCHEDULE']],
  ['ENABLE SCHEDULE', ['ALL', '<noun>']],
  ['DISABLE', ['SCHEDULE']],
  ['DISABLE SCHEDULE', ['ALL', '<noun>']],
  ['PAUSE', ['SCHEDULE', 'QUEUE', 'SCHEDULER']],
  ['PAUSE NOUN', ['<noun>']],
  ['RESUME', ['SCHEDULE', 'QUEUE', 'SCHEDULER']],
  ['RESUME NOUN', ['<noun>']],
  ['LIST', lists],
  ['LIST *', tail],
  ['LIST DEAD LETTERS', tail],
  ['DESCRIBE', [...nouns, 'RUN']],
  ['DESCRIBE NOUN', ['<noun>']],
  ['SHOW', ['CREATE', 'SCHEDULES', 'RUNS', 'PROCEDURES', 'PIPELINES', 'CALENDARS', 'QUEUES']],
  ['SHOW CREATE', nouns],
  ['SHOW CREATE NOUN', ['<noun>']],
  ['EXPLAIN', ['SCHEDULE', 'CRON', 'PIPELINE', 'RUN']],
  ['EXPLAIN NOUN', ['<noun>']],
  ['EXPLAIN SCHEDULE *', ['NEXT']],
  ['EXPLAIN CRON *', ['IN', 'NEXT']],
  ['EXPLAIN CRON * IN *', ['NEXT']],
  ['EXPLAIN PIPELINE *', ['AS MERMAID']],
  ['RUN', ['SCHEDULE', 'PIPELINE']],
  ['RUN NOUN', ['<noun>']],
  ['RUN NOUN *', runOptions],
  ['BACKFILL', ['SCHEDULE']],
  ['BACKFILL SCHEDULE', ['<noun>']],
  ['BACKFILL SCHEDULE *', ['FROM']],
  ['BACKFILL SCHEDULE * FROM *', ['TO']],
  ['BACKFILL SCHEDULE * FROM * TO *', ['PARALLEL', 'ONLY MISSING', 'DRY RUN']],
  ['SIMULATE', ['SCHEDULES']],
  ['SIMULATE SCHEDULES', ['FROM']],
  ['SIMULATE SCHEDULES FROM *', ['TO']],
  ['CANCEL', ['RUN', 'RUNS WHERE']],
  ['RETRY', ['RUN', 'DEAD LETTER']],
  ['RETRY DEAD LETTER', ['ALL']],
  ['TAIL', ['RUN']],
  ['BACKUP', ['TO']],
  ['CALL', ['<procedure>', '<pipeline>']],
  ['SET', settings.map((name) => `cron.${name}`)],
];

function wantedAfter(head: readonly string[]): { words: string[]; names: CatalogueNoun[] } {
  const words: string[] = [];
  const names: CatalogueNoun[] = [];
  for (const [path, next] of grammar) {
    const noun = matchPath(path, head);
    if (noun === undefined) continue;
    for (const word of next) {
      if (word === '<noun>') names.push(noun as CatalogueNoun);
      else if (word.startsWith('<')) names.push(word.slice(1, -1) as CatalogueNoun);
      else words.push(word);
    }
  }
  return { words, names };
}

/** The noun that the path met, '' where it has none; undefined where the head is another. */
function matchPath(path: string, head: readonly string[]): string | undefined {
  const steps = path === '' ? [] : path.split(' ');
  if (steps.length !== head.length) return undefined;
  let noun = '';
  for (const [index, step] of steps.entries()) {
    const word = head[index] ?? '';
    if (step === '*') continue;
    if (step === 'NOUN' || (nouns as readonly string[]).includes(step)) {
      if (!(nouns as readonly string[]).includes(word) || (step !== 'NOUN' && step !== word)) return undefined;
      noun = word.toLowerCase();
    } else if (step !== word) return undefined;
  }
  return noun;
}

const verbs: ReadonlySet<string> = new Set(
  'UPSERT LIST RUN BACKFILL SIMULATE CANCEL RETRY TAIL ENABLE DISABLE PAUSE RESUME BACKUP'.split(' '),
);
const sharedVerbs: ReadonlySet<string> = new Set('CREATE ALTER DROP SHOW DESCRIBE EXPLAIN'.split(' '));

/** Whether the words so far are ours beyond doubt, so that DuckDB has nothing to say. */
function isOurs(head: readonly string[]): boolean {
  const [first = '', second = '', third = ''] = head;
  if (verbs.has(first)) return true;
  if (!sharedVerbs.has(first)) return false;
  const noun = second === 'OR' || second === 'CREATE' ? third : second;
  return noun !== 'REPLACE' && (nouns as readonly string[]).includes(second === 'OR' ? (head[3] ?? '') : noun);
}

// ---- Definitions: `( key: value, .. )` ----

interface Level {
  /** What may stand in these brackets; undefined in a list or where anything may. */
  readonly place: Place | undefined;
  /** A list's brackets hand on the shape of their items. */
  readonly item: Shape | undefined;
  key: { readonly field: string; readonly shape: Shape } | undefined;
  at: 'key' | 'colon' | 'value' | 'behind';
}

function wantedInDefinition(statement: string, tokens: readonly Token[]): { words: string[]; names: CatalogueNoun[] } | undefined {
  const place = definedPlace(statement, tokens);
  if (place === undefined) return undefined;
  const levels: Level[] = [];
  let lastWord = '';
  for (const token of tokens) {
    const symbol = token.kind === 'symbol' ? raw(statement, token) : '';
    const level = levels.at(-1);
    if (symbol === '(' || symbol === '{' || symbol === '[') {
      levels.push(opened(level, symbol, place));
    } else if (symbol === ')' || symbol === '}' || symbol === ']') {
      levels.pop();
      const outer = levels.at(-1);
      if (outer !== undefined) outer.at = 'behind';
    } else if (level !== undefined && symbol === ',') {
      level.at = level.item === undefined ? 'key' : 'value';
      level.key = undefined;
    } else if (level !== undefined && symbol === ':') {
      level.at = 'value';
      level.key = level.place === undefined ? undefined : keyIn(level.place, lastWord);
    } else if (level !== undefined) {
      level.at = level.at === 'key' ? 'colon' : 'behind';
      lastWord = raw(statement, token);
    }
  }
  const level = levels.at(-1);
  if (level === undefined) return undefined;
  if (level.at === 'key') return { words: [...(level.place?.keys?.keys() ?? [])].map((key) => `${key}: `), names: [] };
  if (level.at !== 'value') return { words: [], names: [] };
  const shape = level.item ?? level.key?.shape;
  return { words: shape === undefined ? [] : shapeWords(shape), names: nounOf(level.key?.field) };
}

function opened(level: Level | undefined, symbol: string, place: Place): Level {
  if (level === undefined) return { place, item: undefined, key: undefined, at: 'key' };
  const shape = level.item ?? level.key?.shape;
  const inner = shape === undefined ? [] : alternatives(shape);
  if (symbol === '[') {
    const list = inner.find((candidate) => candidate.kind === 'list');
    return { place: undefined, item: list?.kind === 'list' ? list.of : { kind: 'any' }, key: level.key, at: 'value' };
  }
  const object = inner.find((candidate) => candidate.kind === 'object');
  return { place: object?.kind === 'object' ? object.place : undefined, item: undefined, key: undefined, at: 'key' };
}

/** The keys that stand in a statement's outermost brackets, once its head is `UPSERT SCHEDULE name`, `ALTER QUEUE name SET`, .. */
function definedPlace(statement: string, tokens: readonly Token[]): Place | undefined {
  const bracket = tokens.findIndex((token) => raw(statement, token) === '(');
  const head = tokens.slice(0, bracket === -1 ? 0 : bracket).map((token) => raw(statement, token).toUpperCase());
  if (!['UPSERT', 'CREATE', 'ALTER'].includes(head[0] ?? '')) return undefined;
  const noun = head[1] === 'OR' ? head[3] : head[1];
  switch (noun) {
    case 'SCHEDULE':
      return places.schedule;
    case 'PIPELINE':
      return places.pipeline;
    case 'CALENDAR':
      return places.calendar;
    case 'QUEUE':
      return places.queue;
    default:
      return undefined;
  }
}

function shapeWords(shape: Shape): string[] {
  const words: string[] = [];
  for (const { kind, ...rest } of alternatives(shape)) {
    if (kind === 'choice' && 'words' in rest) words.push(...rest.words);
    else if (kind === 'boolean') words.push('true', 'false');
    else if (kind === 'cadence') words.push('every ', '@hourly', '@daily', '@weekly', '@monthly', '@yearly', '@reboot');
    else if (kind === 'action' && 'functions' in rest) words.push(...rest.functions.map((name) => `${name}(`));
    else if (kind === 'list' && 'single' in rest) words.push(...(rest.single ? shapeWords(rest.of) : []));
  }
  return words;
}

function alternatives(shape: Shape): readonly Shape[] {
  return shape.kind === 'oneOf' ? shape.shapes.flatMap(alternatives) : [shape];
}

function nounOf(field: string | undefined): CatalogueNoun[] {
  if (field === 'call') return ['procedure', 'pipeline'];
  if (field === 'after') return ['schedule'];
  return field === 'calendar' || field === 'queue' ? [field] : [];
}

// ---- Words ----

/** Where the statement begins in which the text ends. */
function statementStart(text: string): number {
  const last = split(text).statements.at(-1);
  if (last !== undefined && !last.terminated) return last.start;
  const behind = last === undefined ? 0 : text.indexOf(';', last.end) + 1;
  return text.length - text.slice(behind).trimStart().length;
}

function raw(text: string, token: Token): string {
  return text.slice(token.start, token.end);
}

function beginsWith(candidate: string, typed: string): boolean {
  return candidate.slice(0, typed.length).toLowerCase() === typed.toLowerCase();
}

/** Whoever types in small letters gets small letters. */
function inCaseOf(word: string, typed: string): string {
  return /^[a-z]/.test(typed) && /^[A-Z ()]+$/.test(word) ? word.toLowerCase() : word;
}

function writtenName(name: string): string {
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`;
}

function completed(command: (typeof shellCommands)[number], prefix: string): string {
  return `${prefix}${command.name}${command.argument === 'required' ? ' ' : ''}`;
}

/** DuckDB also offers what is merely near, and every keyword where nothing was typed; neither is a completion. */
function prefixesOnly(suggestions: readonly DuckdbSuggestion[]): DuckdbSuggestion[] {
  const near = suggestions.filter(({ score, text }) => score === 0 && /[\w"/]/.test(text));
  const named = near.filter(({ kind }) => kind !== 'keyword');
  return near.length > 60 && named.length > 0 ? named : near;
}

function filesLike(typed: string): string[] {
  const folder = typed.endsWith('/') ? typed : `${dirname(typed)}/`;
  const shown = typed.includes('/') ? folder : '';
  try {
    return readdirSync(folder, { withFileTypes: true })
      .map((entry) => `${shown}${entry.name}${isFolder(folder, entry) ? '/' : ''}`)
      .filter((path) => path.startsWith(typed) && (typed.endsWith('.') || !/(^|\/)\.[^/]*\/?$/.test(path)))
      .sort();
  } catch {
    return [];
  }
}

function isFolder(folder: string, entry: { readonly name: string; isDirectory(): boolean; isSymbolicLink(): boolean }): boolean {
  if (!entry.isSymbolicLink()) return entry.isDirectory();
  return statSync(join(folder, entry.name), { throwIfNoEntry: false })?.isDirectory() ?? false;
}
