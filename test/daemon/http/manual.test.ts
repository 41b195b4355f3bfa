import { STATUS_CODES } from 'node:http';
import { expect } from 'vitest';
import { examplesOf, read, refreshed, write } from '../../support/document.ts';
import { test } from './fixture.ts';

const path = 'docs/http.md';

/** Ids, instants and lengths of time are others each time. */
function masked(text: string): string {
  return text
    .replace(/[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}/g, 'ID')
    .replace(/\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z| [+-]\d\d:\d\d)/g, 'TIME')
    .replace(/("\w+_ms": )\d+(?:\.\d+)?/g, '$1MS');
}

test('the examples of docs/http.md answer what stands behind them', async ({ served }) => {
  const markdown = read(path);
  const examples = examplesOf(markdown, 'http');
  expect(examples.length).toBeGreaterThan(5);
  const answers = [];
  for (const { source, answer } of examples) {
    const [line = '', ...body] = source.text.trim().split('\n');
    const [method = '', asked = ''] = line.split(' ');
    const text = body.join('\n').trim();
    const { status, json } = await served.ask(asked, { method, ...(text === '' ? {} : { body: text }) });
    if (answer === undefined) expect.unreachable(`line ${source.line} has no answer`);
    answers.push({ fence: answer, text: `${status} ${STATUS_CODES[status]}\n${JSON.stringify(json, undefined, 2)}\n` });
  }
  if (process.env['UPDATE_DOCS'] === '1') write(path, refreshed(markdown, answers));
  else for (const { fence, text } of answers) expect(masked(fence.text), `line ${fence.line}`).toBe(masked(text));
});

test('docs/http.md names every request that there is', ({ served }) => {
  const markdown = read(path);
  for (const [page, methods] of Object.entries(served.document.paths)) {
    expect(markdown, page).toContain(`${page}\``);
    for (const method of Object.keys(methods)) {
      const isAlso = method === 'put' && Object.keys(methods).includes('post');
      const isListed = new RegExp(`${method.toUpperCase()} ${page.replaceAll(/[{}]/g, '\\$&')}\``).test(markdown);
      expect(isAlso || isListed || /\/(?:enable|disable|pause|resume)$/.test(page), `${method} ${page}`).toBe(true);
    }
  }
});
