import fc from 'fast-check';
import { expect, test, vi } from 'vitest';
import { Diagnostic } from '../../src/core/diagnostic.ts';
import { factsOf, parametersOf } from '../../src/parser/facts.ts';
import { isSpace } from '../../src/parser/lexer.ts';
import { type Parsed, parse } from '../../src/parser/parse.ts';
import { print } from '../../src/parser/print.ts';
import { Splitter, split } from '../../src/parser/split.ts';
import { fortyKinds } from './fortyKinds.ts';
import { withoutSpans } from './withoutSpans.ts';

// Three sources: words of the language in any order, sound statements with a few wounds, and plain noise. Together they must
// both succeed and fail often, or the test would prove nothing.

// Nine seconds on a quiet machine; a busy one may take its time.
vi.setConfig({ testTimeout: 120_000 });

const runs = 35_000;
/** In processor time: a single input of this size takes microseconds, only a hang comes near. */
const longestMs = 1000;

const sound = [
  ...fortyKinds.map((kind) => kind(7)),
  `UPSERT SCHEDULE AS daily_backup ( sched: "0 2 * * *", exe: "procedure", call: "backup_procedure" );`,
  `UPSERT SCHEDULE s LIKE t ( sched: [every 30m, '@daily'], retry: 3 times with exponential_backoff, params: { a: [1, -2.5, {b: null}] } )`,
  `CREATE SCHEDULE IF NOT EXISTS s ( run_at: 2027-09-20T02:00:00Z, timeout: none, keep: { failed: 1y }, on_fail: [emit('x'), notify('y')] )`,
  `ALTER SCHEDULE s SET ( enabled: false, jitter: '30 seconds', sched: null )`,
  'DROP SCHEDULE IF EXISTS a, "b c"',
  "LIST RUNS LIKE 'n%' WHERE state = 'failed' ORDER BY 1 LIMIT 10 OFFSET 2",
  'RUN SCHEDULE a, b WITH ( day: 2027-01-01 ) AWAIT DRY RUN',
  "BACKFILL SCHEDULE s FROM '2027-01-01' TO 2027-02-01 PARALLEL 4 ONLY MISSING",
  "SIMULATE SCHEDULES FROM now() - INTERVAL '1 day' TO DATE '2027-01-01'",
  "EXPLAIN CRON '0 2 * * *' IN 'UTC' NEXT 3",
  `UPSERT PIPELINE AS p ( steps: [ { name: a, query: $$ SELECT 1 $$, as: x }, { name: b, for_each: x, call: q, args: { i: item.i } } ], on_fail: emit('f') )`,
  `UPSERT CALENDAR AS c ( weekend: [sat, sun], holidays: ['2027-01-01', { day: 2027-12-25 }] )`,
  'UPSERT QUEUE q ( weight: 6, rate: 100 per 1m )',
  "SET cron.timezone = 'Europe/Berlin'",
  'CALL purge(keep => 30, f(1, [2]))',
  "RETRY DEAD LETTER 'x'",
  'PAUSE SCHEDULER',
];

