// Where a file is, and what becomes of a sitting when that changes. What several processes do is test/daemon/sharing.test.ts's affair.

import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { getRequestListener } from '@hono/node-server';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Diagnostic } from '../../src/core/diagnostic.ts';
import { askToHandOver } from '../../src/daemon/handover.ts';
import { claimFile, whoHolds } from '../../src/daemon/lock.ts';
import { openPlace, type Place, type PlaceOptions } from '../../src/daemon/place.ts';
import { Sitting } from '../../src/daemon/sitting.ts';
import { sessionRoutes } from '../../src/daemon/wire/sessionRoutes.ts';
import { openEngine } from '../../src/engine/engine.ts';
import type { Result } from '../../src/engine/result.ts';
import { type Clock, systemClock } from '../../src/scheduler/clock.ts';

let folder: string;
let path: string;
const atEnd: (() => Promise<unknown>)[] = [];
beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'cuckoo-place-')));
  path = join(folder, 'jobs.duckdb');
});
afterEach(async () => {
  for (const end of atEnd.splice(0).reverse()) await end();
  rmSync(folder, { recursive: true, force: true });
});

const mistakeOf = async (work: Promise<unknown>): Promise<Diagnostic> => {
  const error = await work.catch((reason: unknown) => reason);
  if (error instanceof Diagnostic) return error;
  throw new Error(`expected a Diagnostic, got ${String(error)}`);
};
const rowsOf = async (answer: Promise<Result>) => (await answer).toArray();

/** A daemon in this very process; until `serve` is called it has the file and nothing to say. */
async function daemon() {
  let listener: ((request: IncomingMessage, response: ServerResponse) => unknown) | undefined;
  let refused = 0;
  const engine = await openEngine(path, {
    environment: {},
    zone: 'UTC',
    claim: (realPath) =>
      claimFile(realPath, {
        kind: 'daemon',
        onRequest: (request, response) => {
          if (listener !== undefined) return void listener(request, response);
          refused++;
          response.writeHead(503).end();
        },
      }),
  });
  const door = sessionRoutes({ engine, clock: systemClock, actor: (_, said) => ({ actor: said, admin: true }) });
  const end = async (): Promise<void> => {
    await door.close('the daemon stops');
    await engine.close();
  };
  atEnd.push(end);
  return {
    engine,
    end,
    serve: () => {
      listener = getRequestListener(door.routes.fetch);
    },
    get refused() {
      return refused;
    },
  };
}

async function place(options: PlaceOptions = {}): Promise<Place> {
  const opened = await openPlace(path, { environment: {}, ...options });
  atEnd.push(() => opened.close());
  return opened;
}

describe('a place', () => {
  test('is here where nobody holds the file, and with the daemon where one does', async () => {
    const here = await place({ actor: 'ada' });
    expect([here.kind, here.path]).toEqual(['here', path]);
    expect(await rowsOf((await here.session()).execute('SELECT 1'))).toEqual([[1]]);
    expect((await whoHolds(path))?.kind).toBe('shell');
    await here.close();
    const { serve } = await daemon();
    serve();
    const there = await place({ actor: 'ada' });
    expect([there.kind, there.path]).toEqual(['daemon', path]);
    const session = await there.session();
    await session.execute("UPSERT SCHEDULE s ( sched: '@daily', sql: 'SELECT 1' )");
    expect(await rowsOf(session.execute('SELECT changed_by FROM cron.schedule_versions'))).toEqual([['ada']]);
    await there.close();
    expect(await mistakeOf(session.execute('SELECT 1'))).toMatchObject({ code: 'closed' });
  });

  test('of a file that does not exist, or in memory, is here', async () => {
    expect((await place()).kind).toBe('here');
    const memory = await openPlace(':memory:');
    expect([memory.kind, memory.path]).toEqual(['here', ':memory:']);
    await memory.close();
  });

  test('waits for a daemon that is only starting', async () => {
    const starting = await daemon();
    const there = await place();
    const session = there.session();
    while (starting.refused < 2) await new Promise((resolve) => setImmediate(resolve));
    starting.serve();
    expect(await rowsOf((await session).execute('SELECT 1'))).toEqual([[1]]);
  });

  test('tells what the daemon’s scheduler does, in its first session', async () => {
    const { engine, serve } = await daemon();
    serve();
    const there = await place();
    const heard = new Promise((resolve) => there.scheduler.events.on('definitions:changed', resolve));
    const session = await there.session();
    engine.scheduler.events.emit('definitions:changed', {});
    await heard;
    await session.close();
  });

  test('is not to be had read-only beside a daemon', async () => {
    await daemon();
    expect(await mistakeOf(openPlace(path, { readOnly: true }))).toMatchObject({
      code: 'file_locked',
      hint: expect.stringMatching(/--readonly/),
    });
  });
});

