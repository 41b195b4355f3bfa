import { describe, expect } from 'vitest';
import type { Task } from '../../src/engine/executors/executor.ts';
import type { Result, Row } from '../../src/engine/result.ts';
import { type TestDatabase, test } from '../support/database.ts';

/** Work that says and does what the test tells it to, until it is let go. */
class Talker {
  readonly began: Promise<Task>;
  #begin: (task: Task) => void = () => {};
  #end: (error?: Error) => void = () => {};

  constructor(db: TestDatabase, name = 'talks') {
    this.began = new Promise((resolve) => {
      this.#begin = resolve;
    });
    db.engine.worker.executors.add(name, {
      execute: (task) =>
        new Promise((resolve, reject) => {
          this.#begin(task);
          this.#end = (error) => (error === undefined ? resolve(null) : reject(error));
          task.signal.addEventListener('abort', () => reject(new Error('told to stop')));
        }),
    });
  }

  async says(...lines: readonly string[]): Promise<void> {
    const task = await this.began;
    for (const text of lines) task.log({ stream: 'stdout', level: 'info', text });
  }

  end(error?: Error): void {
    this.#end(error);
  }
}

/** Begins the run and answers its id. */
async function begun(db: TestDatabase, schedule = 's'): Promise<string> {
  await db.engine.scheduler.start();
  const [run] = await db.rows(`RUN SCHEDULE ${schedule}`);
  return String(run?.['run_id']);
}

/** Rows of a result one by one. */
function reader(result: Result): () => Promise<Row | undefined> {
  const rows = result[Symbol.asyncIterator]();
  return async () => (await rows.next()).value ?? undefined;
}

const lines = (rows: readonly Row[]): unknown[] => rows.map((row) => row.slice(1));

