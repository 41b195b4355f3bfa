// UPSERT PROCEDURE with its parameters, options and body, and CALL. Types, defaults and arguments are DuckDB's own expressions:
// they are cut out by their brackets and commas and kept as written.

import { Diagnostic } from '../../core/diagnostic.ts';
import type {
  Body,
  BodyStatement,
  CallArgument,
  DefineProcedureStatement,
  Name,
  ObjectValue,
  OffsetMap,
  Parameter,
  SqlBody,
  Statement,
} from '../ast.ts';
import { type Cursor, quote, short, spanOf } from '../cursor.ts';
import { legacyPlace, places } from '../keys.ts';
import { type Token, trimSpace } from '../lexer.ts';
import { bodyEnd, split } from '../split.ts';
import { suggest } from '../suggest.ts';
import { toOffset } from '../text.ts';
import { isString, readDefinition, readFreeValue, readObject, readString } from '../values.ts';

interface Head {
  readonly start: number;
  readonly verb: 'upsert' | 'create';
  readonly ifNotExists: boolean;
  readonly name: Name;
}

const languages = ['sql', 'command', 'javascript'] as const;
type Language = (typeof languages)[number];

/** What follows the name: [<{ .. }>] (parameters) [( options )] [LANGUAGE ..] AS body */
export function readProcedure(cursor: Cursor, head: Head): DefineProcedureStatement {
  const legacy = cursor.isSymbol('<') ? readLegacy(cursor) : undefined;
  const parameters = readParameters(cursor);
  let options: ObjectValue | undefined;
  let language: Language | undefined;
  while (!cursor.accept('AS')) {
    if (options === undefined && cursor.isSymbol('(')) options = readDefinition(cursor, places.procedure);
    else if (language === undefined && cursor.accept('LANGUAGE')) language = readLanguage(cursor);
    else {
      const also = [...(options === undefined ? ["'('"] : []), ...(language === undefined ? ['LANGUAGE'] : [])];
      throw cursor.expected(['AS', ...also], cursor.keyword() === 'BEGIN' ? 'the body follows AS' : undefined);
    }
  }
  const body = readBody(cursor, language ?? 'sql');
  const span = cursor.spanFrom(head.start);
  cursor.finish();
  const { verb, ifNotExists, name } = head;
  return { kind: 'defineProcedure', verb, ifNotExists, name, legacy, parameters, options, body, span };
}

function readLegacy(cursor: Cursor): ObjectValue {
  cursor.take();
  const object = readObject(cursor, legacyPlace);
  cursor.expectSymbol('>', 'the older prefix is written <{ .. }>');
  return object;
}

function readParameters(cursor: Cursor): Parameter[] {
  if (!cursor.isSymbol('(')) throw cursor.expected(["'('"], 'a procedure has its parameters in brackets, () if there are none');
  cursor.take();
  const parameters: Parameter[] = [];
  const seen = new Set<string>();
  while (!cursor.isSymbol(')')) {
    const parameter = readParameter(cursor);
    const { name } = parameter;
    const key = name.text.toLowerCase();
    if (seen.has(key))
      cursor.mistake('duplicate_key', `the parameter ${quote(name.text)} stands here twice`, name.span, 'rename one of them');
    seen.add(key);
    parameters.push(parameter);
    if (!cursor.acceptSymbol(',') && !cursor.isSymbol(')')) throw cursor.expected(["','", "')'"]);
  }
  cursor.take();
  return parameters;
}

function readParameter(cursor: Cursor): Parameter {
  const name = cursor.name('the name of a parameter');
  cursor.acceptSymbol(':');
  const endsType = (token: Token) =>
    cursor.keyword(token) === 'DEFAULT' || cursor.isSymbol(',', token) || cursor.isSymbol('=', token) || cursor.isSymbol(':=', token);
  const type = cursor.sqlUntil(endsType);
  if (type === undefined)
    throw cursor.expected([`the type of ${quote(name.text)}`], `write ${short(name.text)} INTEGER, or another type of DuckDB`);
  if (cursor.isSymbol('=') || cursor.isSymbol(':='))
    throw cursor.expected(['DEFAULT', "','", "')'"], 'a default stands after DEFAULT: n INTEGER DEFAULT 3');
  const isComma = (token: Token) => cursor.isSymbol(',', token);
  const initial = cursor.accept('DEFAULT') ? cursor.expectSql('an expression', isComma) : undefined;
  return { name, type, default: initial, span: cursor.spanFrom(name.span.start) };
}

function readLanguage(cursor: Cursor): Language {
  const { token } = cursor;
  const written = isString(token) ? readString(cursor, 'a language').text : cursor.name('a language').text;
  const language = languages.find((known) => known === written.toLowerCase());
  if (language !== undefined) return language;
  const near = /^(js|node|typescript|ts)$/i.test(written)
    ? 'javascript'
    : /^(sh|shell|bash)$/i.test(written)
      ? 'command'
      : suggest(written, languages);
  throw new Diagnostic('invalid_value', `there is no language ${quote(written)}`, {
    span: spanOf(token),
    hint: near === undefined ? 'languages: sql, command, javascript' : `did you mean ${near}?`,
  });
}

