import { describe, expect } from 'vitest';
import { type TestDatabase, test } from '../support/database.ts';

const created = { outcome: 'created', changed: [], warnings: [] };
const unchanged = { outcome: 'unchanged', changed: [], warnings: [] };

/** As the manual prints it. */
const restock = `UPSERT PIPELINE AS restock (
  params: { floor: 10 },
  steps: [
    { name: low,    query: $$ SELECT * FROM product WHERE quantity < $floor $$, as: items, on_empty: skip('No data to process') },
    { name: order,  for_each: items, parallel: 10, call: reorder, args: { product: item.id, amount: 50 } },
    { name: clean,  sql: $$ DELETE FROM cart WHERE expires_at < now() $$, after: [] },
    { name: verify, expect: $$ SELECT count(*) = 0 FROM product WHERE quantity < 0 $$, message: 'negative stock', after: [order, clean] },
    { name: tell,   command: ['notify-send', 'restocked'], retry: 2 times, timeout: 10s, on_fail: continue }
  ],
  on_fail: emit('restock.failed')
)`;
const undelivered = "on_fail: emit('restock.failed') is stored, but nothing delivers it yet";

async function shop(db: TestDatabase): Promise<void> {
  await db.run(
    'CREATE TABLE product (id INTEGER, quantity INTEGER)',
    'CREATE TABLE cart (expires_at TIMESTAMPTZ)',
    'UPSERT PROCEDURE reorder(product INTEGER, amount INTEGER DEFAULT 1) AS BEGIN INSERT INTO product VALUES ($product, $amount); END',
    "UPSERT PROCEDURE report(day DATE) LANGUAGE command AS ['report', '$day']",
  );
}

