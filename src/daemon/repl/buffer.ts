// The text that is being edited, and where the cursor stands in it: plain data and pure moves, so that every key can be
// tested without a terminal. Offsets are UTF-16; a move never stops inside a character that a person sees as one.

export interface Buffer {
  readonly text: string;
  readonly cursor: number;
}

/** A buffer, and what was taken out of it for a later yank. */
export interface Cut {
  readonly buffer: Buffer;
  readonly cut: string;
}

export const emptyBuffer: Buffer = { text: '', cursor: 0 };

export function withText(text: string): Buffer {
  return { text, cursor: text.length };
}

export function insert({ text, cursor }: Buffer, added: string): Buffer {
  return { text: text.slice(0, cursor) + added + text.slice(cursor), cursor: cursor + added.length };
}

/** Puts `replacement` where [start, end) was and the cursor behind it. */
export function replace({ text }: Buffer, start: number, end: number, replacement: string): Buffer {
  return { text: text.slice(0, start) + replacement + text.slice(end), cursor: start + replacement.length };
}

export function left(buffer: Buffer): Buffer {
  return { ...buffer, cursor: before(buffer.text, buffer.cursor) };
}

export function right(buffer: Buffer): Buffer {
  return { ...buffer, cursor: behind(buffer.text, buffer.cursor) };
}

export function lineStart({ text, cursor }: Buffer): number {
  return text.lastIndexOf('\n', cursor - 1) + 1;
}

export function lineEnd({ text, cursor }: Buffer): number {
  const end = text.indexOf('\n', cursor);
  return end === -1 ? text.length : end;
}

/** Home: to the start of the line; already there, to the start of the whole text. */
export function home(buffer: Buffer): Buffer {
  const start = lineStart(buffer);
  return { ...buffer, cursor: start === buffer.cursor ? 0 : start };
}

/** End: to the end of the line; already there, to the end of the whole text. */
export function end(buffer: Buffer): Buffer {
  const stop = lineEnd(buffer);
  return { ...buffer, cursor: stop === buffer.cursor ? buffer.text.length : stop };
}

export function wordLeft({ text, cursor }: Buffer): Buffer {
  let at = cursor;
  while (at > 0 && !isWordCharacter(text[at - 1])) at--;
  while (at > 0 && isWordCharacter(text[at - 1])) at--;
  return { text, cursor: at };
}

export function wordRight({ text, cursor }: Buffer): Buffer {
  let at = cursor;
  while (at < text.length && !isWordCharacter(text[at])) at++;
  while (at < text.length && isWordCharacter(text[at])) at++;
  return { text, cursor: at };
}

export function deleteLeft(buffer: Buffer): Buffer {
  return replace(buffer, before(buffer.text, buffer.cursor), buffer.cursor, '');
}

export function deleteRight(buffer: Buffer): Buffer {
  return replace(buffer, buffer.cursor, behind(buffer.text, buffer.cursor), '');
}

/** Ctrl-K: to the end of the line, or the line break itself when the cursor stands on it. */
export function cutToLineEnd(buffer: Buffer): Cut {
  const stop = lineEnd(buffer);
  return cutRange(buffer, buffer.cursor, stop === buffer.cursor ? Math.min(stop + 1, buffer.text.length) : stop);
}

/** Ctrl-U: to the start of the line, or the line break before it. */
export function cutToLineStart(buffer: Buffer): Cut {
  const start = lineStart(buffer);
  return cutRange(buffer, start === buffer.cursor ? Math.max(start - 1, 0) : start, buffer.cursor);
}

/** Ctrl-W: back over blanks and then over everything that is not blank, as in every shell. */
export function cutBlankWordLeft(buffer: Buffer): Cut {
  let at = buffer.cursor;
  while (at > 0 && /\s/.test(buffer.text[at - 1] ?? '')) at--;
  while (at > 0 && !/\s/.test(buffer.text[at - 1] ?? '')) at--;
  return cutRange(buffer, at, buffer.cursor);
}

export function cutWordLeft(buffer: Buffer): Cut {
  return cutRange(buffer, wordLeft(buffer).cursor, buffer.cursor);
}

export function cutWordRight(buffer: Buffer): Cut {
  return cutRange(buffer, buffer.cursor, wordRight(buffer).cursor);
}

/** Ctrl-T: exchanges the two characters around the cursor. */
export function transpose(buffer: Buffer): Buffer {
  const { text } = buffer;
  const middle = buffer.cursor === lineEnd(buffer) ? before(text, buffer.cursor) : buffer.cursor;
  if (middle <= lineStart(buffer)) return buffer;
  const start = before(text, middle);
  const stop = behind(text, middle);
  return replace(buffer, start, stop, text.slice(middle, stop) + text.slice(start, middle));
}

function cutRange(buffer: Buffer, start: number, stop: number): Cut {
  return { buffer: replace(buffer, start, stop, ''), cut: buffer.text.slice(start, stop) };
}

function isWordCharacter(character: string | undefined): boolean {
  return character !== undefined && /[\p{L}\p{N}\p{M}_]/u.test(character);
}

const segmenter = new Intl.Segmenter(undefined, { granularity: 'grapheme' });

/** The characters of a text as a person counts them. */
export function* characters(text: string): Generator<string> {
  if (isPlain(text)) yield* text;
  else for (const { segment } of segmenter.segment(text)) yield segment;
}

function isPlain(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the range of ASCII is what is asked.
  return /^[\x00-\x7f]*$/.test(text);
}

// Segmenting is only asked of the line around the cursor: a pasted megabyte must not cost at every arrow key.
function before(text: string, cursor: number): number {
  if (cursor === 0) return 0;
  const start = text.lastIndexOf('\n', cursor - 1) + 1;
  if (start === cursor) return cursor - 1;
  let last = '';
  for (const character of characters(text.slice(start, cursor))) last = character;
  return cursor - last.length;
}

function behind(text: string, cursor: number): number {
  if (cursor === text.length || text[cursor] === '\n') return Math.min(cursor + 1, text.length);
  const stop = text.indexOf('\n', cursor);
  for (const character of characters(text.slice(cursor, stop === -1 ? text.length : stop))) return cursor + character.length;
  return cursor;
}
