import { describe, expect } from 'vitest';
import { parse } from '../../src/parser/parse.ts';
import { split } from '../../src/parser/split.ts';
import { fortyKinds, script } from '../parser/fortyKinds.ts';
import { test } from '../support/database.ts';

describe('what is not ours reaches DuckDB byte for byte', () => {
  test('in a file of 20,000 statements of 40 kinds', () => {
    const { text, statements } = script(20_000);
    const pieces = split(text).statements;
    expect(pieces).toHaveLength(statements.length);
    let passed = 0;
    for (const [index, piece] of pieces.entries()) {
      if (piece.text !== statements[index] || text.slice(piece.start, piece.end) !== piece.text) expect.unreachable(piece.text);
      const { statement } = parse(piece.text);
      if (statement?.kind !== 'passThrough') continue;
      passed += 1;
      if (statement.text !== piece.text) expect.unreachable(piece.text);
    }
    expect(passed).toBeGreaterThan(5000);
    expect(fortyKinds.length).toBeGreaterThanOrEqual(40);
  });

  test('as DuckDB itself tells what it was given', async ({ db }) => {
    const strange = [
      'SELECT current_query() AS q',
      "select\tcurrent_query()  AS q, 'it''s; -- no comment' /* a /* nested */ ; */ -- end ; of line",
      '  WITH "q;""x" AS (SELECT $$a;b$$ AS v)\nSELECT current_query() AS q, \'äöü 𝄞\', E\'\\n;\' FROM "q;""x"',
      "SELECT $tag$ ; $$ ; $tag$ AS t, current_query() AS q, 1e3, .5, [1, 2], {'a;': 1} WHERE 'begin' <> 'end; '",
      "FROM (SELECT 'UPSERT SCHEDULE x ( sql: ''a'' );' AS ours, current_query() AS q) WHERE true /*;*/",
    ];
    for (const text of strange) expect((await db.rows(text))[0]?.['q']).toBe(text);
  });
});
