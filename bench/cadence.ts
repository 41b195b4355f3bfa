// How long the next fire of a compiled cron takes: ours, croner's compiled `nextRun`, and cron-parser, side by side in one
// run; 30 expressions x 8 zones. And how long parsing takes, new and seen.

import { CronExpressionParser } from 'cron-parser';
import { Cron } from 'croner';
import { type Cadence, compile, parseCadence, type Timing } from '../src/scheduler/cadence/cadence.ts';

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

export function run(args: readonly string[]): void {
  const rounds = Number(args[0] ?? 2000);
  console.log(`next fire of a compiled cron, ns: median over ${expressions.length} expressions, and the slowest of them`);
  console.log(
    'zone'.padEnd(22),
    'ours'.padStart(8),
    'worst'.padStart(8),
    'croner'.padStart(9),
    'worst'.padStart(10),
    'cron-parser'.padStart(12),
    'croner/ours'.padStart(12),
  );
  const all: { ours: number; croner: number; parser: number }[] = [];
  for (const zone of zones) {
    const rows = expressions.map((expression) => ({
      ours: nanoseconds(oursWalker(expression, zone), rounds * 50),
      croner: nanoseconds(cronerWalker(expression, zone), Math.max(10, rounds / 10)),
      parser: nanoseconds(parserWalker(expression, zone), Math.max(10, rounds / 20)),
    }));
    all.push(...rows);
    print(zone, rows);
  }
  print('all', all);

  const texts = Array.from(
    { length: 5000 },
    (_, index) => `${index % 60} ${Math.floor(index / 60) % 24} ${1 + (index % 28)} ${1 + (index % 12)} *`,
  );
  const parse = (text: string): Cadence => parseCadence(text, { zone: 'Europe/Berlin' });
  const fresh = eachMicroseconds(texts, parse);
  const seen = eachMicroseconds(texts, parse);
  const croner = eachMicroseconds(texts.slice(0, 500), (text) => new Cron(text, { timezone: 'Europe/Berlin' }));
  const parser = eachMicroseconds(texts.slice(0, 500), (text) => CronExpressionParser.parse(text, { tz: 'Europe/Berlin' }));
  console.log(`\nparsing, us (median, p99): new ${fresh}; seen ${seen}; croner ${croner}; cron-parser ${parser}`);
}

function print(name: string, rows: readonly { ours: number; croner: number; parser: number }[]): void {
  const ours = rows.map((row) => row.ours);
  const croner = rows.map((row) => row.croner).filter((ns) => !Number.isNaN(ns));
  const parser = rows.map((row) => row.parser).filter((ns) => !Number.isNaN(ns));
  const failed = rows.length - parser.length;
  console.log(
    name.padEnd(22),
    median(ours).toFixed(0).padStart(8),
    Math.max(...ours)
      .toFixed(0)
      .padStart(8),
    median(croner).toFixed(0).padStart(9),
    Math.max(...croner)
      .toFixed(0)
      .padStart(10),
    median(parser).toFixed(0).padStart(12),
    (median(croner) / median(ours)).toFixed(0).padStart(12),
    failed > 0 ? `  (cron-parser threw for ${failed})` : '',
  );
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

function eachMicroseconds<T>(values: readonly T[], work: (value: T) => unknown): string {
  const times = values.map((value) => {
    const began = process.hrtime.bigint();
    work(value);
    return Number(process.hrtime.bigint() - began) / 1000;
  });
  times.sort((left, right) => left - right);
  return `${median(times).toFixed(1)}, ${(times[Math.floor(times.length * 0.99)] ?? 0).toFixed(1)}`;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
