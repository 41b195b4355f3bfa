import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { tableFromIPC } from 'apache-arrow';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { modes } from '../../../src/daemon/render/mode.ts';
import { render } from '../../../src/daemon/render/render.ts';
import { drawing, Rendering } from './rendering.ts';

let rendering: Rendering;
let folder: string;

beforeAll(async () => {
  rendering = await Rendering.open();
  folder = await mkdtemp(join(tmpdir(), 'cuckoo-render-'));
});

afterAll(async () => {
  await rendering.close();
  await rm(folder, { recursive: true });
});

const awkward = `SELECT * FROM (VALUES
  (1, 'plain', '', 12345678901234567890::HUGEINT), (2, NULL, 'a,b', 1), (3, 'say "hi"', chr(10), NULL), (4, 'x' || chr(9) || 'y', chr(13) || chr(10), 0),
  (5, '🦆', ' spaced ', -1), (NULL, 'NULL', chr(27) || '[31m', 7)) t(id, "the ""name""", text, big)`;

describe('csv and tsv', () => {
  test.each([
    ['csv', ','],
    ['tsv', '\t'],
  ] as const)('%s reads back equal, NULL and the empty text apart', async (mode, separator) => {
    const path = join(folder, `awkward.${mode}`);
    await writeFile(path, await rendering.text(awkward, mode));
    const options = `delim = '${separator}', header = true, quote = '"', escape = '"', auto_detect = false, allow_quoted_nulls = false, new_line = '\\n'`;
    const columns = `columns = {'id': 'INTEGER', 'name': 'VARCHAR', 'text': 'VARCHAR', 'big': 'HUGEINT'}`;
    const read = await (await rendering.result(`SELECT * FROM read_csv('${path}', ${options}, ${columns})`)).toArray();
    expect(read).toEqual(await (await rendering.result(awkward)).toArray());
  });

  test('csv quotes what needs it and nothing else', async () => {
    expect(await rendering.text(awkward, 'csv')).toBe(
      'id,"the ""name""",text,big\n1,plain,"",12345678901234567890\n2,,"a,b",1\n3,"say ""hi""","\n",\n4,x\ty,"\r\n",0\n5,🦆, spaced ,-1\n,NULL,\x1b[31m,7\n',
    );
  });

  test('have their header without rows', async () => {
    expect(await rendering.text('SELECT 1 AS a, 2 AS b WHERE false', 'csv')).toBe('a,b\n');
    expect(await rendering.text('SELECT 1 AS a, 2 AS b WHERE false', 'tsv')).toBe('a\tb\n');
  });
});

describe('json and jsonlines', () => {
  test('are valid JSON, in which nothing is rounded', async () => {
    const expected = [
      { id: 1, 'the "name"': 'plain', text: '', big: '12345678901234567890' },
      { id: 2, 'the "name"': null, text: 'a,b', big: 1 },
      { id: 3, 'the "name"': 'say "hi"', text: '\n', big: null },
      { id: 4, 'the "name"': 'x\ty', text: '\r\n', big: 0 },
      { id: 5, 'the "name"': '🦆', text: ' spaced ', big: -1 },
      { id: null, 'the "name"': 'NULL', text: '\x1b[31m', big: 7 },
    ];
    expect(JSON.parse(await rendering.text(awkward, 'json'))).toEqual(expected);
    const lines = (await rendering.text(awkward, 'jsonlines')).trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line))).toEqual(expected);
  });

  test('keep columns of one name, and the order of columns', async () => {
    expect(await rendering.text('SELECT 1 AS b, 2 AS "1", 3 AS b', 'jsonlines')).toBe('{"b":1,"1":2,"b:1":3}\n');
  });

  test('escape what a terminal would obey', async () => {
    const text = await rendering.text('SELECT chr(27) || chr(155) || chr(127) || chr(8238) AS x', 'jsonlines');
    expect(text).toBe('{"x":"\\u001b\\u009b\\u007f\\u202e"}\n');
  });

  test('without rows are an empty list, and nothing', async () => {
    expect(await rendering.text('SELECT 1 AS a WHERE false', 'json')).toBe('[]\n');
    expect(await rendering.text('SELECT 1 AS a WHERE false', 'jsonlines')).toBe('');
  });

  test('of many rows are one list', async () => {
    expect(JSON.parse(await rendering.text('SELECT i FROM range(10000) t(i)', 'json'))).toHaveLength(10_000);
  });
});

test('line shows a column on a line, texts in full and rows apart', async () => {
  expect(
    await rendering.text("SELECT 1 AS id, 'two' || chr(10) || 'lines' AS \"long name\" UNION ALL SELECT NULL, chr(27) || '[2J'", 'line'),
  ).toBe(`       id = 1\nlong name = two\n            lines\n\n       id = NULL\nlong name = \\u001b[2J\n`);
});

test('markdown is a table whose cells cannot leave it', async () => {
  expect(
    await rendering.text("SELECT 1 AS n, 'a|b' || chr(10) || '<i>`c`' AS \"x|y\" UNION ALL SELECT 22, '\\' || chr(27)", 'markdown'),
  ).toBe(
    drawing(`
      |   n | x\\|y              |
      |----:|-------------------|
      |   1 | a\\|b<br>\\<i>\\\`c\\\` |
      |  22 | \\\\\\\\u001b         |
    `),
  );
  expect(await rendering.text('SELECT 1 AS n WHERE false', 'markdown')).toBe('|   n |\n|----:|\n');
});

describe('arrow', () => {
  test('is an IPC stream', async () => {
    const bytes = Buffer.concat((await rendering.pieces('SELECT i FROM range(5000) t(i)', 'arrow')) as Uint8Array[]);
    expect(tableFromIPC(bytes).numRows).toBe(5000);
  });

  test('is refused where a terminal would get it', async () => {
    await expect(rendering.text('SELECT 1', 'arrow', { columns: 80 })).rejects.toThrow('arrow is bytes, which a terminal cannot show');
  });
});

describe('every mode', () => {
  test.each(modes)('%s writes all types, and nothing that is undefined', async (mode) => {
    const pieces = await rendering.pieces('SELECT * EXCLUDE (medium_enum, large_enum) FROM test_all_types()', mode);
    expect(pieces.length).toBeGreaterThan(0);
    if (mode !== 'arrow') expect(pieces.join('')).not.toMatch(/undefined|\[object/);
  });

  test.each(['csv', 'tsv', 'json', 'jsonlines', 'line', 'markdown', 'arrow'] as const)(
    '%s waits for a slow reader, and lets go of the query when the reader is gone',
    async (mode) => {
      let writing = false;
      let pieces = 0;
      const write = async (): Promise<void> => {
        expect(writing).toBe(false);
        writing = true;
        await new Promise((resolve) => setImmediate(resolve));
        writing = false;
        if (++pieces === 5) throw new Error('nobody reads');
      };
      await expect(render(await rendering.result('SELECT i FROM range(100000000000) t(i)'), mode, { write })).rejects.toThrow(
        'nobody reads',
      );
      expect(pieces).toBe(5);
      expect(await (await rendering.result('SELECT 1')).toArray()).toEqual([[1]]);
    },
  );
});
