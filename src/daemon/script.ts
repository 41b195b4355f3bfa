// Statements that nobody types: -c, -f and standard input. They run one after another up to the first error; what is behind it
// is left undone. A file is read and checked as a whole before its first statement runs; standard input is run statement by
// statement as it comes, so that it may be of any size, and its writer may wait for an answer.

import { isUtf8 } from 'node:buffer';
import { readFile } from 'node:fs/promises';
import { Diagnostic } from '../core/diagnostic.ts';
import { InputReader, type Piece } from './input.ts';
import { refuseDatabase } from './output.ts';
import type { Outcome, Shell } from './shell.ts';

export async function runPieces(shell: Shell, pieces: Iterable<Piece>, name: string): Promise<Outcome> {
  for (const piece of pieces) {
    const outcome = await shell.run(piece, name);
    if (outcome !== 'done') return outcome;
  }
  return 'done';
}

/** Runs statements as they arrive. Aborted, it reads no further: what runs then is for the caller to interrupt. */
export async function runStream(shell: Shell, bytes: AsyncIterable<Uint8Array>, name: string): Promise<Outcome> {
  const reader = new InputReader();
  for await (const text of decoded(bytes, name)) {
    const outcome = await runPieces(shell, reader.push(text), name);
    if (outcome !== 'done') return outcome;
  }
  return runPieces(shell, reader.finish(), name);
}

/** The text of a file of SQL. */
export async function readScript(path: string, databasePath: string): Promise<string> {
  refuseDatabase(path, databasePath);
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    throw unreadable(path, error);
  }
  if (!isUtf8(bytes)) throw invalidEncoding(path, invalidUtf8(bytes).offset);
  try {
    return bytes.toString('utf8');
  } catch (error) {
    throw tooLarge(path, error);
  }
}

async function* decoded(chunks: AsyncIterable<Uint8Array>, name: string): AsyncGenerator<string> {
  let rest: Buffer = Buffer.alloc(0);
  let before = 0;
  for await (const chunk of chunks) {
    const bytes: Buffer = rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([rest, chunk]);
    let whole = bytes.length;
    if (!isUtf8(bytes)) {
      const { offset, unfinished } = invalidUtf8(bytes);
      // A character may be cut in two by the end of a chunk.
      if (!unfinished) {
        yield bytes.toString('utf8', 0, offset);
        throw invalidEncoding(name, before + offset);
      }
      whole = offset;
    }
    yield bytes.toString('utf8', 0, whole);
    rest = bytes.subarray(whole);
    before += whole;
  }
  if (rest.length > 0) throw invalidEncoding(name, before);
}

/** The offset of the first byte that is not UTF-8, and whether more bytes could still make it so. */
export function invalidUtf8(bytes: Uint8Array): { readonly offset: number; readonly unfinished: boolean } {
  let at = 0;
  while (at < bytes.length) {
    const first = bytes[at] ?? 0;
    if (first < 0x80) {
      at++;
      continue;
    }
    const length = first >= 0xc2 && first < 0xe0 ? 2 : first >= 0xe0 && first < 0xf0 ? 3 : first >= 0xf0 && first < 0xf5 ? 4 : 0;
    if (length === 0) return { offset: at, unfinished: false };
    for (let index = 1; index < length; index++) {
      const next = bytes[at + index];
      if (next === undefined) return { offset: at, unfinished: true };
      // The second byte rules out longer forms than needed, surrogates, and what lies beyond U+10FFFF.
      const least = index > 1 ? 0x80 : first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
      const most = index > 1 ? 0xbf : first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
      if (next < least || next > most) return { offset: at, unfinished: false };
    }
    at += length;
  }
  return { offset: at, unfinished: false };
}

function invalidEncoding(name: string, offset: number): Diagnostic {
  return new Diagnostic('invalid_encoding', `${name} is not UTF-8: byte ${offset} begins no character`, {
    hint: 'save it as UTF-8; iconv -f LATIN1 -t UTF-8 converts a file',
  });
}

function unreadable(path: string, error: unknown): Diagnostic {
  const { code, message } = error as NodeJS.ErrnoException;
  switch (code) {
    case 'ENOENT':
      return new Diagnostic('file_not_found', `there is no file ${path}`, {
        hint: 'paths are taken from the folder in which cuckoo was started',
        cause: error,
      });
    case 'EISDIR':
      return new Diagnostic('io_error', `${path} is a folder`, { hint: 'name a file of SQL', cause: error });
    case 'EACCES':
      return new Diagnostic('io_error', `${path} may not be read`, { hint: 'ask for the right to read it (chmod, chown)', cause: error });
    case 'ERR_FS_FILE_TOO_LARGE':
      return tooLarge(path, error);
    default:
      return new Diagnostic('io_error', `${path} cannot be read: ${message}`, { cause: error });
  }
}

function tooLarge(path: string, cause: unknown): Diagnostic {
  return new Diagnostic('too_large', `${path} is too large to be read as a whole`, {
    hint: `standard input is read statement by statement: cuckoo FILE < ${path}`,
    cause,
  });
}
