// A process of its own for one run of a handler. What it says goes two ways: lines through a pipe of their own, which blocks when
// nobody reads, so that a flood waits; all else through the channel of Node.

import { writeSync } from 'node:fs';
import type { Assignment, FromGuest, ToGuest } from '../messages.ts';
import { Guest, type Used, type Wire } from './guest.ts';

/** The pipe of lines; 3 is the channel. */
const linesDescriptor = 4;

const guest = new Guest(used);
const wire: Wire = {
  send: (message: FromGuest) => void process.send?.(message),
  sendLines: (lines) => writeAll(`${JSON.stringify(lines)}\n`),
  hear: (listener) => {
    process.on('message', (message: ToGuest) => listener(message));
  },
};

process.on('uncaughtException', (error) => guest.fail(error));
process.on('exit', () => guest.flush());
// Whoever asked for this run is gone.
process.on('disconnect', () => process.exit(1));
process.once('message', (assignment: Assignment) => {
  void guest.run(assignment, wire).then((end) => {
    if (end !== 'stale') process.send?.({ kind: 'end', end }, () => process.exit(0));
  });
});

function writeAll(text: string): void {
  const bytes = Buffer.from(text);
  for (let written = 0; written < bytes.length; ) {
    try {
      written += writeSync(linesDescriptor, bytes, written);
    } catch (error) {
      if ((error as { readonly code?: unknown }).code !== 'EAGAIN') return;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}

function used(): Used {
  const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
  return { cpuMs: (userCPUTime + systemCPUTime) / 1000, peakMemoryBytes: maxRSS * 1024 };
}
