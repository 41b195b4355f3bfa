// The engine's side of a run whose handler is a guest elsewhere: hears what it says, and does for it what only the engine can do.

import { Diagnostic } from '../../../core/diagnostic.ts';
import type { Task } from '../executor.ts';
import type { FromGuest, GuestEnd, Query, Refusal, ToGuest } from './messages.ts';

export type GuestAnswer = { readonly kind: 'stale' } | { readonly kind: 'end'; readonly end: GuestEnd };

/** What hears one message of the guest; answers the last one. */
export function attend(task: Task, send: (message: ToGuest) => void): (message: FromGuest) => GuestAnswer | undefined {
  return (message) => {
    switch (message.kind) {
      case 'lines':
        for (const line of message.lines) task.log(line);
        return undefined;
      case 'progress':
        task.progress(message.fraction, message.message);
        return undefined;
      case 'query':
        void answer(task, message.id, message.query, send);
        return undefined;
      case 'stale':
      case 'end':
        return message;
      default:
        return message satisfies never;
    }
  };
}

async function answer(task: Task, id: number, { sql, values, inTransaction }: Query, send: (message: ToGuest) => void): Promise<void> {
  const { database } = task.services;
  try {
    const rows = await (inTransaction ? database.transaction : database).query(sql, values);
    send({ kind: 'rows', id, rows });
  } catch (error) {
    send({ kind: 'refused', id, error: refusalOf(error) });
  }
}

function refusalOf(error: unknown): Refusal {
  if (error instanceof Diagnostic) return { code: error.code, message: error.message, hint: error.hint ?? null };
  return { code: 'internal', message: error instanceof Error ? error.message : String(error), hint: null };
}
