// The body of a request: read as it comes, and no further than it may be long. One that says beforehand that it is longer is refused
// without a byte of it. How long it may take is the server's affair (door.ts).

import type { IncomingMessage, ServerResponse } from 'node:http';
import { Diagnostic } from '../../core/diagnostic.ts';
import { Refusal } from './problem.ts';

export interface BodyOptions {
  readonly incoming: IncomingMessage;
  readonly outgoing: ServerResponse;
  readonly mostBytes: number;
}

export async function readJsonText({ incoming, outgoing, mostBytes }: BodyOptions): Promise<string> {
  mustBeJson(incoming);
  const bytes = await readBytes({ incoming, outgoing, mostBytes });
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new Refusal(new Diagnostic('invalid_encoding', 'the body is not UTF-8', { cause: error }));
  }
}

/** Those who wait to be told that their body is wanted; elsewhere the server has told them so by itself. */
const asking = new WeakSet<IncomingMessage>();

export function asksFirst(incoming: IncomingMessage): void {
  asking.add(incoming);
}

/** Without a body there is nothing to read. */
export function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

/** What a web page can send without being asked whether it may. */
export function mustNotBeForm({ headers }: IncomingMessage): void {
  const type = typeOf(headers['content-type']);
  if (type === undefined || !forms.has(type)) return;
  throw new Refusal(new Diagnostic('unsupported', 'a form is not read', { hint: 'Content-Type: application/json' }), { status: 415 });
}

const forms: ReadonlySet<string> = new Set(['application/x-www-form-urlencoded', 'multipart/form-data', 'text/plain']);

function typeOf(header: string | undefined): string | undefined {
  return header?.split(';')[0]?.trim().toLowerCase();
}

function mustBeJson({ headers }: IncomingMessage): void {
  const type = typeOf(headers['content-type']);
  if (headers['content-encoding'] !== undefined && headers['content-encoding'] !== 'identity') {
    throw new Refusal(
      new Diagnostic('unsupported', `a body in ${JSON.stringify(headers['content-encoding'])} is not read`, { hint: 'send it as it is' }),
      {
        status: 415,
      },
    );
  }
  if (type !== undefined && (type === 'application/json' || /^application\/[\w.-]+\+json$/.test(type))) return;
  throw new Refusal(
    new Diagnostic(
      'unsupported',
      type === undefined ? 'the body does not say what it is' : `a body of type ${JSON.stringify(type)} is not read`,
      {
        hint: 'Content-Type: application/json',
      },
    ),
    { status: 415 },
  );
}

function readBytes({ incoming, outgoing, mostBytes }: BodyOptions): Promise<Buffer> {
  const announced = Number(incoming.headers['content-length'] ?? 0);
  if (announced > mostBytes) return Promise.reject(tooLarge(mostBytes));
  if (asking.delete(incoming)) outgoing.writeContinue();
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    const end = (): void => {
      incoming.off('data', take).off('end', done).off('error', fail).off('close', fail);
    };
    const take = (chunk: Buffer): void => {
      length += chunk.length;
      if (length <= mostBytes) {
        chunks.push(chunk);
        return;
      }
      end();
      incoming.pause();
      reject(tooLarge(mostBytes));
    };
    const done = (): void => {
      end();
      resolve(Buffer.concat(chunks));
    };
    const fail = (): void => {
      end();
      reject(new Refusal(new Diagnostic('invalid_value', 'the body breaks off'), { status: 400 }));
    };
    incoming.on('data', take).on('end', done).on('error', fail).on('close', fail);
    if (incoming.readableEnded) done();
    else if (incoming.destroyed) fail();
  });
}

/** The rest of it is not read, so nothing else can come over this connection. */
function tooLarge(mostBytes: number): Refusal {
  const most = mostBytes >= 1 << 20 ? `${mostBytes >> 20} MB` : `${mostBytes} bytes`;
  return new Refusal(
    new Diagnostic('too_large', `the body has more than ${most}`, { hint: 'large data is read by SQL: COPY, read_csv, ..' }),
    {
      headers: { Connection: 'close' },
    },
  );
}
