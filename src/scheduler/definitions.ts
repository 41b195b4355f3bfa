// What is defined, as the ledger says: read at the start and again after every change, never believed from a list of what may have
// changed. What cannot be used is told once and left out; it fails alone.

import type { Alarm } from './alarm.ts';
import type { Calls } from './calls.ts';
import type { Dispatcher } from './dispatch.ts';
import type { Ends } from './ends.ts';
import type { Events } from './events.ts';
import type { Following } from './following.ts';
import type { Changes, DefinitionChange, Ledger, LedgerState } from './ports.ts';
import type { Armed } from './roster.ts';
import type { SchedulerState } from './state.ts';

export interface DefinitionsParts {
  readonly state: SchedulerState;
  readonly calls: Calls;
  readonly ledger: Ledger;
  readonly events: Events;
  readonly following: Following;
  readonly dispatcher: Dispatcher;
  readonly alarm: Alarm;
  readonly ends: Ends;
}

export class Definitions {
  readonly #parts: DefinitionsParts;
  #revision = 0;
  #isStale = false;

  constructor(parts: DefinitionsParts) {
    this.#parts = parts;
  }

  /** Something may have changed since they were read. */
  get isStale(): boolean {
    return this.#isStale;
  }

  expectChange(): void {
    this.#isStale = true;
  }

  /** As the ledger tells of them, and of what they have come to; what was known before is forgotten. */
  read(told: LedgerState): void {
    const { roster, unreadable, dropped } = this.#parts.state;
    roster.clear();
    unreadable.clear();
    dropped.clear();
    this.#adopt(told);
    for (const [scheduleId, counters] of told.counters) roster.setCounters(scheduleId, counters);
    for (const [scheduleId, inFlight] of told.inFlight) roster.countOpen(scheduleId, inFlight);
  }

  /** What has changed since. */
  async reread(): Promise<void> {
    const { calls, ledger } = this.#parts;
    this.#adopt(await calls.once('changes', (signal) => ledger.changes(this.#revision, signal)));
  }

  #adopt(changes: Changes | LedgerState): void {
    const { state, dispatcher } = this.#parts;
    this.#isStale = false;
    this.#revision = changes.revision;
    state.settings = changes.settings;
    state.queues = changes.queues;
    dispatcher.configure();
    state.pausedAt = changes.pausedAt;
    for (const change of changes.definitions) this.#adoptOne(change);
  }

  #adoptOne(change: DefinitionChange): void {
    const { state, following, dispatcher, alarm, ends } = this.#parts;
    const problem = state.roster.apply(change, state.tick);
    switch (change.kind) {
      case 'defined':
        following.define(change.definition);
        this.#mend(change.definition.scheduleId, change.definition.name, problem);
        return;
      case 'unreadable':
        this.#mend(change.scheduleId, change.name, problem);
        return;
      case 'dropped':
        dispatcher.removeSchedule(change.scheduleId);
        state.dropped.add(change.scheduleId);
        ends.lookForDropped();
        alarm.dropped(change.scheduleId);
        following.drop(change.scheduleId);
        state.unreadable.delete(change.scheduleId);
        return;
      default:
        change satisfies never;
    }
  }

  #mend(scheduleId: number, schedule: string, problem: string | undefined): void {
    if (problem === undefined) this.#parts.state.unreadable.delete(scheduleId);
    else this.#tell(scheduleId, schedule, problem);
  }

  /** It could be read, and cannot be used. */
  broken(scheduleId: number, message: string): void {
    this.#tell(scheduleId, this.#parts.state.roster.get(scheduleId)?.definition.name ?? String(scheduleId), message);
  }

  #tell(scheduleId: number, schedule: string, message: string): void {
    const { state, events } = this.#parts;
    state.unreadable.set(scheduleId, { schedule, message });
    events.emit('schedule:unreadable', { schedule, message });
  }

  /** It has disabled itself, durably. */
  disabled(armed: Armed): void {
    const { state, following } = this.#parts;
    armed.disable();
    following.define(armed.definition);
    state.roster.slots.disarm(armed.definition.scheduleId);
    this.expectChange();
  }
}
