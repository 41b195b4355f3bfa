import { describe, expect, it } from 'vitest';
import { Waiting } from '../../src/daemon/waiting.ts';
import type { AwaitedRun } from '../../src/engine/awaitedRun.ts';
import { Events } from '../../src/scheduler/events.ts';
import type { Progress } from '../../src/scheduler/progress.ts';
import type { FinishedRun, OpenRun } from '../../src/scheduler/run.ts';

class Room {
  readonly events = new Events();
  readonly awaited = new Map<string, AwaitedRun>();
  readonly atWork = new Map<string, Progress | null>();
  readonly told: string[] = [];
  percent: number | undefined;
  isOn = true;
  readonly waiting: Waiting;

  constructor() {
    const { events, atWork } = this;
    const isOn = (): boolean => this.isOn;
    this.waiting = new Waiting({
      session: { awaited: this.awaited, progress: () => this.percent },
      scheduler: {
        events,
        get isOn() {
          return isOn();
        },
        running: (runId) => {
          const progress = atWork.get(runId);
          return progress === undefined ? undefined : { progress };
        },
      },
      tell: ({ runId }) => this.told.push(runId),
    });
  }

  await(...names: readonly string[]): void {
    for (const name of names) {
      const run = { runId: name, scheduleId: 1, schedule: name, call: 'x' } as OpenRun;
      this.awaited.set(name, { run, isTold: names.length > 1 });
    }
  }

  end(runId: string): void {
    this.atWork.delete(runId);
    this.events.emit('run:finished', { runId } as FinishedRun);
  }
}

describe('what is shown while a statement waits', () => {
  it('is how far its query is, where DuckDB can tell', () => {
    const room = new Room();
    expect(room.waiting.look()).toEqual({ name: '', fraction: null, message: null, interrupt: 'Ctrl-C cancels' });
    room.percent = -1;
    expect(room.waiting.look()).toMatchObject({ fraction: null });
    room.percent = 50;
    expect(room.waiting.look()).toMatchObject({ name: '', fraction: 0.5 });
  });

  it('is the run that it waits for, and that it waits itself', () => {
    const room = new Room();
    room.await('load');
    expect(room.waiting.look()).toEqual({ name: 'load', fraction: null, message: 'waits', interrupt: 'Ctrl-C ends the wait' });
    room.atWork.set('load', null);
    expect(room.waiting.look()).toMatchObject({ name: 'load', fraction: null, message: null });
    room.atWork.set('load', { fraction: 0.7, message: 'page 7 of 10' });
    room.isOn = false;
    expect(room.waiting.look()).toEqual({ name: 'load', fraction: 0.7, message: 'page 7 of 10', interrupt: 'Ctrl-C cancels' });
  });

  it('is, of several, one that tells how far it is, and how many have ended; each end is told', () => {
    const room = new Room();
    room.await('a', 'b', 'c');
    room.atWork.set('a', null);
    room.atWork.set('b', { fraction: 0.2, message: null });
    expect(room.waiting.look()).toMatchObject({ name: '0 of 3  b', fraction: 0.2 });
    room.end('b');
    room.end('elsewhere');
    // A statement that runs one after the other takes those that have ended away.
    room.awaited.delete('b');
    expect(room.waiting.look()).toMatchObject({ name: '1 of 3  a', fraction: null });
    room.end('a');
    expect(room.waiting.look()).toMatchObject({ name: '2 of 3  c', message: 'waits' });
    expect(room.told).toEqual(['b', 'a']);
    expect(room.waiting.ended).toEqual(['b', 'a']);
    room.waiting.stop();
    room.end('c');
    expect(room.told).toEqual(['b', 'a']);
  });

  it('is no longer the end of a single run: the answer tells it', () => {
    const room = new Room();
    room.await('load');
    room.end('load');
    expect(room.told).toEqual([]);
  });
});
