// The one error of the house. The shell draws a caret from it, HTTP returns it as JSON, a wire protocol fills its fields:
// same object, three faces. It extends Error so that it can be thrown and keeps a stack, but its fields are plain data.

/** Half-open range of UTF-16 offsets in the text that was given. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** Stable words; each has one SQLSTATE. A new mistake reuses a word where one fits. */
export const sqlStates = {
  syntax_error: '42601',
  unterminated: '42601',
  unknown_key: '42601',
  duplicate_key: '42601',
  missing_key: '42601',
  wrong_type: '42804',
  invalid_value: '22023',
  invalid_cadence: '22023',
  never_fires: '22023',
  unknown_zone: '22023',
  invalid_encoding: '22021',
  invalid_name: '42602',
  unknown_function: '42883',
  duplicate_object: '42710',
  undefined_object: '42704',
  undefined_table: '42P01',
  undefined_column: '42703',
  undefined_parameter: '42P02',
  ambiguous: '42702',
  in_use: '2BP01',
  cycle: '42P17',
  forbidden: '42501',
  in_transaction: '25001',
  no_transaction: '25P01',
  aborted_transaction: '25P02',
  read_only: '25006',
  conversion: '22P02',
  out_of_range: '22003',
  constraint: '23000',
  conflict: '40001',
  fenced: '40001',
  run_failed: '58000',
  check_failed: '58000',
  out_of_memory: '53200',
  disk_full: '53100',
  cancelled: '57014',
  timed_out: '57014',
  closed: '08003',
  file_locked: '55006',
  not_a_database: '58P01',
  file_not_found: '58P01',
  newer_file: '0A000',
  unsupported: '0A000',
  missing_dependency: '0A000',
  too_large: '54000',
  too_busy: '53400',
  io_error: '58030',
  unreachable: '08006',
  fatal: 'XX001',
  usage: '22023',
  invalid_config: '22023',
  unauthorized: '28000',
  internal: 'XX000',
} as const;

export type DiagnosticCode = keyof typeof sqlStates;

export interface DiagnosticDetails {
  readonly span?: Span | undefined;
  /** What to do next: legal values, the likely intent, the statement to use. */
  readonly hint?: string | undefined;
  readonly cause?: unknown;
  readonly more?: readonly Diagnostic[] | undefined;
}

interface DiagnosticJson {
  readonly code: string;
  readonly sqlstate: string;
  readonly message: string;
  readonly span?: Span;
  readonly hint?: string;
  readonly cause?: string;
  readonly more?: readonly DiagnosticJson[];
}

export class Diagnostic extends Error {
  readonly code: DiagnosticCode;
  readonly sqlstate: string;
  readonly span: Span | undefined;
  readonly hint: string | undefined;
  /** Further mistakes of the same text, each by itself. */
  readonly more: readonly Diagnostic[];

  constructor(code: DiagnosticCode, message: string, details: DiagnosticDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'Diagnostic';
    this.code = code;
    this.sqlstate = sqlStates[code];
    this.span = details.span;
    this.hint = details.hint;
    this.more = details.more ?? [];
  }

  /** All mistakes of a text as one: the first, which carries the others. */
  static all([first, ...more]: readonly [Diagnostic, ...Diagnostic[]]): Diagnostic {
    return more.length === 0 ? first : first.#with({ span: first.span, more });
  }

  /** The same mistake, seen from a text that holds this one: spans move, everything else stays. */
  movedBy(map: (offset: number) => number): Diagnostic {
    if (this.span === undefined && this.more.length === 0) return this;
    const span = this.span === undefined ? undefined : { start: map(this.span.start), end: map(this.span.end) };
    return this.#with({ span, more: this.more.map((diagnostic) => diagnostic.movedBy(map)) });
  }

  /** The same mistake at another place; the others, which have places of their own in the text that is left, stay behind. */
  at(span: Span): Diagnostic {
    return this.#with({ span, more: [] });
  }

  #with({ span, more }: { readonly span: Span | undefined; readonly more: readonly Diagnostic[] }): Diagnostic {
    const moved = new Diagnostic(this.code, this.message, { span, hint: this.hint, cause: this.cause, more });
    if (this.stack !== undefined) moved.stack = this.stack;
    return moved;
  }

  toJSON(): DiagnosticJson {
    return {
      code: this.code,
      sqlstate: this.sqlstate,
      message: this.message,
      ...(this.span === undefined ? {} : { span: this.span }),
      ...(this.hint === undefined ? {} : { hint: this.hint }),
      ...(this.cause instanceof Error ? { cause: this.cause.message } : {}),
      ...(this.more.length === 0 ? {} : { more: this.more.map((diagnostic) => diagnostic.toJSON()) }),
    };
  }
}
