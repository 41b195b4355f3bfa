// DuckDB's errors become the one error of the house. With `errors_as_json` DuckDB tells type, place and candidates; a session
// may turn that off, so its plain text is read as well. The place comes in two units: the parser counts characters, the binder
// counts bytes of the text after it has replaced every unicode space outside quotes by a plain one. Both were measured
// (test/engine/duckdbError.test.ts), and both become UTF-16 offsets here. Where DuckDB gives none, what the error is about may
// stand in the text exactly once. What to do next is said by duckdbHint.ts.

import { Diagnostic, type DiagnosticCode, type Span, sqlStates } from '../core/diagnostic.ts';
import { tokenAt } from '../parser/lexer.ts';
import { decode } from '../parser/text.ts';
import { hintFor } from './duckdbHint.ts';

/** What DuckDB said, in whichever of its two forms. */
interface Report {
  /** `Binder`, `Catalog`, `Out of Memory`, ..: DuckDB's word. */
  readonly type: string;
  readonly message: string;
  readonly subtype: string | undefined;
  /** What kind of object is missing or exists already: `Table`, `Scalar Function`, .. */
  readonly objectType: string | undefined;
  readonly name: string | undefined;
  readonly position: number | undefined;
  readonly errno: number | undefined;
}

/** Any error that the DuckDB client threw, while it worked on `sql` if there was a text. */
export function duckdbDiagnostic(error: unknown, sql?: string): Diagnostic {
  if (error instanceof Diagnostic) return error;
  const text = error instanceof Error ? error.message : String(error);
  const report = readJson(text) ?? readText(text);
  if (report === undefined) {
    // The client's own words, where DuckDB is not asked at all.
    const missingTable = /^Table "\.?(.+)" could not be found$/.exec(text)?.[1];
    if (missingTable !== undefined) return new Diagnostic('undefined_table', `There is no table ${missingTable}.`, { cause: error });
    return new Diagnostic('internal', text, { cause: error });
  }

  const locked = heldBy(report.message);
  if (locked !== undefined) return locked;
  const [first = '', ...lines] = report.message.split('\n').map((line) => line.trim());
  const ours = ownCode(lines.at(-1));
  const rest = ours === undefined ? lines : lines.slice(0, -1);
  const code = ours ?? codeOf(report);
  const name = report.name ?? nameIn(first);
  const span = sql === undefined ? undefined : report.position === undefined ? onlyPlaceOf(name, sql) : spanAt(sql, report);
  const below = rest.filter((line) => line !== '').join('\n');
  const hint = hintFor({ code, message: first, below, name, sql, span });
  return new Diagnostic(code, inOurWords[code] ?? first, { span, hint, cause: error });
}

// A function of ours that DuckDB calls can answer an error with a text and nothing else: so its Diagnostic travels in three lines.

/** What DuckDB is told of an error; `duckdbDiagnostic` reads it. */
export function toldToDuckdb(error: unknown): string {
  if (!(error instanceof Diagnostic)) return error instanceof Error ? error.message : String(error);
  return [error.message, ...(error.hint === undefined ? [] : [error.hint]), `${codeMark}${error.code}`].join('\n');
}

const codeMark = 'cuckoo: ';

function ownCode(line: string | undefined): DiagnosticCode | undefined {
  const word = line?.startsWith(codeMark) === true ? line.slice(codeMark.length) : '';
  return Object.hasOwn(sqlStates, word) ? (word as DiagnosticCode) : undefined;
}

const inOurWords: Partial<Record<DiagnosticCode, string>> = {
  cancelled: 'The statement was cancelled.',
  aborted_transaction: 'An earlier error has aborted this transaction; nothing in it will be stored.',
};

/** What an error without a field for it is about: mostly the last name that it quotes. */
function nameIn(message: string): string | undefined {
  const near = /^syntax error at or near "(.+)"$/.exec(message)?.[1];
  if (near !== undefined) return near;
  const zone = /^Unknown TimeZone '(.+)'!$/.exec(message)?.[1];
  const plain = /^(?:Existing object|Column with name|Referenced update column|NOT NULL constraint failed:) (?:\w+\.)?(\S+)/.exec(
    message,
  )?.[1];
  return zone ?? plain ?? [...message.matchAll(/"([^"]+)"/g)].at(-1)?.[1];
}

function readJson(text: string): Report | undefined {
  const start = text.indexOf('{"exception_type"');
  if (start < 0) return undefined;
  try {
    const fields = JSON.parse(text.slice(start)) as Record<string, string | undefined>;
    const { exception_type: type, exception_message: message, error_subtype: subtype, type: objectType, name, position, errno } = fields;
    if (type === undefined || message === undefined) return undefined;
    return { type, message, subtype, objectType, name, position: wholeNumber(position), errno: wholeNumber(errno) };
  } catch {
    return undefined;
  }
}

