// A ledger as a simulated world uses it: what the scheduler sees of it, what statements do to it from outside, and what a run's own
// transaction does from inside.

import { refusedClosing } from '../../src/scheduler/opening.ts';
import type { DefinitionChange, Ledger, QueueDefinition, SchedulerSettings } from '../../src/scheduler/ports.ts';
import { type Closing, noCounters, type OpenRun } from '../../src/scheduler/run.ts';
import type { Definition } from '../../src/scheduler/schedule.ts';
import { MemoryLedger } from '../../src/scheduler/simulation/memoryLedger.ts';
import type { Journal } from './journal.ts';
import type { World } from './world.ts';

export type Statement =
  | { readonly kind: 'define'; readonly definition: Definition }
  /** What of it waits ends with it; what runs goes on. */
  | { readonly kind: 'drop'; readonly scheduleId: number; readonly runs: readonly OpenRun[]; readonly at: number }
  | { readonly kind: 'spoil'; readonly unreadable: Extract<DefinitionChange, { kind: 'unreadable' }> }
  | { readonly kind: 'queue'; readonly queue: QueueDefinition }
  | { readonly kind: 'set'; readonly settings: Partial<SchedulerSettings> }
  | { readonly kind: 'pause'; readonly at: number | null };

export interface Store {
  readonly ledger: Ledger;
  execute(statement: Statement): Promise<void>;
  closeInside(closing: Closing, marks: boolean): Promise<'removed' | 'marked' | 'fenced'>;
  /** The nth, in the shape that it wants. */
  runId?(number: number): string;
}

export class MemoryStore implements Store {
  readonly ledger: MemoryLedger;
  readonly #journal: Journal;

  constructor(world: World, journal: Journal) {
    this.#journal = journal;
    this.ledger = new MemoryLedger({
      settings: world.settings,
      queues: world.queues,
      watermark: world.startAt,
      onCommit: (writes, tick) => journal.committed(writes, tick),
    });
  }

  async execute(statement: Statement): Promise<void> {
    this.#journal.stated(statement);
    const { ledger } = this;
    switch (statement.kind) {
      case 'define':
        ledger.define(statement.definition);
        break;
      case 'drop':
        ledger.drop(statement.scheduleId);
        for (const run of statement.runs) {
          const closing = refusedClosing(run, 'cancelled', 'dropped', statement.at, noCounters);
          await ledger.write([[{ kind: 'close', closing }]], new AbortController().signal);
        }
        break;
      case 'spoil':
        ledger.spoil(statement.unreadable);
        break;
      case 'queue':
        ledger.defineQueue(statement.queue);
        break;
      case 'set':
        ledger.set(statement.settings);
        break;
      case 'pause':
        ledger.pause(statement.at);
        break;
      default:
        statement satisfies never;
    }
  }

  closeInside(closing: Closing, marks: boolean): Promise<'removed' | 'marked' | 'fenced'> {
    const result = this.ledger.closeInside(closing, { marks });
    this.#journal.runs.closedInside(closing, result);
    return Promise.resolve(result);
  }
}
