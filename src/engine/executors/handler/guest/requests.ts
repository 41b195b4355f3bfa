// `services.database` where the handler runs: every statement is asked of the engine, which has the connection.

import { Diagnostic, type DiagnosticCode } from '../../../../core/diagnostic.ts';
import type { TaskDatabase, TaskRow } from '../../executor.ts';
import type { FromGuest, Query, Refusal, ToGuest } from '../messages.ts';

/** A loop that asks without ever waiting would fill the memory of the process that answers. */
const mostAtOnce = 1_000;

export interface RequestWire {
  send(message: Extract<FromGuest, { readonly kind: 'query' }>): void;
}

interface Waiting {
  answer(rows: TaskRow[]): void;
  refuse(error: unknown): void;
  /** Where the handler asked. */
  readonly asked: Error;
}

export class Requests {
  readonly database: TaskDatabase;
  readonly #wire: RequestWire;
  readonly #waiting = new Map<number, Waiting>();
  #newest = 0;
  #closed = false;

  constructor(wire: RequestWire) {
    this.#wire = wire;
    this.database = {
      query: (sql, values) => this.#ask({ sql, values, inTransaction: false }),
      transaction: { query: (sql, values) => this.#ask({ sql, values, inTransaction: true }) },
    };
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  hear(message: Extract<ToGuest, { readonly id: number }>): void {
    const waiting = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if (waiting === undefined) return;
    if (message.kind === 'rows') waiting.answer([...message.rows]);
    else waiting.refuse(refusalOf(message.error, waiting.asked));
  }

  /** What is asked from now on is refused; what was asked is answered no more. */
  close(): void {
    this.#closed = true;
    this.#waiting.clear();
  }

  #ask(query: Query): Promise<TaskRow[]> {
    const asked = new Error('asked');
    return new Promise((answer, refuse) => {
      if (this.#closed) return refuse(new Diagnostic('cancelled', 'the run has ended, and with it what it may use'));
      if (this.#waiting.size >= mostAtOnce) {
        return refuse(
          new Diagnostic('too_busy', `${mostAtOnce} statements of this run are under way`, { hint: 'await some of them first' }),
        );
      }
      this.#newest += 1;
      const id = this.#newest;
      this.#waiting.set(id, { answer, refuse, asked });
      try {
        this.#wire.send({ kind: 'query', id, query });
      } catch (error) {
        this.#waiting.delete(id);
        const reason = error instanceof Error ? error.message : String(error);
        refuse(new Diagnostic('wrong_type', `the values of the statement cannot be sent: ${reason}`, { cause: error }));
      }
    });
  }
}

/** The engine's Diagnostic, with the place in the handler that asked. */
function refusalOf({ code, message, hint }: Refusal, asked: Error): Diagnostic {
  const error = new Diagnostic(code as DiagnosticCode, message, { hint: hint ?? undefined });
  const frames = (asked.stack ?? '').split('\n').slice(1).join('\n');
  error.stack = `${error.name}: ${message}\n${frames}`;
  return error;
}
