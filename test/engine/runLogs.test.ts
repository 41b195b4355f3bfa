import { describe, expect, onTestFinished } from 'vitest';
import { Diagnostic } from '../../src/core/diagnostic.ts';
import type { Engine } from '../../src/engine/engine.ts';
import type { RunLog } from '../../src/engine/runLogs.ts';
import { type TestDatabase, test } from '../support/database.ts';
import { VirtualEngine } from '../support/virtualEngine.ts';

const id = '01a1f8d3-ea00-700f-837d-12417ee5f8e4';
const idOf = (run: number): string => `01a1f8d3-ea00-700f-837d-${String(run).padStart(12, '0')}`;

function say(log: RunLog, ...lines: readonly string[]): void {
  for (const line of lines) log.write({ step: null, stream: 'stdout', level: 'info', line });
}

async function lines(db: TestDatabase, runId = id): Promise<unknown[]> {
  return (await db.rows(`SELECT line FROM cron.run_logs WHERE run_id = '${runId}' ORDER BY logged_at`)).map(({ line }) => line);
}

const numbered = (from: number, to: number): string[] => Array.from({ length: to - from + 1 }, (_, at) => `line ${from + at}`);

function gate(): { readonly opened: Promise<void>; open(): void } {
  let open: () => void = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open: () => open() };
}

/** Stands before every write of lines. */
function writing(engine: Engine, write: (insert: () => Promise<unknown>) => Promise<unknown>): void {
  const { database } = engine;
  const connect = database.connect.bind(database);
  database.connect = async (options) => {
    const native = await connect(options);
    const all = native.all.bind(native);
    native.all = (async (text: string, ...more: [never]) =>
      /^INSERT INTO \S+run_log/.test(text) ? write(() => all(text, ...more)) : all(text, ...more)) as typeof native.all;
    return native;
  };
}

describe('the lines of a run', () => {
  test('are live in cron.run_logs after a quarter of a second', async ({ db }) => {
    await db.close();
    const engine = await VirtualEngine.open(db.path, { startAt: '2026-11-20T12:00:00Z' });
    onTestFinished(() => engine.close());
    const log = engine.engine.logs.begin(id, 100);
    say(log, 'one', 'two');
    expect(await engine.column('SELECT line FROM cron.run_logs')).toEqual([]);
    await engine.advance('250ms');
    expect(await engine.column('SELECT line FROM cron.run_logs ORDER BY logged_at')).toEqual(['one', 'two']);
    say(log, 'three');
    await engine.advance('250ms');
    expect(await engine.value('SELECT count(*)::INT FROM cron.run_logs')).toBe(3);
  });

  test('stand in the order in which they came, also those of one moment and those of a clock that goes back', async ({ db }) => {
    const log = db.engine.logs.begin(id, 100_000);
    say(log, ...numbered(1, 5000));
    db.clock.set('2026-11-20T11:00:00Z');
    say(log, ...numbered(5001, 9000));
    await log.end();
    expect(await lines(db)).toEqual(numbered(1, 9000));
    expect(await db.rows('SELECT count(DISTINCT logged_at)::INT AS times FROM cron.run_logs')).toEqual([{ times: 9000 }]);
  });

  test('are durable before the row that closes their run', async ({ db }) => {
    const written = gate();
    const asked = gate();
    writing(db.engine, async (insert) => {
      asked.open();
      await written.opened;
      return insert();
    });
    for (const [name, statement] of [
      ['plain', undefined],
      ['commits', 'CREATE TABLE mine AS SELECT 1 AS x'],
    ] as const) {
      db.engine.worker.executors.add(name, {
        async execute(task) {
          if (statement !== undefined) await task.services.database.transaction.query(statement);
          task.log({ stream: 'stdout', level: 'info', text: `said by ${name}` });
        },
      });
    }
    await db.run('UPSERT SCHEDULE a ( exe: plain, call: x )', 'UPSERT SCHEDULE b ( exe: commits, call: x )');
    await db.engine.scheduler.start();
    const other = await db.newSession();
    const ended = db.rows('RUN SCHEDULE a, b AWAIT');
    await asked.opened;
    const states = 'SELECT state, (SELECT count(*)::INT FROM cron.run_logs) AS lines FROM cron.runs';
    const seen: unknown[] = [];
    try {
      // Both could have been closed by now.
      for (let look = 0; look < 5; look++) seen.push(...(await (await other.execute(states)).toObjects()));
    } finally {
      written.open();
    }
    expect(seen.filter((row) => (row as { state: string }).state === 'succeeded')).toEqual([]);
    expect(await ended).toMatchObject([{ state: 'succeeded' }, { state: 'succeeded' }]);
    expect(await db.rows('SELECT line FROM cron.run_logs ORDER BY line')).toEqual([{ line: 'said by commits' }, { line: 'said by plain' }]);
  });

  test('are those of several that write for one run', async ({ db }) => {
    const [one, other] = [db.engine.logs.begin(id, 10), db.engine.logs.begin(id, 10)];
    say(one, 'a');
    say(other, 'b');
    await one.end();
    say(one, 'too late');
    say(other, ...numbered(1, 20));
    await other.end();
    expect(await lines(db)).toEqual(['a', 'b', ...numbered(1, 7), '12 lines dropped', 'line 20']);
  });
});

