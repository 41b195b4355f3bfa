import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Body, DefineStatement, Entry, InstantValue, Name, Sql, Statement, StringValue, Value } from '../../src/parser/ast.ts';
import { freePlace, keyIn, type Place, places, type Shape } from '../../src/parser/keys.ts';
import {
  booleanValue,
  callValue,
  durationValue,
  entryOf,
  listValue,
  nameOf,
  nowhere,
  nullValue,
  numberValue,
  objectValue,
  phraseValue,
  stringValue,
  wordValue,
} from '../../src/parser/make.ts';
import { parse } from '../../src/parser/parse.ts';
import { print } from '../../src/parser/print.ts';
import { split } from '../../src/parser/split.ts';
import { withoutSpans } from './withoutSpans.ts';

function read(text: string): Statement {
  const parsed = parse(text);
  if (parsed.diagnostics !== undefined) throw new Error(`${parsed.diagnostics[0].message}\nin ${text}`);
  return parsed.statement;
}

// What the parser may produce, made by hand: each arbitrary builds nodes, none of them text.

const plainWord = fc.oneof(
  fc.constantFrom(
    'a',
    'nightly_load',
    'as',
    'like',
    'if',
    'all',
    'not',
    'begin',
    'end',
    'with',
    'await',
    'schedule',
    'größe',
    'x$1',
    '_',
    'E',
  ),
  fc.stringMatching(/^[a-z_][a-z0-9_]{0,12}$/),
);
const anyText = fc.string({ unit: 'binary', maxLength: 30 }).filter((text) => !text.includes('\0'));
const trickyText = fc.array(
  fc.constantFrom("'", '"', '$', '$$', '\\', '\n', ';', '--', '/*', '*/', '{', '}', 'END', ' ', 'a', '$text$', '\t'),
  { maxLength: 12 },
);
const text = fc.oneof(
  anyText,
  trickyText.map((pieces) => pieces.join('')),
);
const anyName: fc.Arbitrary<Name> = fc.oneof(
  plainWord.map((word) => nameOf(word)),
  text.filter((word) => word !== '').map((word) => ({ text: word, quoted: true, span: nowhere })),
);
const styles = fc.constantFrom<StringValue['style']>('single', 'double', 'escape', 'dollar');
const string: fc.Arbitrary<StringValue> = fc.tuple(text, styles).map(([value, style]) => stringValue(value, style));
const duration = fc.integer({ min: 0, max: 400 * 86_400_000 }).map(durationValue);
const word = plainWord.filter((value) => !/^(?:true|false|null)$/.test(value)).map(wordValue);
const dottedWord = fc.array(plainWord, { minLength: 2, maxLength: 3 }).map((parts) => wordValue(parts.join('.')));
const alias = plainWord.map((value) => wordValue(`@${value}`));
const number = fc.oneof(fc.integer(), fc.double({ noNaN: true, noDefaultInfinity: true })).map(numberValue);
const size: fc.Arbitrary<Value> = fc
  .tuple(fc.nat(), fc.constantFrom<[string, number]>(['MB', 1e6], ['GiB', 2 ** 30], ['B', 1]))
  .map(([count, [unit, bytes]]) => ({ kind: 'size', bytes: count * bytes, text: `${count}${unit}`, span: nowhere }));
const two = (value: number) => String(value).padStart(2, '0');
const clock: fc.Arbitrary<Value> = fc
  .tuple(fc.nat(23), fc.nat(59))
  .map(([hour, minute]) => ({ kind: 'clock', hour, minute, second: 0, text: `${two(hour)}:${two(minute)}`, span: nowhere }));
const instant: fc.Arbitrary<InstantValue> = fc
  .record({
    year: fc.integer({ min: 1000, max: 9999 }),
    month: fc.integer({ min: 1, max: 12 }),
    day: fc.integer({ min: 1, max: 28 }),
    zoned: fc.boolean(),
    dateOnly: fc.boolean(),
  })
  .map(({ year, month, day, zoned, dateOnly }) => ({
    kind: 'instant',
    year,
    month,
    day,
    hour: dateOnly ? 0 : 7,
    minute: dateOnly ? 0 : 30,
    second: 0,
    millisecond: 0,
    offsetMinutes: dateOnly || !zoned ? undefined : 90,
    dateOnly,
    text: `${year}-${two(month)}-${two(day)}${dateOnly ? '' : `T07:30${zoned ? '+01:30' : ''}`}`,
    span: nowhere,
  }));
