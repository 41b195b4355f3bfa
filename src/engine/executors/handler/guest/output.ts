// What a handler prints: lines of its run, not of the process that schedules. `console` and the two streams are the same objects for
// all modules of a thread, so they are changed once, where they write. What writes to a descriptor by itself (native code,
// `fs.writeSync(1, ..)`) is beyond that: in a process of its own it is read from the pipe, in a thread it is the host's output.

import type { LogLevel, TaskLine } from '../../executor.ts';
import { LineReader } from '../lineReader.ts';

const levels: Readonly<Partial<Record<keyof Console, LogLevel>>> = {
  debug: 'debug',
  trace: 'debug',
  warn: 'warn',
  error: 'error',
  assert: 'error',
};

export interface CapturedOutput {
  /** What was printed without an end of line is a line. */
  endLines(): void;
}

export function captureOutput(write: (line: TaskLine) => void): CapturedOutput {
  const readers: LineReader[] = [];
  let level: LogLevel | undefined;
  const usual = { stdout: 'info', stderr: 'warn' } as const;
  for (const stream of ['stdout', 'stderr'] as const) {
    const reader = new LineReader((text) => write({ stream, level: level ?? usual[stream], text }));
    readers.push(reader);
    const target = process[stream];
    target.write = (chunk: unknown, encodingOrDone?: unknown, maybeDone?: unknown): boolean => {
      if (typeof chunk === 'string') reader.text(chunk);
      else if (chunk instanceof Uint8Array) reader.bytes(chunk);
      const done = typeof encodingOrDone === 'function' ? encodingOrDone : maybeDone;
      if (typeof done === 'function') process.nextTick(done);
      return true;
    };
  }
  const target = globalThis.console;
  for (const [name, own] of Object.entries(levels)) {
    const key = name as 'debug';
    const original = target[key].bind(target);
    target[key] = (...values) => {
      const before = level;
      level = own;
      try {
        original(...values);
      } finally {
        level = before;
      }
    };
  }
  return {
    endLines: () => {
      for (const reader of readers) reader.end();
    },
  };
}