describe('a pipeline', () => {
  test('is defined as the reference prints it, and drawn', async ({ db }) => {
    await shop(db);
    expect(await db.rows(restock)).toEqual([{ name: 'restock', outcome: 'created', changed: [], warnings: [undelivered] }]);
    expect(await db.rows('EXPLAIN PIPELINE Restock')).toEqual([
      {
        graph: '○',
        step: 'low',
        kind: 'query',
        after: '',
        does: "SELECT * FROM product WHERE quantity < $floor; kept as items; on empty skip 'No data to process'",
      },
      {
        graph: '●',
        step: 'order',
        kind: 'call',
        after: 'low',
        does: 'for each of items, 10 at a time: reorder(product => item.id, amount => 50)',
      },
      { graph: '│ ○', step: 'clean', kind: 'sql', after: '', does: 'DELETE FROM cart WHERE expires_at < now()' },
      { graph: '●─┘', step: 'verify', kind: 'expect', after: 'order, clean', does: 'SELECT count(*) = 0 FROM product WHERE quantity < 0' },
      {
        graph: '●',
        step: 'tell',
        kind: 'command',
        after: 'verify',
        does: 'notify-send restocked; at most 10s; tried again 2 times; on a failure continue',
      },
    ]);
    expect(await db.rows('EXPLAIN PIPELINE restock AS MERMAID')).toEqual([
      {
        mermaid: [
          'flowchart TD',
          '  s1["low<br/>query"]',
          '  s2["order<br/>call for each of items"]',
          '  s3["clean<br/>sql"]',
          '  s4["verify<br/>expect"]',
          '  s5["tell<br/>command"]',
          '  s1 --> s2',
          '  s2 --> s4',
          '  s3 --> s4',
          '  s4 --> s5',
        ].join('\n'),
      },
    ]);
  });

  test('UPSERT answers created, unchanged, or updated with the keys that changed', async ({ db }) => {
    const steps = "steps: [ { name: a, sql: 'SELECT $n' } ]";
    expect(await db.rows(`UPSERT PIPELINE p ( params: { n: 1 }, ${steps} )`)).toEqual([{ name: 'p', ...created }]);
    expect(await db.rows(`CREATE OR REPLACE PIPELINE p ( ${steps}, PARAMS: { n: 1, }, description: null )`)).toEqual([
      { name: 'p', ...unchanged },
    ]);
    expect(await db.rows(`UPSERT PIPELINE p ( params: { n: 1 }, steps: [ { name: a, action: 'SELECT $n', if: null } ] )`)).toMatchObject([
      unchanged,
    ]);
    expect(await db.rows(`UPSERT PIPELINE p ( params: { n: '1' }, ${steps}, atomic: true )`)).toMatchObject([
      { outcome: 'updated', changed: ['params', 'atomic'] },
    ]);
    expect(await db.rows('ALTER PIPELINE P SET ( atomic: null, tags: [x] )')).toMatchObject([
      { name: 'p', outcome: 'updated', changed: ['tags', 'atomic'] },
    ]);
    expect(await db.rows(`UPSERT PIPELINE P ( params: { n: '1' }, ${steps}, tags: x )`)).toMatchObject([{ name: 'P', outcome: 'updated' }]);
    expect(await db.rows('SELECT name, version FROM cron.pipelines')).toEqual([{ name: 'P', version: 4n }]);
  });

  test('SHOW CREATE answers a text that, run again, changes nothing', async ({ db }) => {
    await shop(db);
    await db.run(
      restock,
      `UPSERT PIPELINE "Long way" ( params: { day: sql('current_date'), key: env('KEY'), text: '007' }, config: { a: [1, 'b'] }, timeout: none,
         steps: [ { name: "first one", handler: './a.js#go', config: { deep: { x: 1 } }, as: r, if: 'SELECT true' },
                  { name: 2nd_, sql: 'SELECT ''it''; SELECT $day', on_fail: [abort('no'), call('reorder')], after: "FIRST ONE" },
                  { name: c, call: reorder, args: { PRODUCT: r.id }, retry: 3 times with linear_backoff, description: 'd' } ] )`.replace(
        '2nd_',
        'second',
      ),
    );
    for (const name of ['restock', '"Long way"']) {
      const [shown] = await db.rows(`SHOW CREATE PIPELINE ${name}`);
      const definition = String(shown?.['definition']);
      expect(await db.rows(definition), name).toMatchObject([{ outcome: 'unchanged' }]);
      await db.run(`DROP PIPELINE ${name}`);
      expect(await db.rows(definition), name).toMatchObject([{ outcome: 'created' }]);
      expect((await db.rows(`SHOW CREATE PIPELINE ${name}`))[0]?.['definition']).toBe(definition);
    }
  });

  test('shares one namespace with procedures', async ({ db }) => {
    await shop(db);
    await db.run("UPSERT PIPELINE p ( steps: [ { name: a, sql: 'SELECT 1' } ] )");
    expect(await db.mistake("UPSERT PIPELINE Reorder ( steps: [ { name: a, sql: 'SELECT 1' } ] )")).toMatchObject({
      code: 'duplicate_object',
      at: 'Reorder',
    });
    expect(await db.mistake('DROP PROCEDURE p')).toMatchObject({ code: 'undefined_object' });
    expect(await db.mistake('CREATE PIPELINE P ( steps: [] )')).toMatchObject({ code: 'duplicate_object', at: 'P' });
    expect(await db.rows('CREATE PIPELINE IF NOT EXISTS P ( steps: [] )')).toEqual([{ name: 'p', ...unchanged }]);
    expect(await db.mistake('EXPLAIN PIPELINE reorder')).toMatchObject({ code: 'duplicate_object' });
    expect(await db.mistake('EXPLAIN PIPELINE q')).toMatchObject({
      code: 'undefined_object',
      hint: expect.stringContaining('did you mean p?'),
    });
  });

  test('takes part in the transaction of the session', async ({ db }) => {
    const pipeline = (n: number): string => `UPSERT PIPELINE p ( steps: [ { name: a, sql: 'SELECT ${n}' } ] )`;
    await db.run('BEGIN', pipeline(1), pipeline(2));
    expect(await db.rows(pipeline(2))).toMatchObject([unchanged]);
    await db.run('ROLLBACK');
    expect(await db.mistake('DESCRIBE PIPELINE p')).toMatchObject({ code: 'undefined_object' });
    await db.run('BEGIN', pipeline(1), 'DROP PIPELINE p', pipeline(3), 'COMMIT');
    expect(await db.rows("LIST PIPELINES WHERE definition LIKE '%SELECT 3%'")).toHaveLength(1);
  });

  test('its lineage names tables, not the results that its steps hand on', async ({ db }) => {
    await shop(db);
    await db.run(`UPSERT PIPELINE p ( steps: [
      { name: a, query: 'SELECT id FROM product', as: Found },
      { name: b, sql: 'DELETE FROM cart WHERE 1 IN (SELECT id FROM found)' },
    ] )`);
    const lineage = "SELECT table_name, access FROM cron.lineage WHERE object = 'p' ORDER BY ALL";
    expect(await db.rows(lineage)).toEqual([
      { table_name: 'cart', access: 'writes' },
      { table_name: 'product', access: 'reads' },
    ]);
    await db.run('DROP PIPELINE p');
    expect(await db.rows(lineage)).toEqual([]);
  });

  test('its relations show what it is, without its secrets', async ({ db }) => {
    await shop(db);
    await db.run(restock, "ALTER PIPELINE restock SET ( params: { floor: 5, key: env('SECRET') }, timeout: 90m, description: 'refill' )");
    const [row] = await db.rows('SELECT parameters, options, steps FROM cron.pipelines');
    expect(JSON.parse(String(row?.['parameters']))).toEqual({ floor: 5, key: "env('SECRET')" });
    expect(JSON.parse(String(row?.['options']))).toEqual({ atomic: false, timeout: '1h30m', description: 'refill' });
    expect(JSON.parse(String(row?.['steps']))[1]).toEqual({
      on_empty: 'continue',
      on_fail: 'abort',
      name: 'order',
      for_each: 'items',
      parallel: 10,
      call: 'reorder',
      args: { product: 'item.id', amount: 50 },
      after: ['low'],
    });
    const lineage = await db.rows("SELECT table_name, access FROM cron.lineage WHERE object = 'restock' ORDER BY ALL");
    expect(lineage).toEqual([
      { table_name: 'cart', access: 'writes' },
      { table_name: 'product', access: 'reads' },
      { table_name: 'product', access: 'writes' },
    ]);
  });
});

