import { PassThrough } from 'node:stream';
import { expect, it } from 'vitest';
import { LineReader } from '../../../src/daemon/repl/lineReader.ts';

function start(): { reader: LineReader; input: PassThrough; written: () => string } {
  const input = new PassThrough();
  const output = new PassThrough();
  const chunks: string[] = [];
  output.on('data', (chunk) => chunks.push(String(chunk)));
  const reader = new LineReader({
    input,
    output,
    prompt: (_text, line) => (line === 0 ? '> ' : '. '),
    isComplete: (text) => text.endsWith(';'),
  });
  reader.open();
  return { reader, input, written: () => chunks.join('') };
}

it('reads statements of several lines, asks anew for each line, and keeps what came early', async () => {
  const { reader, input, written } = start();
  const first = reader.read();
  input.write('SELECT\n1;\nSELECT 2;\n');
  expect(await first).toEqual({ kind: 'text', text: 'SELECT\n1;' });
  expect(await reader.read()).toEqual({ kind: 'text', text: 'SELECT 2;' });
  expect(written()).toBe('> . > ');
  reader.close();
});

it('throws the text away when it is interrupted', async () => {
  const { reader, input } = start();
  const first = reader.read();
  input.write('SELECT\n');
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  reader.abandon();
  expect(await first).toEqual({ kind: 'abandoned', text: 'SELECT' });
  reader.close();
});

it('ends with its input, once and for all', async () => {
  const { reader, input } = start();
  const first = reader.read();
  input.end();
  expect(await first).toEqual({ kind: 'end' });
  expect(await reader.read()).toEqual({ kind: 'end' });
});
