import stringWidth from 'string-width';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { drawing, Rendering, textOf } from './rendering.ts';

let rendering: Rendering;

beforeAll(async () => {
  rendering = await Rendering.open();
});

afterAll(() => rendering.close());

describe('duckbox', () => {
  test('has names, types, numbers to the right and everything else to the left', async () => {
    expect(
      await rendering.text(
        "SELECT 7 AS id, 'x' AS name, NULL AS nothing, [1, 2] AS list UNION ALL SELECT 12345, 'longer', 1, NULL",
        'duckbox',
      ),
    ).toBe(
      drawing(`
        ┌───────┬─────────┬─────────┬─────────┐
        │  id   │  name   │ nothing │  list   │
        │ int32 │ varchar │  int32  │ int32[] │
        ├───────┼─────────┼─────────┼─────────┤
        │     7 │ x       │    NULL │ [1, 2]  │
        │ 12345 │ longer  │       1 │ NULL    │
        └───────┴─────────┴─────────┴─────────┘
      `),
    );
  });

  test('shows the first and the last rows of a long result, and says how many there are', async () => {
    const lines = (await rendering.text('SELECT i FROM range(100000) t(i)', 'duckbox')).split('\n');
    expect(lines.slice(0, 6)).toEqual([
      '┌────────────────────────┐',
      '│           i            │',
      '│         int64          │',
      '├────────────────────────┤',
      '│                      0 │',
      '│                      1 │',
    ]);
    expect(lines.slice(23)).toEqual([
      '│                     19 │',
      '│           ·            │',
      '│           ·            │',
      '│           ·            │',
      ...Array.from({ length: 20 }, (_, at) => `│                  ${99_980 + at} │`),
      '├────────────────────────┤',
      '│ 100000 rows (40 shown) │',
      '│        1 column        │',
      '└────────────────────────┘',
      '',
    ]);
  });

  test.each([39, 40, 41, 60, 2048, 2049, 2067, 4100])('of %i rows shows each row once, or the first 20 and the last 20', async (count) => {
    const text = await rendering.text(`SELECT 'row ' || i || '.' AS r FROM range(${count}) t(i)`, 'duckbox');
    const shown = [...text.matchAll(/row (\d+)\./g)].map((match) => Number(match[1]));
    const all = Array.from({ length: count }, (_, at) => at);
    expect(shown).toEqual(count <= 40 ? all : [...all.slice(0, 20), ...all.slice(-20)]);
    expect(text).toContain(count <= 40 ? `${count} rows ` : `${count} rows (40 shown)`);
  });

  test('without rows still has its columns', async () => {
    expect(await rendering.text('SELECT 1 AS a WHERE false', 'duckbox')).toBe(
      drawing(`
        ┌────────┐
        │   a    │
        │ int32  │
        ├────────┤
        │ 0 rows │
        └────────┘
      `),
    );
  });

  test('cuts long texts to the terminal, wide characters counted as wide', async () => {
    expect(await rendering.text("SELECT repeat('long ', 30) AS a, repeat('🦆漢', 30) AS b, 1 AS c", 'duckbox', { columns: 60 })).toBe(
      drawing(`
        ┌────────────────────────┬────────────────────────┬───────┐
        │           a            │           b            │   c   │
        │        varchar         │        varchar         │ int32 │
        ├────────────────────────┼────────────────────────┼───────┤
        │ long long long long l… │ 🦆漢🦆漢🦆漢🦆漢🦆漢…  │     1 │
        └────────────────────────┴────────────────────────┴───────┘
      `),
    );
  });

  test('leaves out columns in the middle where all of them do not fit, and says so', async () => {
    expect(
      await rendering.text("SELECT 'first' AS a, 'second' AS b, 'third' AS c, 'fourth' AS d, 'fifth' AS e", 'duckbox', { columns: 40 }),
    ).toBe(
      drawing(`
        ┌─────────┬─────────┬───┬─────────┐
        │    a    │    b    │ … │    e    │
        │ varchar │ varchar │   │ varchar │
        ├─────────┼─────────┼───┼─────────┤
        │ first   │ second  │ … │ fifth   │
        ├─────────┴─────────┴───┴─────────┤
        │ 1 row       5 columns (3 shown) │
        └─────────────────────────────────┘
      `),
    );
  });

  test('shows as much of long texts as there is room beside the columns that it leaves out', async () => {
    const text = await rendering.text("SELECT repeat('a', 60) AS a, repeat('b', 60) AS b, repeat('c', 60) AS c", 'duckbox', {
      columns: 61,
    });
    const lines = text.trimEnd().split('\n');
    expect(lines.map((line) => line.length)).toEqual(lines.map(() => 61));
    expect(text).toContain(`│ ${'a'.repeat(24)}… │ … │ ${'c'.repeat(24)}… │`);
  });

  test.each([24, 30, 41, 57, 80, 120, 200])('fits a terminal of %i columns, and every line is as wide as the first', async (columns) => {
    for (const sql of ['SELECT * FROM test_all_types()', "SELECT repeat('é🦆', 200) AS x", 'SELECT i, i, i, i FROM range(300) t(i)']) {
      const lines = (await rendering.text(sql, 'duckbox', { columns })).trimEnd().split('\n');
      const widths = new Set(lines.map((line) => stringWidth(line)));
      expect([...widths], lines.join('\n')).toHaveLength(1);
      expect(Math.max(...widths)).toBeLessThanOrEqual(columns);
    }
  });

  test('shows the lines of a plan or a definition as lines', async () => {
    expect(
      await rendering.text(
        "SELECT 'nightly' AS name, 'UPSERT SCHEDULE nightly (' || chr(10) || chr(9) || 'sched: every 1h' || chr(10) || ');' AS definition",
        'duckbox',
      ),
    ).toBe(
      drawing(`
        ┌─────────┬───────────────────────────┐
        │  name   │        definition         │
        │ varchar │          varchar          │
        ├─────────┼───────────────────────────┤
        │ nightly │ UPSERT SCHEDULE nightly ( │
        │         │     sched: every 1h       │
        │         │ );                        │
        └─────────┴───────────────────────────┘
      `),
    );
    const many = await rendering.text("SELECT repeat('line' || chr(10), 100) AS t FROM range(3)", 'duckbox');
    expect(many.match(/line/g)).toHaveLength(60);
  });

  test('lets no control character and no direction mark of the data through', async () => {
    const text = await rendering.text(
      `SELECT chr(27) || ']0;title' || chr(7) || chr(155) || '31m' || chr(8238) || chr(13) || chr(0) AS "a${'\x1b'}[2Jb", 1 AS x, 2 AS y`,
      'duckbox',
    );
    expect(text.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\u202e]/u);
    expect(text).toContain('\\u001b]0;title\\u0007\\u009b31m\\u202e\\r\\u0000');
    expect(text).toContain('a\\u001b[2Jb');
  });

  test('is coloured only where that is wanted', async () => {
    const sql = "SELECT NULL AS a, 'x' AS b";
    expect(await rendering.text(sql, 'duckbox', { color: false })).not.toContain('\x1b');
    const colored = await rendering.text(sql, 'duckbox', { color: true });
    expect(colored).toContain('\x1b[2m NULL\x1b[22m');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: what colours are made of.
    expect(colored.replace(/\x1b\[\d+m/g, '')).toBe(await rendering.text(sql, 'duckbox'));
  });

  test('has a short word for the type of instants, so that it makes no column wide', async () => {
    const [, , types] = (await rendering.text("SELECT now() AS t, [now()] AS l, '10:00:00+01'::TIMETZ AS z", 'duckbox')).split('\n');
    expect(types?.match(/[\w[\] ]+/g)?.map((word) => word.trim())).toEqual(['timestamptz', 'timestamptz[]', 'time with time zone']);
  });

  test('shows instants in the zone that is asked for', async () => {
    expect(await rendering.text("SELECT TIMESTAMPTZ '2026-11-20 10:00:00+00' AS t", 'duckbox', { zone: 'Europe/Berlin' })).toContain(
      '2026-11-20 11:00:00+01',
    );
  });
});