describe('what uses what', () => {
  test('a procedure that a step calls, and a pipeline that a schedule runs, cannot be dropped', async ({ db }) => {
    await shop(db);
    await db.run(restock, 'UPSERT SCHEDULE nightly ( sched: @daily, exe: pipeline, call: restock, params: { floor: 5 } )');
    expect(await db.mistake('DROP PROCEDURE reorder')).toMatchObject({ code: 'in_use', at: 'reorder' });
    expect(await db.mistake('DROP PIPELINE restock')).toMatchObject({
      code: 'in_use',
      message: 'pipeline restock is used by schedule nightly',
    });
    await db.run('DROP SCHEDULE nightly', 'DROP PIPELINE restock', 'DROP PROCEDURE reorder');
  });

  test('a change that would break a schedule is refused, naming it', async ({ db }) => {
    await shop(db);
    await db.run(
      restock,
      'UPSERT SCHEDULE nightly ( sched: @daily, exe: pipeline, call: restock, params: { FLOOR: 5 } )',
      'UPSERT SCHEDULE tidy ( sched: @daily, exe: restock.CLEAN )',
    );
    const only = (step: string): string =>
      `UPSERT PIPELINE restock ( params: { floor: 1 }, steps: [ { name: ${step}, sql: 'SELECT $floor' } ] )`;
    expect(await db.mistake("UPSERT PIPELINE restock ( steps: [ { name: clean, sql: 'SELECT 1' } ] )")).toMatchObject({
      code: 'in_use',
      at: 'restock',
      message: 'schedule nightly gives it the parameter FLOOR',
    });
    expect(await db.mistake(only('tidy'))).toMatchObject({ code: 'in_use', message: 'schedule tidy runs its step CLEAN' });
    expect(await db.rows(only('clean'))).toMatchObject([{ outcome: 'updated' }]);
  });

  test('a result that hides a table, and a step that reads a result it does not wait for, are warned of', async ({ db }) => {
    await shop(db);
    const steps = "steps: [ { name: a, query: 'SELECT 1 AS id', as: Product }, { name: b, sql: 'SELECT * FROM product', after: [] } ]";
    expect(await db.rows(`UPSERT PIPELINE p ( ${steps} )`)).toMatchObject([
      {
        warnings: [
          'step b names Product but does not wait for a, which keeps it',
          'as: Product hides the table Product from the steps that follow',
        ],
      },
    ]);
    const result = await db.result(`UPSERT PIPELINE p ( ${steps} )`);
    expect(result.warnings.map((warning) => warning.hint)).toEqual([
      expect.stringContaining('add after: [a]'),
      expect.stringContaining('my.main.Product'),
    ]);
  });

  test('events and notifications that nothing delivers yet are warned of, wherever they stand', async ({ db }) => {
    const [row] = await db.rows(`UPSERT PIPELINE p ( steps: [
      { name: a, emit: 'began' },
      { name: b, sql: 'SELECT 1', on_fail: [notify('ops'), continue('no harm')] },
    ], on_complete: emit('done'), on_skip: [notify('ops')] )`);
    expect(row?.['warnings']).toEqual([
      expect.stringContaining("step a: emit('began')"),
      expect.stringContaining("step b, on_fail: notify('ops')"),
      expect.stringContaining("on_complete: emit('done')"),
      expect.stringContaining("on_skip: notify('ops')"),
    ]);
    expect(await db.rows('EXPLAIN PIPELINE p')).toMatchObject([
      { does: 'began' },
      { does: "SELECT 1; on a failure continue 'no harm', notify ops" },
    ]);
  });
});

