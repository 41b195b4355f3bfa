import { describe, expect, it } from 'vitest';
import { failedRun, fromNow, localTime, logLines, runSentence, sentence, story, warningsOf } from '../../src/daemon/answer.ts';
import type { Column } from '../../src/engine/result.ts';
import { TimestampTz } from '../../src/engine/value.ts';

const varchar = { kind: 'VARCHAR' } as const;
const columns: Column[] = [
  { name: 'name', type: varchar },
  { name: 'outcome', type: varchar },
  { name: 'changed', type: { kind: 'LIST', item: varchar } },
  { name: 'next_run', type: { kind: 'TIMESTAMPTZ' } },
  { name: 'in_words', type: varchar },
  { name: 'warnings', type: { kind: 'LIST', item: varchar } },
];
const now = Date.parse('2026-11-20T17:48:00Z');
const two = TimestampTz.fromEpochMs(Date.parse('2026-11-21T01:00:00Z'));

describe('the answer of a definition', () => {
  it('is a sentence: what happened, when it runs next, how often', () => {
    const row = ['daily_backup', 'created', [], two, 'at 02:00 every day, Europe/Berlin', []];
    expect(sentence(columns, row, { now, zone: 'Europe/Berlin' })).toBe(
      'daily_backup: created; next run Sat 21 Nov 02:00 CET (in 7h 12m); at 02:00 every day, Europe/Berlin',
    );
  });

  it('names what was changed, and leaves out what there is not', () => {
    expect(sentence(columns, ['x', 'updated', ['sched', 'timezone'], null, null, []], { now, zone: 'UTC' })).toBe(
      'x: updated (sched, timezone)',
    );
    expect(sentence(columns.slice(0, 2), ['p', 'dropped'], { now, zone: 'UTC' })).toBe('p: dropped');
  });

  it('carries its warnings', () => {
    expect(warningsOf(columns, ['x', 'created', [], null, null, ['fires on both']])).toEqual(['fires on both']);
    expect(warningsOf(columns.slice(0, 2), ['p', 'dropped'])).toEqual([]);
  });
});

describe('the answer of a run', () => {
  const json = { kind: 'JSON' } as const;
  const runColumns: Column[] = [
    ...['run_id', 'schedule', 'state', 'reason'].map((name) => ({ name, type: varchar })),
    { name: 'duration_ms', type: { kind: 'DOUBLE' } },
    { name: 'rows_changed', type: { kind: 'BIGINT' } },
    { name: 'result', type: json },
  ];

  it.each([
    ['report: succeeded in 12 ms; 3 rows changed', ['id', 'report', 'succeeded', null, 12.4, 3n, null]],
    ['report: succeeded in 1 ms; 1 row changed', ['id', 'report', 'succeeded', null, 0, 1n, null]],
    ['report: succeeded in 1m 01s; result [{"x":42}]', ['id', 'report', 'succeeded', null, 61_000, 0n, '[{"x":42}]']],
    ['report: succeeded in 5 ms; 0 rows changed; a dry run: rolled back', [null, 'report', 'succeeded', null, 5, 0n, null]],
    ['report: failed; no such table', ['id', 'report', 'failed', 'no such table', 5, null, null]],
    ['report: timed out; took longer than 5m', ['id', 'report', 'timed_out', 'took longer than 5m', 5, null, null]],
    ['report: skipped; when: the condition was false', ['id', 'report', 'skipped', 'when: the condition was false', null, null, null]],
  ] as const)('%s', (said, row) => {
    expect(runSentence(runColumns, row)).toBe(said);
  });

  it('shows no more of a long result than fits a few lines', () => {
    const said = runSentence(runColumns, ['id', 'report', 'succeeded', null, 5, 0n, JSON.stringify('x'.repeat(1000))]);
    expect(said.length).toBeLessThan(200);
    expect(said).toMatch(/…$/);
  });

  it('names the run that a person should look into', () => {
    const row = (state: string, id: string | null) => failedRun(runColumns, [id, 'report', state, null, null, null, null]);
    expect([row('succeeded', 'id'), row('skipped', 'id'), row('pending', 'id')]).toEqual([undefined, undefined, undefined]);
    expect([row('failed', 'id'), row('cancelled', 'id'), row('failed', null)]).toEqual([
      { runId: 'id' },
      { runId: 'id' },
      { runId: undefined },
    ]);
  });
});

