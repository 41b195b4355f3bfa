import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { ProgressBar, progressLine, type Shown } from '../../src/daemon/progress.ts';
import { widthOf } from '../../src/daemon/render/terminalText.ts';
import type { Clock } from '../../src/scheduler/clock.ts';

/** Time that stands still until it is told to go. */
class HandClock implements Clock {
  ms = 0;
  #timers: { at: number; callback: () => void }[] = [];
  now = (): number => this.ms;
  monotonicMs = (): number => this.ms;
  after(ms: number, callback: () => void): { cancel: () => void } {
    const timer = { at: this.ms + ms, callback };
    this.#timers.push(timer);
    return { cancel: () => (this.#timers = this.#timers.filter((other) => other !== timer)) };
  }
  sleep = (): Promise<void> => Promise.resolve();
  yieldTurn = (): Promise<void> => Promise.resolve();
  get waiting(): number {
    return this.#timers.length;
  }
  go(ms: number): void {
    const until = this.ms + ms;
    for (;;) {
      const next = this.#timers.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.#timers = this.#timers.filter((other) => other !== next);
      this.ms = next.at;
      next.callback();
    }
    this.ms = until;
  }
}

const query = (fraction: number | null): Shown => ({ name: '', fraction, message: null, interrupt: 'Ctrl-C cancels' });

function bar(isTTY: boolean, look: () => Shown): { clock: HandClock; written: () => string; progress: ProgressBar } {
  const clock = new HandClock();
  const terminal = Object.assign(new PassThrough(), { isTTY, columns: 80 });
  const chunks: string[] = [];
  terminal.on('data', (chunk) => chunks.push(String(chunk)));
  return { clock, written: () => chunks.join(''), progress: new ProgressBar({ clock, terminal, look }) };
}

describe('the progress bar', () => {
  it('stays away from queries that take less than a second', () => {
    const { clock, written, progress } = bar(true, () => query(0.5));
    clock.go(990);
    progress.clear();
    clock.go(5000);
    expect(written()).toBe('');
    expect(clock.waiting).toBe(0);
  });

  it('is shown, moves on, never goes back, and is wiped', () => {
    let fraction = 0.6;
    const { clock, written, progress } = bar(true, () => query(fraction));
    clock.go(1000);
    expect(written()).toContain(' 60 %  1 s');
    fraction = 0.2;
    clock.go(1000);
    expect(written()).not.toContain('20 %');
    expect(written()).toContain(' 60 %  2 s');
    progress.clear();
    progress.clear();
    expect(written().endsWith('\r\x1b[K\x1b[?25h')).toBe(true);
    expect(clock.waiting).toBe(0);
  });

  it('is not written into a file', () => {
    const { clock, written } = bar(false, () => query(0.5));
    clock.go(5000);
    expect(written()).toBe('');
  });

  it('stays below what is written meanwhile', async () => {
    const { clock, written, progress } = bar(true, () => query(0.5));
    const lines: string[] = [];
    await progress.over(async () => void lines.push(written()));
    expect(written()).toBe('');
    clock.go(1000);
    await progress.over(async () => void lines.push(written()));
    expect(lines[1]?.endsWith('\r\x1b[K\x1b[?25h')).toBe(true);
    expect(written().endsWith('Ctrl-C cancels\x1b[K')).toBe(true);
    progress.clear();
    await progress.over(async () => undefined);
    expect(written().endsWith('\r\x1b[K\x1b[?25h')).toBe(true);
    expect(clock.waiting).toBe(0);
  });

  it('tells of a run what it does, also that it has gone back', () => {
    let fraction = 0.7;
    const { clock, written } = bar(true, () => ({ ...query(fraction), name: 'load', message: 'page 7 of 10' }));
    clock.go(1000);
    expect(written()).toContain(`load  ${'█'.repeat(21)}${'░'.repeat(9)}  70 %  page 7 of 10  1 s  Ctrl-C cancels`);
    fraction = 0.5;
    clock.go(100);
    expect(written()).toContain(' 50 %');
  });
});

describe('the row of the progress bar', () => {
  const row = (columns: number, shown: Partial<Shown> = {}): string => progressLine({ ...query(0.5), ...shown, seconds: 3, columns });

  it('fits its terminal, and leaves out first what matters least', () => {
    const load = { name: 'load', fraction: 0.7, message: 'page 7 of 10' };
    expect(row(80)).toBe(`${'█'.repeat(15)}${'░'.repeat(15)}  50 %  3 s  Ctrl-C cancels`);
    expect(row(58, load)).toBe('load  ███████░░░  70 %  page 7 of 10  3 s  Ctrl-C cancels');
    expect(row(48, load)).toBe('load  ███████████░░░░░  70 %  page 7 of 10  3 s');
    expect(row(38, load)).toBe('load  ███████░░░  70 %  page 7 …  3 s');
    expect(row(34, load)).toBe('load  ███████░░░  70 %  3 s');
    expect(row(20, load)).toBe('load  70 %  3 s');
    expect(row(14, load)).toBe('70 %  3 s');
    expect(row(8, load)).toBe('70 %');
    expect(row(80, { fraction: null })).toBe('3 s  Ctrl-C cancels');
    expect(row(80, { ...load, fraction: null })).toBe('load  page 7 of 10  3 s  Ctrl-C cancels');
  });

  it('counts the columns of wide characters, and never fills the last one', () => {
    const wide = { name: '在庫の補充', fraction: 0.25, message: '商品 7 / 10 を読み込み中 🐦' };
    for (let columns = 2; columns <= 120; columns++) {
      for (const shown of [wide, { ...wide, fraction: null }, { name: 'x'.repeat(200), message: null }]) {
        expect(widthOf(row(columns, shown))).toBeLessThan(columns);
      }
    }
  });

  it('keeps control characters of a message away from the terminal', () => {
    expect(row(80, { name: 'a\x1b[2Jb', message: 'one\ntwo\x07' })).toContain('a\\u001b[2Jb');
    expect(row(80, { name: 'a', message: 'one\ntwo\x07' })).toContain('one\\ntwo\\u0007');
  });
});
