import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { benchmarksDocument, documentPath } from '../../bench/document.ts';

test('docs/benchmarks.md says what the benchmarks have written', () => {
  expect(readFileSync(documentPath, 'utf8'), 'run: npm run bench:document').toBe(benchmarksDocument());
});