describe('the lines of a run', () => {
  const at = new TimestampTz(1_795_176_000_123_456n);
  const told = (row: readonly [step: string | null, stream: string, level: string, line: string], width?: number, color = false): string =>
    logLines([[at, ...row]], { zone: 'Europe/Berlin', width, color });

  it('say when, from where, and what', () => {
    expect(told([null, 'stderr', 'error', 'no such file'])).toBe('13:00:00.123  stderr  no such file\n');
    expect(told([null, 'log', 'warn', 'slow'])).toBe('13:00:00.123  warn    slow\n');
    expect(told(['load', 'stdout', 'info', 'ok'])).toBe('13:00:00.123  load  stdout  ok\n');
    expect(told([null, 'scheduler', 'info', 'succeeded in 1.2 s'])).toBe('13:00:00.123  cuckoo  succeeded in 1.2 s\n');
  });

  it('stay whole however narrow the terminal is; what is said beside them ends between words', () => {
    const words = 'one two three four five';
    expect(told([null, 'stdout', 'info', words], 35)).toBe(`13:00:00.123  stdout  ${words}\n`);
    expect(told([null, 'scheduler', 'info', words], 35)).toBe(`13:00:00.123  cuckoo  one two three\n${' '.repeat(22)}four five\n`);
  });

  it('command no terminal', () => {
    expect(told(['a\x1b[2J', 'stdout', 'info', 'b\x1b]0;title\x07\tc\r\u202e'])).toBe(
      '13:00:00.123  a\\u001b[2J  stdout  b\\u001b]0;title\\u0007    c\\r\\u202e\n',
    );
  });

  it('have colours only where they are wanted', () => {
    expect(told([null, 'stderr', 'error', 'x'], undefined, true)).toBe('\x1b[2m13:00:00.123  \x1b[22m\x1b[31mstderr\x1b[39m  x\n');
    expect(told([null, 'stdout', 'info', 'x'], undefined, true)).toBe('\x1b[2m13:00:00.123  \x1b[22m\x1b[2mstdout\x1b[22m  x\n');
  });
});

describe('an instant for people', () => {
  it('names the zone by its own short name, and the year and seconds only where they matter', () => {
    const at = Date.parse('2026-11-21T01:00:00Z');
    expect(localTime(at, { now, zone: 'America/New_York' })).toBe('Fri 20 Nov 20:00 EST');
    expect(localTime(at + 5000, { now, zone: 'UTC' })).toBe('Sat 21 Nov 01:00:05 UTC');
    expect(localTime(Date.parse('2027-07-01T00:00:00Z'), { now, zone: 'Europe/Berlin' })).toBe('Thu 1 Jul 2027 02:00 CEST');
    expect(localTime(at, { now, zone: 'Asia/Tokyo' })).toBe('Sat 21 Nov 10:00 GMT+9');
  });

  it.each([
    [0, 'now'],
    [4000, 'in 4s'],
    [65_000, 'in 1m 5s'],
    [3_600_000, 'in 1h'],
    [25_920_000, 'in 7h 12m'],
    [90_061_000, 'in 1d 1h'],
    [86_399_600, 'in 1d'],
  ])('and how far it is: %d ms', (ms, text) => {
    expect(fromNow(ms)).toBe(text);
  });
});

describe('a story', () => {
  const at = (text: string): TimestampTz => TimestampTz.fromEpochMs(Date.parse(text));
  const rows = [
    [at('2026-11-20T22:59:59.5Z'), 'due', '00:59:59.500 in Europe/Kyiv'],
    [at('2026-11-20T23:00:00Z'), 'succeeded', 'after 340 ms; 6 rows changed, and a line that is longer than the terminal'],
    [at('2026-11-20T23:00:00Z'), 'then', ''],
  ];

  it('has its days above its lines, and details in full', () => {
    expect(story(rows, { zone: 'Europe/Berlin', width: 60 }).split('\n')).toEqual([
      '2026-11-20 (Europe/Berlin)',
      '23:59:59.500  due        00:59:59.500 in Europe/Kyiv',
      '2026-11-21 (Europe/Berlin)',
      '00:00:00.000  succeeded  after 340 ms; 6 rows changed, and a',
      '                         line that is longer than the',
      '                         terminal',
      '00:00:00.000  then',
      '',
    ]);
  });

  it('is not folded where there is no terminal, and moves no cursor', () => {
    const [, , , line] = story([...rows.slice(0, 1), [at('2026-11-21T00:00:00Z'), 'failed', 'a\u001b[2Jb']], {
      zone: 'UTC',
      width: undefined,
    }).split('\n');
    expect(line).toBe('00:00:00.000  failed  a\\u001b[2Jb');
  });
});