const phrasePiece = fc.oneof(plainWord, fc.constantFrom('30m', '18:00', "'2027-01-01, 00:15'", '3', '(a, b)', '+', '1#1', '2027-01-01'));
const phrase = fc
  .tuple(
    plainWord.filter((first) => first !== 'E'),
    fc.array(phrasePiece, { minLength: 1, maxLength: 5 }),
  )
  .filter(([, pieces]) => !pieces[0]!.startsWith('('))
  .map(([first, pieces]) => phraseValue([first, ...pieces].join(' ')));

const scalar: fc.Arbitrary<Value> = fc.oneof(
  string,
  number,
  duration,
  word,
  dottedWord,
  alias,
  size,
  clock,
  instant,
  fc.boolean().map(booleanValue),
  fc.constant(nullValue()),
);
const freeValue: fc.Arbitrary<Value> = fc.letrec<{ value: Value }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    scalar,
    fc.array(tie('value'), { maxLength: 4 }).map(listValue),
    fc.array(fc.tuple(anyName, tie('value')), { maxLength: 4 }).map((pairs) => objectValue(entriesOf(pairs, freePlace))),
    fc
      .tuple(fc.constantFrom('env', 'sql', 'skip', 'emit'), fc.array(tie('value'), { maxLength: 2 }))
      .map(([name, items]) => callValue(name, items)),
  ),
})).value;

/** Each key once, as the parser insists. */
function entriesOf(pairs: readonly (readonly [Name, Value])[], place: Place): Entry[] {
  const seen = new Set<string>();
  return pairs.flatMap(([key, value]) => {
    const field = place.keys === undefined ? key.text : keyIn(place, key.text)!.field;
    if (seen.has(field.toLowerCase())) return [];
    seen.add(field.toLowerCase());
    return [{ key, field, value, span: nowhere }];
  });
}

/** Values that fit a shape. */
function valueFor(shape: Shape): fc.Arbitrary<Value> {
  switch (shape.kind) {
    case 'any':
      return freeValue;
    case 'cadence':
      return fc.oneof(string, alias, phrase, instant, fc.array(fc.oneof(string, alias, phrase), { maxLength: 3 }).map(listValue));
    case 'phrase':
      return fc.oneof(string, phrase);
    case 'instant':
      return shape.phrase ? fc.oneof(string, instant, phrase) : fc.oneof(string, instant);
    case 'duration':
      return shape.none
        ? fc.oneof(duration, fc.constant(wordValue('none')))
        : fc.oneof(duration, fc.constant(stringValue('30 seconds', 'double')));
    case 'number':
      return fc.integer({ min: shape.least, max: Math.min(shape.most, 10_000) }).map(numberValue);
    case 'size':
      return size;
    case 'boolean':
      return fc.boolean().map(booleanValue);
    case 'choice':
      return fc.oneof(
        fc.constantFrom(...shape.words).map(wordValue),
        fc.constantFrom(...shape.words).map((choice) => stringValue(choice.toUpperCase(), 'double')),
      );
    case 'name':
      return fc.oneof(
        word,
        string.filter((value) => value.text !== ''),
        ...(shape.dotted ? [dottedWord] : []),
      );
    case 'text':
      return string;
    case 'list':
      return fc.array(valueFor(shape.of), { maxLength: 4 }).map(listValue);
    case 'object':
      return definitionOf(shape.place);
    case 'action':
      return fc.tuple(fc.constantFrom(...shape.functions), string).map(([name, argument]) => callValue(name, [argument]));
    case 'oneOf':
      return fc.oneof(...shape.shapes.map(valueFor));
    default:
      return shape satisfies never;
  }
}

