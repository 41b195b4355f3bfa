import { describe, expect, test } from 'vitest';
import type { Entry, ObjectValue, PassThroughStatement, Statement, Value } from '../../src/parser/ast.ts';
import { parse } from '../../src/parser/parse.ts';
import { toOffset } from '../../src/parser/text.ts';
import { withoutSpans } from './withoutSpans.ts';

function read(text: string): Statement {
  const parsed = parse(text);
  if (parsed.diagnostics !== undefined) throw parsed.diagnostics[0];
  return parsed.statement;
}

/** A statement of one kind, so that a test can look at its fields. */
function readAs<Kind extends Statement['kind']>(kind: Kind, text: string): Extract<Statement, { kind: Kind }> {
  const statement = read(text);
  expect(statement.kind).toBe(kind);
  return statement as Extract<Statement, { kind: Kind }>;
}

const bare = (text: string) => withoutSpans(read(text));
const name = (text: string, quoted = false) => ({ text, quoted });
const string = (text: string, style = 'single') => ({ kind: 'string', text, style });
const number = (value: number) => ({ kind: 'number', value, text: String(value) });

describe('every statement of the language', () => {
  test.each<[string, unknown]>([
    ['UPSERT SCHEDULE AS s ()', { kind: 'define', verb: 'upsert', noun: 'schedule', ifNotExists: false, name: name('s') }],
    ['upsert schedule S LIKE other ()', { kind: 'define', verb: 'upsert', noun: 'schedule', name: name('S'), like: name('other') }],
    ['UPSERT SCHEDULE "as" LIKE "like" ()', { kind: 'define', name: name('as', true), like: name('like', true) }],
    ['UPSERT SCHEDULE like LIKE like ()', { kind: 'define', name: name('like'), like: name('like') }],
    ['CREATE SCHEDULE s ()', { kind: 'define', verb: 'create', ifNotExists: false }],
    ['CREATE SCHEDULE IF NOT EXISTS s ()', { kind: 'define', verb: 'create', ifNotExists: true, name: name('s') }],
    ['CREATE OR REPLACE SCHEDULE s ()', { kind: 'define', verb: 'upsert', noun: 'schedule' }],
    ['CREATE OR REPLACE PIPELINE AS p ()', { kind: 'define', verb: 'upsert', noun: 'pipeline', name: name('p') }],
    ['UPSERT CALENDAR c ()', { kind: 'define', verb: 'upsert', noun: 'calendar' }],
    ['CREATE QUEUE q ()', { kind: 'define', verb: 'create', noun: 'queue' }],
    ['CREATE OR REPLACE PROCEDURE p() AS { SELECT 1 }', { kind: 'defineProcedure', verb: 'upsert' }],
    ['CREATE PROCEDURE IF NOT EXISTS p() AS { SELECT 1 }', { kind: 'defineProcedure', verb: 'create', ifNotExists: true }],
    ['ALTER SCHEDULE s SET (enabled: false)', { kind: 'alter', noun: 'schedule', name: name('s') }],
    ['ALTER QUEUE q SET (weight: 2)', { kind: 'alter', noun: 'queue' }],
    ['ALTER PROCEDURE p SET (atomic: null)', { kind: 'alter', noun: 'procedure' }],
    ['DROP SCHEDULE s', { kind: 'drop', noun: 'schedule', ifExists: false, names: [name('s')] }],
    [
      'DROP PIPELINE IF EXISTS a, "b c" , c',
      { kind: 'drop', noun: 'pipeline', ifExists: true, names: [name('a'), name('b c', true), name('c')] },
    ],
    ['DROP PROCEDURE p', { kind: 'drop', noun: 'procedure' }],
    ['DROP CALENDAR c', { kind: 'drop', noun: 'calendar' }],
    ['DROP QUEUE q', { kind: 'drop', noun: 'queue' }],
    ['ENABLE SCHEDULE a, b', { kind: 'enable', verb: 'enable', enabled: true, all: false, names: [name('a'), name('b')] }],
    ['DISABLE SCHEDULE ALL', { kind: 'enable', verb: 'disable', enabled: false, all: true, names: [] }],
    ['DISABLE SCHEDULE "all"', { kind: 'enable', all: false, names: [name('all', true)] }],
    ['PAUSE SCHEDULE a', { kind: 'enable', verb: 'pause', enabled: false, names: [name('a')] }],
    ['RESUME SCHEDULE a', { kind: 'enable', verb: 'resume', enabled: true }],
    ['PAUSE SCHEDULER', { kind: 'pauseScheduler', paused: true }],
    ['RESUME SCHEDULER', { kind: 'pauseScheduler', paused: false }],
    ['PAUSE QUEUE q', { kind: 'pauseQueue', paused: true, name: name('q') }],
    ['RESUME QUEUE q', { kind: 'pauseQueue', paused: false }],
    ['LIST SCHEDULES', { kind: 'list', relation: 'schedules', ambiguous: false }],
    ["LIST PROCEDURES LIKE 'p%'", { kind: 'list', relation: 'procedures', like: string('p%') }],
    ['LIST PIPELINES', { kind: 'list', relation: 'pipelines' }],
    ['LIST CALENDARS', { kind: 'list', relation: 'calendars' }],
    ['LIST QUEUES', { kind: 'list', relation: 'queues' }],
    ['LIST DEAD LETTERS LIMIT 1', { kind: 'list', relation: 'dead_letters', limit: { text: '1' } }],
    ['LIST SETTINGS', { kind: 'list', relation: 'settings' }],
    ['LIST SOURCES', { kind: 'list', relation: 'sources' }],
    ['LIST step_runs', { kind: 'list', relation: 'step_runs' }],
    [
      "LIST RUNS LIKE 'n%' WHERE state = 'failed' AND x IN (SELECT 1 ORDER BY 1 LIMIT 2) ORDER BY started_at DESC, 1 LIMIT 10 OFFSET 5",
      {
        kind: 'list',
        relation: 'runs',
        like: string('n%'),
        where: { text: "state = 'failed' AND x IN (SELECT 1 ORDER BY 1 LIMIT 2)" },
        orderBy: { text: 'started_at DESC, 1' },
        limit: { text: '10' },
        offset: { text: '5' },
      },
    ],
    ['SHOW SCHEDULES', { kind: 'list', relation: 'schedules', ambiguous: true }],
    ['SHOW RUNS WHERE true', { kind: 'list', relation: 'runs', ambiguous: false }],
    ['SHOW DEAD LETTERS', { kind: 'list', relation: 'dead_letters', ambiguous: false }],
    ['DESCRIBE SCHEDULE s', { kind: 'describe', noun: 'schedule', name: name('s') }],
    ['DESC QUEUE "q"', { kind: 'describe', noun: 'queue', name: name('q', true) }],
    ["DESCRIBE RUN '0199'", { kind: 'describeRun', run: string('0199') }],
    ['SHOW CREATE PIPELINE p', { kind: 'showCreate', noun: 'pipeline', name: name('p') }],
    ['EXPLAIN SCHEDULE s NEXT 5', { kind: 'explainSchedule', name: name('s'), next: number(5) }],
    ["EXPLAIN CRON '0 2 * * *'", { kind: 'explainCron', expression: string('0 2 * * *') }],
    [
      'EXPLAIN CRON "@daily" IN \'UTC\' NEXT 3',
      { kind: 'explainCron', expression: string('@daily', 'double'), zone: string('UTC'), next: number(3) },
    ],
    ['EXPLAIN PIPELINE p', { kind: 'explainPipeline', mermaid: false }],
    ['EXPLAIN PIPELINE p AS MERMAID', { kind: 'explainPipeline', name: name('p'), mermaid: true }],
    ["EXPLAIN RUN 'x'", { kind: 'explainRun', run: string('x') }],
    ['RUN SCHEDULE s', { kind: 'runSchedule', names: [name('s')], await: false, alone: false, dryRun: false }],
    [
      'RUN SCHEDULE a, b DRY RUN ALONE WITH (day: 2027-01-01) AWAIT',
      { kind: 'runSchedule', names: [name('a'), name('b')], await: true, alone: true, dryRun: true, with: { kind: 'object' } },
    ],
    ['RUN PIPELINE p AWAIT WITH (a: 1) DRY RUN', { kind: 'runPipeline', name: name('p'), await: true, dryRun: true }],
    [
      "BACKFILL SCHEDULE s FROM '2027-01-01' TO 2027-02-01T00:00:00Z DRY RUN ONLY MISSING PARALLEL 4",
      {
        kind: 'backfill',
        name: name('s'),
        from: string('2027-01-01'),
        to: { kind: 'instant', month: 2 },
        parallel: number(4),
        onlyMissing: true,
        dryRun: true,
      },
    ],
    [
      "SIMULATE SCHEDULES FROM 2027-01-01 TO '2027-02-01'",
      { kind: 'simulate', from: { kind: 'instant', dateOnly: true }, to: string('2027-02-01') },
    ],
    [
      "BACKFILL SCHEDULE s FROM now() - INTERVAL (x) DAY TO '2027-02-01'::DATE + 1 ONLY MISSING",
      {
        from: { kind: 'expression', text: 'now() - INTERVAL (x) DAY' },
        to: { kind: 'expression', text: "'2027-02-01'::DATE + 1" },
        onlyMissing: true,
      },
    ],
    [
      "SIMULATE SCHEDULES FROM current_date TO DATE '2027-02-01';",
      { from: { kind: 'expression', text: 'current_date' }, to: { kind: 'expression', text: "DATE '2027-02-01'" } },
    ],
    ["CANCEL RUN 'x'", { kind: 'cancelRun', run: string('x') }],
    ["CANCEL RUNS WHERE schedule = 'n;' ", { kind: 'cancelRuns', where: { text: "schedule = 'n;'" } }],
    ["RETRY RUN 'x'", { kind: 'retryRun' }],
    ["TAIL RUN 'x'", { kind: 'tailRun' }],
    ["RETRY DEAD LETTER 'x'", { kind: 'retryDeadLetter', run: string('x') }],
    ['DROP DEAD LETTER ALL', { kind: 'dropDeadLetter' }],
    ["BACKUP TO 'b.duckdb'", { kind: 'backup', path: string('b.duckdb') }],
    ["SET cron.timezone = 'Europe/Berlin'", { kind: 'set', name: name('timezone'), value: string('Europe/Berlin') }],
    ['set Cron.check_interval to 10s', { kind: 'set', name: name('check_interval'), value: { kind: 'duration', ms: 10_000 } }],
    ['RESET cron.workers', { kind: 'reset', name: name('workers') }],
  ])('%s', (text, expected) => {
    expect(bare(text)).toMatchObject(expected as object);
    expect(bare(`  /* c */ ${text} ;  -- end\n`)).toEqual(bare(text));
  });

  test('CALL keeps its whole text, for the catalogue decides whose it is', () => {
    const text = 'CALL purge(30, f(a, [1, 2]), day => current_date - 1, "x y" := {a: 1, b: 2});';
    const call = readAs('call', text);
    expect(call.text).toBe(text);
    expect(call.name).toMatchObject(name('purge'));
    expect(call.arguments.map((argument) => [argument.name?.text, argument.expression.text])).toEqual([
      [undefined, '30'],
      [undefined, 'f(a, [1, 2])'],
      ['day', 'current_date - 1'],
      ['x y', '{a: 1, b: 2}'],
    ]);
    for (const argument of call.arguments) {
      expect(text.slice(argument.expression.span.start, argument.expression.span.end)).toBe(argument.expression.text);
    }
  });
});

