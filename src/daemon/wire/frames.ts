// The answer to a statement: frames of [u32 length][u8 kind][payload], the length in network order and that of the payload alone.
//
//   head    JSON: what was done, the columns (protocol.ts)
//   rows    bytes of an Arrow IPC stream, cut anywhere
//   error   JSON: the Diagnostic, instead of a head or behind rows
//   end     JSON: all has been told
//
// The last frame is `error` or `end`: an answer without one has broken off, and its rows are not all there are.

import { Diagnostic } from '../../core/diagnostic.ts';

export type FrameKind = 'head' | 'rows' | 'error' | 'end';

export interface Frame {
  readonly kind: FrameKind;
  readonly payload: Uint8Array;
}

const kinds: readonly FrameKind[] = ['head', 'rows', 'error', 'end'];
const headerBytes = 5;

/** Rows are cut into pieces of this size. */
const pieceBytes = 1 << 20;

/** Nobody says more at once: the columns of the widest table with the longest ENUM are far below. */
const mostBytes = 1 << 26;

export function frame(kind: FrameKind, payload: Uint8Array): Uint8Array {
  if (payload.length > mostBytes) {
    throw new Diagnostic('too_large', `the ${kind} of this answer has ${payload.length} bytes; at most ${mostBytes} travel at once`, {
      hint: 'ask for less',
    });
  }
  const bytes = Buffer.allocUnsafe(headerBytes + payload.length);
  bytes.writeUInt32BE(payload.length, 0);
  bytes.writeUInt8(kinds.indexOf(kind), 4);
  bytes.set(payload, headerBytes);
  return bytes;
}

export function jsonFrame(kind: FrameKind, content: object): Uint8Array {
  return frame(kind, Buffer.from(JSON.stringify(content)));
}

export function* rowFrames(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += pieceBytes) yield frame('rows', bytes.subarray(at, at + pieceBytes));
}

/** Frames as they arrive, in chunks of any size. Ends with the last frame; throws where the bytes end before it. */
export async function* readFrames(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Frame, void, undefined> {
  const pieces: Uint8Array[] = [];
  let held = 0;
  let wanted = headerBytes;
  const iterator = chunks[Symbol.asyncIterator]();
  for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) {
    const chunk = next.value;
    pieces.push(chunk);
    held += chunk.length;
    if (held < wanted) continue;
    let bytes: Buffer = pieces.length === 1 ? Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length) : Buffer.concat(pieces);
    pieces.length = 0;
    for (wanted = wantedOf(bytes); bytes.length >= wanted && bytes.length >= headerBytes; wanted = wantedOf(bytes)) {
      const kind = kinds[bytes.readUInt8(4)];
      if (kind === undefined) throw garbled(`a frame of the unknown kind ${bytes.readUInt8(4)}`);
      const isLast = kind === 'end' || kind === 'error';
      // What was read to its end can carry the next answer.
      if (isLast) while ((await iterator.next().catch(() => ended)).done !== true);
      yield { kind, payload: bytes.subarray(headerBytes, wanted) };
      if (isLast) return;
      bytes = bytes.subarray(wanted);
    }
    if (bytes.length > 0) pieces.push(bytes);
    held = bytes.length;
  }
  throw new Error('its end is missing');
}

const ended: IteratorResult<Uint8Array> = { done: true, value: undefined };

/** How many bytes the next frame has, as far as that is known. */
function wantedOf(bytes: Buffer): number {
  if (bytes.length < headerBytes) return headerBytes;
  const length = bytes.readUInt32BE(0);
  if (length > mostBytes) throw garbled(`a frame of ${length} bytes`);
  return headerBytes + length;
}

function garbled(what: string): Diagnostic {
  return new Diagnostic('internal', `the answer holds ${what}`, { hint: 'is it a Cuckoo that answers there?' });
}