function definitionOf(place: Place) {
  if (place.keys === undefined)
    return fc.array(fc.tuple(anyName, freeValue), { maxLength: 5 }).map((pairs) => objectValue(entriesOf(pairs, place)));
  const keys = [...place.keys].flatMap(([field, key]) =>
    [field, ...(key.aliases ?? [])].map((spelling) => ({ spelling, shape: key.shape })),
  );
  const entry = fc.oneof(
    ...keys.map(({ spelling, shape }) =>
      fc.tuple(
        fc.constant(nameOf(spelling)),
        fc.oneof({ weight: 9, arbitrary: valueFor(shape) }, { weight: 1, arbitrary: fc.constant(nullValue()) }),
      ),
    ),
  );
  return fc.array(entry, { maxLength: 6 }).map((pairs) => objectValue(entriesOf(pairs, place)));
}

const sql = (...texts: readonly string[]): fc.Arbitrary<Sql> => fc.constantFrom(...texts).map((value) => ({ text: value, span: nowhere }));
const option = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
const names = fc.array(anyName, { minLength: 1, maxLength: 3 });
const count = option(fc.integer({ min: 1, max: 99 }).map(numberValue));
const timeExpression = sql('now() - INTERVAL 1 DAY', "DATE '2027-01-01'", '(a -- b\n)', 'current_date').map((value) => ({
  kind: 'expression' as const,
  ...value,
}));
/** Two times of which the first is the earlier. */
const written = (...texts: string[]) => fc.tuple(string, fc.constantFrom(...texts)).map(([value, text]) => ({ ...value, text }));
const from = fc.oneof(
  instant.filter(({ year }) => year < 2000),
  written('1999-12-31', '1970-01-01 02:30', ' 1990-02-03T04:05:06.789+02:00 '),
  timeExpression,
);
const to = fc.oneof(
  instant.filter(({ year }) => year >= 2000),
  written('2000-01-01', '2027-09-20 02:30', '9999-12-31T23:59:59Z'),
  timeExpression,
);
const given = option(definitionOf(freePlace));
const span = fc.constant(nowhere);
const is = <T extends string>(kind: T) => fc.constant(kind);
const noun = fc.constantFrom('schedule', 'procedure', 'pipeline', 'calendar', 'queue');

const bodyStatement = fc.constantFrom(
  'SELECT 1',
  "SELECT ';', 'END', '}'",
  'DELETE FROM t -- done; END\n  WHERE true',
  'SELECT CASE WHEN true THEN 1 END',
  "SELECT {'a': {'b': 1}}",
  'SELECT $$;$$, $1, $day',
  'CALL other(1)',
);
const body: fc.Arbitrary<Body> = fc.oneof(
  fc
    .tuple(fc.constantFrom('block', 'braces', 'dollar', 'string'), fc.array(bodyStatement, { minLength: 1, maxLength: 4 }))
    .map(([form, statements]) => {
      const whole = `${statements.join(';\n  ')};`;
      return {
        kind: 'sqlBody',
        form,
        text: whole,
        offsets: [],
        statements: split(whole).statements.map(({ text: piece, start, end }) => ({ text: piece, start, end, span: nowhere })),
        span: nowhere,
      } as Body;
    }),
  string.filter((value) => value.text.trim() !== '').map((path) => ({ kind: 'handlerBody', path, span: nowhere }) as Body),
  fc
    .array(string, { minLength: 1, maxLength: 4 })
    .map((items) => ({ kind: 'commandBody', command: listValue(items), span: nowhere }) as Body),
);
const parameter = fc.record({
  name: plainWord.map(nameOf),
  type: sql('INTEGER', 'DECIMAL(10,2)', 'STRUCT(a INTEGER, b VARCHAR)[]', 'TIMESTAMP WITH TIME ZONE'),
  default: option(sql('7', "[{a: 1, b: ','}]", 'current_date - 1', "'x)'")),
  span,
});

