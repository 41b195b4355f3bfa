import { expect, test } from 'vitest';
import type { OutputLine } from '../../../src/engine/executors/command/messages.ts';
import { mostOfALine, Output } from '../../../src/engine/executors/command/output.ts';
import { Secrets } from '../../../src/engine/executors/secrets.ts';

class Listener {
  readonly lines: OutputLine[] = [];
  dropped = 0;
  readonly output: Output;

  constructor({ mostLines = 10_000, secrets = [] }: { readonly mostLines?: number; readonly secrets?: readonly string[] } = {}) {
    const ship = (dropped: number, lines: readonly OutputLine[]): void => {
      this.dropped += dropped;
      this.lines.push(...lines);
    };
    this.output = new Output({ mostLines, secrets: new Secrets(secrets), ship });
  }

  write(...chunks: readonly (string | readonly number[])[]): this {
    for (const chunk of chunks) this.output.push('stdout', typeof chunk === 'string' ? Buffer.from(chunk) : Buffer.from(chunk));
    return this;
  }

  get texts(): string[] {
    return this.lines.map(({ text }) => text);
  }

  end(): string[] {
    this.output.end();
    return this.texts;
  }
}

/** Byte by byte, and all at once. */
function bothWays(bytes: Buffer): string[] {
  const whole = new Listener();
  whole.output.push('stdout', bytes);
  const parts = new Listener();
  for (const byte of bytes) parts.output.push('stdout', Buffer.from([byte]));
  const lines = whole.end();
  expect(parts.end()).toEqual(lines);
  return lines;
}

test('lines are the same however the bytes come', () => {
  expect(bothWays(Buffer.from('first\nsecond\r\n\nKöln 🐦\nlast without an end'))).toEqual([
    'first',
    'second',
    '',
    'Köln 🐦',
    'last without an end',
  ]);
  expect(bothWays(Buffer.from('one\n'))).toEqual(['one']);
  expect(bothWays(Buffer.alloc(0))).toEqual([]);
});

test('what is no UTF-8 is shown byte by byte, control characters by their number, and colours are left out', () => {
  expect(bothWays(Buffer.from([0x63, 0x61, 0x66, 0xe9, 0x0a, 0xf0, 0x9f, 0x90, 0x0a, 0xc3, 0xa9]))).toEqual([
    'caf\\xe9',
    '\\xf0\\x9f\\x90',
    'é',
  ]);
  expect(bothWays(Buffer.from('a\0b\x07\tc\x1b[2Jd\x7f\u009b\n\x1b[1;31mred\x1b[0m'))).toEqual([
    'a\\x00b\\x07\tc\\x1b[2Jd\\x7f\\x9b',
    'red',
  ]);
  expect(bothWays(Buffer.from('it is � already'))).toEqual(['it is � already']);
});

test('a line longer than 8 kB is cut between two characters, and says how much is missing', () => {
  const [line = ''] = new Listener().write('x'.repeat(mostOfALine), 'y'.repeat(100), '\nnext\n').end();
  expect(line).toBe(`${'x'.repeat(mostOfALine)}… (100 more bytes)`);
  const [emoji = ''] = new Listener().write('🐦'.repeat(50_000)).end();
  expect(emoji).toBe(`${'🐦'.repeat(mostOfALine / 2)}… (${4 * 50_000 - 2 * mostOfALine} more bytes)`);
  const long = new Listener();
  for (let at = 0; at < 1000; at += 1) long.write('z'.repeat(100_000));
  expect(long.write('\nafter it\n').end()).toEqual([`${'z'.repeat(mostOfALine)}… (${100_000_000 - mostOfALine} more bytes)`, 'after it']);
});

test('a bar of progress is told by its last state, and now and then while it grows', () => {
  expect(bothWays(Buffer.from('10%\r50%\r100%\ndone\n'))).toEqual(['100%', 'done']);
  expect(bothWays(Buffer.from('50%\r100%\r\r\n'))).toEqual(['100%']);
  const growing = new Listener();
  growing.write('1%\r2%\r3');
  growing.output.look(0);
  expect(growing.texts).toEqual(['2%']);
  growing.write('%\r4%\r');
  growing.output.look(500);
  expect(growing.texts).toEqual(['2%']);
  growing.output.look(1000);
  expect(growing.texts).toEqual(['2%', '4%']);
  expect(growing.write('100%\r', '\nready\n').end()).toEqual(['2%', '4%', '100%', 'ready']);
  const endless = new Listener();
  for (let at = 0; at < 100_000; at += 1) endless.write(`${at} of 100000\r`);
  expect(endless.end()).toEqual(['99999 of 100000']);
});

test('a secret is masked wherever the bytes were parted, where a line is cut, and line by line', () => {
  const key = '-----BEGIN KEY-----\nMIIEvQIBADANBg\n-----END KEY-----';
  const secrets = ['hush-hush', 'hush', key];
  const parted = new Listener({ secrets });
  for (const byte of Buffer.from('it is hush-hush!\n')) parted.write([byte]);
  expect(parted.end()).toEqual(['it is ***!']);
  expect(new Listener({ secrets }).write(`${key}\nMIIEvQIBADANBg in the middle, } alone\n`).end()).toEqual([
    '***',
    '***',
    '***',
    '*** in the middle, } alone',
  ]);
  const before = 'x'.repeat(mostOfALine - 4);
  expect(new Listener({ secrets }).write(`${before}hush-hush and more\n`).end()[0]).toMatch(/^x+… \(\d+ more bytes\)$/);
  expect(new Listener({ secrets: ['a\x1bb'] }).write('a\x1bb\n').end()).toEqual(['***']);
});

test('of a flood the first lines are told at once, the rest is counted, and the last lines are there in the end', () => {
  const flood = new Listener({ mostLines: 1_000 });
  const chunk = Buffer.from(Array.from({ length: 1_000 }, (_, at) => `line ${at}\n`).join(''));
  for (let at = 0; at < 1_000; at += 1) flood.output.push('stdout', chunk);
  expect(flood.texts.length).toBe(1_000);
  flood.output.look(1_000);
  flood.write('the very last\n');
  flood.output.end();
  expect(flood.dropped + flood.lines.length).toBe(1_000_001);
  expect(flood.texts.slice(0, 2)).toEqual(['line 0', 'line 1']);
  expect(flood.texts.slice(-3)).toEqual(['line 998', 'line 999', 'the very last']);
  expect(flood.lines.length).toBe(1_100);
});

test('a command that says a little all the time is told all the time, after a flood too', () => {
  const steady = new Listener({ mostLines: 100 });
  for (let at = 0; at < 50_000; at += 1) steady.write('flood\n');
  const before = steady.lines.length;
  for (let second = 1; second <= 100; second += 1) {
    steady.write(`second ${second}\n`);
    steady.output.look(second * 1_000);
  }
  expect(steady.texts.slice(-100)).toEqual(Array.from({ length: 100 }, (_, at) => `second ${at + 1}`));
  expect(steady.lines.length - before).toBeLessThanOrEqual(110);
});

test('counting a flood costs a small part of what making its lines would cost', () => {
  const flood = new Listener();
  const chunk = Buffer.alloc(65_536, 'y\n');
  const began = process.cpuUsage();
  for (let at = 0; at < 4_000; at += 1) flood.output.push('stdout', chunk);
  const { user, system } = process.cpuUsage(began);
  expect(flood.end().length + flood.dropped).toBe(4_000 * 32_768);
  // 262 MB in 131 million lines: made one by one they take above 15 s.
  expect((user + system) / 1e6).toBeLessThan(3);
});
