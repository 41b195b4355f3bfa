import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { ProgressBar, progressLine } from '../../src/daemon/progress.ts';
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

function bar(isTTY: boolean, percent: () => number): { clock: HandClock; written: () => string; progress: ProgressBar } {
  const clock = new HandClock();
  const terminal = Object.assign(new PassThrough(), { isTTY, columns: 80 });
  const chunks: string[] = [];
  terminal.on('data', (chunk) => chunks.push(String(chunk)));
  return { clock, written: () => chunks.join(''), progress: new ProgressBar({ clock, terminal, percent }) };
}

describe('the progress bar', () => {
  it('stays away from queries that take less than a second', () => {
    const { clock, written, progress } = bar(true, () => 50);
    clock.go(990);
    progress.clear();
    clock.go(5000);
    expect(written()).toBe('');
    expect(clock.waiting).toBe(0);
  });

  it('is shown, moves on, never goes back, and is wiped', () => {
    let percent = 60;
    const { clock, written, progress } = bar(true, () => percent);
    clock.go(1000);
    expect(written()).toContain(' 60 %  1 s');
    percent = 20;
    clock.go(1000);
    expect(written()).not.toContain('20 %');
    expect(written()).toContain(' 60 %  2 s');
    progress.clear();
    progress.clear();
    expect(written().endsWith('\r\x1b[K\x1b[?25h')).toBe(true);
    expect(clock.waiting).toBe(0);
  });

  it('is not written into a file', () => {
    const { clock, written } = bar(false, () => 50);
    clock.go(5000);
    expect(written()).toBe('');
  });

  it('fits its terminal and says how to get rid of the query', () => {
    expect(progressLine({ percent: 50, seconds: 3, columns: 80 })).toBe(`[${'='.repeat(20)}${' '.repeat(20)}]  50 %  3 s   Ctrl-C cancels`);
    expect(progressLine({ percent: 100, seconds: 3, columns: 20 }).length).toBeLessThan(20);
    expect(progressLine({ percent: -1, seconds: 12, columns: 80 })).toBe('12 s   Ctrl-C cancels');
  });
});
