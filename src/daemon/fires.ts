// What the scheduler of this shell has done, told to whoever sits at it: one line for a run, and one for what should be known
// besides. Somebody is typing below, so it never says much at once. Of a second with many runs five are told and the others
// counted; where that goes on, they are counted over longer and longer times. What happens while nobody can be told is kept,
// and told together.

import { formatDuration } from '../core/duration.ts';
import type { Instant } from '../core/instant.ts';
import type { Clock, Timer } from '../scheduler/clock.ts';
import type { Events, SchedulerEvents } from '../scheduler/events.ts';
import { type ClosedState, type FinishedRun, isFailure, nameOf } from '../scheduler/run.ts';
import { localTime, timeText } from './answer.ts';
import type { Notice } from './notice.ts';
import { oneLine, truncated, widthOf } from './render/terminalText.ts';

export type FiresSetting = 'on' | 'off' | 'failures';

export interface FiresOptions {
  readonly events: Pick<Events, 'on'>;
  readonly clock: Clock;
  readonly setting: () => FiresSetting;
  /** In which times are told. */
  readonly zone: () => string;
  readonly color: boolean;
  /** Whether there is a place for a line right now; else it is kept for `flush`. */
  readonly ready: () => boolean;
  readonly tell: (notices: readonly Notice[]) => void;
}

interface Fire {
  readonly run: FinishedRun;
  readonly at: Instant;
}

/** Lines in one stretch of time, which is a second unless it was too short before. */
const mostLines = 5;
const stretchMs = 1000;
const longestStretchMs = 10_000;
/** Kept one by one; of more only the number. */
const mostKept = 1000;
const mostMessages = 20;
const longestName = 48;

export class Fires {
  readonly #options: FiresOptions;
  readonly #stop: (() => void)[] = [];
  #stretch: Timer | undefined;
  #stretchMs = stretchMs;
  #stretchEndedMs = 0;
  #lines = 0;
  #kept: Fire[] = [];
  #beyond = new Tally();
  #messages: Notice[] = [];
  /** Runs that a statement of this shell has answered itself. */
  #answered = new Set<string>();
  /** What goes on for long is told once. */
  #ongoing = new Set<string>();
  #hinted = false;