describe('a run that says too much', () => {
  test('keeps its first lines and its last, and says how many are missing between', async ({ db }) => {
    const log = db.engine.logs.begin(id, 100);
    say(log, ...numbered(1, 25_000));
    await log.end();
    expect(await lines(db)).toEqual([...numbered(1, 90), '24900 lines dropped', ...numbered(24_991, 25_000)]);
  });

  test('of exactly as many lines as are kept misses none', async ({ db }) => {
    const log = db.engine.logs.begin(id, 100);
    say(log, ...numbered(1, 100));
    await log.end();
    expect(await lines(db)).toEqual(numbered(1, 100));
  });

  test('leaves none where none are wanted', async ({ db }) => {
    const log = db.engine.logs.begin(id, 0);
    say(log, ...numbered(1, 10));
    log.drop(10);
    await log.end();
    expect(await lines(db)).toEqual([]);
  });

  test('is bounded also in what its lines hold', async ({ db }) => {
    const log = db.engine.logs.begin(id, 10_000);
    say(log, `${'x'.repeat(200_000)}`, ...Array.from({ length: 700 }, (_, at) => `${at} ${'y'.repeat(50_000)}`));
    await log.end();
    const [kept] = await db.rows('SELECT sum(length(line))::INT AS characters, count(*)::INT AS lines FROM cron.run_logs');
    expect(Number(kept?.['characters'])).toBeLessThan(17_000_000);
    expect(Number(kept?.['characters'])).toBeGreaterThan(14_000_000);
    const all = (await lines(db)) as string[];
    expect(all[0]).toMatch(/^x{65536}… \(134464 more characters\)$/);
    expect(all.at(-1)).toMatch(/^699 y+$/);
    expect(all.find((line) => line.endsWith('dropped'))).toBe(`${701 - Number(kept?.['lines']) + 1} lines dropped`);
  });

  test('can say at once how many came that nobody is told', async ({ db }) => {
    const log = db.engine.logs.begin(id, 100);
    say(log, 'first');
    log.drop(1_000_000);
    say(log, 'between');
    log.drop(1);
    say(log, 'last');
    await log.end();
    expect(await lines(db)).toEqual(['first', '1000002 lines dropped', 'last']);
  });
});