describe('the graph', () => {
  test('steps run in the order written; after makes it explicit, also towards a step further down', async ({ db }) => {
    await db.run(`UPSERT PIPELINE p ( steps: [
      { name: last, sql: 'SELECT 1', after: [third, SECOND] },
      { name: first, sql: 'SELECT 1', after: [] },
      { name: second, sql: 'SELECT 1' },
      { name: third, sql: 'SELECT 1', after: first },
    ] )`);
    expect(await db.rows('EXPLAIN PIPELINE p')).toMatchObject([
      { step: 'first', after: '' },
      { step: 'second', after: 'first' },
      { step: 'third', after: 'first' },
      { step: 'last', after: 'third, second' },
    ]);
  });

  test('is drawn with a line from each step to those that wait for it', async ({ db }) => {
    const step = (name: string, after: string): string => `{ name: ${name}, sql: 'SELECT 1', after: [${after}] }`;
    const drawn = async (...steps: readonly string[]): Promise<string[]> => {
      await db.run(`UPSERT PIPELINE p ( steps: [ ${steps.join(', ')} ] )`);
      return (await db.rows('EXPLAIN PIPELINE p')).map(({ graph, step: name }) => `${String(graph).padEnd(8)}${name}`);
    };
    expect(
      await drawn(step('low', ''), step('order', 'low'), step('clean', ''), step('count', 'low'), step('verify', 'count, order, clean')),
    ).toEqual(['○       low', '├─●     order', '│ │ ○   clean', '● │ │   count', '●─┴─┘   verify']);
    expect(await drawn(step('a', ''), step('b', ''), step('c', 'a'), step('d', 'b, c'), step('e', 'a'), step('f', ''))).toEqual([
      '○       a',
      '│ ○     b',
      '├─┼─●   c',
      '│ ●─┘   d',
      '●       e',
      '○       f',
    ]);
    const wide = await drawn(
      ...Array.from({ length: 30 }, (_, at) => step(`s${at}`, '')),
      step('z', Array.from({ length: 30 }, (_, at) => `s${at}`).join(', ')),
    );
    expect(wide.every((line) => line.length < 60)).toBe(true);
  });

  test('a name that Mermaid would stumble over is drawn', async ({ db }) => {
    await db.run(`UPSERT PIPELINE p ( steps: [ { name: 'end "x" <b>#1', sql: 'SELECT 1' } ] )`);
    expect(await db.rows('EXPLAIN PIPELINE p AS MERMAID')).toEqual([
      { mermaid: 'flowchart TD\n  s1["end #34;x#34; #60;b#62;#35;1<br/>sql"]' },
    ]);
  });

  test('a thousand steps are enough', async ({ db }) => {
    const steps = (count: number): string => Array.from({ length: count }, (_, at) => `{ name: s${at}, emit: e }`).join(', ');
    expect(await db.mistake(`UPSERT PIPELINE p ( steps: [ ${steps(1001)} ] )`)).toMatchObject({ code: 'too_large', at: 'steps' });
    expect(await db.rows(`UPSERT PIPELINE p ( steps: [ ${steps(1000)} ] )`)).toMatchObject([{ outcome: 'created' }]);
    expect(await db.rows('EXPLAIN PIPELINE p')).toHaveLength(1000);
  });
});

