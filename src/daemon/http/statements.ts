// How requests become statements of SQL, and what comes of them. A changing request is a statement like any other, printed by the
// parser's own printer, carried out by a session, and told in the answer; nothing is pasted together. What reads goes by sessions that
// are kept, few at once; whoever asks for what somebody else is waiting for waits with him.

import { Diagnostic } from '../../core/diagnostic.ts';
import type { JsonObject, JsonValue } from '../../core/jsonValue.ts';
import type { Engine } from '../../engine/engine.ts';
import { type Column, type Result, type Row, uniqueNames, type Warning } from '../../engine/result.ts';
import type { Session } from '../../engine/session.ts';
import { jsonOf } from '../../engine/value.ts';
import type { Name, Statement, StringValue, Value } from '../../parser/ast.ts';
import { tokenAt } from '../../parser/lexer.ts';
import { booleanValue, entryOf, listValue, nowhere, nullValue, numberValue, objectValue, stringValue } from '../../parser/make.ts';
import { parse } from '../../parser/parse.ts';
import { print } from '../../parser/print.ts';
import type { Caller } from '../access.ts';
import type { JsonNode } from '../watcher/jsonText.ts';
import { Courtesy } from './courtesy.ts';
import type { Limits } from './limits.ts';
import { Places } from './places.ts';
import { problemOf, Refusal } from './problem.ts';

/** What a changing request answers, whatever else it has. */
export interface Carried {
  /** The statement that was carried out, as it could be typed. */
  readonly sql: string;
  /** What it answered. */
  readonly rows: readonly JsonObject[];
  readonly warnings: readonly Warning[];
  readonly notes: readonly string[];
  /** It was carried out, and what it ran did not succeed. */
  readonly failure: ReturnType<typeof problemOf> | null;
}

export type Parameters = Readonly<Record<string, string | number | boolean | null>>;

/** More is not waited for: who is sent away at once knows more than who waits. */
const longestWaitMs = 500;
/** Nobody is kept from it for good by a scheduler that cannot keep its time. */
const mostRestMs = { reading: 200, changing: 100 };
/** Runs that somebody waits for. */
const mostAwaiting = 200;
/** Of each caller. */
const mostKept = 4;

export class Statements {
  readonly #engine: Engine;
  readonly #kept = new Map<string, Session[]>();
  /** Of the same statement with the same values, one answer. */
  readonly #waiting = new Map<string, Promise<readonly JsonObject[]>>();
  readonly #reading: Places;
  readonly #changing: Places;
  readonly #awaiting: Places;
  #isClosed = false;

  readonly #courtesy: Courtesy;

  constructor(engine: Engine, { readsAtOnce, changesAtOnce }: Pick<Limits, 'readsAtOnce' | 'changesAtOnce'>) {
    this.#engine = engine;
    const { clock } = engine;
    this.#reading = new Places({ most: readsAtOnce, clock, longestWaitMs });
    this.#changing = new Places({ most: changesAtOnce, clock, longestWaitMs });
    this.#awaiting = new Places({ most: mostAwaiting, clock, longestWaitMs: 0 });
    this.#courtesy = new Courtesy({ events: engine.scheduler.events, clock });
  }

  /** One of ours that changes nothing, with its values beside it. */
  read(sql: string, parameters: Parameters = {}): Promise<readonly JsonObject[]> {
    const key = JSON.stringify([sql, parameters]);
    const waiting = this.#waiting.get(key);
    if (waiting !== undefined) return waiting;
    const answer = this.#reading.use(async () => {
      await this.#courtesy.giveWay(mostRestMs.reading);
      // Who comes from here on asks for what is so from here on.
      this.#waiting.delete(key);
      return this.#with(reader, async (session) => rowsOf(await session.execute(sql, parameters)));
    });
    this.#waiting.set(key, answer);
    // The line may be full.
    answer.catch(() => {
      if (this.#waiting.get(key) === answer) this.#waiting.delete(key);
    });
    return answer;
  }

  /** Throws a Refusal that names the statement. */
  async change(caller: Caller, statement: Statement): Promise<Carried> {
    const sql = textOf(statement);
    return this.#changing.use(async () => {
      await this.#courtesy.giveWay(mostRestMs.changing);
      return this.#with(caller, (session) => carryOut(session, sql));
    });
  }

  /** The same for one that takes as long as a run does. An abort ends the wait. */
  async await(caller: Caller, statement: Statement, signal: AbortSignal): Promise<Carried> {
    const sql = textOf(statement);
    return this.#awaiting.use(() =>
      this.#with(caller, async (session) => {
        const stop = (): void => {
          session.interrupt().catch(() => undefined);
        };
        signal.addEventListener('abort', stop, { once: true });
        try {
          signal.throwIfAborted();
          return await carryOut(session, sql);
        } finally {
          signal.removeEventListener('abort', stop);
        }
      }),
    );
  }

  /** For SQL of somebody else's, which may leave anything behind. */
  session({ name, role }: Caller): Promise<Session> {
    return this.#engine.session({ actor: name, admin: role === 'admin' });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#courtesy.close();
    const sessions = [...this.#kept.values()].flat();
    this.#kept.clear();
    await Promise.all(sessions.map((session) => session.close()));
  }

  async #with<T>(caller: Caller, work: (session: Session) => Promise<T>): Promise<T> {
    const key = `${caller.role} ${caller.name}`;
    const kept = this.#kept.get(key) ?? [];
    this.#kept.set(key, kept);
    const session = kept.pop() ?? (await this.session(caller));
    try {
      return await work(session);
    } finally {
      if (this.#isClosed || kept.length >= mostKept || session.transaction !== 'none' || session.busy) await session.close();
      else kept.push(session);
    }
  }
}

