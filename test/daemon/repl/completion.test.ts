import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Completer, type DuckdbSuggestion, wantedAt } from '../../../src/daemon/repl/completion.ts';

const names: Record<string, string[]> = {
  schedule: ['daily_backup', 'Daily Report'],
  procedure: ['backup_procedure', 'purge'],
  pipeline: ['restock'],
  calendar: ['tokyo'],
  queue: ['critical'],
};

/** The texts that Tab would make of `text`, the cursor at its end. */
async function offered(text: string, duckdb: readonly Partial<DuckdbSuggestion>[] = []): Promise<string[]> {
  const completer = new Completer({
    names: (noun) => Promise.resolve(names[noun] ?? []),
    duckdb: () => Promise.resolve(duckdb.map((suggestion) => ({ text: '', start: 0, kind: 'keyword', score: 0, ...suggestion }))),
  });
  const completion = await completer.complete(text, text.length);
  if (completion === undefined) return [];
  expect(completion.end).toBe(text.length);
  return completion.candidates.map((candidate) => text.slice(0, completion.start) + candidate);
}

describe('our own statements', () => {
  it.each([
    ['UPS', ['UPSERT']],
    ['ups', ['upsert']],
    ['UPSERT SCH', ['UPSERT SCHEDULE']],
    ['SELECT 1; LIST SCH', ['SELECT 1; LIST SCHEDULES']],
    ['LIST SCHEDULES WH', ['LIST SCHEDULES WHERE']],
    ['DROP SCHEDULE da', ['DROP SCHEDULE daily_backup', 'DROP SCHEDULE "Daily Report"']],
    ['drop schedule if exists daily_', ['drop schedule if exists daily_backup']],
    ['RUN SCHEDULE daily_backup AW', ['RUN SCHEDULE daily_backup AWAIT']],
    ['CALL pu', ['CALL purge']],
    ['EXPLAIN SCHEDULE daily_backup N', ['EXPLAIN SCHEDULE daily_backup NEXT']],
    ['PAUSE ', ['PAUSE SCHEDULE', 'PAUSE QUEUE', 'PAUSE SCHEDULER']],
    ['RESUME QUEUE c', ['RESUME QUEUE critical']],
    ['SET cron.time', ['SET cron.timezone', 'SET cron.timeout']],
    ['CREATE OR REPLACE PI', ['CREATE OR REPLACE PIPELINE']],
    ['SHOW CREATE CALENDAR t', ['SHOW CREATE CALENDAR tokyo']],
  ])('%s', async (text, candidates) => {
    expect((await offered(text)).sort()).toEqual([...candidates].sort());
  });

  it('end where words of the user begin', async () => {
    expect(await offered('UPSERT SCHEDULE x AS ')).toEqual([]);
    expect(await offered("UPSERT SCHEDULE x ( sql: 'SEL")).toEqual([]);
    expect(await offered('-- UPS')).toEqual([]);
  });
});

describe('definitions', () => {
  it.each([
    ['UPSERT SCHEDULE x ( sc', ['sched: ']],
    ['UPSERT SCHEDULE x ( sched: @daily, over', ['overlap: ', 'overlap_limit: ']],
    ['UPSERT SCHEDULE x ( overlap: ', ['skip', 'queue', 'allow', 'replace']],
    ['UPSERT SCHEDULE AS x (\n  sched: @d', ['@daily']],
    ['UPSERT SCHEDULE x ( sched: e', ['every ']],
    ['UPSERT SCHEDULE x ( call: pur', ['purge']],
    ['UPSERT SCHEDULE x ( after: [daily_b', ['daily_backup']],
    ['UPSERT SCHEDULE x ( resources: { cp', ['cpu: ']],
    ['UPSERT SCHEDULE x ( resources: { cpu: 50 }, ca', ['call: ', 'calendar: ', 'catchup: ', 'catchup_limit: ', 'catchup_within: ']],
    ['UPSERT SCHEDULE x ( queue: cr', ['critical']],
    ['UPSERT PIPELINE p ( steps: [ { na', ['name: ']],
    ['UPSERT PIPELINE p ( steps: [ { name: a, on_empty: sk', ['skip(']],
    ['UPSERT CALENDAR c ( weekend: [sa', ['sat', 'saturday']],
    ['ALTER QUEUE q SET ( wei', ['weight: ']],
  ])('%s', async (text, candidates) => {
    const typed = /[@\w]*$/.exec(text)?.[0] ?? '';
    const head = text.slice(0, text.length - typed.length);
    expect((await offered(text)).sort()).toEqual(candidates.map((candidate) => head + candidate).sort());
  });

  it('offer nothing behind a value or in an object of free keys', () => {
    expect(wantedAt('UPSERT SCHEDULE x ( sched: @daily ').words).toEqual([]);
    expect(wantedAt('UPSERT SCHEDULE x ( params: { ').words).toEqual([]);
  });
});

describe('everything else', () => {
  it('is what DuckDB offers, the near misses left out', async () => {
    const answer = [
      { text: 'products', start: 5, kind: 'table' },
      { text: 'procedure ', start: 5 },
      { text: 'pg_proc', start: 5, kind: 'table', score: 4 },
    ];
    expect(await offered('FROM pro', answer)).toEqual(['FROM products', 'FROM procedure ']);
  });

  it('comes behind our own words where both could begin a statement', async () => {
    expect(
      await offered('de', [
        { text: 'delete ', start: 0 },
        { text: 'describe ', start: 0 },
      ]),
    ).toEqual(['describe', 'delete ', 'describe ']);
  });

  it('is asked with the statement at the cursor alone', async () => {
    const asked: string[] = [];
    const completer = new Completer({
      names: () => Promise.resolve([]),
      duckdb: (statement) => {
        asked.push(statement);
        return Promise.resolve([{ text: 'table_one', start: 5, kind: 'table', score: 0 }]);
      },
    });
    const text = "SELECT ';'; FROM ta WHERE x";
    expect(await completer.complete(text, 19)).toEqual({ start: 17, end: 19, candidates: ['table_one'] });
    expect(asked).toEqual(['FROM ta']);
  });
});

describe('commands of the shell', () => {
  it('are completed in the spelling that was begun', async () => {
    expect(await offered('.ti')).toEqual(['.timer']);
    expect(await offered('\\li')).toEqual(['\\list_jobs']);
    expect(await offered('SELECT 1;\n.job')).toEqual(['SELECT 1;\n.job_status ']);
    expect(await offered('SELECT 1\n.job')).toEqual([]);
  });

  it('with what they take', async () => {
    expect(await offered('.mode js')).toEqual(['.mode json', '.mode jsonlines']);
    expect(await offered('.timer o')).toEqual(['.timer on', '.timer off']);
    expect(await offered('.enable_job da')).toEqual(['.enable_job daily_backup']);
    expect(await offered('.schema pr', [{ text: 'products', start: 5, kind: 'table' }])).toEqual(['.schema products']);
  });

  it('and files, folders with their slash', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'cuckoo-complete-'));
    try {
      writeFileSync(join(folder, 'first.sql'), '');
      mkdirSync(join(folder, 'fixtures'));
      expect(await offered(`.read ${folder}/fi`)).toEqual([`.read ${folder}/first.sql`, `.read ${folder}/fixtures/`]);
      expect(await offered(`\\i ${folder}/nothing`)).toEqual([]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
