// docs/a-day.md is a day of the scheduler's, told by its own rows. The page's definitions are played here, on the real engine and a
// clock moved by hand, and its tables are compared with what came of them. `UPDATE_DOCS=1 npx vitest run test/scheduling/day.test.ts`
// writes them anew; whoever does so reads whether they still explain themselves.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test, vi } from 'vitest';
import { formatDuration, parseDuration } from '../../src/core/duration.ts';
import { readPieces } from '../../src/daemon/input.ts';
import type { Row } from '../support/database.ts';
import { type Fence, fencesOf, read, refreshed, write } from '../support/document.ts';
import { VirtualEngine } from '../support/virtualEngine.ts';

const path = 'docs/a-day.md';
const folder = mkdtempSync(join(tmpdir(), 'cuckoo-day-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('a day of more than forty schedules with every policy reads as an explanation', { timeout: 120_000 }, async () => {
  const markdown = read(path);
  const fences = fencesOf(markdown);
  const definitions = fences
    .filter((fence) => fence.language === 'sql')
    .flatMap((fence) => readPieces(fence.text).map((piece) => piece.text));
  const engine = await playDay(definitions);
  try {
    const tables: { fence: Fence; text: string }[] = [];
    for (const [index, fence] of fences.entries()) {
      if (fence.language === 'text') tables.push({ fence, text: await tableOf(fence, fences[index - 1], markdown, engine) });
    }
    if (process.env['UPDATE_DOCS'] === '1') write(path, refreshed(markdown, tables));
    else expect(tables.map(({ text }) => text).join('\n')).toBe(tables.map(({ fence }) => fence.text).join('\n'));
  } finally {
    await engine.close();
  }
});

async function playDay(definitions: readonly string[]): Promise<VirtualEngine> {
  // Half of all that is left to chance.
  vi.spyOn(Math, 'random').mockReturnValue(0.5);
  const zone = 'Europe/Berlin';
  const evening = await VirtualEngine.open(join(folder, 'evening.duckdb'), { startAt: '2026-10-24T23:50:00+02:00', zone });
  await evening.run(...definitions);
  await evening.engine.scheduler.start();
  await evening.until('2026-10-25T04:10:00+01:00');
  await evening.die(join(folder, 'morning.duckdb'));

  const day = await VirtualEngine.open(join(folder, 'morning.duckdb'), { startAt: '2026-10-25T06:10:00+01:00', zone });
  await day.engine.scheduler.start();
  const at = async (time: string, ...texts: readonly string[]): Promise<void> => {
    await day.until(`2026-10-25T${time}:00+01:00`);
    await day.run(...texts);
  };
  await day.until('2026-10-25T10:00:00.001+01:00');
  day.clock.jump(-20 * 60_000);
  await day.until('2026-10-25T12:29:50+01:00');
  day.clock.jump(40_000);
  await at('12:45', "BACKFILL SCHEDULE missed_none FROM '2026-10-25 05:00:00+01' TO '2026-10-25 06:00:00+01' ONLY MISSING");
  await at('15:10', 'PAUSE QUEUE night');
  await at('15:40', 'RESUME QUEUE night', 'DROP SCHEDULE retired');
  await at('16:00', "RUN SCHEDULE by_hand WITH ( who: 'ada' )");
  await at('16:45', "CANCEL RUNS WHERE schedule = 'endless'");
  await at('19:55', 'SET cron.workers = 2');
  await at('21:00', 'SET cron.workers = 4');
  await at('22:05', 'PAUSE SCHEDULER');
  await at('22:25', 'RESUME SCHEDULER');
  await at('23:05', 'DISABLE SCHEDULE disabled');
  await at('23:25', 'ENABLE SCHEDULE disabled');
  const letter = (schedule: string) => day.value(`SELECT run_id FROM cron.dead_letters WHERE schedule = '${schedule}'`);
  await at('23:30', `RETRY DEAD LETTER '${await letter('transform')}'`, `DROP DEAD LETTER '${await letter('crash_fail')}'`);
  await day.until('2026-10-25T23:59:59+01:00');
  return day;
}