/** `Binder Error: .. LINE 1: ..`: the place is drawn for people only, so it is left out. */
function readText(text: string): Report | undefined {
  const match = /^(?:Failed to [a-z ]+: )?([A-Za-z][A-Za-z ]{1,30}?) Error: ([\s\S]*)$/.exec(text);
  const [, type, rest] = match ?? [];
  if (type === undefined || rest === undefined) return undefined;
  const message = rest.replace(/\n\nLINE \d+: [\s\S]*$/, '');
  return { type, message, subtype: undefined, objectType: undefined, name: undefined, position: undefined, errno: undefined };
}

function wholeNumber(text: string | undefined): number | undefined {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
}

/** Codes by DuckDB's type; where one type holds several mistakes, by what the message begins with or contains. */
function codeOf(report: Report): DiagnosticCode {
  const { message } = report;
  switch (report.type.toLowerCase()) {
    case 'parser':
    case 'syntax':
      return message.startsWith('unterminated') ? 'unterminated' : 'syntax_error';
    case 'binder':
      return binderCode(report);
    case 'catalog':
      return catalogCode(report);
    case 'conversion':
    case 'invalid type':
      return 'conversion';
    case 'mismatch type':
    case 'parameter not resolved':
      return 'wrong_type';
    case 'out of range':
    case 'decimal':
    case 'divide by zero':
    case 'sequence':
      return 'out_of_range';
    case 'constraint':
      return 'constraint';
    case 'dependency':
      return 'in_use';
    case 'transactioncontext':
    case 'transaction':
    case 'transactionexception':
      return transactionCode(message);
    case 'interrupt':
      return 'cancelled';
    case 'out of memory':
      return 'out_of_memory';
    case 'io':
    case 'http':
      return fileCode(report);
    case 'fatal':
      return 'fatal';
    case 'permission':
      return 'forbidden';
    case 'invalid input':
      if (message.includes('read-only mode')) return 'read_only';
      if (/parameters?, but none were supplied|prepared statement parameters|excess parameters/.test(message)) return 'undefined_parameter';
      return 'invalid_value';
    case 'invalid configuration':
      return 'invalid_value';
    case 'parameter not allowed':
      return 'undefined_parameter';
    case 'not implemented':
      return message.startsWith('Unknown TimeZone') ? 'unknown_zone' : 'unsupported';
    case 'missing extension':
    case 'autoload':
    case 'extension':
    case 'extension autoloading':
      return 'missing_dependency';
    case 'object size':
      return 'too_large';
    case 'connection':
      return 'closed';
    default:
      return message.includes('has been invalidated') ? 'fatal' : 'internal';
  }
}

function binderCode({ message, subtype }: Report): DiagnosticCode {
  if (message.startsWith('Ambiguous')) return 'ambiguous';
  if (message.startsWith('Unique file handle conflict')) return 'in_use';
  if (subtype === 'COLUMN_NOT_FOUND' || message.startsWith('Referenced column') || /does not have a column/.test(message))
    return 'undefined_column';
  if (message.startsWith('Referenced update column')) return 'undefined_column';
  if (/^No matching columns|^Column ".*" (?:does not exist|in EXCLUDE list not found|referenced in)/.test(message))
    return 'undefined_column';
  if (message.startsWith('Referenced table')) return 'undefined_table';
  if (subtype === 'NO_MATCHING_FUNCTION' || message.startsWith('No function matches')) return 'unknown_function';
  if (/^(?:Catalog|Prepared statement) ".*" does not exist|database not found$|^Database ".*" not found/.test(message))
    return 'undefined_object';
  if (/^(Cannot (compare|mix|combine|cast)|Could not (choose|deduce))/i.test(message)) return 'wrong_type';
  if (message.includes('read-only mode')) return 'read_only';
  return 'syntax_error';
}

function catalogCode({ message, subtype, objectType }: Report): DiagnosticCode {
  if (/exists in the .* extension/.test(message)) return 'missing_dependency';
  if (subtype === 'ENTRY_ALREADY_EXISTS' || /already exists/.test(message)) return 'duplicate_object';
  if (/^Could not drop|depend/.test(message)) return 'in_use';
  const object = objectType ?? message;
  if (/^(Table|View)\b(?! Function)/.test(object)) return 'undefined_table';
  if (/^(Scalar|Table|Aggregate|Pragma|Copy|Macro|Scalar Macro|Table Macro)\b/.test(object)) return 'unknown_function';
  return 'undefined_object';
}