const vocabulary = [
  ...new Set(sound.flatMap((statement) => statement.match(/[A-Za-z_$@]\w*|\s+|'[^']*'|./gsu) ?? [])),
  ...[
    "'",
    '"',
    '$$',
    '$t$',
    '/*',
    '*/',
    '--',
    '\n',
    "E'",
    '\\',
    '<{',
    '}>',
    '\0',
    '\ud800',
    '\ufeff',
    '0 2 * * *',
    '1h30m',
    '18:00',
    'ALL',
    'LANGUAGE',
    'IF',
    'NOT',
  ],
];

const noise = fc.array(fc.nat(0xffff), { maxLength: 60 }).map((codes) => String.fromCharCode(...codes));
const soup = fc.array(fc.constantFrom(...vocabulary), { maxLength: 30 });
const wound = fc.record({ at: fc.nat(400), drop: fc.nat(12), insert: fc.oneof(fc.constant(''), fc.constantFrom(...vocabulary)) });
const wounded = fc.tuple(fc.constantFrom(...sound), fc.array(wound, { maxLength: 2 })).map(([statement, wounds]) =>
  wounds.reduce((text, { at, drop, insert }) => {
    const from = at % (text.length + 1);
    return text.slice(0, from) + insert + text.slice(from + drop);
  }, statement),
);
const input = fc.oneof(
  { weight: 7, arbitrary: wounded },
  { weight: 3, arbitrary: fc.tuple(soup, fc.constantFrom('', ' ')).map(([pieces, glue]) => pieces.join(glue)) },
  { weight: 1, arbitrary: fc.tuple(fc.constantFrom(...sound), soup).map(([statement, pieces]) => `${statement}${pieces.join('')}`) },
  { weight: 1, arbitrary: noise },
);

function timed<Result>(text: string, act: () => Result): Result {
  const before = process.cpuUsage();
  const result = act();
  if (process.cpuUsage(before).user / 1000 > longestMs) throw new Error(`slow: ${JSON.stringify(text)}`);
  return result;
}

test('the parser answers a statement or Diagnostics to whatever it is given', () => {
  const seen = { ours: 0, passed: 0, refused: 0 };
  fc.assert(
    fc.property(input, (text) => {
      const parsed: Parsed = timed(text, () => parse(text));
      if (parsed.diagnostics !== undefined) {
        seen.refused += 1;
        expect(parsed.diagnostics.length).toBeGreaterThan(0);
        for (const diagnostic of parsed.diagnostics) {
          if (!(diagnostic instanceof Diagnostic) || diagnostic.code === 'internal' || diagnostic.span === undefined) throw diagnostic;
          const { start, end } = diagnostic.span;
          if (!(start >= 0 && start <= end && end <= text.length)) throw new Error(`a span outside of the text: ${start}..${end}`);
        }
        return;
      }
      const { statement } = parsed;
      if (statement.kind === 'passThrough') {
        seen.passed += 1;
        if (statement.text !== text) throw new Error('a foreign statement was changed');
        return;
      }
      seen.ours += 1;
      if (statement.kind === 'call') return;
      const printed = print(statement);
      const again = parse(printed);
      if (again.diagnostics !== undefined) throw new Error(`does not parse again: ${printed}`);
      expect(withoutSpans(again.statement)).toEqual(withoutSpans(statement));
    }),
    { numRuns: runs * 2 },
  );
  for (const count of Object.values(seen)) expect(count).toBeGreaterThan(runs / 6);
});

test('the splitter neither loses nor invents a character, however the text arrives', () => {
  const seen = { complete: 0, open: 0, several: 0 };
  fc.assert(
    fc.property(
      fc.array(input, { minLength: 1, maxLength: 3 }),
      fc.integer({ min: 1, max: 40 }),
      fc.constantFrom('', ';'),
      (pieces, size, last) => {
        const text = pieces.join(';') + last;
        const whole = timed(text, () => split(text));
        let end = 0;
        for (const slice of whole.statements) {
          if (slice.start < end || slice.text === '' || text.slice(slice.start, slice.end) !== slice.text)
            throw new Error('a slice is not what was written');
          end = slice.end;
        }
        const isNothing = Array.from(text, (character) => character === ';' || isSpace(character.charCodeAt(0))).every(Boolean);
        if (isNothing && whole.statements.length > 0) throw new Error('a statement out of nothing');
        if (whole.open === undefined) seen.complete += 1;
        else seen.open += 1;
        if (whole.statements.length > 1) seen.several += 1;
        const splitter = new Splitter();
        const arrived = [];
        for (let at = 0; at < text.length; at += size) arrived.push(...splitter.push(text.slice(at, at + size)));
        const rest = splitter.finish();
        expect([...arrived, ...rest.statements]).toEqual(whole.statements);
        expect(rest.open).toEqual(whole.open);
      },
    ),
    { numRuns: runs },
  );
  for (const count of Object.values(seen)) expect(count).toBeGreaterThan(runs / 10);
});

test('the facts of foreign text are found or not, but never in the way', () => {
  fc.assert(
    fc.property(input, (text) => {
      const facts = timed(text, () => factsOf(text));
      for (const { span } of [...facts.acts, ...facts.files, ...facts.parameters]) {
        if (!(span.start >= 0 && span.start < span.end && span.end <= text.length)) throw new Error('a span outside of the text');
      }
      expect(parametersOf(text)).toEqual(facts.parameters);
    }),
    { numRuns: runs / 4 },
  );
});
