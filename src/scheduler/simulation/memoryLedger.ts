// The ledger of a simulated world: what a database would keep, in maps. Every call takes its effect in one piece, as a
// transaction does, and answers what was true at that moment; delays and faults are put around it by those who want them.
// It refuses what a sound scheduler never asks for (a run opened twice, a tick that is there), so that a mistake is seen at once.

import { Diagnostic } from '../../core/diagnostic.ts';
import type { Instant } from '../../core/instant.ts';
import { nameKey } from '../../core/name.ts';
import { isAside } from '../opening.ts';
import {
  type Alert,
  type Changes,
  type DefinitionChange,
  type Fate,
  type InFlight,
  instantKey,
  type Ledger,
  type LedgerState,
  type LogLine,
  type QueueDefinition,
  type ScheduledInstant,
  type SchedulerSettings,
  type Tick,
  type Token,
  type Unit,
  type WaitingRequest,
  type Write,
} from '../ports.ts';
import { groupOrder, rankOf, waitsSince } from '../queue.ts';
import { type Closing, type Counters, noCounters, type OpenRun } from '../run.ts';
import type { Definition } from '../schedule.ts';

interface OpenRow {
  readonly run: OpenRun;
  /** Its own transaction closed it, and what follows is not settled. */
  marked: boolean;
  /** Its start was made durable. */
  begun: { readonly bootId: string; readonly at: Instant } | undefined;
}

export interface MemoryLedgerOptions {
  readonly settings: SchedulerSettings;
  readonly queues: readonly QueueDefinition[];
  /** Up to where time is handled at first. */
  readonly watermark: Instant;
  /** Hears of each transaction at the moment at which it has become true, also where its caller is never answered. */
  readonly onCommit?: (writes: readonly Write[], tick: Tick | undefined) => void;
}

export class MemoryLedger implements Ledger {
  readonly #open = new Map<string, OpenRow>();
  readonly #openBySchedule = new Map<number | null, Set<string>>();
  readonly #closed = new Map<string, Closing>();
  /** How many rows of runs, open or closed, instants of the clock have. */
  readonly #ran = new Map<string, number>();
  readonly #counters = new Map<number, Counters>();
  readonly #tokens = new Map<string, Token>();
  readonly #usedTokens = new Set<string>();
  readonly #deadLetters = new Map<string, 'retried' | 'dropped'>();
  readonly #logs: LogLine[] = [];
  readonly #alerts = new Map<string, Alert>();
  readonly #definitions = new Map<number, { readonly revision: number; readonly change: DefinitionChange }>();
  readonly #queues = new Map<string, QueueDefinition>();
  readonly #starts = new Map<string, { readonly queue: string; readonly at: Instant }>();
  #settings: SchedulerSettings;
  #pausedAt: Instant | null = null;
  #revision = 1;
  #tick: Tick;
  #lastBoot: LedgerState['lastBoot'];
  readonly #stoppedBoots = new Set<string>();
  readonly #onCommit: MemoryLedgerOptions['onCommit'];

  constructor({ settings, queues, watermark, onCommit }: MemoryLedgerOptions) {
    this.#onCommit = onCommit;
    this.#settings = settings;
    for (const queue of queues) this.#queues.set(queue.name, queue);
    this.#tick = { seq: 0, watermark, partly: null, gap: null, replayUntil: null };
  }

  // What statements do.

  /** Also what ALTER, ENABLE and DISABLE do: the whole definition, anew. */
  define(definition: Definition): void {
    this.#change(definition.scheduleId, { kind: 'defined', definition });
  }

  /** The row of a schedule can no longer be read. */
  spoil(unreadable: Extract<DefinitionChange, { kind: 'unreadable' }>): void {
    this.#change(unreadable.scheduleId, unreadable);
  }

  drop(scheduleId: number): void {
    this.#change(scheduleId, { kind: 'dropped', scheduleId });
  }

  defineQueue(queue: QueueDefinition): void {
    this.#revision += 1;
    this.#queues.set(queue.name, queue);
  }

  set(settings: Partial<SchedulerSettings>): void {
    this.#revision += 1;
    this.#settings = { ...this.#settings, ...settings };
  }

  /** Since when nothing is opened; null: it goes on. */
  pause(at: Instant | null): void {
    this.#revision += 1;
    this.#pausedAt = at;
  }

