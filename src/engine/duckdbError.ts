// DuckDB's errors become the one error of the house. With `errors_as_json` DuckDB tells type, place and candidates; a session
// may turn that off, so its plain text is read as well. The place comes in two units: the parser counts characters, the binder
// counts bytes of the text after it has replaced every unicode space outside quotes by a plain one. Both were measured
// (test/engine/duckdbError.test.ts), and both become UTF-16 offsets here.

import { Diagnostic, type DiagnosticCode, type Span } from '../core/diagnostic.ts';

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
  const code = codeOf(report);
  const { message, hint } = words(report, code);
  const span = sql === undefined || report.position === undefined ? undefined : spanAt(sql, report);
  return new Diagnostic(code, message, { span, hint, cause: error });
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
      return 'syntax_error';
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
      if (/parameters?, but none were supplied|prepared statement parameters/.test(message)) return 'undefined_parameter';
      return 'invalid_value';
    case 'invalid configuration':
      return 'invalid_value';
    case 'parameter not allowed':
      return 'undefined_parameter';
    case 'not implemented':
      return 'unsupported';
    case 'missing extension':
    case 'autoload':
    case 'extension':
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
  if (message.startsWith('Referenced table')) return 'undefined_table';
  if (subtype === 'NO_MATCHING_FUNCTION' || message.startsWith('No function matches')) return 'unknown_function';
  if (/^Catalog ".*" does not exist/.test(message)) return 'undefined_object';
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
  if (/is an existing extension|newer version of DuckDB/.test(message)) {
    return message.includes('newer version of DuckDB') ? 'newer_file' : 'missing_dependency';
  }
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

/** The first line is the message; what DuckDB adds below it becomes the hint, in our words where they are better. */
function words(report: Report, code: DiagnosticCode): { message: string; hint: string | undefined } {
  const [first = '', ...rest] = report.message.split('\n');
  const message = first.trim();
  switch (code) {
    case 'cancelled':
      return { message: 'The statement was cancelled.', hint: undefined };
    case 'aborted_transaction':
      return {
        message: 'An earlier error has aborted this transaction; nothing in it will be stored.',
        hint: 'Type ROLLBACK, then begin again. (COMMIT would roll back as well.)',
      };
    case 'fatal':
      return { message, hint: 'The database must be closed and opened again. What was committed before is safe.' };
    default:
      return { message, hint: candidatesHint(rest, report) };
  }
}

function candidatesHint(lines: readonly string[], report: Report): string | undefined {
  const text = lines
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .join('\n');
  if (text === '') return undefined;
  const said = /^(?:Did you mean:?|Candidate (?:bindings|tables|table columns)[: ]*)\s*(".*)$/s.exec(text)?.[1];
  if (said === undefined) return text;
  // DuckDB compares with its own catalogue too; "did you mean pg_sequences?" helps nobody who did not write `pg_`.
  const names = [...said.matchAll(/"([^"]+)"/g)]
    .map(([, name = '']) => name)
    .filter((name) => !isInternal(name) || (report.name !== undefined && isInternal(report.name)));
  if (names.length === 0) return undefined;
  const quoted = names.map((name) => `"${name}"`);
  const last = quoted.pop();
  return quoted.length === 0 ? `Did you mean ${last}?` : `Did you mean ${quoted.join(', ')} or ${last}?`;
}

function isInternal(name: string): boolean {
  return /^(pg_|sqlite_|duckdb_)/.test(name);
}

function spanAt(sql: string, report: Report): Span | undefined {
  const position = report.position ?? 0;
  const start = report.type === 'Parser' || report.type === 'Syntax' ? offsetOfCharacter(sql, position) : offsetOfByte(sql, position);
  if (start >= sql.length) return { start: sql.length, end: sql.length };
  return { start, end: start + tokenLength(sql.slice(start)) };
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
