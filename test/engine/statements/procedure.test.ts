import { describe, expect } from 'vitest';
import { test } from '../../support/database.ts';

describe('a procedure', () => {
  test('takes arguments by place and by name, with typed defaults, and answers its last rows', async ({ db }) => {
    await db.run(`UPSERT PROCEDURE AS add(a INTEGER, b DECIMAL(10,2) DEFAULT 0.5, at_day DATE DEFAULT DATE '2026-01-31') AS
      BEGIN SELECT $a + $b AS total, typeof($b) AS type, $at_day + 1 AS next_day; END`);
    const call = async (text: string) => JSON.parse(JSON.stringify((await db.rows(text))[0]));
    expect(await call('CALL add(1)')).toEqual({ total: '1.50', type: 'DECIMAL(10,2)', next_day: '2026-02-01' });
    expect(await call("call ADD(b => 2.25, a => length('abc'))")).toMatchObject({ total: '5.25' });
    expect(await call('CALL add((SELECT max(i) FROM range(5) t(i)), 1)')).toMatchObject({ total: '5.00' });
  });

  test('binds values and never pastes them into text', async ({ db }) => {
    await db.run('CREATE TABLE names(name VARCHAR)', 'UPSERT PROCEDURE put(name VARCHAR) AS BEGIN INSERT INTO names VALUES ($name); END');
    const hostile = "x'); DROP TABLE names; --";
    await db.rows('CALL put($given)', { given: hostile });
    await db.run("CALL put(name => 'it''s $name')");
    expect(await db.rows('SELECT name FROM names ORDER BY name')).toEqual([{ name: "it's $name" }, { name: hostile }]);
  });

  test('joins the transaction of its session, and alone is all or nothing', async ({ db }) => {
    await db.run(
      'CREATE TABLE t(i INTEGER PRIMARY KEY)',
      'UPSERT PROCEDURE two(i INTEGER) AS BEGIN INSERT INTO t VALUES ($i); INSERT INTO t VALUES ($i + 1); END',
    );
    await db.run('BEGIN', 'CALL two(1)', 'ROLLBACK', 'CALL two(10)');
    expect(await db.mistake('CALL two(9)')).toMatchObject({ code: 'constraint' });
    expect(await db.rows('SELECT i FROM t ORDER BY i')).toEqual([{ i: 10 }, { i: 11 }]);
  });

  test('prepares each statement after the one before it ran, and calls others in the same transaction', async ({ db }) => {
    await db.run(
      'UPSERT PROCEDURE fill(n INTEGER) AS BEGIN CREATE OR REPLACE TEMP TABLE filled AS SELECT * FROM range($n) r(i); END',
      'UPSERT PROCEDURE outer_one(n INTEGER) AS BEGIN CALL fill(n => $n * 2); SELECT count(*)::INTEGER AS n FROM filled; END',
    );
    expect(await db.rows('CALL outer_one(4)')).toEqual([{ n: 8 }]);
  });

  test('that calls itself for ever ends with an error', async ({ db }) => {
    await db.run('UPSERT PROCEDURE loop_it(n INTEGER) AS BEGIN CALL loop_it($n + 1); END');
    expect(await db.mistake('CALL loop_it(1)')).toMatchObject({ code: 'too_large', message: expect.stringContaining('more than 32 deep') });
  });

  test('says which statement of its body failed, and where', async ({ db }) => {
    await db.run(`UPSERT PROCEDURE bad() AS BEGIN
  SELECT 1;
  SELECT nope
    FROM range(3);
END`);
    expect(await db.mistake('CALL bad()')).toMatchObject({
      code: 'undefined_column',
      message: expect.stringMatching(/^in procedure bad, statement 2, line 2 of its body, column 10: /),
    });
  });

  test('has run values, which are NULL in a bare CALL', async ({ db }) => {
    await db.run('UPSERT PROCEDURE who() AS BEGIN SELECT $run_id AS run_id, $scheduled_at AS scheduled_at, $attempt AS attempt; END');
    expect(await db.rows('CALL who()')).toEqual([{ run_id: null, scheduled_at: null, attempt: null }]);
  });

  test('ends when its session says so, between two of its statements too, and nothing of it stays', async ({ db }) => {
    const many = Array.from({ length: 5000 }, (_, index) => `INSERT INTO t VALUES (${index});`).join(' ');
    await db.run('CREATE TABLE t(i BIGINT)', `UPSERT PROCEDURE fill() AS BEGIN ${many} END`);
    const calling = db.mistake('CALL fill()');
    while (!db.session.busy) await db.clock.yieldTurn();
    await db.session.interrupt();
    expect(await calling).toMatchObject({ code: 'cancelled' });
    expect(db.session.transaction).toBe('none');
    expect(await db.rows('FROM t')).toEqual([]);
  });

  test('leaves calls of other functions to DuckDB', async ({ db }) => {
    expect(await db.rows('CALL range(2)')).toEqual([{ range: 0n }, { range: 1n }]);
    expect(await db.mistake('CALL nothing_of_this_name()')).toMatchObject({ code: 'unknown_function' });
  });

  test('tells what is wrong with the arguments', async ({ db }) => {
    await db.run('UPSERT PROCEDURE p(keep INTEGER, day DATE) AS BEGIN SELECT $keep, $day; END');
    expect(await db.mistake('CALL p()')).toMatchObject({ code: 'missing_key', message: 'procedure p needs the argument keep INTEGER' });
    expect(await db.mistake("CALL p(1, '2026-01-01', 3)")).toMatchObject({
      code: 'undefined_parameter',
      at: '3',
      hint: 'its parameters: keep INTEGER, day DATE',
    });
    expect(await db.mistake("CALL p(kep => 1, day => '2026-01-01')")).toMatchObject({
      code: 'undefined_parameter',
      at: 'kep',
      hint: expect.stringContaining('did you mean keep?'),
    });
    expect(await db.mistake("CALL p('x', '2026-01-01')")).toMatchObject({ code: 'conversion' });
  });
});

