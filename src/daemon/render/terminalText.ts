// Text from anywhere, made fit for a terminal. Data may hold escape sequences that move the cursor, change the title or answer
// for the user, and marks that turn the reading direction around: none of them may reach the screen as what they are.

import stringWidth from 'string-width';

// Control characters of both sets, line and paragraph separators, direction marks, and halves of a surrogate pair.
const unsafe = /[\p{Cc}\u2028\u2029\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069\ufeff\p{Cs}]/gu;
const unsafeButLayout = new RegExp(unsafe.source.replace('\\p{Cc}', '\\0-\\x08\\x0b-\\x1f\\x7f-\\x9f'), 'gu');

/** On one line: a line break shows as `\n`, ESC as `\u001b`. */
export function oneLine(text: string): string {
  return text.replace(unsafe, escaped);
}

/** Line breaks and tabs stay as they are. */
export function manyLines(text: string): string {
  return text.replaceAll('\r\n', '\n').replace(unsafeButLayout, escaped);
}

export interface Fold {
  /** The width of the terminal; without one, nothing is folded. */
  readonly columns: number | undefined;
  /** What stands in front of the first line already. */
  readonly taken?: number | undefined;
  /** Stands in front of every further line. */
  readonly indent: string;
}

/** Lines that end between words. A word that is too long for any line stays whole, so that it can be copied. */
export function folded(text: string, { columns = Number.POSITIVE_INFINITY, taken = 0, indent }: Fold): string {
  const lines: string[] = [];
  let used = taken;
  for (const written of text.split('\n')) {
    let line = '';
    for (const [at, word] of written.split(' ').entries()) {
      const width = widthOf(word);
      if (at > 0 && line !== '' && used + 1 + width > columns) {
        lines.push(line);
        line = word;
        used = indent.length + width;
      } else {
        line += at > 0 ? ` ${word}` : word;
        used += at > 0 ? width + 1 : width;
      }
    }
    lines.push(line);
    used = indent.length;
  }
  return lines.join(`\n${indent}`);
}

/** Lines of at most `width` columns, wherever they have to be cut. */
export function cutInLines(text: string, width: number): string[] {
  const fold = folded(text, { columns: width, indent: '' }).split('\n');
  return fold.flatMap((line) => {
    if (widthOf(line) <= width) return [line];
    const pieces = [''];
    let used = 0;
    for (const { segment } of graphemes.segment(line)) {
      const next = widthOf(segment);
      if (used + next > width && used > 0) {
        pieces.push('');
        used = 0;
      }
      pieces[pieces.length - 1] += segment;
      used += next;
    }
    return pieces;
  });
}

/** The columns a text takes up on a terminal. */
export function widthOf(text: string): number {
  return plainAscii.test(text) ? text.length : stringWidth(text);
}

/** At most `width` columns, the last of them `…` where something is missing. */
export function truncated(text: string, width: number): string {
  if (text.length <= width && plainAscii.test(text)) return text;
  // No character is wider than two columns, but many may stand in one: what is looked at is bounded all the same.
  const start = text.length > width * 16 + 64 ? text.slice(0, width * 16 + 64) : text;
  if (start.length === text.length && widthOf(text) <= width) return text;
  let kept = '';
  let taken = 0;
  for (const { segment } of graphemes.segment(start)) {
    const next = taken + widthOf(segment);
    if (next > width - 1) break;
    kept += segment;
    taken = next;
  }
  return `${kept}…`;
}

const plainAscii = /^[ -~]*$/;
const graphemes = new Intl.Segmenter();
const shortEscapes: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

function escaped(character: string): string {
  return shortEscapes[character] ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
