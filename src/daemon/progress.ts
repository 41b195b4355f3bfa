// How far the statement at work is, or the run that it waits for: one row of the terminal, drawn over itself and gone without a trace
// when the answer comes. It appears only when somebody would begin to wonder.
//
//   ███████████████░░░░░░░░░░░░░░░  50 %  3 s  Ctrl-C cancels
//   load  █████████████████████░░░░░░░░░  70 %  page 7 of 10  12 s  Ctrl-C ends the wait

import type { Writable } from 'node:stream';
import type { Clock, Timer } from '../scheduler/clock.ts';
import { oneLine, truncated, widthOf } from './render/terminalText.ts';

export interface Shown {
  /** The run; empty: the statement itself. */
  readonly name: string;
  /** 0..1; null: nobody can tell. */
  readonly fraction: number | null;
  readonly message: string | null;
  /** What Ctrl-C does. */
  readonly interrupt: string;
}

interface ProgressOptions {
  readonly clock: Clock;
  /** A terminal, or nothing is shown. */
  readonly terminal: Writable & { readonly columns?: number; readonly isTTY?: boolean };
  readonly look: () => Shown;
}

const patienceMs = 1000;
const refreshMs = 100;

export class ProgressBar {
  readonly #options: ProgressOptions;
  readonly #since: number;
  #timer: Timer | undefined;
  #isShown = false;
  #hasEnded = false;
  #highest = 0;

  constructor(options: ProgressOptions) {
    this.#options = options;
    this.#since = options.clock.monotonicMs();
    if (options.terminal.isTTY === true) this.#wait(patienceMs);
    else this.#hasEnded = true;
  }

  /** Wipes the bar and shows it no more. Safe to call twice. */
  clear(): void {
    this.#hasEnded = true;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#wipe();
  }

  /** What is written now stands over the bar, which stays below. */
  async over(write: () => Promise<void>): Promise<void> {
    const wasShown = this.#isShown;
    this.#wipe();
    await write();
    if (wasShown && !this.#hasEnded) this.#show();
  }

  #wipe(): void {
    if (this.#isShown) this.#options.terminal.write('\r\x1b[K\x1b[?25h');
    this.#isShown = false;
  }

  #wait(ms: number): void {
    this.#timer?.cancel();
    this.#timer = this.#options.clock.after(ms, () => this.#show(), { keepsProcessAlive: false });
  }

  #show(): void {
    const { clock, terminal, look } = this.#options;
    const seconds = Math.floor((clock.monotonicMs() - this.#since) / 1000);
    const line = progressLine({ ...this.#forward(look()), seconds, columns: terminal.columns ?? 80 });
    terminal.write(`${this.#isShown ? '' : '\x1b[?25l'}\r${line}\x1b[K`);
    this.#isShown = true;
    this.#wait(refreshMs);
  }

  /** DuckDB's own figure falls when a new part of a query begins; a bar that goes back only worries. */
  #forward(shown: Shown): Shown {
    if (shown.name !== '' || shown.fraction === null) return shown;
    this.#highest = Math.max(this.#highest, shown.fraction);
    return { ...shown, fraction: this.#highest };
  }
}

const widestBar = 30;
const narrowestBar = 10;
/** Of a message that is cut, so much is worth showing. */
const leastMessage = 8;

/** What a narrow terminal has no room for goes in this order: what Ctrl-C does, the message, the time, the bar, the name. */
export function progressLine({
  name,
  fraction,
  message,
  interrupt,
  seconds,
  columns,
}: Shown & { readonly seconds: number; readonly columns: number }): string {
  // The last column stays free: a cursor behind it might be on the next row.
  const room = columns - 1;
  const percent = fraction === null ? '' : `${Math.floor(fraction * 100)} %`;
  const drawn = (width: number): string => (fraction === null ? '' : `${bar(fraction, width)} ${percent.padStart(5)}`);
  const who = truncated(oneLine(name), Math.max(Math.floor(room / 3), narrowestBar));
  const said = message === null ? '' : oneLine(message);
  const elapsed = `${seconds} s`;
  for (const behind of [[elapsed, interrupt], [elapsed]]) {
    const left = room - widthOf(joined(who, drawn(narrowestBar), said === '' ? '' : '.', ...behind)) + 1;
    if (said === '' ? left < 1 : left < Math.min(leastMessage, widthOf(said))) continue;
    const shownMessage = truncated(said, left);
    const wider = said === '' ? left - 1 : left - widthOf(shownMessage);
    return joined(who, drawn(Math.min(narrowestBar + wider, widestBar)), shownMessage, ...behind);
  }
  for (const pieces of [
    [who, drawn(narrowestBar), elapsed],
    [who, percent, elapsed],
    [percent, elapsed],
  ]) {
    const line = joined(...pieces);
    if (widthOf(line) <= room) return line;
  }
  return truncated(percent === '' ? elapsed : percent, Math.max(room, 1));
}

function joined(...pieces: readonly string[]): string {
  return pieces.filter((piece) => piece !== '').join('  ');
}

function bar(fraction: number, width: number): string {
  const full = Math.min(Math.floor(fraction * width), width);
  return '█'.repeat(full) + '░'.repeat(width - full);
}
