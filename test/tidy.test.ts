// What the lint rules cannot say: read from the source itself.

import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

function files(folder: string, ending: RegExp): string[] {
  return readdirSync(folder).flatMap((name) => {
    if (name === 'node_modules') return [];
    const path = join(folder, name);
    if (statSync(path).isDirectory()) return files(path, ending);
    return ending.test(name) ? [path] : [];
  });
}

function places(pattern: RegExp, paths: readonly string[]): string[] {
  return paths.flatMap((path) =>
    readFileSync(path, 'utf8')
      .split('\n')
      .flatMap((line, index) => (pattern.test(line) ? [`${path}:${index + 1}: ${line.trim()}`] : [])),
  );
}

const source = files('src', /\.ts$/);

test('real time is read in clock.ts alone', () => {
  const readers = source.filter((path) => path !== join('src', 'scheduler', 'clock.ts'));
  expect(
    places(/\bDate\.now\b|\bnew Date\(\)|\bperformance\.now\b|\bprocess\.hrtime\b|(?<![.\w])set(?:Timeout|Interval|Immediate)\(/, readers),
  ).toEqual([]);
});

test('nothing is left to do, skipped or focused', () => {
  const tests = files('test', /\.ts$/).filter((path) => path !== join('test', 'tidy.test.ts'));
  expect(places(/\b(?:TODO|FIXME|XXX|HACK)\b/, [...source, ...tests, ...files('bench', /\.ts$/)])).toEqual([]);
  expect(places(/\b(?:test|describe|it)\.(?:only|skip|todo)\(/, tests)).toEqual([]);
});

test('the lock file holds no machine’s addresses', () => {
  expect(places(/"resolved"/, ['package-lock.json'])).toEqual([]);
});

test('the lock file holds the optional packages of every platform, without which `npm ci` refuses it', () => {
  const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8')) as {
    packages: Readonly<Record<string, { readonly optionalDependencies?: Readonly<Record<string, string>> }>>;
  };
  const wanted = Object.values(packages).flatMap((entry) => Object.keys(entry.optionalDependencies ?? {}));
  expect(wanted.length).toBeGreaterThan(20);
  expect(wanted.filter((name) => packages[`node_modules/${name}`] === undefined)).toEqual([]);
});

test('a file is a concept, named by its domain noun', () => {
  expect(source.filter((path) => /(?:^|\/)(?:utils?|helpers?|common|misc)\.ts$/i.test(path))).toEqual([]);
});
