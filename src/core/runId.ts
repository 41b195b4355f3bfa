// Run ids are UUIDs of version 7: their order is the order of time, so that history is read by id without an index.

import type { Instant } from './instant.ts';

export type RunId = string;

/** `random` fills 10 bytes; ids made in one process in one millisecond keep their order by `sequence`. */
export function runId(at: Instant, sequence: number, random: Uint8Array): RunId {
  const bytes = new Uint8Array(16);
  let time = at;
  for (let index = 5; index >= 0; index--) {
    bytes[index] = time % 256;
    time = Math.floor(time / 256);
  }
  bytes.set(random.subarray(0, 10), 6);
  bytes[6] = 0x70 | ((sequence >> 8) & 0x0f);
  bytes[7] = sequence & 0xff;
  bytes[8] = 0x80 | ((bytes[8] ?? 0) & 0x3f);
  let text = '';
  for (let index = 0; index < 16; index++) {
    if (index === 4 || index === 6 || index === 8 || index === 10) text += '-';
    text += hex[bytes[index] ?? 0];
  }
  return text;
}

const hex = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));