describe('asking for a file', () => {
  const ask = (timeoutMs = 30_000) => askToHandOver(path, { clock: systemClock, pid: 4711, timeoutMs });

  test('that nobody holds is answered so', async () => {
    expect(await ask()).toBe('nobody');
    await (await openEngine(path)).close();
    expect(await ask()).toBe('nobody');
  });

  test('is refused by a daemon, by a library, and by a shell that is not asked to', async () => {
    for (const [kind, reason] of [
      ['daemon', /^a Cuckoo daemon \(process \d+\) holds the file and hands it to nobody$/],
      ['library', /^a Cuckoo library \(process \d+\) holds/],
      ['shell', /^a Cuckoo shell \(process \d+\) does not hand over$/],
    ] as const) {
      await (await openEngine(path)).close();
      const claim = await claimFile(path, { kind });
      expect(await ask()).toMatchObject({ refused: expect.stringMatching(reason) });
      await claim.release();
    }
  });

  test('is given up where no answer comes', async () => {
    await (await openEngine(path)).close();
    const claim = await claimFile(path, { onHandover: () => new Promise(() => {}) });
    expect(await ask(100)).toEqual({ refused: expect.stringMatching(/^a Cuckoo shell \(process \d+\) has not answered for 0 s$/) });
    await claim.release();
  });
});

/** A shell's sitting, played: what it says and what goes with its place is written down. */
class Played {
  readonly said: string[] = [];
  readonly arrived: string[] = [];
  readonly sitting: Sitting;
  isBusy = false;
  left = 0;
  cannotLeave: Error | undefined;

  static async open(clock: Clock = systemClock): Promise<Played> {
    const sits: { at?: Played } = {};
    const open = (): Promise<Place> =>
      openPlace(path, { clock, environment: {}, onHandover: async (by) => sits.at?.sitting.handOver(by) ?? { refused: 'not yet' } });
    const first = await open();
    sits.at = new Played(first, await first.session(), open, clock);
    const { sitting } = sits.at;
    atEnd.push(() => sitting.close());
    return sits.at;
  }

  private constructor(first: Place, session: Awaited<ReturnType<Place['session']>>, open: () => Promise<Place>, clock: Clock) {
    this.sitting = new Sitting(first, session, {
      clock,
      open,
      arrived: async ({ kind }, how) => {
        this.arrived.push(`${kind} ${how}`);
      },
      leaving: async () => {
        if (this.cannotLeave !== undefined) throw this.cannotLeave;
        this.left++;
        const { place } = this.sitting;
        if (place.kind === 'here') await place.engine.scheduler.stop({ graceMs: 0, handsOver: true });
      },
      isBusy: () => this.isBusy,
      say: (line) => this.said.push(line),
    });
  }

  /** What a statement waits for has been done by then. */
  rows(sql: string): Promise<unknown> {
    return rowsOf(this.sitting.execute(sql));
  }
}

/** A clock on which waiting takes no time. */
function hurried(): Clock {
  let passed = 0;
  return {
    ...systemClock,
    monotonicMs: () => passed,
    sleep: async (ms) => {
      passed += ms;
      await systemClock.yieldTurn();
    },
  };
}

