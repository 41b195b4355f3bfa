// Answers that come bit by bit: written no faster than they are read, given up when the client goes, and cut when it stalls. They are
// written to the connection itself, so that nothing in between collects them.

import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import type { Context } from 'hono';
import type { Clock } from '../../scheduler/clock.ts';
import type { AppEnv } from './app.ts';

export interface Pouring {
  readonly headers: Readonly<Record<string, string>>;
  readonly chunks: AsyncIterable<string | Uint8Array>;
  readonly clock: Clock;
  readonly stallMs: number;
  /** Written when nothing else was for a while. */
  readonly heartbeat?: { readonly text: string; readonly everyMs: number };
}

/**
 * Answers when all is written, or nobody reads any more. What `chunks` throws breaks the answer off, so that nobody takes what has
 * come for all there is.
 */
export async function pour(context: Context<AppEnv>, { headers, chunks, clock, stallMs, heartbeat }: Pouring): Promise<Response> {
  const { incoming, outgoing } = context.env;
  outgoing.writeHead(200, { ...headers });
  if (incoming.method === 'HEAD') {
    outgoing.end();
    return RESPONSE_ALREADY_SENT;
  }
  outgoing.flushHeaders();
  let beat: { cancel(): void } | undefined;
  const rest = (): void => {
    if (heartbeat === undefined) return;
    beat?.cancel();
    beat = clock.after(heartbeat.everyMs, () => {
      if (!outgoing.writableNeedDrain) outgoing.write(heartbeat.text);
      rest();
    });
  };
  try {
    rest();
    for await (const chunk of chunks) {
      if (outgoing.destroyed) break;
      rest();
      if (!outgoing.write(chunk)) await drained(context, clock, stallMs);
    }
    outgoing.end();
  } catch {
    // Whoever made the chunks has said why.
    incoming.socket.destroySoon();
  } finally {
    beat?.cancel();
  }
  return RESPONSE_ALREADY_SENT;
}

function drained(context: Context<AppEnv>, clock: Clock, stallMs: number): Promise<void> {
  const { outgoing } = context.env;
  return new Promise((resolve) => {
    const end = (): void => {
      timer.cancel();
      outgoing.off('drain', end).off('close', end);
      resolve();
    };
    const timer = clock.after(stallMs, () => {
      outgoing.destroy();
      end();
    });
    outgoing.on('drain', end).on('close', end);
    if (outgoing.destroyed || !outgoing.writableNeedDrain) end();
  });
}

/** Aborted when the client has gone before its answer was there. */
export function goneSignal({ env: { outgoing } }: Context<AppEnv>): AbortSignal {
  const gone = new AbortController();
  const look = (): void => {
    if (!outgoing.writableFinished) gone.abort();
  };
  if (outgoing.destroyed) look();
  else outgoing.once('close', look);
  return gone.signal;
}
