// Server-sent events, as the HTML standard writes them.

import type { JsonValue } from '../../core/jsonValue.ts';

export const eventStreamType = 'text/event-stream';

export const eventStreamHeaders = {
  'Content-Type': eventStreamType,
  // What stands between us and the client shall hand on each event when it comes.
  'X-Accel-Buffering': 'no',
} as const;

/** Nothing has happened; a connection that has died unnoticed is found out. */
export const heartbeat = { text: ': alive\n\n', everyMs: 15_000 } as const;

export interface ServerEvent {
  /** From which a client goes on; without one it goes on from the one before. */
  readonly id?: string;
  readonly event: string;
  readonly data: JsonValue;
}

export function eventText({ id, event, data }: ServerEvent): string {
  // JSON has no line breaks of its own.
  return `${id === undefined ? '' : `id: ${id}\n`}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}
