// An error as people read it: what is wrong, where, the line with a caret under the very place, and what to do next.
//
//   error[invalid_cadence] hour must be 0-23, got 25
//     jobs.sql:3:36
//    3 │ UPSERT SCHEDULE nightly ( sched: '0 25 * * *' );
//      │                                     ^^
//   hint: fields are minute hour day month weekday

import type { Diagnostic, Span } from '../../core/diagnostic.ts';
import { folded, manyLines, oneLine, truncated, widthOf } from './terminalText.ts';

/** A statement's text, and where it began in what was read: both from 1, a column is a character. */
export interface Source {
  readonly text: string;
  readonly line: number;
  readonly column: number;
}

export interface DiagnosticOptions {
  /** The text that the span lies in. Without it, or without a span, there is no line to show. */
  readonly piece?: Source | undefined;
  /** The file it stands in; without one it was typed here. */
  readonly name?: string | undefined;
  readonly color: boolean;
  /** The width of the terminal: words are folded to it, and of a longer line of SQL what is around the place is shown. */
  readonly columns?: number | undefined;
}

/** Of a place that spans many lines, the first and the last of them. */
const shownLines = 3;
/** Mistakes behind the first. */
const shownMore = 9;
const tab = '    ';

export function renderDiagnostic(diagnostic: Diagnostic, options: DiagnosticOptions): string {
  const texts: string[] = [];
  const hints = new Set<string | undefined>();
  for (const one of [diagnostic, ...diagnostic.more.slice(0, shownMore)]) {
    texts.push(renderOne(one, options, !hints.has(one.hint)));
    hints.add(one.hint);
  }
  const rest = diagnostic.more.length - shownMore;
  if (rest > 0) texts.push(`and ${rest} more mistake${rest === 1 ? '' : 's'}\n`);
  return texts.join('');
}

/** The same hint is not given twice. */
function renderOne(diagnostic: Diagnostic, { piece, name, color, columns }: DiagnosticOptions, hinted: boolean): string {
  const paint = color ? painted : unpainted;
  const word = `error[${diagnostic.code}]`;
  const message = folded(manyLines(diagnostic.message), { columns, taken: word.length + 1, indent: '  ' });
  const lines = [`${paint('error', word)} ${paint('strong', message)}`];
  const marks = piece === undefined || diagnostic.span === undefined ? [] : markedLines(piece, diagnostic.span);
  const [first] = marks;
  if (name !== undefined && piece !== undefined) {
    lines.push(`  ${oneLine(name)}:${first?.line ?? piece.line}:${first?.column ?? piece.column}`);
  }
  const gutter = String(marks.at(-1)?.line ?? 0).length + 1;
  const shown = marks.length <= shownLines ? marks : [...marks.slice(0, shownLines - 1), undefined, ...marks.slice(-1)];
  for (const mark of shown) {
    if (mark === undefined) {
      lines.push(paint('faint', `${' '.repeat(gutter)} ┆`));
      continue;
    }
    const { text, caret } = around(mark, Math.max(20, (columns ?? 120) - gutter - 4));
    lines.push(`${paint('faint', `${String(mark.line).padStart(gutter)} │`)} ${text}`);
    lines.push(`${paint('faint', `${' '.repeat(gutter)} │`)} ${paint('error', caret)}`);
  }
  if (diagnostic.hint !== undefined && hinted) {
    lines.push(`${paint('hint', 'hint:')} ${folded(manyLines(diagnostic.hint), { columns, taken: 6, indent: '      ' })}`);
  }
  return `${lines.join('\n')}\n`;
}

interface Mark {
  /** In what was read, from 1. */
  readonly line: number;
  readonly column: number;
  readonly before: string;
  readonly marked: string;
  readonly after: string;
}

/** Each line that the span touches, cut at its ends. An empty span marks the one place where something is missing. */
function markedLines(piece: Source, span: Span): Mark[] {
  const { text } = piece;
  const start = Math.min(Math.max(0, span.start), text.length);
  const given = text.slice(start, Math.max(start, span.end));
  // Line breaks at its end are not what is wrong.
  const end = start + given.trimEnd().length;
  const marks: Mark[] = [];
  let lineStart = text.lastIndexOf('\n', start - 1) + 1;
  if (start === 0) lineStart = 0;
  let line = piece.line + (text.slice(0, lineStart).split('\n').length - 1);
  for (let at = start; ; line++) {
    const found = text.indexOf('\n', lineStart);
    const lineEnd = found < 0 ? text.length : found;
    const stop = Math.min(end, lineEnd);
    const before = text.slice(lineStart, at);
    const column = [...before].length + (line === piece.line ? piece.column : 1);
    const whole = { before, marked: text.slice(at, stop), after: text.slice(Math.max(at, stop), lineEnd).replace(/\r$/, '') };
    // Lines after the first are marked from their first character, without their indent.
    const indent = marks.length === 0 ? '' : (/^\s*/.exec(whole.marked)?.[0] ?? '');
    marks.push({ line, column, ...whole, before: before + indent, marked: whole.marked.slice(indent.length).replace(/\r$/, '') });
    if (end <= lineEnd || found < 0) return marks;
    lineStart = lineEnd + 1;
    at = lineStart;
  }
}

/** The line and the carets below it, of which no more is shown than fits. */
function around({ before, marked, after }: Mark, width: number): { text: string; caret: string } {
  const head = visible(before);
  const middle = visible(marked);
  const tail = visible(after);
  const kept = keptEnd(
    head,
    Math.max(0, width - Math.min(widthOf(middle), Math.floor(width / 2)) - Math.min(widthOf(tail), Math.floor(width / 4))),
  );
  const text = truncated(kept + middle + tail, width);
  const carets = Math.max(1, Math.min(widthOf(middle), width - widthOf(kept)));
  return { text, caret: ' '.repeat(widthOf(kept)) + '^'.repeat(carets) };
}

/** The end of a text that is too long, behind a `…`. */
function keptEnd(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  const characters = [...text.slice(-width * 2)];
  let taken = 1;
  let from = characters.length;
  while (from > 0 && taken + widthOf(characters[from - 1] ?? '') <= width) taken += widthOf(characters[--from] ?? '');
  return `…${characters.slice(from).join('')}`;
}

function visible(text: string): string {
  return oneLine(text.replaceAll('\t', tab));
}

type Look = 'error' | 'strong' | 'faint' | 'hint';

const looks: Readonly<Record<Look, readonly [on: string, off: string]>> = {
  error: ['\x1b[1;31m', '\x1b[0m'],
  strong: ['\x1b[1m', '\x1b[0m'],
  faint: ['\x1b[2m', '\x1b[0m'],
  hint: ['\x1b[36m', '\x1b[0m'],
};

function painted(look: Look, text: string): string {
  return looks[look].join(text);
}

function unpainted(_look: Look, text: string): string {
  return text;
}