describe('of a result with prominent columns', () => {
  const id = '01a1f87e-3749-7004-b18a-09ffb5e101cc';
  const schedule = {
    name: 'nightly',
    sched: '0 2 * * *',
    timezone: 'Europe/Berlin',
    status: 'scheduled',
    definition: 'UPSERT SCHEDULE ..',
  };
  const prominent = ['name', 'status', 'sched', 'not there'];

  test('those that say nothing give way, where not all fit', async () => {
    const run = { id: 'x', reason: null, progress: null, duration: '12 ms', other: 'a long text that takes much room' };
    const look = { prominent: ['id', 'reason', 'progress', 'duration'], columns: 40 };
    const heads = async (rows: Parameters<typeof textOf>[0], columns = 40): Promise<unknown> =>
      (await textOf(rows, { ...look, columns })).split('\n')[1]?.match(/\w+/g);
    expect(await heads([run, run])).toEqual(['id', 'duration', 'reason']);
    expect(await heads([run, { ...run, progress: '70 %' }])).toEqual(['id', 'progress', 'duration']);
    expect(await heads([{ ...run, reason: 'why' }])).toEqual(['id', 'reason', 'duration']);
  });

  test('all columns are shown where they fit, the prominent ones first, in duckbox and box', async () => {
    for (const mode of ['duckbox', 'box'] as const) {
      const [, heads = ''] = (await textOf([schedule], { prominent, columns: 100 }, mode)).split('\n');
      expect(heads.match(/\w+/g)).toEqual(['name', 'status', 'sched', 'timezone', 'definition']);
    }
    expect(await textOf([schedule], { prominent }, 'csv')).toMatch(/^name,sched,timezone,status,definition\n/);
  });

  test('only these are shown where not all fit, and the last of them goes first', async () => {
    expect(await textOf([schedule], { prominent, columns: 60 })).toBe(
      drawing(`
        ┌─────────┬───────────┬───────────┬───┐
        │  name   │  status   │   sched   │ … │
        │ varchar │  varchar  │  varchar  │   │
        ├─────────┼───────────┼───────────┼───┤
        │ nightly │ scheduled │ 0 2 * * * │ … │
        ├─────────┴───────────┴───────────┴───┤
        │ 1 row           5 columns (3 shown) │
        └─────────────────────────────────────┘
      `),
    );
    expect(await textOf([schedule], { prominent, columns: 30 })).toContain('│  name   │  status   │ … │\n');
  });

  test("a run's id keeps what finds it, and long texts take the room that is left", async () => {
    const run = { run_id: id, schedule: 'nightly', reason: 'a reason that is quite long '.repeat(3), node: 'x'.repeat(90) };
    const narrow = await textOf([run], { prominent: ['run_id', 'schedule', 'reason'], columns: 60 });
    expect(narrow).toContain(`│ ${id.slice(0, 19)}… │ nightly  │ a reason `);
    for (const line of narrow.trimEnd().split('\n').slice(0, 6)) expect(line).toHaveLength(60);
    const wider = await textOf([run], { prominent: ['run_id', 'schedule', 'reason'], columns: 70 });
    expect(wider).toContain(`│ ${id.slice(0, 19)}… │ nightly  │ ${run.reason.slice(0, 27)}… │`);
    const wide = await textOf([run], { prominent: ['run_id', 'schedule', 'reason'], columns: 160 });
    expect(wide).toContain(`│ ${id} │ nightly  │ ${run.reason}`);
  });

  test.each([20, 24, 30, 41, 57, 80, 120])('it fits a terminal of %i columns', async (columns) => {
    const run = { run_id: id, schedule: 'a schedule with a name', state: 'succeeded', reason: 'x'.repeat(50), node: 'y'.repeat(90) };
    const lines = (await textOf([run], { prominent: ['run_id', 'state', 'reason'], columns })).trimEnd().split('\n');
    expect(new Set(lines.map((line) => stringWidth(line))).size, lines.join('\n')).toBe(1);
    expect(stringWidth(lines[0] ?? '')).toBeLessThanOrEqual(Math.max(columns, 24));
  });
});