describe('a sitting that is asked for its file', () => {
  const ask = () => askToHandOver(path, { clock: systemClock, pid: 4711 });

  test('takes it back where nobody comes for it, and loses nothing that is in it', async () => {
    const played = await Played.open(hurried());
    await played.rows('CREATE TABLE t AS SELECT 42 AS egg');
    await played.rows('SET VARIABLE nest = 1');
    expect(await ask()).toBe('released');
    // A statement that comes meanwhile waits, and is carried out where the file is then.
    expect(await played.rows('FROM t')).toEqual([[42]]);
    expect(played.said).toEqual([
      'the daemon (process 4711) did not come: the file is open in this shell',
      'gone with the session: variable nest',
    ]);
    expect([played.left, played.arrived, played.sitting.kind]).toEqual([1, ['here moved'], 'here']);
    expect((await whoHolds(path))?.kind).toBe('shell');
    expect(await ask()).toBe('released');
  });

  test('becomes a client of whoever comes', async () => {
    const played = await Played.open();
    await played.rows('CREATE TABLE t AS SELECT 42 AS egg');
    expect(await ask()).toBe('released');
    const { serve, engine } = await daemon();
    serve();
    expect(await played.rows('FROM t')).toEqual([[42]]);
    expect(played.said).toEqual(['the daemon (process 4711) has the file now; this shell is its client']);
    expect([played.arrived, played.sitting.kind, played.sitting.scheduler.isOn]).toEqual([['daemon moved'], 'daemon', true]);
    const heard = new Promise((resolve) => played.sitting.scheduler.events.on('definitions:changed', resolve));
    engine.scheduler.events.emit('definitions:changed', {});
    await heard;
    expect(await ask()).toEqual({ refused: expect.stringMatching(/^a Cuckoo daemon/) });
  });

  test('says no while something would be lost, and goes on', async () => {
    const played = await Played.open();
    const { place } = played.sitting;
    played.isBusy = true;
    expect(await ask()).toEqual({ refused: 'a statement is at work' });
    played.isBusy = false;
    await played.rows('BEGIN');
    expect(await ask()).toEqual({ refused: 'a transaction is open' });
    await played.rows('ROLLBACK');
    for (const [make, drop, reason] of [
      ['CREATE TEMP VIEW v AS SELECT 1', 'DROP VIEW v', 'it has 1 temporary table: v'],
      ['CREATE TEMP TABLE "a b" (i INTEGER)', 'DROP TABLE "a b"', 'it has 1 temporary table: a b'],
      ["ATTACH ':memory:' AS other", 'DETACH other', 'it has attached 1 other database: other'],
    ] as const) {
      await played.rows(make);
      expect(await ask()).toEqual({ refused: reason });
      await played.rows(drop);
    }
    if (place.kind !== 'here') throw new Error('it is here');
    const other = await place.session();
    const endless = 'SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range % 7 = b.range % 3';
    await other.execute(`UPSERT SCHEDULE slow ( sql: '${endless}' )`);
    const run = other.execute('RUN SCHEDULE slow AWAIT');
    while ([...place.engine.scheduler.allRunning()].length === 0) await new Promise((resolve) => setImmediate(resolve));
    expect(await ask()).toEqual({ refused: '1 run is at work: slow' });
    await other.interrupt();
    await run.catch(() => undefined);
    await other.close();
    expect([played.left, played.said]).toEqual([0, []]);
    expect(await played.rows('SELECT 1')).toEqual([[1]]);
  });

  test('keeps it where it cannot let go, and says why', async () => {
    const played = await Played.open();
    played.cannotLeave = new Error('no room on the disk');
    expect(await ask()).toEqual({ refused: 'it cannot let go: no room on the disk' });
    expect(played.arrived).toEqual(['here stayed']);
    expect(await played.rows('SELECT 1')).toEqual([[1]]);
  });
});

describe('a sitting whose daemon is gone', () => {
  test('opens the file itself with the next statement; a transaction that was open is aborted until it is ended', async () => {
    const there = await daemon();
    there.serve();
    const played = await Played.open();
    await played.rows('CREATE TABLE t (i INTEGER)');
    await played.rows('BEGIN');
    await played.rows('INSERT INTO t VALUES (1)');
    await there.end();
    while (played.said.length < 2) await new Promise((resolve) => setImmediate(resolve));
    expect(played.said).toEqual(['the daemon stops: the next statement looks for the file anew', 'the open transaction was rolled back']);
    expect(played.sitting.transaction).toBe('aborted');
    expect((await mistakeOf(played.rows('INSERT INTO t VALUES (2)'))).message).toMatch(/aborted/);
    expect([played.sitting.kind, played.sitting.transaction, played.arrived]).toEqual(['here', 'aborted', ['here moved']]);
    await played.rows('ROLLBACK');
    expect(await played.rows('SELECT count(*) FROM t')).toEqual([[0n]]);
  });

  test('says so as often as it is asked, as long as somebody else has the file', async () => {
    const there = await daemon();
    there.serve();
    const played = await Played.open(hurried());
    await there.end();
    const claim = await claimFile(path, { kind: 'library' });
    while (played.said.length < 1) await new Promise((resolve) => setImmediate(resolve));
    expect(await mistakeOf(played.rows('SELECT 1'))).toMatchObject({ code: 'file_locked' });
    expect(await mistakeOf(played.rows('SELECT 1'))).toMatchObject({ code: 'file_locked' });
    await claim.release();
    expect(await played.rows('SELECT 1')).toEqual([[1]]);
  });
});
