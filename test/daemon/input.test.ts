import { describe, expect, it } from 'vitest';
import { InputReader, readPieces } from '../../src/daemon/input.ts';

const brief = (text: string): string[] =>
  readPieces(text).map(({ kind, text: piece, line, column }) => `${kind[0]} ${line}:${column} ${piece}`);

describe('a script is cut into pieces', () => {
  it('at the ends of statements and of lines that are commands', () => {
    expect(brief('.mode csv\nSELECT 1;\n  \\dt\nSELECT\n 2; SELECT 3;\n.quit')).toEqual([
      'c 1:1 .mode csv',
      's 2:1 SELECT 1',
      'c 3:3 \\dt',
      's 4:1 SELECT\n 2',
      's 5:5 SELECT 3',
      'c 6:1 .quit',
    ]);
  });

  it('and a line inside a statement, a string, a comment or a body is none', () => {
    expect(brief("SELECT '\n.quit\n';\n/*\n.quit\n*/ SELECT 1\n.quit;")).toEqual(["s 1:1 SELECT '\n.quit\n'", 's 6:4 SELECT 1\n.quit']);
    expect(brief('UPSERT PROCEDURE p() AS BEGIN\n SELECT 1;\n.quit\n; END;\n.quit')).toHaveLength(2);
  });

  it('and quotes in a command do not reach into what follows', () => {
    expect(brief(".read it's.sql\nSELECT 1;")).toEqual([".c 1:1 .read it's.sql".slice(1), 's 2:1 SELECT 1']);
  });

  it('with numbers in front of a dot left alone', () => {
    expect(brief('SELECT 1\n+ .5;\n.5;')).toEqual(['s 1:1 SELECT 1\n+ .5', 's 3:1 .5']);
  });

  it('and places count characters, not code units', () => {
    expect(brief("SELECT '🐦';SELECT 2;")).toEqual(["s 1:1 SELECT '🐦'", 's 1:12 SELECT 2']);
  });

  it('in chunks of any size as in one', () => {
    const script =
      "SELECT 1;\n.mode csv\r\n-- ; a comment\nSELECT ';' /* ; */ ,\n $$ ; $$;\nUPSERT PROCEDURE p() AS BEGIN SELECT 1; END; SELECT 3";
    const whole = readPieces(script);
    expect(whole).toHaveLength(5);
    expect(whole.at(-1)).toMatchObject({ text: 'SELECT 3', terminated: false });
    for (let size = 1; size < 20; size++) {
      const reader = new InputReader();
      const pieces = [];
      for (let at = 0; at < script.length; at += size) pieces.push(...reader.push(script.slice(at, at + size)));
      expect([...pieces, ...reader.finish()]).toEqual(whole);
    }
  });

  it('in a time that grows with its length, also on a single line', () => {
    const many = 'SELECT 1;'.repeat(100_000);
    const started = performance.now();
    const pieces = readPieces(many);
    expect(pieces).toHaveLength(100_000);
    expect(pieces.at(-1)?.column).toBe(99_999 * 9 + 1);
    expect(performance.now() - started).toBeLessThan(5000);
  });
});
