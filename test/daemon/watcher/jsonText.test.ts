import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Diagnostic } from '../../../src/core/diagnostic.ts';
import { type JsonNode, placeInString, readJson } from '../../../src/daemon/watcher/jsonText.ts';

function plainOf(node: JsonNode): unknown {
  switch (node.kind) {
    case 'object':
      return Object.fromEntries(node.entries.map(({ key, value }) => [key.text, plainOf(value)]));
    case 'list':
      return node.items.map(plainOf);
    case 'string':
      return node.text;
    case 'number':
      return Number(node.text);
    case 'boolean':
      return node.value;
    default:
      return null;
  }
}

function mistakeIn(text: string): { at: string; message: string; hint: string | undefined } {
  try {
    readJson(text);
  } catch (error) {
    if (!(error instanceof Diagnostic) || error.span === undefined) throw error;
    return { at: text.slice(error.span.start, error.span.end), message: error.message, hint: error.hint };
  }
  return expect.unreachable(`was read: ${text}`);
}

test('reads what JSON.parse reads', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 3 }), fc.constantFrom(undefined, 2), (value, indent) => {
      const text = JSON.stringify(value, undefined, indent);
      // -0 is a number of its own in JavaScript alone.
      expect(JSON.stringify(plainOf(readJson(text)))).toBe(JSON.stringify(JSON.parse(text)));
    }),
    { numRuns: 100 },
  );
});

test('refuses what JSON.parse refuses, with a place in the text, however a good text was cut or changed', () => {
  const good = JSON.stringify([{ job_id: 'a', schedule: '0 1 * * *', list: [1, -2.5e3, true, null, 'x\n"\\é'] }], undefined, 1);
  fc.assert(
    fc.property(fc.nat(good.length), fc.nat(3), fc.string({ maxLength: 2, unit: 'binary-ascii' }), (at, count, put) => {
      const text = good.slice(0, at) + put + good.slice(at + count);
      let isGood = true;
      try {
        JSON.parse(text);
      } catch {
        isGood = false;
      }
      try {
        readJson(text);
        expect(isGood, text).toBe(true);
      } catch (error) {
        if (!(error instanceof Diagnostic)) throw error;
        // JSON.parse keeps the last of two equal keys.
        if (error.code !== 'duplicate_key') expect(isGood, text).toBe(false);
        expect(error.span?.start).toBeLessThanOrEqual(text.length);
      }
    }),
    { numRuns: 500 },
  );
});

describe('a mistake says where it is and what was probably meant', () => {
  const mistakes: readonly (readonly [text: string, at: string, message: string, hint?: string])[] = [
    ['', '', 'the file ends where a value is expected'],
    ['{"a": 1', '', "the file ends where ',' or '}' is expected"],
    ['{"a": 1,}', '}', 'expected a key in double quotes, found }', 'no comma stands behind the last entry'],
    ['[1, 2,]', ']', 'expected a value, found ]', 'no comma stands behind the last item'],
    ['{"a": 1 "b": 2}', '"', "expected ',' or '}', found \"", 'a comma is missing before this key'],
    ["{'a': 1}", "'", "expected a key in double quotes, found '", 'JSON has double quotes'],
    ['{a: 1}', 'a', 'expected a key in double quotes, found a'],
    ['{"a" 1}', '1', 'expected \':\' after "a", found 1'],
    ['{"a": True}', 'True', 'expected a value, found True', 'write true'],
    ['{"a": daily}', 'daily', 'expected a value, found daily', 'write "daily"'],
    ['{ // nightly\n}', '/', 'expected a key in double quotes, found /', 'JSON has no comments: use "description"'],
    ['{"a": "x\ny"}', '"', 'this string is never closed', 'close it with " in its line; a line break in it is \\n'],
    ['{"a": "c:\\jobs"}', '\\j', '\\j is no escape of JSON', 'a backslash is written \\\\'],
    ['{"a": 1, "a": 2}', '"a"', 'the key "a" stands here twice', 'each key stands once'],
    ['{} {}', '{', 'expected the end of the file, found {', 'a file holds one value; several jobs stand in a list [ .. ]'],
    ['{"a": 01}', '0', 'expected a value, found 0'],
    ['{"a": 1.}', '1', 'expected a value, found 1'],
  ];
  for (const [text, at, message, hint] of mistakes) {
    test(text === '' ? 'nothing' : text, () => expect(mistakeIn(text)).toEqual({ at, message, hint }));
  }

  test('nested too deep', () => {
    expect(mistakeIn('['.repeat(70)).message).toBe('values are nested more than 64 deep');
  });
});

test('a place inside of a text is found past its escapes', () => {
  const text = String.raw`{"sql": "SELECT \"a\", '\u00e9' FRMO\n x"}`;
  const [entry] = (readJson(text) as Extract<JsonNode, { kind: 'object' }>).entries;
  if (entry?.value.kind !== 'string') return expect.unreachable();
  const index = entry.value.text.indexOf('FRMO');
  const start = placeInString(text, entry.value, index);
  expect(text.slice(start, start + 4)).toBe('FRMO');
  const end = placeInString(text, entry.value, entry.value.text.length);
  expect(text.slice(end)).toBe('"}');
});