describe('a body', () => {
  const refused = async (db: { mistake(text: string): Promise<object> }, body: string) =>
    db.mistake(`UPSERT PROCEDURE p(n INTEGER) AS BEGIN ${body} END`);

  test('cannot end its transaction, leave its database or change settings of all', async ({ db }) => {
    for (const body of [
      'SELECT 1; COMMIT;',
      'EXPLAIN ANALYZE COMMIT;',
      'ROLLBACK;',
      'BEGIN TRANSACTION;',
      "ATTACH 'x.db';",
      'USE memory;',
      'SET threads = 1;',
    ]) {
      expect(await refused(db, body), body).toMatchObject({ code: 'forbidden' });
    }
    expect(await refused(db, "SELECT 1; UPSERT SCHEDULE a ( sql: 'SELECT 1' );")).toMatchObject({ code: 'forbidden' });
  });

  test('knows its parameters', async ({ db }) => {
    expect(await refused(db, 'SELECT $m;')).toMatchObject({ code: 'undefined_parameter', at: '$m', hint: expect.stringContaining('$n') });
    expect(await refused(db, 'SELECT ?;')).toMatchObject({ code: 'undefined_parameter', at: '?' });
    expect(await refused(db, 'SELECT \'$m\', $$ $m $$, "$m" FROM t; -- $m')).not.toMatchObject({ code: 'undefined_parameter' });
  });

  test('cannot name a parameter where DuckDB takes none', async ({ db }) => {
    for (const body of [
      'CREATE VIEW v AS SELECT $n;',
      'CREATE MACRO m(a) AS a + $n;',
      'CREATE TABLE t(i INTEGER DEFAULT $n);',
      'PIVOT (SELECT $n AS k) ON k USING count(*);',
    ]) {
      expect(await refused(db, body), body).toMatchObject({ code: 'invalid_value', at: '$n' });
    }
  });

  test('that is empty or does not end is refused with its place', async ({ db }) => {
    expect(await db.mistake('UPSERT PROCEDURE p() AS BEGIN END')).toMatchObject({ code: 'syntax_error', message: 'the body is empty' });
    expect(await db.mistake('UPSERT PROCEDURE p() AS BEGIN SELECT 1; ')).toMatchObject({ code: 'unterminated' });
    expect(await db.mistake('UPSERT PROCEDURE p(n NUMBR) AS BEGIN SELECT 1; END')).toMatchObject({ code: 'wrong_type', at: 'NUMBR' });
  });
});