describe('dispatch', () => {
  test.each([
    'SELECT 1',
    'DESCRIBE schedule;',
    'DESCRIBE schedule',
    'DESCRIBE schedule.queue',
    'DESCRIBE SELECT 1',
    'SHOW schedule',
    'SHOW schedules.t',
    'SHOW TABLES',
    'SHOW ALL TABLES',
    'SHOW CREATE TABLE t',
    'EXPLAIN SELECT 1',
    'EXPLAIN ANALYZE DELETE FROM schedule',
    'DROP TABLE schedule',
    'DROP SCHEMA cron',
    'DROP TABLE dead',
    'ALTER TABLE schedule ADD COLUMN queue INTEGER',
    'CREATE TABLE schedule (queue INTEGER)',
    'CREATE OR REPLACE TABLE pipeline AS SELECT 1',
    'CREATE OR',
    'SELECT schedule, queue FROM runs',
    'FROM schedule',
    'SET threads = 2',
    "SET schema = 'cron'",
    'SET VARIABLE cron = 1',
    'RESET threads',
    'CALL pragma_version',
    'CALL a.b(1)',
    'CALL f(1) + 2',
    'CALL f(1',
    "call f('x)",
    "SELECT cron.schedule('a', '* * * * *', 'SELECT 1')",
    'DELETE FROM cron.job_run_details WHERE true',
    'UPDATE cron.job SET active = false',
    '"UPSERT" SCHEDULE x',
    '(SELECT 1)',
    '',
    '-- nothing',
    ';',
    "SELECT 'unterminated",
  ])("%j is DuckDB's, byte for byte", (text) => {
    const passed = readAs('passThrough', text);
    expect(passed.text).toBe(text);
  });

  test.each([
    'CREATE PROCEDURE',
    'ALTER SCHEDULE',
    'DROP QUEUE',
    'SHOW CREATE CALENDAR',
    'SHOW SCHEDULE x',
    "DESCRIBE SCHEDULE 'x'",
    'EXPLAIN QUEUE x',
    'EXPLAIN CRON * * * * *',
    'UPSERT',
    'LIST',
    'RUN',
    'BACKFILL',
    'SIMULATE',
    'CANCEL',
    'RETRY',
    'TAIL',
    'ENABLE',
    'DISABLE',
    'PAUSE',
    'RESUME',
    'BACKUP',
    'upsert into t values (1)',
    'SET cron.',
    'SET GLOBAL cron.x = 1',
    'SET "cron".x',
    'DROP DEAD LETTER',
  ])('%j is ours, and wrong', (text) => {
    expect(parse(text).diagnostics).toHaveLength(1);
  });

  test("DuckDB's statements carry their first words and whether they mention cron", () => {
    const facts = ({ firstWords, mentionsCron }: PassThroughStatement) => ({ firstWords, mentionsCron });
    expect(facts(readAs('passThrough', '/* x */ create Or replace temp view v AS SELECT 1'))).toEqual({
      firstWords: ['CREATE', 'OR', 'REPLACE', 'TEMP'],
      mentionsCron: false,
    });
    expect(facts(readAs('passThrough', 'SELECT "CRON".schedule(1)'))).toEqual({ firstWords: ['SELECT'], mentionsCron: true });
    expect(facts(readAs('passThrough', 'FROM Cuckoo_Ledger.closed'))).toEqual({
      firstWords: ['FROM', 'CUCKOO_LEDGER'],
      mentionsCron: true,
    });
  });
});

