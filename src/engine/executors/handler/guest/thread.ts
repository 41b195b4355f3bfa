// What a thread of the pool does with a task: one run of a handler. The port is the run's own, and closes with it.

import { readFileSync, readlinkSync } from 'node:fs';
import { type MessagePort, threadId } from 'node:worker_threads';
import type { Assignment, FromGuest, ToGuest } from '../messages.ts';
import { Guest, type Used, type Wire } from './guest.ts';

export interface ThreadTask extends Assignment {
  readonly port: MessagePort;
  /** How many messages with lines were sent, and how many were heard; whether the run has begun, in which thread, and the system's number of it. */
  readonly counts: Int32Array;
}

/** So many messages with lines may be on their way: a flood waits here, as it would before a full pipe. */
const mostUnheard = 16;

/** The number that the system knows this thread by; 0 where it does not tell. */
const systemThread = systemThreadId();

const guest = new Guest(used);
let current: Wire | undefined;

export default async function run({ port, counts, ...assignment }: ThreadTask): Promise<void> {
  Atomics.store(counts, 3, threadId);
  Atomics.store(counts, 4, systemThread);
  Atomics.store(counts, 2, 1);
  const wire = wireOf(port, counts);
  current = wire;
  const end = await guest.run(assignment, wire);
  const message: FromGuest = end === 'stale' ? { kind: 'stale' } : { kind: 'end', end };
  wire.send(message);
  current = undefined;
  // A task that has answered could not be aborted any more, and the thread would be given the next one.
  if (message.kind === 'stale' || !message.end.reusable) await new Promise(() => {});
  port.close();
}

function wireOf(port: MessagePort, counts: Int32Array): Wire {
  return {
    send: (message: FromGuest) => port.postMessage(message),
    sendLines: (batch) => {
      const sent = Atomics.add(counts, 0, 1) + 1;
      port.postMessage({ kind: 'lines', lines: batch });
      for (let heard = Atomics.load(counts, 1); sent - heard > mostUnheard; heard = Atomics.load(counts, 1))
        Atomics.wait(counts, 1, heard, 1_000);
    },
    hear: (listener) => port.on('message', (message: ToGuest) => listener(message)),
  };
}

function systemThreadId(): number {
  try {
    return Number(/\d+$/.exec(readlinkSync('/proc/thread-self'))?.[0] ?? 0);
  } catch {
    // Not Linux.
    return 0;
  }
}

/** The CPU time of this thread alone; where the system does not show it nobody knows. */
function used(): Used {
  let cpuMs: number | null = null;
  try {
    cpuMs = Number(readFileSync('/proc/thread-self/schedstat', 'latin1').split(' ')[0]) / 1e6;
  } catch {
    // Not Linux.
  }
  return { cpuMs, peakMemoryBytes: null };
}

process.on('uncaughtException', (error) => guest.fail(error));

const exit = process.exit.bind(process);
process.exit = (code) => {
  guest.flush();
  current?.send({
    kind: 'end',
    end: {
      result: null,
      error: { code: 'run_failed', message: `it called process.exit(${code ?? ''}) before it answered`, detail: null },
      notes: [],
      cpuMs: null,
      peakMemoryBytes: null,
      reusable: false,
    },
  });
  return exit(code);
};