const define: fc.Arbitrary<Statement> = fc.constantFrom('schedule', 'pipeline', 'calendar', 'queue').chain((kind) =>
  fc
    .record({
      kind: is('define'),
      verb: fc.constantFrom('upsert', 'create'),
      noun: is(kind),
      ifNotExists: fc.boolean(),
      name: anyName,
      like: option(anyName),
      definition: definitionOf(places[kind]),
      span,
    })
    .map(
      (statement) =>
        ({
          ...statement,
          ifNotExists: statement.ifNotExists && statement.verb === 'create',
          like: kind === 'schedule' ? statement.like : undefined,
        }) as DefineStatement,
    ),
);

const statement: fc.Arbitrary<Statement> = fc.oneof(
  { weight: 8, arbitrary: define },
  {
    weight: 4,
    arbitrary: fc
      .record({
        kind: is('defineProcedure'),
        verb: fc.constantFrom('upsert', 'create'),
        ifNotExists: fc.boolean(),
        name: anyName,
        legacy: option(
          fc.constant(
            objectValue([
              entryOf('kind', stringValue('x')),
              { ...entryOf('sched', listValue([wordValue('nightly'), phraseValue('every 5m')])) },
            ]),
          ),
        ),
        parameters: fc.uniqueArray(parameter, { maxLength: 4, selector: (made) => made.name.text.toLowerCase() }),
        options: option(definitionOf(places.procedure)),
        body,
        span,
      })
      .map((made) => ({ ...made, ifNotExists: made.ifNotExists && made.verb === 'create' }) as Statement),
  },
  {
    weight: 3,
    arbitrary: fc.constantFrom('schedule', 'procedure', 'pipeline', 'calendar', 'queue').chain((kind) =>
      fc.record({
        kind: is('alter'),
        noun: is(kind),
        name: anyName,
        changes: definitionOf(places[kind]).filter((made) => made.entries.length > 0),
        span,
      }),
    ) as fc.Arbitrary<Statement>,
  },
  fc.record({ kind: is('drop'), noun, ifExists: fc.boolean(), names, span }) as fc.Arbitrary<Statement>,
  fc
    .tuple(
      fc.constantFrom('enable', 'disable', 'resume', 'pause'),
      fc.boolean(),
      names.filter(([first]) => first!.quoted || first!.text !== 'all'),
    )
    .map(
      ([verb, all, listed]) =>
        ({
          kind: 'enable',
          verb,
          enabled: verb === 'enable' || verb === 'resume',
          names: all ? [] : listed,
          all,
          span: nowhere,
        }) as Statement,
    ),
  fc.record({
    kind: is('list'),
    relation: fc.constantFrom(
      'schedules',
      'procedures',
      'pipelines',
      'calendars',
      'queues',
      'runs',
      'step_runs',
      'run_logs',
      'dead_letters',
      'settings',
      'sources',
      'workers',
      'lineage',
    ),
    like: option(string),
    where: option(sql("state = 'failed'", 'x IN (SELECT 1 ORDER BY 1 LIMIT 1) AND "limit" > 1')),
    orderBy: option(sql('1 DESC NULLS LAST, name')),
    limit: option(sql('10', '10 + 1')),
    offset: option(sql('(SELECT 1)')),
    ambiguous: fc.constant(false),
    span,
  }) as fc.Arbitrary<Statement>,
  fc.constantFrom('schedules', 'runs', 'settings').map(
    (relation) =>
      ({
        kind: 'list',
        relation,
        like: undefined,
        where: undefined,
        orderBy: undefined,
        limit: undefined,
        offset: undefined,
        ambiguous: true,
        span: nowhere,
      }) as Statement,
  ),
  fc.record({ kind: fc.constantFrom('describe', 'showCreate'), noun, name: anyName, span }) as fc.Arbitrary<Statement>,
  fc.record({ kind: is('explainSchedule'), name: anyName, next: count, span }) as fc.Arbitrary<Statement>,
  fc.record({ kind: is('explainCron'), expression: string, zone: option(string), next: count, span }) as fc.Arbitrary<Statement>,
  fc.record({ kind: is('explainPipeline'), name: anyName, mermaid: fc.boolean(), span }) as fc.Arbitrary<Statement>,
  fc.record({
    kind: is('runSchedule'),
    names,
    with: given,
    await: fc.boolean(),
    alone: fc.boolean(),
    dryRun: fc.boolean(),
    span,
  }) as fc.Arbitrary<Statement>,
  fc.record({
    kind: is('runPipeline'),
    name: anyName,
    with: given,
    await: fc.boolean(),
    dryRun: fc.boolean(),
    span,
  }) as fc.Arbitrary<Statement>,
  fc.record({
    kind: is('backfill'),
    name: anyName,
    from,
    to,
    parallel: count,
    onlyMissing: fc.boolean(),
    dryRun: fc.boolean(),
    span,
  }) as fc.Arbitrary<Statement>,
  fc.record({ kind: is('simulate'), from, to, span }) as fc.Arbitrary<Statement>,
  fc.record({
    kind: fc.constantFrom('describeRun', 'cancelRun', 'retryRun', 'tailRun', 'explainRun'),
    run: string,
    span,
  }) as fc.Arbitrary<Statement>,
  fc.record({ kind: is('cancelRuns'), where: sql("schedule = 'a;b'", 'x > ALL (SELECT 1)'), span }) as fc.Arbitrary<Statement>,
  fc.record({ kind: fc.constantFrom('retryDeadLetter', 'dropDeadLetter'), run: option(string), span }) as fc.Arbitrary<Statement>,
  fc.record({ kind: is('pauseQueue'), paused: fc.boolean(), name: anyName, span }) as fc.Arbitrary<Statement>,
  fc.record({ kind: is('pauseScheduler'), paused: fc.boolean(), span }) as fc.Arbitrary<Statement>,
  fc.record({ kind: is('backup'), path: string, span }) as fc.Arbitrary<Statement>,
  fc.record({ kind: is('set'), name: anyName, value: freeValue, span }) as fc.Arbitrary<Statement>,
  fc.record({ kind: is('reset'), name: anyName, span }) as fc.Arbitrary<Statement>,
);

