// What a command writes, as lines fit for a log: whole lines however the bytes come, UTF-8 or shown byte by byte, without control
// characters, without secrets, of a bounded length. Of a flood the lines are only counted, which costs a thousandth of making
// them; the last ones are kept as bytes until it has calmed down.

import { isUtf8 } from 'node:buffer';
import type { Secrets } from '../secrets.ts';
import type { OutputLine } from './messages.ts';

export type Stream = OutputLine['stream'];

export interface OutputParts {
  /** As many lines as the log keeps. */
  readonly mostLines: number;
  readonly secrets: Secrets;
  /** So many lines were dropped, and then came these. */
  ship(dropped: number, lines: readonly OutputLine[]): void;
}

/** A longer line is cut. */
export const mostOfALine = 8 * 1024;
/** Of the lines of a log, so many are for the last ones. */
const lastShare = 0.1;
/** So much is told at once; what goes beyond is told by and by, or dropped. */
const mostBytesAtOnce = 8 * 1024 * 1024;
const linesASecond = 1_000;
const bytesASecond = 1024 * 1024;
/** What is kept as bytes of a flood. */
const mostKeptBytes = 4 * 1024 * 1024;
/** Fewer in one look are no flood. */
const calmLines = 50;
const betweenProgressMs = 1_000;
const mostErrorLines = 10;

/** Whole lines, as they came. */
interface Piece {
  readonly stream: Stream;
  readonly bytes: Buffer;
  readonly lines: number;
  /** Of its only line so much more came, and was not kept. */
  readonly cutBytes: number;
}

const nothing: Piece = { stream: 'stdout', bytes: Buffer.alloc(0), lines: 1, cutBytes: 0 };

/** What has no end yet. */
class OpenLine {
  bytes: Buffer = Buffer.alloc(0);
  cutBytes = 0;
  /** When its progress was told. */
  toldAtMs = Number.NEGATIVE_INFINITY;
  isTold = false;

  get isEmpty(): boolean {
    return this.bytes.length === 0 && this.cutBytes === 0 && !this.isTold;
  }

  clear(): void {
    this.bytes = Buffer.alloc(0);
    this.cutBytes = 0;
    this.isTold = false;
  }
}

export class Output {
  readonly #parts: OutputParts;
  readonly #mostLast: number;
  readonly #mostOpenBytes: number;
  readonly #open: Readonly<Record<Stream, OpenLine>> = { stdout: new OpenLine(), stderr: new OpenLine() };
  /** Not told yet. */
  #pieces: Piece[] = [];
  #lines = 0;
  #bytes = 0;
  /** Before these. */
  #dropped = 0;
  #cameSinceLook = 0;
  #lookedAtMs: number | undefined;
  #mayLines: number;
  #mayBytes = mostBytesAtOnce;
  #lastLine: string | null = null;
  #lastErrorLines: string[] = [];

  constructor(parts: OutputParts) {
    this.#parts = parts;
    this.#mostLast = Math.max(Math.ceil(parts.mostLines * lastShare), 1);
    this.#mayLines = this.#mostAtOnce;
    // A character has at most four bytes.
    this.#mostOpenBytes = mostOfALine * 4 + parts.secrets.longestBytes;
  }

  push(stream: Stream, chunk: Buffer): void {
    const open = this.#open[stream];
    const end = chunk.lastIndexOf(newline) + 1;
    let start = 0;
    if (end > 0 && !open.isEmpty) {
      start = chunk.indexOf(newline) + 1;
      this.#grow(open, chunk.subarray(0, start - 1));
      this.#close(stream);
    }
    // Without the last newline, so that all pieces are split alike.
    if (end > start) this.#add({ stream, bytes: chunk.subarray(start, end - 1), lines: countLines(chunk, start, end), cutBytes: 0 });
    if (end < chunk.length) this.#grow(open, chunk.subarray(end));
  }

