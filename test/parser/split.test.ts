import { describe, expect, test } from 'vitest';
import { Splitter, split } from '../../src/parser/split.ts';
import { fortyKinds, script } from './fortyKinds.ts';

const texts = (text: string) => split(text).statements.map((statement) => statement.text);
const open = (text: string) => split(text).open?.construct;

describe('splitter', () => {
  test('there are forty kinds of statements', () => {
    expect(fortyKinds).toHaveLength(40);
  });

  test('gives 20,000 statements of 40 kinds back byte for byte', () => {
    const { text, statements } = script(20_000);
    const found = split(text);
    expect(found.statements.map((statement) => statement.text)).toEqual(statements);
    expect(found.open).toBeUndefined();
  });

  test('places each slice where it was written, so that slices and what lies between make up the text', () => {
    const { text } = script(400);
    let rebuilt = '';
    let end = 0;
    for (const slice of split(text).statements) {
      expect(text.slice(slice.start, slice.end)).toBe(slice.text);
      expect(slice.terminated).toBe(true);
      rebuilt += text.slice(end, slice.start) + slice.text;
      end = slice.end;
    }
    expect(rebuilt + text.slice(end)).toBe(text);
  });

  test('finds the same statements however the text is cut into pieces', () => {
    const { text, statements } = script(120);
    for (const size of [1, 2, 3, 7, 64, 1000]) {
      const splitter = new Splitter();
      const found: string[] = [];
      for (let at = 0; at < text.length; at += size) {
        for (const slice of splitter.push(text.slice(at, at + size))) {
          expect(text.slice(slice.start, slice.end)).toBe(slice.text);
          found.push(slice.text);
        }
      }
      found.push(...splitter.finish().statements.map((slice) => slice.text));
      expect(found).toEqual(statements);
    }
  });

  test('answers each statement as soon as its semicolon has arrived', () => {
    const splitter = new Splitter();
    expect(splitter.push('SELECT 1')).toEqual([]);
    expect(splitter.push(';').map((slice) => slice.text)).toEqual(['SELECT 1']);
    expect(splitter.push("SELECT ';'; SEL").map((slice) => slice.text)).toEqual(["SELECT ';'"]);
    expect(splitter.push('ECT 2;').map((slice) => slice.text)).toEqual(['SELECT 2']);
    expect(splitter.open).toBeUndefined();
  });

  test('is as new after finish, and goes on counting offsets', () => {
    const splitter = new Splitter();
    splitter.push("SELECT 'open");
    expect(splitter.finish().open?.construct).toBe('string');
    expect(splitter.open).toBeUndefined();
    expect(splitter.push('SELECT 2;')).toEqual([{ text: 'SELECT 2', start: 12, end: 20, terminated: true }]);
  });

  test('a last statement without a semicolon is one, not terminated', () => {
    expect(split('SELECT 1; SELECT 2 -- done').statements).toEqual([
      { text: 'SELECT 1', start: 0, end: 8, terminated: true },
      { text: 'SELECT 2', start: 10, end: 18, terminated: false },
    ]);
  });

  test('white space, comments, semicolons and a byte order mark are no statements', () => {
    for (const text of ['', ' \n\t', ';;;', '-- SELECT 1;', '/* SELECT 1; */', '\ufeff', '\ufeff;\u00a0;\u2003'])
      expect(split(text)).toEqual({ statements: [], open: undefined });
    expect(texts('\ufeffSELECT 1;')).toEqual(['SELECT 1']);
  });

  test.each([
    ["SELECT 'a;", 'string'],
    ["SELECT E'a\\';", 'string'],
    ['SELECT "a;', 'quoted name'],
    ['SELECT $$ a;', 'dollar quote'],
    ['SELECT $t$ a; $$', 'dollar quote'],
    ['SELECT 1 /* a; /* b */', 'comment'],
    ['/*', 'comment'],
    ['UPSERT PROCEDURE p() AS BEGIN SELECT 1;', 'BEGIN block'],
    ['UPSERT PROCEDURE p() AS BEGIN SELECT 1 END;', 'BEGIN block'],
    ['UPSERT PROCEDURE p() AS { SELECT {a: 1};', 'braces'],
    ["UPSERT PROCEDURE p() AS BEGIN SELECT ';", 'string'],
    ['SELECT 1', 'statement'],
    ['UPSERT PROCEDURE p() AS BEGIN SELECT 1; END', 'statement'],
    ['UPSERT PROCEDURE p() AS BEGIN SELECT 1; END;', undefined],
    ['SELECT 1; -- and', undefined],
  ])('%j breaks off in: %s', (text, construct) => {
    expect(open(text)).toBe(construct);
    const splitter = new Splitter();
    for (const line of text.split(/(?<=;)/)) splitter.push(line);
    splitter.push('\n');
    expect(splitter.open?.construct).toBe(construct);
  });

  test('says where the open construct begins', () => {
    const text = "SELECT 1; SELECT 'abc";
    const { span } = split(text).open!;
    expect(text.slice(span.start, span.end)).toBe("'abc");
  });

  test('an END inside an expression does not end a body, the first at the start of a statement does', () => {
    expect(texts('UPSERT PROCEDURE p() AS BEGIN SELECT CASE 1 WHEN 1 THEN 2 END; SELECT 1; /* x */ END; SELECT 2')).toEqual([
      'UPSERT PROCEDURE p() AS BEGIN SELECT CASE 1 WHEN 1 THEN 2 END; SELECT 1; /* x */ END',
      'SELECT 2',
    ]);
    expect(texts('UPSERT PROCEDURE p() AS BEGIN END; END; SELECT 2')).toEqual(['UPSERT PROCEDURE p() AS BEGIN END', 'END', 'SELECT 2']);
  });

  test('a body is recognised although the parameters are missing, so that its statements never run alone', () => {
    expect(texts('UPSERT PROCEDURE p AS BEGIN DELETE FROM t; END;')).toEqual(['UPSERT PROCEDURE p AS BEGIN DELETE FROM t; END']);
    expect(texts('UPSERT PROCEDURE if(a INT) AS BEGIN DELETE FROM t; END;')).toHaveLength(1);
    expect(texts('UPSERT PROCEDURE as as(a INT) AS BEGIN DELETE FROM t; END;')).toHaveLength(1);
  });

  test('BEGIN and braces hold nothing together outside a procedure', () => {
    expect(texts('BEGIN; SELECT 1; END; SELECT {; SELECT }')).toEqual(['BEGIN', 'SELECT 1', 'END', 'SELECT {', 'SELECT }']);
    expect(texts('CREATE TABLE procedure (a INT); SELECT 1 AS BEGIN; SELECT 2')).toHaveLength(3);
  });
});