  #change(scheduleId: number, change: DefinitionChange): void {
    this.#revision += 1;
    this.#definitions.set(scheduleId, { revision: this.#revision, change });
  }

  // What a run's own transaction does.

  /** Takes the run out of the open set, or marks it, and writes its closing row. fenced: somebody else has closed it. */
  closeInside(closing: Closing, { marks }: { readonly marks: boolean }): 'removed' | 'marked' | 'fenced' {
    const row = this.#open.get(closing.run.runId);
    if (row === undefined || row.marked) return 'fenced';
    if (marks) row.marked = true;
    else this.#takeAway(row.run);
    this.#insertClosed(closing);
    return marks ? 'marked' : 'removed';
  }

  // What is to be read afterwards.

  get openRuns(): readonly OpenRun[] {
    return [...this.#open.values()].map((row) => row.run);
  }

  get closedRuns(): IterableIterator<Closing> {
    return this.#closed.values();
  }

  get deadLetters(): ReadonlyMap<string, 'retried' | 'dropped'> {
    return this.#deadLetters;
  }

  get logLines(): readonly LogLine[] {
    return this.#logs;
  }

  definition(scheduleId: number): Definition | undefined {
    const change = this.#definitions.get(scheduleId)?.change;
    return change?.kind === 'defined' ? change.definition : undefined;
  }

  // The ledger.

  load(signal: AbortSignal): Promise<LedgerState> {
    return answer(signal, () => {
      const rows = [...this.#open.values()];
      const waiting = rows.filter((row) => !row.marked);
      return {
        ...this.#changesAfter(0),
        tick: this.#tick,
        lastBoot: this.#lastBoot,
        counters: this.#countersNow(waiting),
        inFlight: inFlightOf(waiting),
        openRuns: waiting.length,
        // Who stopped in order has let go of all that it had begun.
        begun: waiting.flatMap(({ run, begun }) =>
          begun === undefined || this.#stoppedBoots.has(begun.bootId) ? [] : [{ run, startedAt: begun.at }],
        ),
        marks: rows.filter((row) => row.marked).flatMap((row) => this.#closed.get(row.run.runId) ?? []),
        tokens: [...this.#tokens.values()],
        recentStarts: this.#recentStarts(),
        alerts: [...this.#alerts.values()].filter((alert) => alert.endedAt === null),
      };
    });
  }

  changes(revision: number, signal: AbortSignal): Promise<Changes> {
    return answer(signal, () => this.#changesAfter(revision));
  }

  newestTick(signal: AbortSignal): Promise<Tick> {
    return answer(signal, () => this.#tick);
  }

  tick(tick: Tick, _at: Instant, writes: readonly Write[], signal: AbortSignal): Promise<void> {
    return answer(signal, () => {
      if (tick.seq <= this.#tick.seq) throw new Diagnostic('constraint', `tick ${tick.seq} is there already`);
      this.#refuseDoubles(writes);
      if (!this.#accepts(writes)) throw new Diagnostic('constraint', `tick ${tick.seq} closes what is not open`);
      for (const write of writes) this.#apply(write);
      this.#tick = tick;
      this.#onCommit?.(writes, tick);
    });
  }

  write(units: readonly Unit[], signal: AbortSignal): Promise<readonly boolean[]> {
    return answer(signal, () => {
      this.#refuseDoubles(units.flat());
      return units.map((unit) => {
        if (!this.#accepts(unit)) return false;
        for (const write of unit) this.#apply(write);
        this.#onCommit?.(unit, undefined);
        return true;
      });
    });
  }

  applied(units: readonly Unit[], signal: AbortSignal): Promise<readonly boolean[]> {
    return answer(signal, () => units.map((unit) => this.#isThere(unit)));
  }

  waiting({ now, limit, perGroup }: WaitingRequest, signal: AbortSignal): Promise<readonly OpenRun[]> {
    return answer(signal, () => {
      const runs: OpenRun[] = [];
      for (const { run, marked } of this.#open.values()) {
        if (!marked && (run.notBefore === null || run.notBefore <= now)) runs.push(run);
      }
      return inTurns(firstOfGroups(runs, perGroup), now).slice(0, limit);
    });
  }

  openRunsOf(scheduleId: number, signal: AbortSignal): Promise<readonly OpenRun[]> {
    return answer(signal, () =>
      [...(this.#openBySchedule.get(scheduleId) ?? [])].flatMap((runId) => {
        const row = this.#open.get(runId);
        return row === undefined || row.marked ? [] : [row.run];
      }),
    );
  }

  fate(runId: string, signal: AbortSignal): Promise<Fate> {
    return answer(signal, (): Fate => {
      const row = this.#open.get(runId);
      if (row?.marked === false) return { kind: 'open', run: row.run };
      const closing = this.#closed.get(runId);
      return closing === undefined ? { kind: 'unknown' } : { kind: 'closed', closing, marked: row !== undefined };
    });
  }

  ran(instants: readonly ScheduledInstant[], signal: AbortSignal): Promise<ReadonlySet<string>> {
    return answer(signal, () => new Set(instants.map(instantKey).filter((key) => (this.#ran.get(key) ?? 0) > 0)));
  }

  /** Whether all of a unit can be written: its runs are open, its mark and its tokens are there. */
  #accepts(unit: Unit): boolean {
    return unit.every((write) => {
      switch (write.kind) {
        case 'close':
          return this.#open.get(write.closing.run.runId)?.marked === false;
        case 'begin':
          return this.#open.get(write.runId)?.marked === false;
        case 'settle':
          return this.#open.get(write.runId)?.marked === true;
        case 'useTokens':
          return write.tokenIds.every((tokenId) => this.#tokens.has(tokenId));
        case 'open':
        case 'skip':
        case 'token':
        case 'disable':
        case 'deadLetter':
        case 'log':
        case 'alert':
        case 'boot':
          return true;
        default:
          return write satisfies never;
      }
    });
  }

  /** Before anything of a transaction is written: it is all or nothing. */
  #refuseDoubles(writes: readonly Write[]): void {
    const seen = new Set<string>();
    for (const write of writes) {
      if (write.kind !== 'open' && write.kind !== 'skip') continue;
      const { runId } = write.kind === 'open' ? write.run : write.closing.run;
      if (seen.has(runId) || this.#knows(runId)) throw new Diagnostic('constraint', `run ${runId} is there already`);
      seen.add(runId);
    }
  }

  #apply(write: Write): void {
    switch (write.kind) {
      case 'open':
        this.#insertOpen(write.run);
        return;
      case 'close':
        this.#takeAway(write.closing.run);
        this.#insertClosed(write.closing);
        return;
      case 'skip':
        this.#insertClosed(write.closing);
        return;
      case 'settle': {
        const row = this.#open.get(write.runId);
        if (row !== undefined) this.#takeAway(row.run);
        return;
      }
      case 'token':
        if (!this.#usedTokens.has(write.token.tokenId)) this.#tokens.set(write.token.tokenId, write.token);
        return;
      case 'useTokens':
        for (const tokenId of write.tokenIds) {
          this.#tokens.delete(tokenId);
          this.#usedTokens.add(tokenId);
        }
        return;
      case 'disable': {
        const definition = this.definition(write.scheduleId);
        if (definition?.enabled === true) this.define({ ...definition, version: definition.version + 1, enabled: false });
        return;
      }
      case 'begin': {
        const row = this.#open.get(write.runId);
        if (row === undefined) return;
        row.begun = { bootId: write.bootId, at: write.at };
        this.#starts.set(write.runId, { queue: row.run.queue, at: write.at });
        return;
      }
      case 'deadLetter':
        this.#deadLetters.set(write.runId, write.settled);
        return;
      case 'log':
        this.#logs.push(write.line);
        return;
      case 'alert':
        this.#alerts.set(write.alert.alertId, write.alert);
        return;
      case 'boot':
        this.#lastBoot = { bootId: write.bootId, event: write.event, at: write.at };
        if (write.event !== 'start') this.#stoppedBoots.add(write.bootId);
        return;
      default:
        write satisfies never;
    }
  }

  /** What tells a unit from all others: the rows that it brings and that nobody else could have brought. */
  #isThere(unit: Unit): boolean {
    let told = false;
    for (const write of unit) {
      switch (write.kind) {
        case 'open':
          if (!this.#knows(write.run.runId)) return false;
          told = true;
          break;
        case 'close':
        case 'skip': {
          const there = this.#closed.get(write.closing.run.runId);
          if (there?.finishedAt !== write.closing.finishedAt || there.state !== write.closing.state) return false;
          told = true;
          break;
        }
        case 'token':
          if (!this.#tokens.has(write.token.tokenId) && !this.#usedTokens.has(write.token.tokenId)) return false;
          told = true;
          break;
        case 'useTokens':
          if (!write.tokenIds.every((tokenId) => this.#usedTokens.has(tokenId))) return false;
          told = true;
          break;
        case 'settle':
          if (this.#open.has(write.runId) || !this.#closed.has(write.runId)) return false;
          told = true;
          break;
        case 'begin':
          if (this.#open.get(write.runId)?.begun?.bootId !== write.bootId && !this.#closed.has(write.runId)) return false;
          told = true;
          break;
        // Written twice, these are what they were.
        case 'disable':
        case 'deadLetter':
        case 'log':
        case 'alert':
        case 'boot':
          break;
        default:
          write satisfies never;
      }
    }
    return told;
  }

  #knows(runId: string): boolean {
    return this.#open.has(runId) || this.#closed.has(runId);
  }

  #insertOpen(run: OpenRun): void {
    this.#open.set(run.runId, { run, marked: false, begun: undefined });
    const open = this.#openBySchedule.get(run.scheduleId);
    if (open === undefined) this.#openBySchedule.set(run.scheduleId, new Set([run.runId]));
    else open.add(run.runId);
    this.#countRan(run, 1);
  }

  /** A run by hand is for the moment at which it was asked for, which is no instant of the clock's. */
  #countRan({ scheduleId, scheduledAt, trigger }: OpenRun, rows: 1 | -1): void {
    if (scheduleId === null || trigger === 'manual' || trigger === 'api') return;
    const key = instantKey({ scheduleId, scheduledAt });
    this.#ran.set(key, (this.#ran.get(key) ?? 0) + rows);
  }

  #takeAway(run: OpenRun): void {
    this.#open.delete(run.runId);
    this.#countRan(run, -1);
    const open = this.#openBySchedule.get(run.scheduleId);
    open?.delete(run.runId);
    if (open?.size === 0) this.#openBySchedule.delete(run.scheduleId);
  }

  #insertClosed(closing: Closing): void {
    const { run, counters, startedAt } = closing;
    this.#closed.set(run.runId, closing);
    if (startedAt !== null) this.#starts.set(run.runId, { queue: run.queue, at: startedAt });
    if (run.scheduleId === null) return;
    if (closing.state !== 'skipped') this.#countRan(run, 1);
    const before = this.#counters.get(run.scheduleId);
    // Two runs may close at once, each knowing nothing of the other: what only grows is never taken back.
    const openedFires = Math.max(counters.openedFires, before?.openedFires ?? 0);
    this.#counters.set(run.scheduleId, openedFires === counters.openedFires ? counters : { ...counters, openedFires });
  }

  #countersNow(waiting: readonly OpenRow[]): ReadonlyMap<number, Counters> {
    const counters = new Map(this.#counters);
    for (const { run } of waiting) {
      if (run.scheduleId === null || run.fire === null) continue;
      const known = counters.get(run.scheduleId) ?? noCounters;
      if (run.fire > known.openedFires) counters.set(run.scheduleId, { ...known, openedFires: run.fire });
    }
    return counters;
  }

  /** As long ago as a queue's rate looks back. */
  #recentStarts(): LedgerState['recentStarts'] {
    let newest = Number.NEGATIVE_INFINITY;
    for (const { at } of this.#starts.values()) newest = Math.max(newest, at);
    const limited = new Map([...this.#queues.values()].map((queue) => [nameKey(queue.name), queue]));
    const starts: { queue: string; at: Instant }[] = [];
    for (const [runId, { queue, at }] of this.#starts) {
      const { name, rate = null } = limited.get(nameKey(queue)) ?? {};
      if (name === undefined || rate === null || at <= newest - rate.perMs) this.#starts.delete(runId);
      else starts.push({ queue: name, at });
    }
    return starts;
  }

  #changesAfter(revision: number): Changes {
    const definitions: DefinitionChange[] = [];
    for (const row of this.#definitions.values()) {
      // Whoever begins at 0 knows of nothing that could have been dropped.
      if (row.revision > revision && (revision > 0 || row.change.kind !== 'dropped')) definitions.push(row.change);
    }
    return {
      revision: this.#revision,
      definitions,
      settings: this.#settings,
      queues: [...this.#queues.values()],
      pausedAt: this.#pausedAt,
    };
  }
}

function inFlightOf(rows: readonly OpenRow[]): ReadonlyMap<number, InFlight> {
  const inFlight = new Map<number, InFlight>();
  for (const { run } of rows) {
    if (run.scheduleId === null || isAside(run.trigger)) continue;
    const { live, catchup } = inFlight.get(run.scheduleId) ?? { live: 0, catchup: 0 };
    inFlight.set(run.scheduleId, run.trigger === 'catchup' ? { live, catchup: catchup + 1 } : { live: live + 1, catchup });
  }
  return inFlight;
}

function firstOfGroups(runs: readonly OpenRun[], perGroup: number): OpenRun[] {
  const members = new Map<string, number>();
  return [...runs].sort(groupOrder).filter(({ group }) => {
    if (group === null) return true;
    const before = members.get(group.key) ?? 0;
    members.set(group.key, before + 1);
    return before < perGroup;
  });
}

/** The most urgent of each queue, then the second of each, and so on. */
function inTurns(runs: readonly OpenRun[], now: Instant): OpenRun[] {
  const ranked = runs.map((run) => ({ run, rank: rankOf(run, waitsSince(run), now), turn: 0 }));
  ranked.sort((one, other) => one.rank - other.rank || groupOrder(one.run, other.run));
  const turns = new Map<string, number>();
  for (const each of ranked) {
    const key = nameKey(each.run.queue);
    each.turn = turns.get(key) ?? 0;
    turns.set(key, each.turn + 1);
  }
  // The order within a turn stays.
  return ranked.sort((one, other) => one.turn - other.turn).map(({ run }) => run);
}

/** Settles in a later turn, with its effect or without any. */
async function answer<T>(signal: AbortSignal, effect: () => T): Promise<T> {
  signal.throwIfAborted();
  return effect();
}