describe('TAIL RUN', () => {
  test('tells the lines that are there, then those that come, and how the run ended', async ({ db }) => {
    const talker = new Talker(db);
    await db.run('UPSERT SCHEDULE s ( exe: talks, call: x, max_retries: 0 )');
    const id = await begun(db);
    await talker.says('one', 'two');
    const result = await db.result(`TAIL RUN '${id.slice(0, 8)}'`);
    expect(result.columns.map(({ name }) => name)).toEqual(['logged_at', 'step', 'stream', 'level', 'line']);
    const next = reader(result);
    expect(lines([(await next()) ?? [], (await next()) ?? []])).toEqual([
      [null, 'stdout', 'info', 'one'],
      [null, 'stdout', 'info', 'two'],
    ]);
    const coming = next();
    await talker.says('three');
    expect((await coming)?.slice(1)).toEqual([null, 'stdout', 'info', 'three']);
    // Those that come are told before the ledger has them.
    const ended = next();
    talker.end();
    expect((await ended)?.slice(1)).toEqual([null, 'scheduler', 'info', 'succeeded in 0 ms']);
    expect(await next()).toBeUndefined();
  });

  test('of a run that has ended tells what is there, and ends', async ({ db }) => {
    const talker = new Talker(db);
    await db.run('UPSERT SCHEDULE s ( exe: talks, call: x, max_retries: 0 )');
    const ran = db.rows('RUN SCHEDULE s');
    await talker.says('one', 'two');
    talker.end(new Error('no more'));
    const [run] = await ran;
    const rows = await (await db.result(`TAIL RUN '${String(run?.['run_id'])}'`)).toArray();
    expect(lines(rows)).toEqual([
      [null, 'stdout', 'info', 'one'],
      [null, 'stdout', 'info', 'two'],
      [null, 'scheduler', 'error', 'failed after 0 ms: no more'],
    ]);
  });

  test('waits for a run that waits, and says so', async ({ db }) => {
    const [first, second] = [new Talker(db, 'first'), new Talker(db, 'second')];
    await db.run(
      'SET cron.workers = 1',
      'UPSERT SCHEDULE a ( exe: first, call: x, max_retries: 0 )',
      'UPSERT SCHEDULE b ( exe: second, call: x, max_retries: 0 )',
    );
    await begun(db, 'a');
    await first.began;
    const id = await begun(db, 'b');
    const next = reader(await db.result(`TAIL RUN '${id}'`));
    expect((await next())?.slice(1)).toEqual([null, 'scheduler', 'info', `waits for its turn; EXPLAIN RUN '${id}'; tells more`]);
    const started = next();
    first.end();
    expect((await started)?.slice(1)).toEqual([null, 'scheduler', 'info', 'started']);
    await second.says('here');
    expect((await next())?.slice(1)).toEqual([null, 'stdout', 'info', 'here']);
    second.end();
    expect((await next())?.[4]).toBe('succeeded in 0 ms');
  });

  test('follows one attempt, and names the next', async ({ db }) => {
    await db.run("UPSERT SCHEDULE s ( sql: 'SELECT * FROM nowhere', retry_delay: 1h, retry_jitter: false )", 'RUN SCHEDULE s');
    const [first, second] = await db.rows('SELECT run_id FROM cron.runs ORDER BY attempt');
    const rows = await (await db.result(`TAIL RUN '${String(first?.['run_id'])}'`)).toArray();
    expect(rows).toHaveLength(1);
    expect(String(rows[0]?.[4])).toMatch(/^failed after 0 ms: .*; retry in 1h; the next attempt: TAIL RUN '[0-9a-f-]{36}';$/);
    expect(String(rows[0]?.[4])).toContain(String(second?.['run_id']));
    const next = reader(await db.result(`TAIL RUN '${String(second?.['run_id'])}'`));
    expect((await next())?.[4]).toBe('waits for the time of its retry, in 1h');
    const ended = next();
    const other = await db.newSession();
    await other.execute(`CANCEL RUN '${String(second?.['run_id'])}'`);
    expect((await ended)?.[4]).toBe('cancelled: cancelled by tester');
  });

  test('ends at once when it is interrupted, and the run goes on', async ({ db }) => {
    const talker = new Talker(db);
    await db.run('UPSERT SCHEDULE s ( exe: talks, call: x )');
    const id = await begun(db);
    await talker.says('one');
    const next = reader(await db.result(`TAIL RUN '${id}'`));
    await next();
    const waiting = next();
    await db.session.interrupt();
    await expect(waiting).rejects.toMatchObject({ code: 'cancelled' });
    expect(db.engine.scheduler.running(id)).toBeDefined();
    talker.end();
  });

  test('keeps neither its session nor a place at the gate while it waits', async ({ db }) => {
    const talker = new Talker(db);
    await db.run('UPSERT SCHEDULE s ( exe: talks, call: x )');
    const id = await begun(db);
    await talker.says('one');
    const tails: (() => Promise<Row | undefined>)[] = [];
    for (let tail = 0; tail < 20; tail++) {
      const next = reader(await db.result(`TAIL RUN '${id}'`));
      await next();
      tails.push(next);
    }
    const waiting = tails.map((next) => next());
    expect(db.engine.admission.active('session')).toBe(0);
    expect(await db.rows('SELECT 42 AS answer')).toEqual([{ answer: 42 }]);
    talker.end();
    expect((await Promise.all(waiting)).map((row) => row?.[4])).toEqual(tails.map(() => 'succeeded in 0 ms'));
  });

  test('ends when its schedule is dropped, when it is closed, and when the database is', async ({ db }) => {
    await db.run("UPSERT SCHEDULE s ( sql: 'SELECT * FROM nowhere', retry_delay: 1h )", 'RUN SCHEDULE s');
    const [waiting] = await db.rows("LIST RUNS WHERE state = 'pending'");
    const text = `TAIL RUN '${String(waiting?.['run_id'])}'`;
    const [dropped, closed] = [await db.result(text), await db.result(text)];
    const next = reader(dropped);
    const other = reader(closed);
    await Promise.all([next(), other()]);
    const rest = other();
    await closed.close();
    expect(await rest).toBeUndefined();
    const ended = next();
    await db.run('DROP SCHEDULE s');
    expect((await ended)?.[4]).toBe('cancelled: dropped');
    await db.run("UPSERT SCHEDULE s ( sql: 'SELECT * FROM nowhere', retry_delay: 1h )", 'RUN SCHEDULE s');
    const [open] = await db.rows("LIST RUNS WHERE state = 'pending'");
    const last = reader(await db.result(`TAIL RUN '${String(open?.['run_id'])}'`));
    await last();
    const never = last().catch((error: unknown) => error);
    await db.close();
    expect(await never).toMatchObject({ code: 'cancelled' });
  });

  test('tells what the scheduler said of the run, and what the ledger had before this process began', async ({ db }) => {
    const talker = new Talker(db);
    await db.run("UPSERT SCHEDULE s ( exe: talks, call: x, on_complete: emit('done') )");
    const id = await begun(db);
    await talker.says('one');
    const tailed = (await db.result(`TAIL RUN '${id}'`)).toArray();
    talker.end();
    const whole = ['one', expect.stringContaining('not delivered'), 'succeeded in 0 ms'];
    expect((await tailed).map((row) => row[4])).toEqual(whole);
    await db.reopen();
    expect((await (await db.result(`TAIL RUN '${id}'`)).toArray()).map((row) => row[4])).toEqual(whole);
  });

  test('names what is wrong with an id', async ({ db }) => {
    expect(await db.mistake("TAIL RUN '00000000'")).toMatchObject({ code: 'undefined_object', at: "'00000000'" });
  });
});