describe('a definition of a procedure', () => {
  test('answers created, unchanged, updated; SHOW CREATE run again changes nothing', async ({ db }) => {
    const text = "UPSERT PROCEDURE p(n INTEGER DEFAULT 1) ( timeout: 10m, description: 'x' ) LANGUAGE sql AS BEGIN SELECT $n; END";
    expect((await db.rows(text))[0]).toMatchObject({ outcome: 'created' });
    expect((await db.rows(text))[0]).toMatchObject({ outcome: 'unchanged' });
    const [shown] = await db.rows('SHOW CREATE PROCEDURE P');
    expect((await db.rows(String(shown?.['definition'])))[0]).toMatchObject({ outcome: 'unchanged' });
    expect((await db.rows('ALTER PROCEDURE p SET ( timeout: 5m )'))[0]).toMatchObject({ outcome: 'updated', changed: ['timeout'] });
    const [listed] = await db.rows('SELECT language, parameters, options, version FROM cron.procedures');
    expect(listed).toMatchObject({ language: 'sql', version: 2n, options: '{"atomic":true,"timeout":"5m","description":"x"}' });
  });

  test('that would break a schedule’s parameters is refused, naming the schedule', async ({ db }) => {
    await db.run('UPSERT PROCEDURE p(n INTEGER) AS BEGIN SELECT $n; END', 'UPSERT SCHEDULE s ( sched: @daily, call: p, params: { n: 1 } )');
    expect(await db.mistake('UPSERT PROCEDURE p(m INTEGER) AS BEGIN SELECT $m; END')).toMatchObject({
      code: 'in_use',
      message: 'schedule s gives it the parameter n',
    });
    expect(await db.mistake('UPSERT PROCEDURE p(n INTEGER, m INTEGER) AS BEGIN SELECT $n; END')).toMatchObject({ code: 'in_use' });
    await db.run('UPSERT PROCEDURE p(n INTEGER, m INTEGER DEFAULT 2) AS BEGIN SELECT $n; END');
    expect(await db.mistake('DROP PROCEDURE p')).toMatchObject({ code: 'in_use', message: 'procedure p is used by schedule s' });
  });

  test('whose new types do not fit what schedules give is refused', async ({ db }) => {
    await db.run('UPSERT PROCEDURE p(a INTEGER) AS BEGIN SELECT $a; END', "UPSERT SCHEDULE s ( call: p, params: { a: '007' } )");
    expect(await db.mistake('UPSERT PROCEDURE p(a DATE) AS BEGIN SELECT $a; END')).toMatchObject({
      code: 'in_use',
      message: 'schedule s gives a "007", which is no DATE',
    });
    await db.run('UPSERT PROCEDURE p(a VARCHAR) AS BEGIN SELECT $a; END');
  });

  test('cannot be dropped while anything calls it: actions, SQL and other bodies too', async ({ db }) => {
    await db.run('UPSERT PROCEDURE p() AS BEGIN SELECT 1; END');
    for (const [define, drop, user] of [
      ["UPSERT SCHEDULE a ( sql: 'SELECT 1', on_fail: call(p) )", 'DROP SCHEDULE a', 'schedule a'],
      ["UPSERT SCHEDULE b ( sql: 'SELECT 1; CALL p()' )", 'DROP SCHEDULE b', 'schedule b'],
      ['UPSERT PROCEDURE c() AS BEGIN CALL p(); END', 'DROP PROCEDURE c', 'procedure c'],
    ] as const) {
      await db.run(define);
      expect(await db.mistake('DROP PROCEDURE p')).toMatchObject({ code: 'in_use', message: `procedure p is used by ${user}` });
      await db.run(drop);
    }
    await db.run('DROP PROCEDURE p');
  });

  test('that would break a pipeline’s step is refused, naming the step', async ({ db }) => {
    await db.run(
      'UPSERT PROCEDURE p(n INTEGER) AS BEGIN SELECT $n; END',
      'UPSERT PIPELINE flow ( atomic: true, steps: [ { name: first, call: p, args: { n: 1 } } ] )',
    );
    expect(await db.mistake('UPSERT PROCEDURE p(m INTEGER) AS BEGIN SELECT $m; END')).toMatchObject({
      code: 'in_use',
      message: 'step first of pipeline flow gives it the parameter n',
    });
    expect(await db.mistake("UPSERT PROCEDURE p(n INTEGER) LANGUAGE command AS ['true']")).toMatchObject({ code: 'in_use' });
  });

  test('in the older form makes or points schedules', async ({ db }) => {
    const made = await db.result("UPSERT PROCEDURE AS load <{ kind: 'incremental', sched: '@daily' }> () AS BEGIN SELECT 1; END");
    expect(made.notes).toEqual(['schedule load: created, calls load at 00:00 every day (UTC)']);
    expect(await db.rows('SELECT name, sched, exe, call FROM cron.schedules')).toEqual([
      { name: 'load', sched: '@daily', exe: 'procedure', call: 'load' },
    ]);
    await db.run(
      "UPSERT SCHEDULE nightly ( sched: '0 3 * * *', sql: 'SELECT 1' )",
      'UPSERT PROCEDURE AS other <{ sched: nightly }> () AS { SELECT 2; }',
    );
    expect(await db.rows("SELECT exe, call FROM cron.schedules WHERE name = 'nightly'")).toEqual([{ exe: 'procedure', call: 'other' }]);
  });

  test('may be a command or a module, with its body kept as it is', async ({ db }) => {
    await db.run(
      "UPSERT PROCEDURE AS report(day DATE) LANGUAGE command AS ['python3', 'report.py', '--day', '$day']",
      "UPSERT PROCEDURE AS sync(source VARCHAR) LANGUAGE javascript AS './jobs/sync.js'",
    );
    expect(await db.rows('SELECT name, language, body FROM cron.procedures ORDER BY name')).toEqual([
      { name: 'report', language: 'command', body: '["python3","report.py","--day","$day"]' },
      { name: 'sync', language: 'javascript', body: './jobs/sync.js' },
    ]);
    expect(await db.mistake("CALL report('2026-01-01')")).toMatchObject({ code: 'unsupported' });
  });

  test('warns when its name hides one of DuckDB’s', async ({ db }) => {
    expect((await db.rows('UPSERT PROCEDURE pragma_version() AS BEGIN SELECT 42 AS mine; END'))[0]).toMatchObject({
      warnings: ["pragma_version hides DuckDB's own pragma_version"],
    });
    expect(await db.rows('CALL pragma_version()')).toEqual([{ mine: 42 }]);
  });
});