test('a description shows long values in full, on several lines', async () => {
  const rows = [
    { property: 'name', value: 'nightly' },
    { property: 'reason', value: `in procedure p, line 2: 漢字 ${'no '.repeat(10)}${'z'.repeat(40)}` },
  ];
  expect(await textOf(rows, { form: 'properties', columns: 40 })).toBe(
    drawing(`
      ┌──────────┬───────────────────────────┐
      │ property │           value           │
      │ varchar  │          varchar          │
      ├──────────┼───────────────────────────┤
      │ name     │ nightly                   │
      │ reason   │ in procedure p, line 2:   │
      │          │ 漢字 no no no no no no no │
      │          │ no no no                  │
      │          │ zzzzzzzzzzzzzzzzzzzzzzzzz │
      │          │ zzzzzzzzzzzzzzz           │
      └──────────┴───────────────────────────┘
    `),
  );
  expect(await textOf(rows, { form: 'table', columns: 40 })).toContain('…');
});

describe('box', () => {
  test('shows every row and every line in full, without types', async () => {
    expect(await rendering.text("SELECT 1 AS n, 'two' || chr(10) || 'lines' AS t, NULL AS x", 'box', { columns: 10 })).toBe(
      drawing(`
        ┌───┬───────┬──────┐
        │ n │   t   │  x   │
        ├───┼───────┼──────┤
        │ 1 │ two   │ NULL │
        │   │ lines │      │
        └───┴───────┴──────┘
      `),
    );
    const text = await rendering.text("SELECT 'row ' || i AS r FROM range(5000) t(i)", 'box');
    expect(text.match(/row \d+/g)).toHaveLength(5000);
  });

  test('without rows has its columns', async () => {
    expect(await rendering.text('SELECT 1 AS a WHERE false', 'box')).toBe('┌───┐\n│ a │\n└───┘\n');
  });
});
