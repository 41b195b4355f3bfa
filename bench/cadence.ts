// How long the next fire of a compiled cron takes: ours, croner's compiled `nextRun`, and cron-parser, side by side in one
// run; 30 expressions x 8 zones. And how long parsing takes, new and seen.

import { CronExpressionParser } from 'cron-parser';
import { Cron } from 'croner';
import { type Cadence, compile, parseCadence, type Timing } from '../src/scheduler/cadence/cadence.ts';
import { type Asked, type Figure, median } from './report.ts';

const expressions = [
  '* * * * *',
  '*/5 * * * *',
  '*/15 * * * *',
  '0 * * * *',
  '30 * * * *',
  '0 2 * * *',
  '30 2 * * *',
  '0 0 * * *',
  '15 3 * * *',
  '0 */2 * * *',
  '0 */6 * * *',
  '*/15 9-17 * * 1-5',
  '0 9 * * 1-5',
  '0 18 * * 5',
  '0 0 * * 0',
  '0 0 1 * *',
  '0 0 15 * *',
  '0 0 1,15 * *',
  '0 0 1 */3 *',
  '0 0 1 1 *',
  '0 9 * 1,7 1-5',
  '5,20,35,50 8-18 * * *',
  '0 0 13 * 5',
  '0 18 L * *',
  '0 12 * * 1#1',
  '0 12 * * 5L',
  '0 0 29 2 *',
  '*/10 * * * * *',
  '0 30 4 * * *',
  '15,45 0 0 * * 1',
];

const zones = [
  'UTC',
  'Europe/Berlin',
  'America/New_York',
  'Asia/Kolkata',
  'Australia/Lord_Howe',
  'America/Sao_Paulo',
  'Asia/Tokyo',
  'Africa/Casablanca',
];

const start = Date.UTC(2026, 10, 20, 9, 17, 31);

export function run({ full }: Asked): Figure[] {
  const rounds = full ? 10_000 : 1000;
  const all: Measured[] = [];
  const ofZone = new Map<string, readonly Measured[]>();
  for (const zone of zones) {
    // In turns, so that what else the machine does hits all of them.
    const rows = expressions.map((expression) => ({
      ours: nanoseconds(oursWalker(expression, zone), rounds * 50),
      croner: nanoseconds(cronerWalker(expression, zone), Math.max(10, rounds / 10)),
      parser: nanoseconds(parserWalker(expression, zone), Math.max(10, rounds / 20)),
    }));
    all.push(...rows);
    ofZone.set(zone, rows);
  }
  const texts = Array.from(
    { length: 5000 },
    (_, index) => `${index % 60} ${Math.floor(index / 60) % 24} ${1 + (index % 28)} ${1 + (index % 12)} *`,
  );
  const parse = (text: string): Cadence => parseCadence(text, { zone: 'Europe/Berlin' });
  const fresh = eachMicroseconds(texts, parse);
  const seen = eachMicroseconds(texts, parse);
  const croner = eachMicroseconds(texts.slice(0, 500), (text) => new Cron(text, { timezone: 'Europe/Berlin' }));
  const parser = eachMicroseconds(texts.slice(0, 500), (text) => CronExpressionParser.parse(text, { tz: 'Europe/Berlin' }));
  const inUtc = ofZone.get('UTC') ?? [];
  const medians = [...ofZone.values()].map((rows) => median(rows.map(({ ours }) => ours)).value / 1000);
  const ratios = all.filter((row) => !Number.isNaN(row.croner)).map((row) => row.croner / row.ours);
  const threw = all.filter((row) => Number.isNaN(row.parser)).length;
  const compared = `${expressions.length} expressions`;
  return [
    { group: 'next fire', what: `in UTC, median of ${compared}`, unit: 'us', ...inMicroseconds(inUtc, 'ours'), budget: { atMost: 1 } },
    {
      group: 'next fire',
      what: `in the slowest of ${zones.length} zones, median of ${compared}`,
      value: Math.max(...medians),
      unit: 'us',
      budget: { atMost: 2 },
    },
    {
      group: 'next fire',
      what: 'the slowest expression in any zone',
      value: Math.max(...all.map(({ ours }) => ours)) / 1000,
      unit: 'us',
    },
    { group: 'next fire', what: 'croner, median over all', unit: 'us', ...inMicroseconds(all, 'croner') },
    {
      group: 'next fire',
      what: 'cron-parser, median over all',
      unit: 'us',
      ...inMicroseconds(all, 'parser'),
      ...(threw === 0 ? {} : { note: `it threw for ${threw} of ${all.length}` }),
    },
    {
      group: 'next fire',
      what: 'times faster than croner, median over all',
      unit: 'x',
      value: median(ratios).value,
      budget: { atLeast: 25 },
    },
    { group: 'parsing', what: 'an expression that is new', unit: 'us', ...median(fresh) },
    { group: 'parsing', what: 'an expression that was seen', unit: 'us', ...median(seen) },
    { group: 'parsing', what: 'croner', unit: 'us', ...median(croner) },
    { group: 'parsing', what: 'cron-parser', unit: 'us', ...median(parser) },
  ];
}

interface Measured {
  readonly ours: number;
  readonly croner: number;
  readonly parser: number;
}

/** Over expressions, not over rounds: how far they are apart is no noise. */
function inMicroseconds(rows: readonly Measured[], who: keyof Measured): { readonly value: number } {
  return { value: median(rows.map((row) => row[who]).filter((each) => !Number.isNaN(each))).value / 1000 };
}

function oursWalker(expression: string, zone: string): () => void {
  const timing: Timing = {
    cadences: [parseCadence(expression, { zone })],
    zone,
    dstGap: 'default',
    dstOverlap: 'default',
    onHoliday: 'run',
    jitterMs: 0,
    jitterKey: '',
  };
  const compiled = compile(timing);
  let at = start;
  // Walks on from fire to fire, as a loop does, and begins anew after some years.
  return () => {
    at = compiled.nextMs(at);
    if (at > start + 40 * 31_556_952_000) at = start;
  };
}

function cronerWalker(expression: string, zone: string): () => void {
  const cron = new Cron(expression, { timezone: zone });
  let at: Date | null = new Date(start);
  return () => {
    at = cron.nextRun(at);
    if (at === null || at.getTime() > start + 40 * 31_556_952_000) at = new Date(start);
  };
}

function parserWalker(expression: string, zone: string): () => void {
  const interval = CronExpressionParser.parse(expression, { tz: zone, currentDate: new Date(start) });
  return () => {
    const found = interval.next().getTime();
    if (found > start + 40 * 31_556_952_000) interval.reset(new Date(start));
  };
}

/** NaN: the library threw. */
function nanoseconds(step: () => void, times: number): number {
  try {
    for (let index = 0; index < times / 10; index++) step();
    const began = process.hrtime.bigint();
    for (let index = 0; index < times; index++) step();
    return Number(process.hrtime.bigint() - began) / times;
  } catch {
    return Number.NaN;
  }
}

function eachMicroseconds<T>(values: readonly T[], work: (value: T) => unknown): number[] {
  return values.map((value) => {
    const began = process.hrtime.bigint();
    work(value);
    return Number(process.hrtime.bigint() - began) / 1000;
  });
}