describe('print', () => {
  test('whatever the parser may say is printed as text that says the same', () => {
    const kinds = new Set<string>();
    fc.assert(
      fc.property(statement, (made) => {
        kinds.add(made.kind);
        const printed = print(made);
        expect(withoutSpans(read(printed)), printed).toEqual(withoutSpans(made));
      }),
      { numRuns: 4000 },
    );
    expect(kinds.size).toBe(28);
  });

  test('what is printed is one statement for the splitter', () => {
    fc.assert(
      fc.property(statement, (made) => {
        const printed = print(made);
        expect(split(`${printed};`).statements.map((slice) => slice.text)).toEqual([printed]);
      }),
      { numRuns: 2000 },
    );
  });

  test('text of DuckDB and CALL are printed as they were given', () => {
    for (const given of ['SELECT  1 -- x', 'CALL  f( 1 ,2);', '']) expect(print(read(given))).toBe(given);
  });
});

describe('layout', () => {
  const printed = (given: string) => print(read(given));

  test('a definition has one key a line, and short lists on theirs', () => {
    expect(
      printed(
        "upsert schedule as nightly like base ( sched: [ every 30m , '0 2 * * *' ], params: {a:1,b:[1,2]}, resources: {cpu:50, memory:512MB,}, on_fail: emit('x'), )",
      ),
    ).toMatchInlineSnapshot(`
      "UPSERT SCHEDULE nightly LIKE base (
        sched: [every 30m, '0 2 * * *'],
        params: { a: 1, b: [1, 2] },
        resources: { cpu: 50, memory: 512MB },
        on_fail: emit('x')
      )"
    `);
    expect(printed('CREATE QUEUE IF NOT EXISTS q ()')).toBe('CREATE QUEUE IF NOT EXISTS q ()');
  });

  test('a pipeline has one step a line', () => {
    expect(
      printed(`UPSERT PIPELINE restock (steps: [
        { name: low, query: $$ SELECT * FROM product WHERE quantity < $floor $$, as: items },
        { name: order, for_each: items, parallel: 10, call: reorder, args: { product: item.id, amount: 50, remark: 'ordered by the nightly pipeline' } },
        { name: clean, sql: $$
            DELETE FROM cart
          $$, after: [] } ])`),
    ).toMatchInlineSnapshot(`
      "UPSERT PIPELINE restock (
        steps: [
          { name: low, query: $$ SELECT * FROM product WHERE quantity < $floor $$, as: items },
          {
            name: order,
            for_each: items,
            parallel: 10,
            call: reorder,
            args: { product: item.id, amount: 50, remark: 'ordered by the nightly pipeline' }
          },
          {
            name: clean,
            sql: $$
                  DELETE FROM cart
                $$,
            after: []
          }
        ]
      )"
    `);
  });

  test('a procedure reads as it was written', () => {
    expect(
      printed(`create or replace procedure purge ( keep integer default 7 , day: DATE ) ( atomic:true, timeout: 10m ) AS
BEGIN
  DELETE FROM sessions WHERE expires_at < $day - $keep::INTEGER;
  INSERT INTO audit SELECT $run_id, now(), 'purged';
END;`),
    ).toMatchInlineSnapshot(`
      "UPSERT PROCEDURE purge(keep integer DEFAULT 7, day DATE) ( atomic: true, timeout: 10m ) AS
      BEGIN
        DELETE FROM sessions WHERE expires_at < $day - $keep::INTEGER;
        INSERT INTO audit SELECT $run_id, now(), 'purged';
      END"
    `);
    expect(printed("UPSERT PROCEDURE AS report <{ kind: 'x' }> (day DATE) LANGUAGE command AS ['python3', '$day']")).toMatchInlineSnapshot(
      `"UPSERT PROCEDURE report <{ kind: 'x' }> (day DATE) LANGUAGE command AS ['python3', '$day']"`,
    );
    expect(printed("UPSERT PROCEDURE AS a() AS '  SELECT 1; '")).toMatchInlineSnapshot(`"UPSERT PROCEDURE a() AS 'SELECT 1;'"`);
    expect(printed('UPSERT PROCEDURE AS a() AS $$ SELECT 1; -- all\n $$')).toMatchInlineSnapshot(`
      "UPSERT PROCEDURE a() AS $$
        SELECT 1; -- all
      $$"
    `);
  });

  test('a node made by hand that would not read back as itself is quoted', () => {
    const show = (value: Value, key = 'params') => {
      const definition = objectValue([entryOf(key, value)]);
      return print({
        kind: 'define',
        verb: 'upsert',
        noun: 'schedule',
        ifNotExists: false,
        name: nameOf('s'),
        like: undefined,
        definition,
        span: nowhere,
      }).split('\n')[1];
    };
    expect(show(wordValue('two words'), 'call')).toBe("  call: 'two words'");
    expect(show(wordValue('null'), 'call')).toBe("  call: 'null'");
    expect(show(phraseValue('every 30m'), 'sched')).toBe('  sched: every 30m');
    expect(show(phraseValue('0 2 * * *'), 'sched')).toBe("  sched: '0 2 * * *'");
    expect(show(phraseValue("every 1h, from '2027-01-01'"), 'sched')).toBe("  sched: 'every 1h, from ''2027-01-01'''");
    expect(show(phraseValue('every 30m'), 'description')).toBe("  description: 'every 30m'");
    expect(show(stringValue("it's"), 'description')).toBe("  description: $$it's$$");
    expect(show(stringValue('costs $$'), 'description')).toBe("  description: 'costs $$'");
    expect(show(stringValue("it's $$", 'dollar'), 'description')).toBe("  description: $text$it's $$$text$");
    expect(show(durationValue(90_000), 'timeout')).toBe('  timeout: 1m30s');
    const end = { kind: 'sqlBody', form: 'block', text: 'SELECT 1; END;', offsets: [], statements: [], span: nowhere } as const;
    const procedure: Statement = {
      kind: 'defineProcedure',
      verb: 'upsert',
      ifNotExists: false,
      name: nameOf('p'),
      legacy: undefined,
      parameters: [],
      options: undefined,
      body: end,
      span: nowhere,
    };
    expect(print(procedure)).toBe('UPSERT PROCEDURE p() AS $$ SELECT 1; END; $$');
  });
});