async function tableOf(fence: Fence, before: Fence | undefined, markdown: string, engine: VirtualEngine): Promise<string> {
  const what = /^```text (.*)\n$/m.exec(markdown.slice(0, fence.start).split('\n').slice(-2).join('\n'))?.[1];
  switch (what) {
    case 'runs': {
      const names = [...(before?.text ?? '').matchAll(/^UPSERT SCHEDULE (\w+)/gm)].map(([, name]) => name ?? '');
      return runsTable(await engine.rows(runsOf(names)));
    }
    case 'dead letters':
      return aligned(await engine.rows('SELECT schedule, state, attempt, reason FROM cron.dead_letters ORDER BY finished_at, schedule'));
    case 'health':
      return aligned(await engine.rows('SELECT schedule, condition, detail FROM cron.schedule_health ORDER BY schedule, condition'));
    default:
      return expect.unreachable(`line ${fence.line}: a table of what?`);
  }
}

/** The day is told where it is another one, and the hour from two to three comes twice. */
const local = (column: string): string => {
  const at = `${column} AT TIME ZONE 'Europe/Berlin'`;
  return `CASE WHEN (${at})::DATE <> '2026-10-25' THEN strftime(${at}, '%a ') ELSE '' END || strftime(${at}, '%H:%M')
    || CASE WHEN ${column} < '2026-10-25 01:00:00Z'::TIMESTAMPTZ THEN ' CEST' ELSE '' END`;
};

/** In the order in which their section names them. */
const runsOf = (names: readonly string[]): string => `
  SELECT r.schedule, r.trigger,
    CASE WHEN r.fires > 1 THEN ${local('r.first_scheduled_at')} || ' .. ' || ${local('r.scheduled_at')} || ' (' || r.fires || ')'
      ELSE ${local('r.scheduled_at')} END AS "for",
    CASE WHEN r.state <> 'skipped' OR r.started_at IS NOT NULL THEN r.attempt END AS attempt,
    strftime(r.started_at AT TIME ZONE 'Europe/Berlin', '%H:%M:%S') AS started, r.duration_ms AS took, r.state,
    r.wait_ms AS waited, c.waited_for, regexp_extract(before.reason, 'retry in (\\w+)$', 1) AS delay, r.reason
  FROM cron.runs r LEFT JOIN cuckoo_ledger.closed c ON c.run_id = r.run_id::UUID LEFT JOIN cron.runs before ON before.run_id = r.retry_of
  WHERE r.schedule IN (${names.map((name) => `'${name}'`).join(', ')})
  ORDER BY list_position([${names.map((name) => `'${name}'`).join(', ')}], r.schedule), r.opened_at, r.scheduled_at, r.attempt, r.run_id`;

const duration = (ms: unknown): string => (typeof ms === 'number' && ms > 0 ? formatDuration(ms) : '');

/** Not what it waited for its own delay. */
function waitOf({ waited, waited_for: waitedFor, delay }: Row): string {
  if (typeof waited !== 'number' || waitedFor === null) return '';
  const ms = typeof delay === 'string' && delay !== '' ? waited - parseDuration(delay) : waited;
  return ms > 0 ? `${formatDuration(ms)}: ${waitedFor}` : '';
}

function runsTable(rows: readonly Row[]): string {
  return aligned(
    rows.map(({ took, waited, waited_for, delay, reason, ...row }) => ({
      ...row,
      took: duration(took),
      waited: waitOf({ waited, waited_for, delay } as Row),
      reason,
    })),
  );
}

function aligned(rows: readonly Readonly<Record<string, unknown>>[]): string {
  const columns = Object.keys(rows[0] ?? {});
  const table = [columns, ...rows.map((row) => columns.map((column) => String(row[column] ?? '')))];
  const widths = columns.map((_, at) => Math.max(...table.map((cells) => (cells[at] ?? '').length)));
  return table
    .map(
      (cells) =>
        `${cells
          .map((cell, at) => cell.padEnd(widths[at] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
}