describe('CALL', () => {
  const procedure = 'UPSERT PROCEDURE add(a INTEGER, b INTEGER DEFAULT 10) AS BEGIN SELECT $a + $b AS total; END';

  test('a mistake in an argument is shown where it was written', async ({ db }) => {
    await db.run(procedure, 'UPSERT PROCEDURE wrong(a INTEGER DEFAULT (SELECT i FROM later)) AS BEGIN SELECT $a; END');
    const cases: readonly (readonly [text: string, at: string | undefined, code: string])[] = [
      ["CALL add('x')", "'x'", 'conversion'],
      ['CALL add(abc)', 'abc', 'undefined_column'],
      ['CALL add(1, b => length(nosuch(2)))', 'nosuch', 'unknown_function'],
      ['CALL add(1, (SELECT max(i) FROM nowhere))', 'nowhere', 'undefined_table'],
      ['CALL add(1 +)', '1 +', 'syntax_error'],
    ];
    for (const [text, at, code] of cases) expect({ text, ...(await db.mistake(text)) }).toMatchObject({ text, at, code });
    expect(await db.mistake('CALL wrong()')).toMatchObject({
      message: expect.stringMatching(/^in the default of a: Table with name later/),
    });
  });

  test('values of the session stand for ? in the order written, and none is lost', async ({ db }) => {
    await db.run(procedure);
    expect(await db.rows('CALL add(? * ?, b => ?)', [2, 3, 4])).toEqual([{ total: 10 }]);
    expect(await db.rows("CALL add(length('?') + $n)", { n: 1 })).toEqual([{ total: 12 }]);
    await expect(db.rows('CALL add(?, nosuch)', [1])).rejects.toMatchObject({ span: { start: 12, end: 18 } });
    await expect(db.rows('CALL add(?)', [1, 2])).rejects.toMatchObject({
      code: 'usage',
      message: 'no argument asks for the value number 2',
    });
    await expect(db.rows('CALL add($n)', { n: 1, m: 2 })).rejects.toMatchObject({ code: 'usage' });
  });

  test('a name that is nearly one of ours is told so', async ({ db }) => {
    await db.run(procedure);
    expect(await db.mistake('CALL ad(1)')).toMatchObject({ code: 'unknown_function', at: 'ad', hint: 'Did you mean add?' });
    expect(await db.mistake('CALL add')).toMatchObject({ code: 'syntax_error', hint: 'A call has brackets: CALL add()' });
    expect(await db.mistake("CALL pragma_shw('x')")).toMatchObject({ hint: expect.stringContaining('pragma_show') });
  });

  test('a circle of calls is told once, and not at each of its turns', async ({ db }) => {
    await db.run('UPSERT PROCEDURE a() AS BEGIN CALL b(); END', 'UPSERT PROCEDURE b() AS BEGIN CALL a(); END');
    expect(await db.mistake('CALL a()')).toMatchObject({ message: 'procedures call each other more than 32 deep: a -> b -> a' });
  });
});