function transactionCode(message: string): DiagnosticCode {
  if (message.includes('is aborted')) return 'aborted_transaction';
  if (message.includes('no transaction is active')) return 'no_transaction';
  if (message.includes('within a transaction')) return 'in_transaction';
  if (message.includes('constraint violation')) return 'constraint';
  if (noSpace.test(message)) return 'disk_full';
  return 'conflict';
}

const noSuchFileErrno = 2;
const noPermissionErrno = 13;
const noSpaceErrno = 28;
const noSpace = /No space left|ENOSPC|disk full/i;

function fileCode({ message, errno }: Report): DiagnosticCode {
  if (errno === noSpaceErrno || noSpace.test(message) || /max_temp_directory_size/.test(message)) return 'disk_full';
  if (errno === noSuchFileErrno || /No such file|No files found|does not exist/.test(message)) return 'file_not_found';
  if (errno === noPermissionErrno) return 'forbidden';
  if (/not a valid DuckDB database/.test(message)) return 'not_a_database';
  if (message.includes('newer version of DuckDB')) return 'newer_file';
  if (/is an existing extension|^Extension ".*" not found/.test(message)) return 'missing_dependency';
  return 'io_error';
}

/** `Conflicting lock is held in /usr/bin/node (PID 4711)`. */
function heldBy(message: string): Diagnostic | undefined {
  if (!message.includes('Could not set lock on file')) return undefined;
  const file = /on file "([^"]+)"/.exec(message)?.[1] ?? 'the file';
  const [, program, pid] = /held in (.+?)? ?\(PID (\d+)\)/.exec(message) ?? [];
  const holder = pid === undefined ? 'another process' : `process ${pid}${program === undefined ? '' : ` (${program})`}`;
  return new Diagnostic('file_locked', `"${file}" is held by ${holder}.`, {
    hint: 'One process writes a file at a time: end that one, or send the statements to it.',
  });
}

function spanAt(sql: string, report: Report): Span | undefined {
  const position = report.position ?? 0;
  const start = report.type === 'Parser' || report.type === 'Syntax' ? offsetOfCharacter(sql, position) : offsetOfByte(sql, position);
  if (start >= sql.length) return { start: sql.length, end: sql.length };
  return { start, end: start + tokenLength(sql.slice(start)) };
}

/** Where a name stands as a word, or else as a text, if it does so exactly once. */
function onlyPlaceOf(name: string | undefined, sql: string): Span | undefined {
  if (name === undefined) return undefined;
  const wanted = name.toLowerCase();
  const asWord: Span[] = [];
  const asText: Span[] = [];
  for (let token = tokenAt(sql, 0); token.kind !== 'end'; token = tokenAt(sql, token.end)) {
    if (decode(sql, token).text.toLowerCase() !== wanted) continue;
    const places = /string/i.test(token.kind) ? asText : asWord;
    places.push({ start: token.start, end: token.end });
  }
  const [place, another] = asWord.length === 0 ? asText : asWord;
  return another === undefined ? place : undefined;
}

function offsetOfCharacter(sql: string, position: number): number {
  let offset = 0;
  for (let count = 0; count < position && offset < sql.length; count += 1) offset += widthAt(sql, offset);
  return offset;
}

/** Unicode's spaces, which DuckDB turns into one byte each before it parses, except in quotes. */
const unicodeSpace = /[\u00a0\u2000-\u200f\u202f\u205f\u3000\ufeff]/;

function offsetOfByte(sql: string, position: number): number {
  let offset = 0;
  let bytes = 0;
  let quote = '';
  while (bytes < position && offset < sql.length) {
    const character = sql.slice(offset, offset + widthAt(sql, offset));
    if (quote !== '') {
      if (character === quote) quote = '';
    } else if (character === "'" || character === '"') {
      quote = character;
    }
    bytes += quote === '' && unicodeSpace.test(character) ? 1 : utf8Length(character);
    offset += character.length;
  }
  return offset;
}

function widthAt(sql: string, offset: number): number {
  return (sql.codePointAt(offset) ?? 0) > 0xffff ? 2 : 1;
}

function utf8Length(character: string): number {
  const code = character.codePointAt(0) ?? 0;
  if (code < 0x80) return 1;
  if (code < 0x800) return 2;
  return code < 0x10000 ? 3 : 4;
}

/** The word, quoted text, number or sign that stands at the place. */
function tokenLength(rest: string): number {
  const token = /^(?:[\p{L}_][\p{L}\p{N}_$]*|"(?:[^"]|"")*"?|'(?:[^']|'')*'?|\d[\w.]*|::|[\s\S])/u.exec(rest);
  return token?.[0].length ?? 0;
}