function definition(text: string): ObjectValue {
  return readAs('define', text).definition;
}

function valueUnder(entries: readonly Entry[], field: string): Value {
  return entries.find((entry) => entry.field === field)!.value;
}

function freeValue(text: string): unknown {
  const statement = `UPSERT SCHEDULE s (params: { v: ${text} })`;
  const params = valueUnder(definition(statement).entries, 'params') as ObjectValue;
  const { value } = params.entries[0]!;
  expect(statement.slice(value.span.start, value.span.end)).toBe(text);
  return JSON.parse(JSON.stringify(value, (key, inner) => (key === 'span' || key === 'offsets' ? undefined : inner)));
}

describe('values', () => {
  test.each<[string, unknown]>([
    ["'it''s'", string("it's")],
    ['"a ""b"" c"', string('a "b" c', 'double')],
    ["E'a\\n\\x41\\u00e9\\\\\\'''\\q\\101'", string("a\nAé\\''qA", 'escape')],
    ["$$ it's $$", string(" it's ", 'dollar')],
    ['$tag$ $$ $tag$', string(' $$ ', 'dollar')],
    ['3', number(3)],
    ['-0.5', number(-0.5)],
    ['+7', { kind: 'number', value: 7, text: '+7' }],
    ['1_000', { kind: 'number', value: 1000, text: '1_000' }],
    ['1e3', { kind: 'number', value: 1000, text: '1e3' }],
    ['12345678901234567890', { kind: 'number', text: '12345678901234567890' }],
    ['true', { kind: 'boolean', value: true }],
    ['FALSE', { kind: 'boolean', value: false }],
    ['Null', { kind: 'null' }],
    ['512MB', { kind: 'size', bytes: 512e6, text: '512MB' }],
    ['1.5GiB', { kind: 'size', bytes: 1.5 * 2 ** 30 }],
    ['18:00', { kind: 'clock', hour: 18, minute: 0, second: 0, text: '18:00' }],
    ['9:05:30', { kind: 'clock', hour: 9, minute: 5, second: 30 }],
    [
      '2027-09-20T02:00:00Z',
      { kind: 'instant', year: 2027, month: 9, day: 20, hour: 2, minute: 0, second: 0, millisecond: 0, offsetMinutes: 0, dateOnly: false },
    ],
    ['2027-09-20T02:00:00.125-03:30', { kind: 'instant', millisecond: 125, offsetMinutes: -210 }],
    ['2027-09-20T02:00', { kind: 'instant', hour: 2, dateOnly: false }],
    ['2024-02-29', { kind: 'instant', day: 29, dateOnly: true }],
    ['30s', { kind: 'duration', ms: 30_000, text: '30s' }],
    ['1h30m', { kind: 'duration', ms: 5_400_000 }],
    ['1y2w3d4h5m6s7ms', { kind: 'duration' }],
    ['skip', { kind: 'word', text: 'skip', parts: ['skip'] }],
    ['item.product.id', { kind: 'word', text: 'item.product.id', parts: ['item', 'product', 'id'] }],
    ['@daily', { kind: 'word', text: '@daily', parts: ['@daily'] }],
    ['[1m, [], x,]', { kind: 'list', items: [{ kind: 'duration' }, { kind: 'list', items: [] }, { kind: 'word' }] }],
    [
      '{ a: 1, "b c": {}, \'d\': x, }',
      { kind: 'object', entries: [{ key: name('a'), field: 'a' }, { key: name('b c', true) }, { key: name('d', true) }] },
    ],
    ["env('X')", { kind: 'call', name: 'env', arguments: [string('X')] }],
    ["SQL('a', 2)", { kind: 'call', name: 'sql', arguments: [string('a'), number(2)] }],
  ])('%s', (text, expected) => {
    expect(freeValue(text)).toMatchObject(expected as object);
  });

  test('a phrase ends at the comma or bracket of its own depth', () => {
    const text = `UPSERT SCHEDULE s (sched: [every 1h  from /* x */ '2027-01-01, 00:15', business days at 18:00, "0 2 * * *", @daily], retry: 3 times with exponential_backoff)`;
    const { entries } = definition(text);
    expect(valueUnder(entries, 'sched')).toMatchObject({
      kind: 'list',
      items: [
        { kind: 'phrase', text: "every 1h from '2027-01-01, 00:15'" },
        { kind: 'phrase', text: 'business days at 18:00' },
        { kind: 'string', text: '0 2 * * *' },
        { kind: 'word', text: '@daily' },
      ],
    });
    expect(valueUnder(entries, 'retry')).toMatchObject({ kind: 'phrase', text: '3 times with exponential_backoff' });
  });

  test('aliases of keys say what they mean, in any case', () => {
    const { entries } = definition("UPSERT SCHEDULE s (CRON: '0 2 * * *', Tz: 'UTC')");
    expect(entries.map((entry) => [entry.key.text, entry.field])).toEqual([
      ['CRON', 'sched'],
      ['Tz', 'timezone'],
    ]);
    const steps = valueUnder(definition("UPSERT PIPELINE p (steps: [{ name: a, action: 'SELECT 1' }])").entries, 'steps');
    expect(steps).toMatchObject({ items: [{ entries: [{ field: 'name' }, { field: 'sql' }] }] });
  });

  test('keys of free objects are kept as written', () => {
    const params = valueUnder(definition('UPSERT SCHEDULE s (params: { TZ: 1, Cron: 2 })').entries, 'params');
    expect(params).toMatchObject({ entries: [{ field: 'TZ' }, { field: 'Cron' }] });
  });

  test.each([`'ab''cd'''`, `E'a\\tb\\x2ac\\\\d'`, '$x$abc$x$', 'every  30m /* x */ from  5'])(
    'a place in the text of %s is a place in the statement',
    (written) => {
      const text = `UPSERT SCHEDULE s (sched: ${written})`;
      const value = valueUnder(definition(text).entries, 'sched');
      if (value.kind !== 'string' && value.kind !== 'phrase') throw new Error('not a text');
      for (const [index, character] of [...value.text].entries()) {
        if (/[a-z0-9]/.test(character)) expect(text[toOffset(value, index)]).toBe(character);
      }
      const after = toOffset(value, value.text.length);
      expect(text.slice(after, value.span.end)).toMatch(/^(?:'|\$x\$|)$/);
    },
  );
});

describe('procedures', () => {
  test('the example of the reference', () => {
    const text = `UPSERT PROCEDURE AS purge(keep INTEGER DEFAULT 7, day DATE DEFAULT current_date) AS
BEGIN
  DELETE FROM sessions WHERE expires_at < $day - $keep::INTEGER;
  INSERT INTO audit SELECT $run_id, now(), 'purged';
END;`;
    const procedure = readAs('defineProcedure', text);
    expect(procedure.parameters.map((parameter) => [parameter.name.text, parameter.type.text, parameter.default?.text])).toEqual([
      ['keep', 'INTEGER', '7'],
      ['day', 'DATE', 'current_date'],
    ]);
    const { body } = procedure;
    if (body.kind !== 'sqlBody') throw new Error('not SQL');
    expect(body.form).toBe('block');
    expect(body.text).toBe(
      "DELETE FROM sessions WHERE expires_at < $day - $keep::INTEGER;\n  INSERT INTO audit SELECT $run_id, now(), 'purged';",
    );
    expect(body.statements.map((statement) => statement.text)).toEqual([
      'DELETE FROM sessions WHERE expires_at < $day - $keep::INTEGER',
      "INSERT INTO audit SELECT $run_id, now(), 'purged'",
    ]);
    for (const statement of body.statements) {
      expect(text.slice(statement.span.start, statement.span.end)).toBe(statement.text);
      expect(body.text.slice(statement.start, statement.end)).toBe(statement.text);
    }
  });

  test('types and defaults of DuckDB are kept as written', () => {
    const { parameters } = readAs(
      'defineProcedure',
      "UPSERT PROCEDURE p(a: DECIMAL(10,2), b STRUCT(x INTEGER, y VARCHAR[])[] DEFAULT [{x: 1, y: ['a,b)']}], \"c d\" TIMESTAMP WITH TIME ZONE) AS 'SELECT 1'",
    );
    expect(parameters.map((parameter) => [parameter.name.text, parameter.type.text, parameter.default?.text])).toEqual([
      ['a', 'DECIMAL(10,2)', undefined],
      ['b', 'STRUCT(x INTEGER, y VARCHAR[])[]', "[{x: 1, y: ['a,b)']}]"],
      ['c d', 'TIMESTAMP WITH TIME ZONE', undefined],
    ]);
  });

  test.each([
    ["{ SELECT {a: {b: 1}}; SELECT '}'; }", 'braces', ['SELECT {a: {b: 1}}', "SELECT '}'"]],
    ['$$ SELECT 1; SELECT 2 $$', 'dollar', ['SELECT 1', 'SELECT 2']],
    ["'SELECT ''a'''", 'string', ["SELECT 'a'"]],
    ['BEGIN CALL other(1); SELECT CASE WHEN 1 THEN 2 END; END', 'block', ['CALL other(1)', 'SELECT CASE WHEN 1 THEN 2 END']],
  ])('the body %s', (written, form, statements) => {
    const { body } = readAs('defineProcedure', `UPSERT PROCEDURE p() AS ${written}`);
    expect(body).toMatchObject({ kind: 'sqlBody', form, statements: statements.map((text) => ({ text })) });
  });

  test('a body in quotes knows the places of its statements', () => {
    const text = "UPSERT PROCEDURE p() AS '  SELECT ''a''; SELECT ''b'' + ''c'' '";
    const { body } = readAs('defineProcedure', text);
    if (body.kind !== 'sqlBody') throw new Error('not SQL');
    expect(body.statements.map((statement) => text.slice(statement.span.start, statement.span.end))).toEqual([
      "SELECT ''a''",
      "SELECT ''b'' + ''c''",
    ]);
  });

  test('commands and handlers', () => {
    const command = readAs('defineProcedure', "UPSERT PROCEDURE AS report(day DATE) LANGUAGE command AS ['python3', '$day']");
    expect(command.body).toMatchObject({ kind: 'commandBody', command: { kind: 'list', items: [string('python3'), string('$day')] } });
    expect(readAs('defineProcedure', "UPSERT PROCEDURE c() LANGUAGE COMMAND AS 'ls | wc'").body).toMatchObject({
      command: string('ls | wc'),
    });
    const handler = readAs('defineProcedure', "UPSERT PROCEDURE AS sync(source VARCHAR) LANGUAGE javascript AS './jobs/sync.js'");
    expect(handler.body).toMatchObject({ kind: 'handlerBody', path: string('./jobs/sync.js') });
  });

  test('options stand before or after the language', () => {
    for (const clauses of ['(atomic: true, timeout: 10m) LANGUAGE sql', 'LANGUAGE sql (atomic: true, timeout: 10m)']) {
      const { options } = readAs('defineProcedure', `UPSERT PROCEDURE p() ${clauses} AS { SELECT 1 }`);
      expect(options?.entries.map((entry) => entry.field)).toEqual(['atomic', 'timeout']);
    }
  });

  test('the older prefix', () => {
    const { legacy } = readAs(
      'defineProcedure',
      "UPSERT PROCEDURE AS load <{ kind: 'incremental', sched: ['@daily', nightly, every 5m] }> () AS { SELECT 1 }",
    );
    expect(legacy).toMatchObject({
      entries: [
        { field: 'kind', value: string('incremental') },
        { field: 'sched', value: { items: [string('@daily'), { kind: 'word', text: 'nightly' }, { kind: 'phrase', text: 'every 5m' }] } },
      ],
    });
  });

  test('names that are words of the language', () => {
    for (const word of ['begin', 'end', 'procedure', 'language', 'default', 'list', 'run']) {
      expect(readAs('defineProcedure', `UPSERT PROCEDURE ${word}(a INT) AS BEGIN SELECT 1; END`).name.text).toBe(word);
    }
  });
});

test('the pipeline of the reference', () => {
  const { entries } = definition(`UPSERT PIPELINE AS restock (
  params: { floor: 10 },
  steps: [
    { name: low,    query: $$ SELECT * FROM product WHERE quantity < $floor $$, as: items, on_empty: skip('No data to process') },
    { name: order,  for_each: items, parallel: 10, call: reorder, args: { product: item.id, amount: 50 } },
    { name: clean,  sql: $$ DELETE FROM cart WHERE expires_at < now() $$, after: [] },
    { name: verify, expect: $$ SELECT count(*) = 0 FROM product WHERE quantity < 0 $$, message: 'negative stock', after: [order, clean] },
    { name: tell,   command: ['notify-send', 'restocked'], retry: 2 times, timeout: 10s, on_fail: continue }
  ],
  on_fail: emit('restock.failed')
);`);
  const steps = valueUnder(entries, 'steps');
  if (steps.kind !== 'list') throw new Error('not a list');
  expect(steps.items.map((step) => step.kind === 'object' && step.entries.map((entry) => entry.field))).toEqual([
    ['name', 'query', 'as', 'on_empty'],
    ['name', 'for_each', 'parallel', 'call', 'args'],
    ['name', 'sql', 'after'],
    ['name', 'expect', 'message', 'after'],
    ['name', 'command', 'retry', 'timeout', 'on_fail'],
  ]);
});

test('every key of the reference takes the value shown there', () => {
  const text = `UPSERT SCHEDULE all_keys (
    sched: ['0 2 * * *', every 30m], exe: restock.order, call: restock, params: { a: 1 }, config: {}, timezone: 'Europe/Berlin',
    enabled: true, description: 'd', tags: [a, 'b c'], owner: 'o', starts: 2027-01-01, ends: '2028-01-01', max_runs: 3, calendar: tokyo,
    on_holiday: next, dst_gap: skip, dst_overlap: BOTH, jitter: 0s, overlap: 'queue', overlap_limit: 100, catchup: latest, catchup_limit: 5,
    catchup_within: 1d, when: 'SELECT true', after: [a, "b"], after_state: any, queue: default, priority: critical, timeout: none,
    max_retries: 3, retry_delay: '30 seconds', retry_backoff: linear, retry_max_delay: 1h, retry_jitter: false, retry_delays: [1m, 5m, '30 minutes'],
    retry: 3 times, disable_after_failures: 0, on_crash: fail, resources: { cpu: 50, memory: 512MB, nice: 10, io: idle }, isolation: process,
    on_complete: emit('x'), on_fail: [notify('c'), call('p')], on_skip: [], keep: { succeeded: 30d, failed: 1y, skipped: 7d },
  )`;
  expect(readAs('define', text).definition.entries).toHaveLength(44);
  read("UPSERT SCHEDULE s (run_at: 2027-09-20T02:00:00Z, priority: 5, command: ['a', 'b'])");
  read("UPSERT SCHEDULE s (run_at: at '2027-09-20 02:00', handler: './a.js#b')");
  read(
    "UPSERT CALENDAR AS tokyo ( weekend: [sat, sun], holidays: ['2027-01-01', 2027-12-25, { day: '2027-05-01', name: 'May Day' }], holidays_from: 'SELECT day FROM holidays', ics: 'closures.ics', country: 'JP' )",
  );
  read('UPSERT QUEUE AS critical ( weight: 6, concurrency: 4, rate: 100 per 1m )');
  read('UPSERT SCHEDULE s (sched: null, timeout: null)');
});