function readBody(cursor: Cursor, language: Language): Body {
  const { token } = cursor;
  if (language === 'sql') return readSqlBody(cursor);
  if (isString(token)) {
    const text = readString(cursor, 'a body');
    if (trimSpace(text.text).text === '') throw emptyBody(text.span);
    if (language === 'javascript') return { kind: 'handlerBody', path: text, span: text.span };
    return { kind: 'commandBody', command: text, span: text.span };
  }
  if (language === 'command' && cursor.isSymbol('[')) {
    const command = readFreeValue(cursor);
    if (command.kind === 'list') {
      if (command.items.length === 0) throw emptyBody(command.span);
      return { kind: 'commandBody', command, span: command.span };
    }
  }
  if (language === 'command') throw cursor.expected(["a list ['program', 'argument', ..]", 'text in quotes'], 'BEGIN .. END holds SQL');
  throw cursor.expected(["the path of a module, such as './jobs/sync.js'"], 'the code stands in a file of its own');
}

function readSqlBody(cursor: Cursor): SqlBody {
  const { token } = cursor;
  if (isString(token)) {
    const value = readString(cursor, 'a body');
    const form = value.style === 'dollar' ? 'dollar' : 'string';
    return sqlBody(cursor, form, value.text, value, value.span);
  }
  const isBlock = cursor.keyword() === 'BEGIN';
  if (!isBlock && !cursor.isSymbol('{')) {
    const hint = cursor.isSymbol('[') ? 'a list is a command: write LANGUAGE command before AS' : undefined;
    throw cursor.expected(['BEGIN', "'{'", '$$'], hint);
  }
  const found = bodyEnd(cursor.text, token.start);
  if (found === undefined) {
    throw new Diagnostic('unterminated', isBlock ? 'this BEGIN is never closed' : "this '{' is never closed", {
      span: spanOf(token),
      hint: isBlock ? blockHint(cursor.text) : "close it with '}'",
    });
  }
  const { inside, end } = found;
  cursor.jump(end);
  const span = { start: token.start, end };
  const offsets: OffsetMap = [[0, inside.start]];
  return sqlBody(cursor, isBlock ? 'block' : 'braces', cursor.text.slice(inside.start, inside.end), { offsets, span }, span);
}

function blockHint(text: string): string {
  const last = trimSpace(text.slice(-1000)).text.slice(-4);
  return /\bend;?$/i.test(last) ? 'put a ; before the END' : 'close it with END, after the ; of the last statement';
}

/** The body's statements, at their places; blank space at both ends is not part of the text. */
function sqlBody(
  cursor: Cursor,
  form: SqlBody['form'],
  whole: string,
  place: Pick<SqlBody, 'offsets' | 'span'>,
  span: SqlBody['span'],
): SqlBody {
  const { text, lead } = trimSpace(whole);
  const offsets: OffsetMap = [
    [0, toOffset(place, lead)],
    ...place.offsets.filter(([index]) => index > lead).map(([index, offset]) => [index - lead, offset] as const),
  ];
  const mapped = { offsets, span };
  const { statements: slices, open } = split(text);
  if (open !== undefined && open.construct !== 'statement') {
    const at = { start: toOffset(mapped, open.span.start), end: toOffset(mapped, open.span.end) };
    cursor.mistake('unterminated', `this ${open.construct} is never closed`, at, 'close it inside the body');
  }
  const statements: BodyStatement[] = slices.map(({ text: slice, start, end }) => ({
    text: slice,
    start,
    end,
    span: { start: toOffset(mapped, start), end: toOffset(mapped, end) },
  }));
  if (statements.length === 0) throw emptyBody(span);
  return { kind: 'sqlBody', form, text, offsets, statements, span };
}

function emptyBody(span: SqlBody['span']): Diagnostic {
  return new Diagnostic('syntax_error', 'the body is empty', { span, hint: 'a procedure does at least one thing' });
}

/** CALL name(args): undefined where it is not of this form, for then it is DuckDB's. */
export function readCall(cursor: Cursor): Statement | undefined {
  const { start } = cursor.take();
  if ((cursor.token.kind !== 'word' && cursor.token.kind !== 'quotedName') || !cursor.isSymbol('(', cursor.after)) return undefined;
  const name = cursor.name('the name of a procedure');
  cursor.take();
  const items: CallArgument[] = [];
  while (!cursor.isSymbol(')')) {
    items.push(readArgument(cursor));
    if (!cursor.acceptSymbol(',') && !cursor.isSymbol(')')) return undefined;
  }
  cursor.take();
  const span = cursor.spanFrom(start);
  cursor.finish();
  return { kind: 'call', name, arguments: items, text: cursor.text, span };
}

function readArgument(cursor: Cursor): CallArgument {
  const { start } = cursor.token;
  const named =
    (cursor.is('word') || cursor.is('quotedName')) && (cursor.isSymbol('=>', cursor.after) || cursor.isSymbol(':=', cursor.after));
  const name = named ? cursor.name('the name of a parameter') : undefined;
  if (named) cursor.take();
  const expression = cursor.expectSql('an expression', (token) => cursor.isSymbol(',', token));
  return { name, expression, span: cursor.spanFrom(start) };
}