  /** Called now and then: tells what can be told. */
  look(nowMs: number): void {
    const passedSeconds = this.#lookedAtMs === undefined ? 0 : Math.max(nowMs - this.#lookedAtMs, 0) / 1000;
    this.#lookedAtMs = nowMs;
    this.#mayLines = Math.min(this.#mayLines + passedSeconds * linesASecond, this.#mostAtOnce);
    this.#mayBytes = Math.min(this.#mayBytes + passedSeconds * bytesASecond, mostBytesAtOnce);
    this.#tellProgress(nowMs);
    // Once something was dropped, the last lines are wanted whole, and which they are is known when it is calm.
    if (this.#dropped === 0 || this.#cameSinceLook <= calmLines) this.#ship();
    this.#cameSinceLook = 0;
  }

  /** The command has ended. */
  end(): { readonly lastLine: string | null; readonly lastErrorLines: readonly string[] } {
    for (const stream of ['stdout', 'stderr'] as const) if (!this.#open[stream].isEmpty) this.#close(stream);
    this.#mayLines = this.#mostAtOnce;
    this.#mayBytes = mostBytesAtOnce;
    this.#ship();
    return { lastLine: this.#lastLine, lastErrorLines: this.#lastErrorLines };
  }

  get #mostAtOnce(): number {
    return Math.max(this.#parts.mostLines, linesASecond);
  }

  #add(piece: Piece): void {
    this.#pieces.push(piece);
    this.#lines += piece.lines;
    this.#bytes += piece.bytes.length;
    this.#cameSinceLook += piece.lines;
    if (this.#lines <= this.#mayLines && this.#bytes <= this.#mayBytes) return;
    if (this.#dropped === 0) this.#ship();
    this.#dropToLast();
  }

  /** Whole pieces, which costs nothing. */
  #dropToLast(): void {
    let at = 0;
    for (const { lines, bytes } of this.#pieces) {
      if (this.#lines - lines < this.#mostLast && this.#bytes <= mostKeptBytes) break;
      at += 1;
      this.#lines -= lines;
      this.#bytes -= bytes.length;
      this.#dropped += lines;
    }
    if (at > 0) this.#pieces.splice(0, at);
  }

  /** As much as may be told now; where something was dropped, no more than the last. */
  #ship(): void {
    if (this.#dropped > 0) for (let more = this.#lines - this.#mostLast; more > 0; more -= 1) this.#dropLine();
    const dropped = this.#dropped;
    this.#dropped = 0;
    const lines: OutputLine[] = [];
    while (this.#lines > 0 && this.#mayLines >= 1 && this.#mayBytes > 0) {
      const { stream, bytes, cutBytes } = this.#nextLine();
      this.#mayLines -= 1;
      this.#mayBytes -= bytes.length;
      const text = this.#textOf(bytes, cutBytes);
      lines.push({ stream, text });
      this.#remember(stream, text);
    }
    if (lines.length > 0 || dropped > 0) this.#parts.ship(dropped, lines);
  }

  #dropLine(): void {
    this.#nextLine();
    this.#dropped += 1;
  }

  /** Takes the first one away. There has to be one. */
  #nextLine(): Piece {
    const [piece = nothing] = this.#pieces;
    const end = piece.lines === 1 ? piece.bytes.length : piece.bytes.indexOf(newline);
    if (piece.lines === 1) this.#pieces.shift();
    else this.#pieces[0] = { ...piece, bytes: piece.bytes.subarray(end + 1), lines: piece.lines - 1 };
    this.#lines -= 1;
    this.#bytes -= Math.min(end + 1, piece.bytes.length);
    return { ...piece, bytes: piece.bytes.subarray(0, end), lines: 1 };
  }

  #remember(stream: Stream, text: string): void {
    if (text.trim() === '') return;
    if (stream === 'stdout') {
      this.#lastLine = text;
      return;
    }
    this.#lastErrorLines.push(text);
    if (this.#lastErrorLines.length > mostErrorLines) this.#lastErrorLines.shift();
  }

  /** The line without an end has one now. */
  #close(stream: Stream): void {
    const { bytes, cutBytes, isTold } = this.#open[stream];
    this.#open[stream].clear();
    // A bar of progress whose last state was told.
    if (!isTold || bytes.length > 0) this.#add({ stream, bytes, lines: 1, cutBytes });
  }

  #grow(open: OpenLine, bytes: Buffer): void {
    if (bytes.length === 0) return;
    // A bar of progress writes over itself: only its newest state is of interest.
    if (open.bytes.length + bytes.length > mostOfALine) {
      const last = bytes.length < 2 ? -1 : bytes.lastIndexOf(carriageReturn, bytes.length - 2);
      if (last !== -1) {
        open.bytes = Buffer.from(bytes.subarray(last + 1));
        open.cutBytes = 0;
        return;
      }
      if (open.cutBytes === 0) open.bytes = open.bytes.subarray(open.bytes.lastIndexOf(carriageReturn) + 1);
    }
    const room = Math.max(this.#mostOpenBytes - open.bytes.length, 0);
    if (room > 0) open.bytes = Buffer.concat([open.bytes, bytes.subarray(0, room)]);
    open.cutBytes += Math.max(bytes.length - room, 0);
  }

  /** Of a line that only writes over itself, now and then. */
  #tellProgress(nowMs: number): void {
    for (const stream of ['stdout', 'stderr'] as const) {
      const open = this.#open[stream];
      const end = open.bytes.lastIndexOf(carriageReturn);
      if (end < 1 || nowMs - open.toldAtMs < betweenProgressMs) continue;
      this.#add({ stream, bytes: open.bytes.subarray(0, end), lines: 1, cutBytes: 0 });
      open.bytes = open.bytes.subarray(end + 1);
      open.toldAtMs = nowMs;
      open.isTold = true;
    }
  }