/** What reads writes nothing under a name. */
const reader: Caller = { name: 'http', role: 'viewer' };

async function carryOut(session: Session, sql: string): Promise<Carried> {
  try {
    const result = await session.execute(sql);
    const { warnings, notes, failure } = result;
    return { sql, rows: await rowsOf(result), warnings, notes, failure: failure === undefined ? null : problemOf(failure) };
  } catch (error) {
    if (!(error instanceof Diagnostic)) throw error;
    throw new Refusal(error, { sql, source: 'sql' });
  }
}

export async function rowsOf(result: Result): Promise<JsonObject[]> {
  const read = rowReader(result.columns);
  const rows: JsonObject[] = [];
  for await (const row of result) rows.push(read(row));
  return rows;
}

/** Names of columns are unique: of two columns `a` the second is `a:1`. */
export function rowReader(columns: readonly Column[]): (row: Row) => JsonObject {
  const names = uniqueNames(columns.map(({ name }) => name));
  const types = columns.map(({ type }) => type);
  return (row) => {
    const object: Record<string, JsonValue> = Object.create(null);
    for (let at = 0; at < names.length; at++) {
      const type = types[at];
      object[names[at] ?? ''] = type === undefined ? null : jsonOf(row[at] ?? null, type);
    }
    return object;
  };
}

// ---- Texts ----

/** As it could be typed. What was meant is what is read: a name cannot become anything else on the way. */
export function textOf(statement: Statement): string {
  const text = print(statement);
  const { statement: read } = parse(text);
  if (read !== undefined && (read.kind !== statement.kind || print(read) !== text)) {
    throw new Diagnostic('internal', 'a statement was printed as another one');
  }
  return text;
}

/** A name that stands somewhere in a request. Whatever could be read as a word of ours is quoted. */
export function nameIn(text: string): Name {
  if (text.trim() === '') throw new Diagnostic('invalid_name', 'a name is empty');
  mustBePrintable(text);
  return { text, quoted: !/^[A-Za-z_][A-Za-z0-9_]*$/.test(text) || ownWords.has(text.toLowerCase()), span: nowhere };
}

const ownWords: ReadonlySet<string> = new Set(
  'all alone as await dry exists from if in like limit next not offset only or order run set to where with'.split(' '),
);

export function textIn(text: string): StringValue {
  mustBePrintable(text);
  return stringValue(text, 'single');
}

/** What no statement can hold: DuckDB reads up to a NUL, and half a surrogate pair has no UTF-8. */
function mustBePrintable(text: string): void {
  if (text.includes('\0')) throw new Diagnostic('invalid_encoding', 'a text holds a NUL character');
  if (/\p{Surrogate}/u.test(text)) throw new Diagnostic('invalid_encoding', 'a text holds half of a surrogate pair');
}

/** JSON as a value of a definition: every text is a string, and every number has all its digits. */
export function valueIn(node: JsonNode): Value {
  switch (node.kind) {
    case 'null':
      return nullValue();
    case 'boolean':
      return booleanValue(node.value);
    case 'number':
      return numberIn(node.text);
    case 'string':
      return textIn(node.text);
    case 'list':
      return listValue(node.items.map(valueIn));
    case 'object':
      return objectValue(
        node.entries.map(({ key, value }) => {
          mustBePrintable(key.text);
          return entryOf(key.text, valueIn(value));
        }),
      );
    default:
      return node satisfies never;
  }
}

function numberIn(text: string): Value {
  const digits = text.replace(/^-/, '');
  const token = tokenAt(digits, 0);
  const isRead = token.kind === 'number' && token.end === digits.length;
  return isRead ? { ...numberValue(Number(text)), text } : numberValue(Number(text));
}