  constructor(options: FiresOptions) {
    this.#options = options;
    const { events } = options;
    this.#stop.push(events.on('run:finished', (run) => this.#take(run)));
    this.#listen('scheduler:paused', ({ held }) => {
      // Whoever has just typed it knows.
      if (!held && options.ready()) this.say('the scheduler is paused: nothing is opened until RESUME SCHEDULER;');
    });
    this.#listen('scheduler:resumed', () => {
      if (options.ready()) this.say('the scheduler goes on');
    });
    this.#listen('schedule:unreadable', ({ schedule, message }) => {
      this.#sayOnce(`unreadable ${schedule}: ${message}`, `${shownName(schedule)} cannot be read and does not run: ${message}`, 'bad');
    });
    this.#listen('schedule:disabled', ({ schedule, reason }) => this.say(`${shownName(schedule)} has disabled itself: ${reason}`, 'bad'));
    this.#listen('clock:behind', ({ now, watermark }) => {
      const behind = formatDuration(Math.max(1000, Math.round((watermark - now) / 1000) * 1000));
      const text = `the clock stands ${behind} behind what has been handled: nothing is opened until it is right, or has been so for 10 minutes`;
      this.#sayOnce('clock', text, 'bad');
    });
    this.#listen('clock:believed', () => this.#end('clock', 'the clock is believed: the scheduler goes on'));
    this.#listen('storage:low', ({ freeBytes, neededBytes }) => {
      const text = `the disk is nearly full (${bytes(freeBytes)} free, ${bytes(neededBytes)} needed): nothing is opened until there is room`;
      this.#sayOnce('storage', text, 'bad');
    });
    this.#listen('storage:enough', () => this.#end('storage', 'the disk has room again: the scheduler goes on'));
    this.#listen('ledger:trouble', ({ during, message }) => {
      // Nobody waits for anything any more.
      if (during === 'stop') return;
      this.#sayOnce('ledger', `the scheduler has trouble with the file (${during}) and tries again: ${message}`, 'bad');
    });
    this.#listen('ledger:recovered', () => this.#end('ledger', 'the scheduler can use the file again'));
    this.#listen('alert:raised', ({ schedule, detail }) => {
      this.say(`alert: ${schedule === null ? '' : `${shownName(schedule)}: `}${detail}`, 'bad');
    });
  }

  /** These runs have been answered by a statement: nobody needs to hear of them twice. */
  answered(runIds: readonly string[]): void {
    for (const runId of runIds) this.#answered.add(runId);
    this.#kept = this.#kept.filter(({ run }) => !this.#answered.delete(run.runId));
    // Some were told before they were answered.
    for (const runId of this.#answered) {
      if (this.#answered.size <= mostKept) break;
      this.#answered.delete(runId);
    }
  }

  /** Tells what was kept. */
  flush(): void {
    const notices = this.#messages.splice(0);
    // A second that has had its lines goes on counting: only the prompt has come back.
    if (this.#lines < mostLines) notices.push(...this.#keptNotices(mostLines));
    if (notices.length > 0) this.#options.tell(notices);
  }

  /** A line of its own, with the time in front. */
  say(text: string, look: Look = 'plain'): void {
    const { clock, zone, color, ready, tell } = this.#options;
    const time = timeOfDay(clock.now(), knownZone(zone()));
    const notice: Notice = {
      count: 1,
      line: (_, columns) =>
        painted(
          [
            ['faint', `${time} `],
            [look, oneLine(text)],
          ],
          { color, columns },
        ),
    };
    if (ready()) tell([notice]);
    else {
      this.#messages.push(notice);
      if (this.#messages.length > mostMessages) this.#messages.shift();
    }
  }

  close(): void {
    this.#stretch?.cancel();
    for (const stop of this.#stop.splice(0)) stop();
  }

  // ---- Runs ----

  #take(run: FinishedRun): void {
    const { setting, ready, clock, tell } = this.#options;
    if (this.#answered.delete(run.runId)) return;
    if (setting() === 'off' || (setting() === 'failures' && !isFailure(run.state))) return;
    const fire = { run, at: clock.now() };
    if (!ready()) {
      this.#keep(fire);
      return;
    }
    if (this.#stretch === undefined) {
      // A second without a run: what was is over.
      if (clock.monotonicMs() - this.#stretchEndedMs >= stretchMs) this.#stretchMs = stretchMs;
      this.#stretch = clock.after(this.#stretchMs, () => this.#endStretch(), { keepsProcessAlive: false });
    }
    if (this.#lines >= mostLines) {
      this.#keep(fire);
      return;
    }
    this.#lines++;
    tell([this.#noticeOf([fire])]);
  }

  #keep(fire: Fire): void {
    if (this.#kept.length < mostKept) this.#kept.push(fire);
    else this.#beyond.add(fire.run);
  }

  #endStretch(): void {
    this.#stretch = undefined;
    this.#stretchEndedMs = this.#options.clock.monotonicMs();
    const isFull = this.#lines >= mostLines && this.#kept.length > 0;
    this.#stretchMs = isFull ? Math.min(this.#stretchMs * 2, longestStretchMs) : stretchMs;
    this.#lines = 0;
    if (!this.#options.ready()) return;
    const notices = this.#keptNotices(isFull ? 0 : mostLines);
    if (notices.length > 0) this.#options.tell(notices);
  }

  /** So many lines, for failures first, and one for all the others. */
  #keptNotices(most: number): Notice[] {
    const rest = this.#beyond;
    const fires = this.#kept;
    this.#beyond = new Tally();
    this.#kept = [];
    const groups = new Map<string, Fire[]>();
    for (const fire of fires) {
      const key = keyOf(fire.run);
      const group = groups.get(key);
      // The last of them decides where it stands.
      groups.delete(key);
      groups.set(key, group === undefined ? [fire] : [...group, fire]);
    }
    const all = [...groups.values()];
    // One line more says as much as a count of one.
    const room = rest.runs === 0 && all.length <= most + 1 ? most + 1 : most;
    const newestFirst = [...all].reverse();
    const isBad = ([fire]: readonly Fire[]): boolean => fire !== undefined && isFailure(fire.run.state);
    const chosen = new Set([...newestFirst.filter(isBad), ...newestFirst.filter((group) => !isBad(group))].slice(0, room));
    for (const group of all) if (!chosen.has(group)) for (const { run } of group) rest.add(run);
    const notices = all.filter((group) => chosen.has(group)).map((group) => this.#noticeOf(group));
    if (rest.runs > 0) notices.push(this.#summary(rest));
    return notices;
  }

  #noticeOf(fires: readonly Fire[]): Notice {
    const last = fires.at(-1);
    if (last === undefined) return { count: 0, line: () => '' };
    const { color, zone } = this.#options;
    const [inZone, run] = [knownZone(zone()), last.run];
    return {
      key: keyOf(run),
      count: fires.length,
      line: (count, columns) => {
        const times = count > 1 ? `  ×${count}` : '';
        const room = columns === undefined ? undefined : columns - widthOf(times);
        return painted(runLine(last, { columns: room, zone: inZone }), { color, columns: room }) + painted([['faint', times]], { color });
      },
    };
  }

  #summary(tally: Tally): Notice {
    const pieces: Piece[] = [['plain', `.. and ${counted(tally.runs, 'more run')} (`], ...tally.pieces(), ['plain', ')']];
    const { color, setting } = this.#options;
    const hinted = !this.#hinted && setting() === 'on';
    this.#hinted = true;
    return {
      count: 1,
      line: (_, columns = Number.POSITIVE_INFINITY) => {
        const hint: Piece = ['faint', '; .fires failures tells only failures'];
        return painted(hinted && widthOfAll([...pieces, hint]) <= columns ? [...pieces, hint] : pieces, { color, columns });
      },
    };
  }

  // ---- What should be known besides ----

  #listen<Name extends keyof SchedulerEvents>(name: Name, listener: (detail: SchedulerEvents[Name]) => void): void {
    this.#stop.push(this.#options.events.on(name, listener));
  }

  #sayOnce(what: string, text: string, look?: Look): void {
    if (this.#ongoing.has(what)) return;
    // A file with many unreadable schedules must not fill the memory with their names.
    if (this.#ongoing.size >= mostKept) this.#ongoing.clear();
    this.#ongoing.add(what);
    this.say(text, look);
  }

  #end(what: string, text: string): void {
    if (this.#ongoing.delete(what)) this.say(text);
  }
}

function keyOf(run: FinishedRun): string {
  return `${run.state} ${run.final} ${nameOf(run)}`;
}

class Tally {
  readonly #states = new Map<ClosedState, number>();
  readonly #failed = new Set<string>();
  runs = 0;

  add(run: FinishedRun): void {
    const { state } = run;
    this.runs++;
    this.#states.set(state, (this.#states.get(state) ?? 0) + 1);
    if (isFailure(state) && this.#failed.size < 4) this.#failed.add(shownName(nameOf(run)));
  }

  /** `35 succeeded, 2 failed: load, sync` */
  pieces(): Piece[] {
    const pieces: Piece[] = [];
    // Failures last: their names follow.
    const states = [...this.#states].sort(([one], [other]) => Number(isFailure(one)) - Number(isFailure(other)));
    for (const [state, count] of states) pieces.push([lookOf(state), `${pieces.length > 0 ? ', ' : ''}${count} ${worded(state)}`]);
    const names = [...this.#failed];
    if (names.length > 0) pieces.push(['bad', `: ${names.slice(0, 3).join(', ')}${names.length > 3 ? ', ..' : ''}`]);
    return pieces;
  }
}

// ---- The line of a run ----

type Look = 'plain' | 'faint' | 'good' | 'bad';
type Piece = readonly [look: Look, text: string];

interface RunLine {
  readonly columns: number | undefined;
  readonly zone: string;
}

/** `02:00:00 load failed after 1.20 s: the reason; retry in 60s`. What must give way to the width is the middle of the reason. */
function runLine({ run, at }: Fire, { columns = Number.POSITIVE_INFINITY, zone }: RunLine): Piece[] {
  const { state, durationMs, rowsChanged, attempt, trigger, reason } = run;
  const look = lookOf(state);
  const around: Look = state === 'skipped' ? 'faint' : 'plain';
  const took = durationMs === null ? '' : ` ${state === 'succeeded' ? 'in' : 'after'} ${timeText(Math.max(1, Math.round(durationMs)), 0)}`;
  const rows = state === 'succeeded' && rowsChanged !== null && rowsChanged > 0 ? ` (${counted(rowsChanged, 'row')})` : '';
  const tries = attempt > 1 ? `, attempt ${attempt}` : '';
  const due = trigger === 'catchup' || trigger === 'backfill' ? `, due ${dueAt(run.scheduledAt, { now: at, zone })}` : '';
  const head: Piece[] = [
    ['faint', `${timeOfDay(at, zone)} `],
    [around, `${shownName(nameOf(run))} `],
    [look, worded(state)],
    [around, `${state === 'skipped' ? '' : took}${rows}${tries}${due}`],
  ];
  // The line names the schedule already.
  const named = `in schedule ${run.schedule}, `;
  const why = reason?.startsWith(named) === true ? reason.slice(named.length).replace(/^column \d+: /, '') : reason;
  const because = why === null || why === undefined ? '' : shortened(`: ${oneLine(why)}`, columns - widthOfAll(head));
  return [...head, [around, because]];
}

/** The day only where it is another one. */
function dueAt(instant: Instant, { now, zone }: { readonly now: Instant; readonly zone: string }): string {
  const day = new Intl.DateTimeFormat('en-GB', { timeZone: zone, dateStyle: 'short' });
  return day.format(instant) === day.format(now) ? timeOfDay(instant, zone) : localTime(instant, { now, zone });
}

/** The end of a reason says when the next attempt is: it stays, as long as there is room for more than that. */
function shortened(reason: string, columns: number): string {
  if (widthOf(reason) <= columns) return reason;
  const retry = /; retry in \w+$/.exec(reason)?.[0] ?? '';
  const room = columns - retry.length;
  return room < 10 ? truncated(reason, Math.max(columns, 1)) : `${truncated(reason.slice(0, reason.length - retry.length), room)}${retry}`;
}

function shownName(name: string): string {
  return truncated(oneLine(name), longestName);
}

function worded(state: ClosedState): string {
  return state.replaceAll('_', ' ');
}

function lookOf(state: ClosedState): Look {
  if (isFailure(state)) return 'bad';
  return state === 'succeeded' ? 'good' : 'faint';
}

const escapes: Readonly<Record<Look, string>> = { plain: '', faint: '\x1b[2m', good: '\x1b[32m', bad: '\x1b[31m' };

interface Paint {
  readonly color: boolean;
  readonly columns?: number | undefined;
}

/** No wider than the terminal, the colours not counted. */
function painted(pieces: readonly Piece[], { color, columns = Number.POSITIVE_INFINITY }: Paint): string {
  let room = columns;
  let line = '';
  for (const [look, text] of pieces) {
    const shown = widthOf(text) <= room ? text : room > 0 ? truncated(text, room) : '';
    room -= widthOf(shown);
    line += !color || escapes[look] === '' || shown === '' ? shown : `${escapes[look]}${shown}\x1b[0m`;
    if (shown !== text) break;
  }
  return line;
}

function widthOfAll(pieces: readonly Piece[]): number {
  return pieces.reduce((width, [, text]) => width + widthOf(text), 0);
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

function bytes(count: number): string {
  return count < 1e9 ? `${Math.floor(count / 1e6)} MB` : `${(count / 1e9).toFixed(1)} GB`;
}

function timeOfDay(at: Instant, zone: string): string {
  return (formats.get(zone) ?? formatIn(zone)).format(at);
}

const formats = new Map<string, Intl.DateTimeFormat>();

function formatIn(zone: string): Intl.DateTimeFormat {
  const format = new Intl.DateTimeFormat('en-GB', { timeZone: zone, timeStyle: 'medium' });
  formats.set(zone, format);
  return format;
}

/** DuckDB knows a few zones that JavaScript does not. */
function knownZone(zone: string): string {
  try {
    timeOfDay(0, zone);
    return zone;
  } catch {
    return 'UTC';
  }
}