describe('values beside a statement', () => {
  test('reach the tail of a LIST', async ({ db }) => {
    await db.run("UPSERT SCHEDULE one ( sql: 'SELECT 1' )", "UPSERT SCHEDULE two ( sql: 'SELECT 1' )");
    const names = async (text: string, values: readonly unknown[] | Readonly<Record<string, unknown>>) =>
      (await db.rows(text, values)).map(({ name }) => name);
    expect(await names('LIST SCHEDULES WHERE name = $name', { name: 'two' })).toEqual(['two']);
    expect(await names('LIST SCHEDULES WHERE name > ? ORDER BY name LIMIT ?', ['a', 1])).toEqual(['one']);
  });

  test('are refused where nothing takes them', async ({ db }) => {
    await db.run("UPSERT SCHEDULE one ( sql: 'SELECT 1' )");
    await expect(db.rows('RUN SCHEDULE one', { n: 1 })).rejects.toMatchObject({ code: 'usage', hint: expect.stringContaining('WITH') });
    await expect(db.rows('DROP SCHEDULE one', [1])).rejects.toMatchObject({ code: 'usage' });
    expect(await db.rows('DESCRIBE SCHEDULE one', [])).not.toEqual([]);
  });
});

test('a noun that is nearly one of ours is told so', async ({ db }) => {
  for (const text of ['DROP SCHEDUL x', 'CREATE SCHEDUL x ()', 'ALTER SCHEDUL x SET ()', 'DESCRIBE SCHEDUL x']) {
    expect(await db.mistake(text)).toMatchObject({ hint: `Did you mean ${text.split(' ')[0]} SCHEDULE?` });
  }
});
