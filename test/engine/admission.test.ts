import { describe, expect, test } from 'vitest';
import { Diagnostic } from '../../src/core/diagnostic.ts';
import { Admission, type AdmissionClass, newForMs, type Release } from '../../src/engine/admission.ts';
import { VirtualClock } from '../../src/scheduler/simulation/virtualClock.ts';

/** A pool that lets 4 heavy statements begin on 2 cores, and 17 go on. Its time stands still. */
const roomy = (clock = new VirtualClock({ startAt: 0 })) => new Admission({ poolSize: 24, cores: 2, clock });

/** Settles all microtasks; nothing here waits for anything else. */
const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

const admitted = async (admission: Admission, who: AdmissionClass, count: number): Promise<Release[]> =>
  await Promise.all(Array.from({ length: count }, () => admission.enter(who)));

describe('admission', () => {
  test('lets in twice as many heavy statements as there are cores, and no more', async () => {
    const admission = roomy();
    await admitted(admission, 'session', 4);
    const fifth = admission.enter('session');
    await settle();
    expect([admission.active('session'), admission.waiting('session')]).toEqual([4, 1]);
    void fifth;
  });

  test('lets the next one in when one has been at work for a moment, so that statements that never end stop no others', async () => {
    const clock = new VirtualClock({ startAt: 0 });
    const admission = roomy(clock);
    await admitted(admission, 'run', 3);
    await clock.advance(newForMs / 2);
    await admitted(admission, 'session', 1);
    const order: string[] = [];
    for (const who of ['run', 'session', 'run', 'run'] as const) void admission.enter(who).then(() => order.push(who));
    await settle();
    expect(order).toEqual([]);
    await clock.advance(newForMs / 2);
    await settle();
    expect(order).toEqual(['run', 'session', 'run']);
    await clock.advance(newForMs / 2);
    await settle();
    expect(order).toEqual(['run', 'session', 'run', 'run']);
    // Nobody waits any more, so nobody has to look at the time.
    expect(clock.nextTimerMs).toBe(Number.POSITIVE_INFINITY);
  });

  test('leaves the pool to others: no more go on than it has room for, and one of the other class', async () => {
    const clock = new VirtualClock({ startAt: 0 });
    const admission = roomy(clock);
    const places: Release[] = [];
    for (let count = 0; count < 40; count += 1) void admission.enter('run').then((release) => places.push(release));
    for (let round = 0; round < 20; round += 1) {
      await clock.advance(newForMs);
      await settle();
    }
    expect([admission.active('run'), admission.waiting('run')]).toEqual([17, 23]);
    await admitted(admission, 'session', 1);
    await admitted(admission, 'ledger', 2);
    expect(admission.active('run') + admission.active('session') + admission.active('ledger')).toBeLessThanOrEqual(24 - 4);
    places[0]?.();
    await settle();
    expect([admission.active('run'), admission.waiting('run')]).toEqual([16, 23]);
    places[1]?.();
    await settle();
    expect([admission.active('run'), admission.waiting('run')]).toEqual([16, 22]);
  });

  test('lets the ledger in at once while sessions and runs fill the gate', async () => {
    const admission = roomy();
    await admitted(admission, 'session', 3);
    await admitted(admission, 'run', 1);
    for (let count = 0; count < 50; count += 1) {
      void admission.enter('session');
      void admission.enter('run');
    }
    const ledger = await admitted(admission, 'ledger', 2);
    expect(admission.active('ledger')).toBe(2);
    const third = admission.enter('ledger');
    ledger[0]?.();
    await third;
    expect(admission.active('ledger')).toBe(2);
  });

  test('never lets sessions shut out runs, nor runs sessions', async () => {
    for (const [many, one] of [
      ['session', 'run'],
      ['run', 'session'],
    ] as const) {
      const admission = roomy();
      await admitted(admission, many, 4);
      void admission.enter(many);
      await admission.enter(one);
      const second = admission.enter(one);
      await settle();
      expect([admission.active(one), admission.waiting(one), admission.active(many)]).toEqual([1, 1, 4]);
      void second;
    }
  });

  test('is first come first served within a class', async () => {
    const admission = new Admission({ poolSize: 4, cores: 2 });
    const order: number[] = [];
    await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        admission.run('session', async () => {
          order.push(index);
          await settle();
        }),
      ),
    );
    expect(order).toEqual(Array.from({ length: 20 }, (_, index) => index));
  });

  test('gives a free place to whoever has waited longest, session or run', async () => {
    const admission = roomy();
    const places = [...(await admitted(admission, 'session', 2)), ...(await admitted(admission, 'run', 2))];
    const order: string[] = [];
    const waiting = (['run', 'session', 'session', 'run'] as const).map((who, index) =>
      admission.enter(who).then((release) => {
        order.push(`${who} ${index}`);
        return release;
      }),
    );
    for (const place of places) place();
    await Promise.all(waiting);
    expect(order).toEqual(['run 0', 'session 1', 'session 2', 'run 3']);
  });

  test('a wait can be cancelled, and its place goes to the next', async () => {
    const admission = new Admission({ poolSize: 4, cores: 2 });
    const [place] = await admitted(admission, 'session', 1);
    const controller = new AbortController();
    const cancelled = admission.enter('session', controller.signal).catch((error: unknown) => error);
    const next = admission.enter('session');
    controller.abort();
    const error = await cancelled;
    expect(error).toBeInstanceOf(Diagnostic);
    expect((error as Diagnostic).code).toBe('cancelled');
    place?.();
    await next;
    expect([admission.active('session'), admission.waiting('session')]).toEqual([1, 0]);
    await expect(admission.enter('ledger', controller.signal)).rejects.toMatchObject({ code: 'cancelled' });
    expect(admission.active('ledger')).toBe(0);
  });

  test('a place is given back once, however often it is released, and also after an error', async () => {
    const admission = new Admission({ poolSize: 4, cores: 2 });
    const release = await admission.enter('session');
    release();
    release();
    expect(admission.active('session')).toBe(0);
    await expect(admission.run('session', () => Promise.reject(new Error('x')))).rejects.toThrow('x');
    expect(admission.active('session')).toBe(0);
  });

  test.each([
    [undefined, 1, 1, /4 threads, so 1 heavy statement runs at once instead of 4: start Node with UV_THREADPOOL_SIZE=11/],
    [1, 1, 1, /pool has 1 thread,/],
    [4, 1, 1, /UV_THREADPOOL_SIZE=11/],
    [10, 3, 3, /10 threads, so 3 heavy statements run at once/],
    [11, 4, 4, undefined],
    [24, 4, 17, undefined],
  ])(
    'with a pool of %s threads and two cores it lets %i begin and %i go on, and says so when the first is less',
    (poolSize, limit, most, warning) => {
      const admission = new Admission({ cores: 2, ...(poolSize === undefined ? {} : { poolSize }) });
      expect([admission.heavyLimit, admission.mostAtOnce]).toEqual([limit, most]);
      if (warning === undefined) expect(admission.warning).toBeUndefined();
      else expect(admission.warning).toMatch(warning);
    },
  );
});