describe('a mistake names its place and the mend', () => {
  type Case = readonly [steps: string, expected: object];
  const one = (body: string): string => `{ name: a, ${body} }`;
  const items = "{ name: a, query: 'SELECT 1 AS id', as: items }";

  async function check(db: TestDatabase, cases: readonly Case[], more = ''): Promise<void> {
    await shop(db);
    for (const [steps, expected] of cases) {
      const mistake = await db.mistake(`UPSERT PIPELINE wrong ( steps: [ ${steps} ]${more} )`);
      expect({ steps, ...mistake }).toMatchObject({ steps, ...expected });
    }
    expect(await db.rows("LIST PIPELINES LIKE 'wrong'")).toEqual([]);
  }

  test('in the list of steps', async ({ db }) => {
    await check(db, [
      ['', { code: 'missing_key', at: 'steps' }],
      ["{ sql: 'SELECT 1' }", { code: 'missing_key', at: "{ sql: 'SELECT 1' }", message: 'step 1 has no name' }],
      ["{ nmae: a, sql: 'SELECT 1' }", { code: 'unknown_key', at: 'nmae', hint: "did you mean 'name'?" }],
      ["{ name: 'a.b', sql: 'SELECT 1' }", { code: 'invalid_name', at: "'a.b'" }],
      ["{ name: a, sql: 'SELECT 1' }, { name: A, emit: e }", { code: 'duplicate_object', at: 'A' }],
      ['{ name: a }', { code: 'missing_key', at: '{ name: a }', hint: expect.stringContaining('query, sql, call') }],
      [
        "{ name: a, sql: 'SELECT 1', call: reorder }",
        { code: 'invalid_value', at: 'call', message: 'step a does two things: sql and call' },
      ],
      [one("sql: 'SELECT 1', parallel: 2"), { code: 'missing_key', at: 'parallel' }],
      [one("sql: 'SELECT 1', message: 'x'"), { code: 'invalid_value', at: 'message' }],
      [one('timeout: 60, emit: e'), { code: 'wrong_type', at: '60', hint: expect.stringContaining('60s') }],
      [one('retry: lots of times, emit: e'), { code: 'invalid_value', at: 'lots of times' }],
    ]);
    expect(await db.mistake('UPSERT PIPELINE wrong ()')).toMatchObject({ code: 'missing_key', at: '()' });
    expect(await db.mistake("UPSERT PIPELINE wrong ( steps: { name: a, sql: 'SELECT 1' } )")).toMatchObject({ code: 'wrong_type' });
  });

  test('in the graph: unknown names and cycles, which are printed', async ({ db }) => {
    await check(db, [
      [
        '{ name: load, emit: e }, { name: b, emit: e, after: [laod] }',
        { code: 'undefined_object', at: 'laod', hint: 'did you mean load? the steps are load, b' },
      ],
      ['{ name: a, emit: e, after: A }', { code: 'cycle', at: 'A', message: 'step a waits for itself' }],
      [
        '{ name: a, emit: e, after: [c] }, { name: b, emit: e, after: a }, { name: c, emit: e, after: [b] }',
        { code: 'cycle', at: '[c]', message: "'after' makes a cycle: a -> c -> b -> a" },
      ],
      [
        '{ name: x, emit: e }, { name: a, emit: e, after: [b] }, { name: b, emit: e }',
        { code: 'cycle', at: '[b]', hint: expect.stringContaining("step b has no 'after'") },
      ],
    ]);
  });

  test('in results and references', async ({ db }) => {
    await check(db, [
      [`${items}, { name: b, query: 'SELECT 2', as: ITEMS }`, { code: 'duplicate_object', at: 'ITEMS' }],
      [one("query: 'SELECT 1', as: item"), { code: 'invalid_name', at: 'item' }],
      [one("query: 'SELECT 1', as: 'my items'"), { code: 'invalid_name', at: "'my items'" }],
      [one("expect: 'SELECT true', as: x"), { code: 'invalid_value', at: 'as' }],
      [
        one('for_each: items, emit: e, as: x'),
        { code: 'undefined_object', at: 'items', hint: expect.stringContaining('no step before this one keeps a result') },
      ],
      [
        `${items}, { name: b, for_each: itms, emit: e }`,
        { code: 'undefined_object', at: 'itms', hint: 'did you mean items? results here: items' },
      ],
      [`${items}, { name: b, for_each: items, emit: e, after: [] }`, { code: 'undefined_object', at: 'items', hint: 'add after: [a]' }],
      [one("for_each: x, query: 'SELECT 1', as: x"), { code: 'undefined_object', at: 'x', message: 'x is what this step itself keeps' }],
      [
        `${items}, { name: b, call: reorder, args: { product: item.id } }`,
        { code: 'undefined_object', at: 'item.id', hint: expect.stringContaining('for_each') },
      ],
      [
        `${items}, { name: b, call: reorder, args: { product: itms.id } }`,
        { code: 'undefined_object', at: 'itms.id', hint: expect.stringContaining('did you mean items.id?') },
      ],
      [
        `{ name: b, call: reorder, args: { product: items.id } }, ${items}`,
        { code: 'undefined_object', at: 'items.id', message: expect.stringContaining('does not wait for a') },
      ],
      [`${items}, { name: b, call: reorder, args: { product: items } }`, { code: 'invalid_value', at: 'items' }],
      [`${items}, { name: b, emit: e, args: { ids: [1, items.id] } }`, { code: 'invalid_value', at: 'items.id' }],
      [one("emit: e, args: { x: now('UTC') }"), { code: 'unknown_function' }],
      [one("emit: e, args: { x: emit('UTC') }"), { code: 'invalid_value', at: "emit('UTC')" }],
      [one("emit: e, args: { x: sql('1 +; 2') }"), { code: 'invalid_value', at: '2' }],
    ]);
  });

  test('in SQL and in calls', async ({ db }) => {
    await db.run("UPSERT PIPELINE other ( steps: [ { name: a, sql: 'SELECT 1' } ] )");
    await check(
      db,
      [
        [one("sql: 'SELECT $flor'"), { code: 'undefined_parameter', at: '$flor', hint: expect.stringContaining('did you mean $floor?') }],
        [one("emit: e, if: 'SELECT $x'"), { code: 'undefined_parameter', at: '$x' }],
        [one("sql: 'SELECT 1; COMMIT'"), { code: 'forbidden', at: 'COMMIT' }],
        [one("sql: 'UPSERT SCHEDULE s ()'"), { code: 'forbidden' }],
        [one("query: 'SELECT 1; SELECT 2'"), { code: 'invalid_value', at: 'SELECT 2' }],
        [one("query: 'DELETE FROM cart'"), { code: 'invalid_value', at: 'DELETE FROM cart', hint: expect.stringContaining('sql:') }],
        [one("expect: 'DELETE FROM cart'"), { code: 'invalid_value', at: 'DELETE FROM cart' }],
        [one("sql: ' '"), { code: 'invalid_value', at: "' '" }],
        [one('command: []'), { code: 'invalid_value', at: '[]' }],
        [one('call: reordr'), { code: 'undefined_object', at: 'reordr', hint: expect.stringContaining('did you mean reorder?') }],
        [one('call: other'), { code: 'unsupported', at: 'other', message: 'other is a pipeline, and a step calls procedures' }],
        [one('call: wrong'), { code: 'unsupported', at: 'wrong' }],
        [one('call: reorder'), { code: 'missing_key', at: 'reorder', hint: 'add args: { product: .. }' }],
        [one('call: reorder, args: { amount: 1 }'), { code: 'missing_key', at: 'args' }],
        [
          one('call: reorder, args: { product: 1, amont: 2 }'),
          { code: 'undefined_parameter', at: 'amont', hint: expect.stringContaining('did you mean amount?') },
        ],
        [one("call: reorder, args: { product: 'x' }"), { code: 'wrong_type', at: "'x'" }],
      ],
      ', params: { floor: 1 }',
    );
  });

  test('in reactions', async ({ db }) => {
    await check(db, [
      [one('emit: e, on_fail: skipp'), { code: 'invalid_value', at: 'skipp', hint: expect.stringContaining('skip') }],
      [
        one('emit: e, on_fail: [skip, abort]'),
        { code: 'invalid_value', at: 'abort', message: "'on_fail' cannot be skip and abort at once" },
      ],
      [one("emit: e, on_empty: skip('a', 'b')"), { code: 'invalid_value', at: "skip('a', 'b')" }],
      [one('emit: e, on_empty: skip(1)'), { code: 'wrong_type', at: '1' }],
      [one("emit: e, on_fail: call('nobody')"), { code: 'undefined_object', at: "call('nobody')" }],
    ]);
    expect(await db.mistake("UPSERT PIPELINE wrong ( steps: [ { name: a, emit: e } ], on_fail: call('nobody') )")).toMatchObject({
      code: 'undefined_object',
    });
    expect(await db.rows("UPSERT PIPELINE p ( steps: [ { name: a, command: 'ls', on_empty: skip } ] )")).toMatchObject([
      { warnings: ["step a: 'on_empty' has no effect, because command answers no rows"] },
    ]);
  });

  test('in a pipeline that is one transaction', async ({ db }) => {
    await check(
      db,
      [
        [one("command: 'ls'"), { code: 'invalid_value', at: "'ls'", hint: expect.stringContaining('leave atomic out') }],
        [one("handler: './a.js'"), { code: 'invalid_value' }],
        [one('emit: e'), { code: 'invalid_value', at: 'e' }],
        [
          one("call: report, args: { day: '2027-01-01' }"),
          { code: 'invalid_value', at: 'report', message: expect.stringContaining('is a command') },
        ],
        [one("sql: 'SELECT 1', on_fail: continue"), { code: 'invalid_value', at: 'continue' }],
        [one("sql: 'SELECT 1', on_fail: skip('x')"), { code: 'invalid_value', at: "skip('x')" }],
        [one("sql: 'SELECT 1', retry: 3 times"), { code: 'invalid_value', at: '3 times' }],
        [`${items}, { name: b, for_each: items, parallel: 2, sql: 'SELECT 1' }`, { code: 'invalid_value', at: '2' }],
      ],
      ', atomic: true',
    );
    expect(
      await db.rows(`UPSERT PIPELINE p ( atomic: true, steps: [ ${items},
        { name: b, for_each: items, call: reorder, args: { product: item.id }, on_fail: abort('no') },
        { name: c, expect: 'SELECT count(*) > 0 FROM items', message: 'none', on_empty: skip } ] )`),
    ).toMatchObject([{ outcome: 'created' }]);
  });

  test('in a stored part that ALTER leaves as it is, at the name', async ({ db }) => {
    await shop(db);
    await db.run(restock);
    expect(await db.mistake('ALTER PIPELINE restock SET ( params: { flor: 1 } )')).toMatchObject({
      code: 'undefined_parameter',
      message: '$floor is not a parameter here',
      at: 'restock',
    });
    expect(await db.mistake('ALTER PIPELINE restock SET ( atomic: true )')).toMatchObject({ code: 'invalid_value', at: 'restock' });
    expect(await db.mistake("ALTER PIPELINE restock SET ( steps: [ { name: a, sql: 'SELECT $flor' } ] )")).toMatchObject({ at: '$flor' });
    expect(await db.mistake('ALTER PIPELINE restok SET ( atomic: true )')).toMatchObject({ code: 'undefined_object', at: 'restok' });
  });
});