  #textOf(bytes: Buffer, cutBytes: number): string {
    const { secrets } = this.#parts;
    const line = lastState(bytes);
    const kept = line.length > this.#mostOpenBytes ? line.subarray(0, wholeCharacters(line, this.#mostOpenBytes)) : line;
    const text = decoded(kept);
    if (kept.length === line.length && cutBytes === 0 && text.length <= mostOfALine) return safeText(secrets.masked(text));
    const more = line.length + cutBytes - Buffer.byteLength(text.slice(0, mostOfALine));
    return `${safeText(secrets.maskedStart(text, mostOfALine))}… (${more} more bytes)`;
  }
}

const newline = 0x0a;
const carriageReturn = 0x0d;

/** A plain loop over bytes: asking for each newline costs fifty times as much where lines are short. */
function countLines(bytes: Buffer, start: number, end: number): number {
  let count = 0;
  for (let at = start; at < end; at += 1) if (bytes[at] === newline) count += 1;
  return count;
}

/** What a terminal would show of a line that goes back to its beginning. */
function lastState(line: Buffer): Buffer {
  if (!line.includes(carriageReturn)) return line;
  for (let end = line.length; end > 0; ) {
    const start = line.lastIndexOf(carriageReturn, end - 1) + 1;
    if (end > start) return line.subarray(start, end);
    end = start - 1;
  }
  return line.subarray(0, 0);
}

/** The end of the last whole character before `end`. */
function wholeCharacters(bytes: Buffer, end: number): number {
  let at = end;
  while (at > 0 && end - at < 4 && ((bytes[at] ?? 0) & 0xc0) === 0x80) at -= 1;
  return at;
}

/** What is no UTF-8 is shown byte by byte. */
function decoded(bytes: Buffer): string {
  if (isUtf8(bytes)) return bytes.toString('utf8');
  const parts: string[] = [];
  let plain = 0;
  for (let at = 0; at < bytes.length; ) {
    const first = bytes[at] ?? 0;
    const length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (length === 1 || (at + length <= bytes.length && isUtf8(bytes.subarray(at, at + length)))) {
      at += length;
      continue;
    }
    parts.push(bytes.toString('utf8', plain, at), shown(first));
    at += 1;
    plain = at;
  }
  parts.push(bytes.toString('utf8', plain));
  return parts.join('');
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
const unsafe = /[\0-\x08\x0a-\x1f\x7f-\x9f]/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: how colours are written.
const colour = /\x1b\[[0-9;:]*m/g;

/** Colours are left out; all else that would act on a terminal is shown as what it is. */
function safeText(text: string): string {
  if (text.search(unsafe) === -1) return text;
  return text.replaceAll(colour, '').replaceAll(unsafe, (character) => shown(character.charCodeAt(0)));
}

function shown(code: number): string {
  return `\\x${code.toString(16).padStart(2, '0')}`;
}
