// A statement as it reads, wherever it stood: what two texts of one meaning share.

import type { Statement } from '../../src/parser/ast.ts';

const places = new Set(['span', 'offsets', 'start', 'end']);

export function withoutSpans(node: Statement): unknown {
  return JSON.parse(JSON.stringify(node, (key, value) => (places.has(key) ? undefined : value)));
}