describe('a ledger that takes no lines', () => {
  test('gets them when it does again, each once, whether or not a try had its effect', async ({ db }) => {
    let tries = 0;
    writing(db.engine, async (insert) => {
      tries += 1;
      if (tries === 1) throw new Diagnostic('io_error', 'before it was written');
      const answer = await insert();
      if (tries === 2) throw new Diagnostic('disk_full', 'after it was written');
      return answer;
    });
    const log = db.engine.logs.begin(id, 100);
    say(log, 'one', 'two');
    await log.end();
    expect(tries).toBe(2);
    expect(await lines(db)).toEqual(['one', 'two']);
  });

  test('gets also those that came between the tries', async ({ db }) => {
    let tries = 0;
    const [log, other] = [db.engine.logs.begin(id, 100), db.engine.logs.begin(id, 100)];
    writing(db.engine, async (insert) => {
      tries += 1;
      await insert();
      if (tries > 1) return;
      say(other, 'three');
      throw new Diagnostic('io_error', 'after it was written');
    });
    say(log, 'one', 'two');
    await Promise.all([log.end(), other.flush()]);
    await other.end();
    expect(await lines(db)).toEqual(['one', 'two', 'three']);
  });

  test('keeps no run from its end for longer than ten seconds, and gets the lines afterwards', async ({ db }) => {
    await db.close();
    const virtual = await VirtualEngine.open(db.path, { startAt: '2026-11-20T12:00:00Z' });
    onTestFinished(() => virtual.close());
    let isFull = true;
    writing(virtual.engine, async (insert) => {
      if (isFull) throw new Diagnostic('disk_full', 'no room');
      return insert();
    });
    const log = virtual.engine.logs.begin(id, 100);
    say(log, 'one');
    const since = virtual.clock.now();
    let hasEnded = false;
    void log.end().then(() => {
      hasEnded = true;
    });
    await virtual.passUntil(() => hasEnded);
    expect(virtual.clock.now() - since).toBeLessThanOrEqual(10_400);
    isFull = false;
    await virtual.advance('10s');
    expect(await virtual.column('SELECT line FROM cron.run_logs')).toEqual(['one']);
  });

  test('for a reason that does not pass loses them, and what stays says how many', async ({ db }) => {
    let tries = 0;
    writing(db.engine, async (insert) => {
      tries += 1;
      if (tries <= 3) throw new Diagnostic('conversion', 'never');
      return insert();
    });
    const log = db.engine.logs.begin(id, 100);
    say(log, 'one', 'two');
    await log.end();
    expect(await lines(db)).toEqual(['2 lines dropped']);
  });

  test('lets memory hold so much and no more, of however many runs', async ({ db }) => {
    const written = gate();
    writing(db.engine, async (insert) => {
      await written.opened;
      return insert();
    });
    const runs = Array.from({ length: 5 }, (_, run) => db.engine.logs.begin(idOf(run), 1_000_000));
    for (let line = 0; line < 200; line++) for (const run of runs) say(run, `${line} ${'z'.repeat(60_000)}`);
    written.open();
    await Promise.all(runs.map((run) => run.end()));
    const [kept] = await db.rows('SELECT sum(length(line))::INT AS characters FROM cron.run_logs');
    // Of 60 MB, what may wait and what each run may hold for its end.
    expect(Number(kept?.['characters'])).toBeLessThan(33_600_000 + 5 * 1_700_000);
    for (const run of runs.keys()) {
      const all = (await lines(db, idOf(run))) as string[];
      const dropped = Number(/^(\d+) lines dropped$/.exec(all.find((line) => line.endsWith('dropped')) ?? '')?.[1]);
      expect(all.length - 1 + dropped).toBe(200);
      expect(all.at(-1)).toMatch(/^199 z/);
    }
  });

  test('that stops under them has them when it is open again', async ({ db }) => {
    const log = db.engine.logs.begin(id, 100);
    say(log, 'one');
    // A mistake in DuckDB 1.5.6, which stops the whole instance.
    await db.session.execute('PREPARE p AS SELECT typeof($1), $1::VARCHAR');
    await expect(db.session.execute("EXECUTE p('x')")).rejects.toMatchObject({ code: 'fatal' });
    await log.end();
    await db.session.execute('SELECT 1').catch(() => undefined);
    expect(await lines(db)).toEqual(['one']);
  });

  test('has all of them when the database is closed', async ({ db }) => {
    say(db.engine.logs.begin(id, 100), 'one');
    await db.reopen();
    expect(await lines(db)).toEqual(['one']);
  });
});

describe('whoever follows a run', () => {
  test('hears first what the ledger does not know yet', async ({ db }) => {
    const log = db.engine.logs.begin(id, 20);
    say(log, ...numbered(1, 30));
    const feed = db.engine.logs.follow(id);
    say(log, 'line 31');
    const heard = (await feed.next())?.map(({ line }) => line);
    expect(heard).toEqual([...numbered(1, 18), '10 lines dropped', ...numbered(29, 31)]);
    feed.end();
    await log.end();
    expect(await feed.next()).toBeUndefined();
  });

  test('and is slower than it misses lines, and hears how many', async ({ db }) => {
    const log = db.engine.logs.begin(id, 20);
    const feed = db.engine.logs.follow(id);
    say(log, ...numbered(1, 7000));
    const heard = (await feed.next())?.map(({ line }) => line) ?? [];
    expect(heard[0]).toMatch(/^2000 lines not shown/);
    expect(heard.slice(1)).toEqual(numbered(2001, 7000));
    feed.end();
    await log.end();
  });
});
