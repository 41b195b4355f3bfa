// EXPLAIN RUN 'id': what became of a fire, from the moment at which it was due to the end of its last attempt, and why. Everything is
// read from the ledger, which holds each decision; only what a run waits for now is asked of the process.

import { formatDuration, parseDuration } from '../../core/duration.ts';
import type { Instant } from '../../core/instant.ts';
import { nameKey } from '../../core/name.ts';
import type { RunIdStatement } from '../../parser/ast.ts';
import { type Fire, formatLocal, next, note, previous, type Timing } from '../../scheduler/cadence/cadence.ts';
import { isFailure, type OpenRun } from '../../scheduler/run.ts';
import type { Schedule } from '../../scheduler/schedule.ts';
import { inWords } from '../bind/schedule.ts';
import type { Result } from '../result.ts';
import { textOf } from '../store/duckdb/ledgerRows.ts';
import { ledgerSql } from '../store/duckdb/ledgerSql.ts';
import { type ClosedAttempt, closedAttemptOf, runSql } from '../store/duckdb/runSql.ts';
import type { Value } from '../value.ts';
import { answer, instant, type StatementContext, text, timestamp } from './context.ts';
import { type Attempts, findAttempts } from './runs.ts';

interface Line {
  readonly at: Instant;
  readonly what: string;
  readonly detail: string;
}

export async function explainRun(statement: RunIdStatement, context: StatementContext): Promise<Result> {
  const story = await Story.of(await findAttempts(statement.run, context), context);
  const lines = await story.lines();
  return answer({
    tag: 'EXPLAIN',
    columns: [instant('at'), text('what'), text('detail')],
    rows: lines.map(({ at, what, detail }) => [timestamp(at), what, detail]),
    form: 'story',
  });
}

class Story {
  readonly #attempts: Attempts;
  /** The first that is known: retention may have taken earlier ones. */
  readonly #first: OpenRun;
  /** As it was when the run was opened, or as it is now where that is not known any more. */
  readonly #schedule: Schedule | undefined;
  readonly #timing: Timing | undefined;
  readonly #zone: string;
  readonly #context: StatementContext;
  readonly #sql: ReturnType<typeof runSql>;

  static async of(attempts: Attempts, context: StatementContext): Promise<Story> {
    const first = attempts.closed[0]?.run ?? attempts.newest;
    const { scheduleId, scheduleVersion } = first;
    const { catalogue } = context;
    const stored = await catalogue.schedule(first.schedule);
    const then = scheduleId === null ? undefined : await catalogue.scheduleVersion(scheduleId, scheduleVersion);
    const schedule = then ?? (stored?.scheduleId === scheduleId ? stored?.schedule : undefined);
    const timing = schedule === undefined ? undefined : await catalogue.timing(schedule);
    const zone = timing?.zone ?? (await catalogue.settings()).text('timezone');
    return new Story(attempts, first, { schedule, timing, zone }, context);
  }

  private constructor(
    attempts: Attempts,
    first: OpenRun,
    { schedule, timing, zone }: { schedule: Schedule | undefined; timing: Timing | undefined; zone: string },
    context: StatementContext,
  ) {
    this.#attempts = attempts;
    this.#first = first;
    this.#schedule = schedule;
    this.#timing = timing;
    this.#zone = zone;
    this.#context = context;
    this.#sql = runSql(context.sql.ledger);
  }

  /** In the order of time. */
  async lines(): Promise<Line[]> {
    const lines: Line[] = [...this.#due(), ...(await this.#opened())];
    const { closed, open } = this.#attempts;
    let retry: Retry | undefined;
    for (const [index, attempt] of closed.entries()) {
      lines.push(...(await this.#attempt(attempt, retry)));
      const following = closed[index + 1]?.run ?? open;
      if (following === undefined) continue;
      retry = this.#retry(attempt, following, closed[index + 1]);
      lines.push(retry.line);
    }
    if (open !== undefined) lines.push(...(await this.#open(open, retry)));
    lines.push(...(await this.#end()));
    return lines.sort((one, other) => one.at - other.at);
  }

  // ---- How it came to be ----

  #due(): Line[] {
    const { trigger, scheduledAt } = this.#first;
    const at = scheduledAt;
    if (trigger === 'manual' || trigger === 'api')
      return [{ at, what: 'asked', detail: `for a run by hand, at ${this.#clock(at)} in ${this.#zone}` }];
    const inZone = `${this.#clock(at)} in ${this.#zone}`;
    if (trigger === 'event') return [{ at, what: 'due', detail: `${inZone}: the time of the run before it` }];
    if (trigger === 'after') return [{ at, what: 'due', detail: `${inZone}: the time of the run that it follows` }];
    const words = this.#schedule === undefined ? '' : inWords(this.#schedule, this.#timing).replace(` (${this.#zone})`, '');
    const fire = this.#fire();
    // That its calendar refuses it is told where it is refused.
    const noted = fire === undefined || this.#timing === undefined ? '' : note(this.#timing, { ...fire, refused: false });
    const lines: Line[] = [{ at, what: 'due', detail: joined(joined(inZone, words), noted) }];
    const stretch = this.#attempts.closed[0];
    if (stretch?.firstScheduledAt != null && stretch.fires !== 1) {
      const count = stretch.fires === null ? 'more than 10,000 fires' : `${stretch.fires} fires`;
      lines.push({ at, what: 'stretch', detail: `one row for ${count}, from ${this.#day(stretch.firstScheduledAt)} on` });
    }
    if (fire !== undefined && fire.due !== fire.nominal && trigger !== 'backfill') {
      const jittered = this.#timing?.jitterMs ?? 0;
      const isMoved = Math.abs(fire.due - fire.nominal) > jittered;
      lines.push({
        at: fire.due,
        what: isMoved ? 'moved' : 'jitter',
        detail: isMoved
          ? `to ${this.#day(fire.due)}, by the calendar`
          : `starts ${elapsed(fire.due - fire.nominal)} later, at ${this.#clock(fire.due)}`,
      });
    }
    return lines;
  }

  /** The fire of its clock, found by its nominal time. */
  #fire(): Fire | undefined {
    const timing = this.#timing;
    const { scheduledAt } = this.#first;
    if (timing === undefined || timing.cadences.length === 0) return undefined;
    const isEarlier = timing.calendar !== undefined && timing.onHoliday === 'previous';
    let fire = isEarlier ? previous(timing, scheduledAt + timing.jitterMs + 1) : next(timing, scheduledAt - 1);
    for (let looks = 0; fire !== undefined && looks < mostLooks; looks++) {
      if (fire.nominal === scheduledAt) return fire;
      fire = isEarlier ? previous(timing, fire.due) : next(timing, fire.due);
    }
    return undefined;
  }

  async #opened(): Promise<Line[]> {
    const { closed } = this.#attempts;
    const skipped = closed[0];
    // A fire that was refused before there was a run.
    if (
      skipped?.state === 'skipped' &&
      skipped.startedAt === null &&
      skipped.run.attempt === 1 &&
      skipped.finishedAt === skipped.run.openedAt
    )
      return [];
    const { openedAt, attempt, queue, priority } = this.#first;
    if (attempt > 1) return [];
    const place = `${queue === 'default' ? '' : `; queue ${queue}`}${priority === 'normal' ? '' : `; priority ${priority}`}`;
    return [{ at: openedAt, what: 'opened', detail: `${await this.#cause()}${place}` }];
  }

  async #cause(): Promise<string> {
    const { trigger, scheduledAt, openedAt, parentRunId } = this.#first;
    const late = `+${elapsed(openedAt - (this.#fire()?.due ?? scheduledAt))}`;
    switch (trigger) {
      case 'cron':
      case 'interval':
      case 'once':
        return `${late}, by its clock`;
      case 'catchup':
        return `${late}, caught up: ${await this.#gap(scheduledAt, openedAt)}`;
      case 'after':
        return `after ${(await this.#parents()).join(' and ')}`;
      case 'event':
        return `by ${await this.#parent(parentRunId)}`;
      case 'backfill':
        return 'by BACKFILL';
      case 'manual':
      case 'api':
        return 'by hand';
      case 'file':
        return 'by a file';
      default:
        return trigger satisfies never;
    }
  }

  /** All that it waited for; the one that decided its time stands first. */
  async #parents(): Promise<string[]> {
    const { parentRunId } = this.#first;
    const [row] = parentRunId === null ? [] : await this.#rows(this.#sql.closedRun(parentRunId));
    const decided = row === undefined ? undefined : nameKey(closedAttemptOf(row).run.schedule ?? '');
    const parents = [await this.#parent(parentRunId)];
    for (const name of this.#schedule?.after ?? []) {
      if (decided === undefined || nameKey(name) === decided) continue;
      const [end] = await this.#rows(this.#sql.lastEnd(name, this.#first));
      parents.push(end === undefined ? `${name}, whose run history does not hold any more` : ended(closedAttemptOf(end)));
    }
    return parents;
  }

  async #parent(parentRunId: string | null): Promise<string> {
    const [row] = parentRunId === null ? [] : await this.#rows(this.#sql.closedRun(parentRunId));
    if (row === undefined) return `run ${parentRunId ?? 'unknown'}, which history does not hold any more`;
    return ended(closedAttemptOf(row));
  }

  /** Why nobody was there when it was due. */
  async #gap(due: Instant, decidedAt: Instant): Promise<string> {
    const boots = await this.#boots(decidedAt);
    const [newest, ...older] = boots;
    if (newest === undefined) return 'no scheduler had run here';
    if (newest.event === 'start' && newest.at <= due)
      return `the scheduler, which runs since ${this.#day(newest.at)}, was held up or asleep`;
    const before = newest.event === 'start' ? older[0] : newest;
    const since = newest.event === 'start' ? ` and began again at ${this.#day(newest.at)}` : '';
    if (before === undefined) return `the first scheduler began at ${this.#day(newest.at)}`;
    if (before.event === 'stop') return `the scheduler stopped at ${this.#day(before.at)}${since}`;
    if (before.event === 'handover')
      return `the scheduler handed over at ${this.#day(before.at)}, and nobody took its place in time${since}`;
    return `the scheduler that began at ${this.#day(before.at)} died without a stop${since}`;
  }

  async #boots(through: Instant): Promise<{ event: string; at: Instant; bootId: string }[]> {
    const rows = await this.#rows(this.#sql.boots(through));
    return rows.map(([event, at, bootId]) => ({ event: String(event), at: Number(at), bootId: String(bootId) }));
  }

  // ---- What became of it ----

  async #attempt(attempt: ClosedAttempt, retry: Retry | undefined): Promise<Line[]> {
    const { run, state, reason, startedAt, finishedAt, final } = attempt;
    if (state === 'skipped') return this.#skipped(attempt);
    const which = this.#attempts.closed.length > 1 || run.attempt > 1 || !final ? `attempt ${run.attempt}` : '';
    const starts = await this.#starts(run);
    const begunAt = startedAt ?? starts.at(-1)?.at;
    const lines: Line[] =
      begunAt === undefined ? [] : await this.#started(run, begunAt, { which, retry, starts, waitedFor: attempt.waitedFor });
    const took = begunAt === undefined ? 'before it began' : `after ${elapsed(finishedAt - begunAt)}`;
    const changed = attempt.rowsChanged === null ? '' : `${attempt.rowsChanged} ${attempt.rowsChanged === 1 ? 'row' : 'rows'} changed`;
    const conflicts =
      attempt.conflicts === 0 ? '' : `begun again after ${attempt.conflicts === 1 ? 'a conflict' : `${attempt.conflicts} conflicts`}`;
    const told = reason === null ? '' : `: ${withoutRetry(reason)}`;
    const detail = joined(`${joined(which, took, ', ')}${told}`, joined(changed, conflicts));
    lines.push({ at: finishedAt, what: state.replace('_', ' '), detail });
    return lines;
  }

  #retry({ finishedAt, reason }: ClosedAttempt, { attempt, notBefore, openedAt }: OpenRun, following: ClosedAttempt | undefined): Retry {
    const told = /(?:^|; )retry in (\w+)$/.exec(reason ?? '')?.[1];
    if (told === undefined || openedAt > finishedAt)
      return { line: { at: openedAt, what: 'retry', detail: `attempt ${attempt}, by hand` }, dueAt: openedAt };
    const line = (when: string): Line => ({ at: finishedAt, what: 'retry', detail: `attempt ${attempt} in ${told}, at ${when}` });
    // History holds no time that was planned, but the reason does, in whole seconds; and who waited for nothing else began at it.
    const startedAt = following?.waitedFor === null ? following.startedAt : null;
    const exactly = notBefore ?? startedAt;
    if (exactly !== null) return { line: line(this.#clock(exactly)), dueAt: exactly };
    const about = finishedAt + parseDuration(told);
    return { line: line(`about ${this.#clock(about).replace(/\.\d+/, '')}`), dueAt: about };
  }

  /** What it waited for, and its starts: more than one, where a scheduler was gone before the run had ended. */
  async #started(run: OpenRun, at: Instant, { which, retry, starts, waitedFor }: Beginning): Promise<Line[]> {
    const since = run.attempt > 1 && retry !== undefined ? retry.dueAt : run.openedAt;
    const older = starts.filter((start) => start.at < at);
    const waitedMs = (older[0]?.at ?? at) - since;
    const lines: Line[] = [];
    const waited = waitedMs >= leastWaitMs && (run.attempt === 1 || waitedFor !== null);
    if (waited) lines.push({ at: since, what: 'waited', detail: `${elapsed(waitedMs)}${forWhat(waitedFor)}` });
    for (const start of older) {
      const gone = await this.#gone(start.bootId, at);
      lines.push({ at: start.at, what: 'started', detail: joined(which, `the scheduler ${gone} before it had ended`) });
    }
    const { trigger, scheduledAt } = this.#first;
    const isOfAClock = trigger === 'cron' || trigger === 'interval' || trigger === 'once' || trigger === 'catchup';
    const lateMs = at - (this.#fire()?.due ?? scheduledAt);
    const isLate = isOfAClock && run.attempt === 1 && lateMs >= leastWaitMs;
    const lag = isLate
      ? `${elapsed(lateMs)} after it was due`
      : waited
        ? `${elapsed(waitedMs)} after it was ${run.attempt > 1 ? 'due' : 'opened'}`
        : '';
    const durable = starts.find((start) => start.at === at);
    const anew = older.length > 0 ? 'anew' : durable === undefined ? '' : await this.#afterDeath(run, durable);
    const detail = joined(joined(joined(which, anew), lag), this.#version(run));
    lines.push({ at, what: 'started', detail: detail === '' ? 'at once' : detail });
    return lines;
  }

  async #gone(bootId: string, through: Instant): Promise<string> {
    const stop = (await this.#boots(through)).find((boot) => boot.bootId === bootId && boot.event !== 'start');
    return stop === undefined ? 'died' : `${stop.event === 'handover' ? 'handed over' : 'stopped'} at ${this.#clock(stop.at)}`;
  }

  /** Its start is durable, and it was open when the scheduler before it died. */
  async #afterDeath(run: OpenRun, start: Start): Promise<string> {
    const boots = await this.#boots(start.at);
    const opener = boots.find(({ event, at }) => event === 'start' && at <= run.openedAt);
    if (opener === undefined || opener.bootId === start.bootId) return '';
    const stopped = boots.some(({ event, bootId }) => event !== 'start' && bootId === opener.bootId);
    return stopped ? '' : `after the scheduler that began at ${this.#clock(opener.at)} had died; alone, in case it was why`;
  }

  async #skipped({ run, finishedAt, reason, startedAt }: ClosedAttempt): Promise<Line[]> {
    const lines: Line[] = [];
    if (startedAt !== null) lines.push({ at: startedAt, what: 'taken', detail: 'by a worker, which read its condition' });
    lines.push({ at: finishedAt, what: 'skipped', detail: reason ?? '' });
    const because = (detail: string): number => lines.push({ at: finishedAt, what: 'because', detail });
    const kind = reason?.slice(0, reason.indexOf(':'));
    if (kind === 'overlap') {
      for (const [id, openedAt, beganAt, endedAt, state] of await this.#rows(this.#sql.inFlightWith(run))) {
        const begunAt = beganAt ?? this.#context.engine.scheduler.running(String(id))?.startedAt;
        const began =
          begunAt === undefined ? `opened at ${this.#clock(Number(openedAt))}` : `at work since ${this.#clock(Number(begunAt))}`;
        const ended = endedAt === null ? 'still open' : `${String(state).replace('_', ' ')} at ${this.#clock(Number(endedAt))}`;
        because(`run ${String(id)} was in flight: ${began}, ${ended}`);
      }
    } else if (kind === 'missed') because(await this.#gap(run.scheduledAt, finishedAt));
    else if (kind === 'when' && this.#schedule?.when !== undefined) because(`its condition: ${this.#schedule.when}`);
    else if (kind === 'after') because(await this.#parent(run.parentRunId));
    else if (kind === 'superseded') {
      because(`it would have followed ${await this.#parent(run.parentRunId)}`);
      const [instead] = await this.#rows(this.#sql.decidedWith(run));
      if (instead !== undefined) because(`run ${String(instead[0])} stands for what came since: ${await this.#parent(textOf(instead[1]))}`);
    } else if (kind === 'calendar' && this.#timing !== undefined) {
      const { scheduledAt } = run;
      const why = note(this.#timing, { nominal: scheduledAt, due: scheduledAt, refused: true });
      if (why !== '')
        because(
          `${why.slice(why.lastIndexOf('skipped: ') + 'skipped: '.length)}, in calendar ${this.#schedule?.timing?.calendarName ?? ''}`,
        );
    }
    return lines;
  }

  async #starts({ runId }: OpenRun): Promise<Start[]> {
    return (await this.#rows(this.#sql.starts(runId))).map(([bootId, at]) => ({ bootId: String(bootId), at: Number(at) }));
  }

  #version(run: OpenRun): string {
    return run.scheduleVersion === this.#first.scheduleVersion ? '' : `with version ${run.scheduleVersion} of the schedule`;
  }

  // ---- How it stands now ----

  async #open(open: OpenRun, retry: Retry | undefined): Promise<Line[]> {
    const { engine, now } = this.#context;
    const atWork = engine.scheduler.running(open.runId);
    const which = open.attempt > 1 ? `attempt ${open.attempt}` : '';
    if (atWork !== undefined) {
      const starts = await this.#starts(open);
      const lines = await this.#started(open, atWork.startedAt, { which, retry, starts, waitedFor: null });
      const [usual] = open.scheduleId === null ? [] : await this.#rows(this.#sql.usualTime(open.scheduleId));
      const usually = usual?.[1] == null ? '' : `usually ${elapsed(Number(usual[1]))}`;
      lines.push({ at: now, what: 'running', detail: joined(`for ${elapsed(now - atWork.startedAt)}`, usually) });
      return lines;
    }
    return [{ at: Math.max(now, open.openedAt), what: 'waits', detail: joined(which, await this.#waitsFor(open), ' ') }];
  }

  async #waitsFor(open: OpenRun): Promise<string> {
    const { engine, now, connection, sql } = this.#context;
    const { scheduler } = engine;
    const { notBefore } = open;
    if (notBefore !== null && notBefore > now)
      return `for the time of its retry, ${this.#clock(notBefore)}, in ${elapsed(notBefore - now)}`;
    if (!scheduler.isOn)
      return scheduler.mode === 'held' ? 'for RESUME SCHEDULER: this shell runs nothing yet' : 'for a scheduler: none runs in this process';
    if (scheduler.mode === 'paused') return 'for RESUME SCHEDULER: the scheduler is paused';
    if (scheduler.storageLow) return 'for room on the disk: nothing is begun until there is more';
    const queues = (await connection.table(ledgerSql(sql.ledger).queues)).rows;
    const queue = queues.find(([name]) => String(name).toLowerCase() === open.queue.toLowerCase());
    const [name, , concurrency, rateCount, ratePerMs, paused] = queue ?? [];
    if (paused === true) return `for RESUME QUEUE ${String(name)}: its queue is paused`;
    const running = [...scheduler.allRunning()];
    const group = running.filter(({ run }) => open.group !== null && run.group?.key === open.group.key);
    const [ahead] = group;
    if (open.group !== null && ahead !== undefined && group.length >= open.group.limit) {
      return `for run ${ahead.run.runId}, at work since ${this.#clock(ahead.startedAt)}`;
    }
    const inQueue = running.filter(({ run }) => run.queue.toLowerCase() === open.queue.toLowerCase()).length;
    if (concurrency != null && inQueue >= Number(concurrency))
      return `for queue ${String(name)}: ${inQueue} of ${Number(concurrency)} busy`;
    const { active, workers } = scheduler.counts();
    if (active >= workers) return `for a worker: ${active} of ${workers} busy`;
    const lack = scheduler.lack(open);
    if (lack !== undefined) return `for ${lack}`;
    if (rateCount != null) return `for queue ${String(name)}, which begins ${Number(rateCount)} per ${formatDuration(Number(ratePerMs))}`;
    return 'for its turn';
  }

  async #end(): Promise<Line[]> {
    const { closed } = this.#attempts;
    const last = closed.at(-1);
    if (last === undefined) return [];
    const at = last.finishedAt;
    const lines: Line[] = [];
    if (last.guarantee !== null && this.#attempts.open === undefined) lines.push({ at, what: 'guarantee', detail: guaranteed(last) });
    const final = closed.filter((attempt) => attempt.final && isFailure(attempt.state));
    if (final.length > 0) lines.push(...(await this.#letter(final)));
    const ids = closed.map(({ run }) => run.runId);
    for (const [id, schedule, call, isAction, openedAt, state, reason] of await this.#rows(this.#sql.cameOf(last.run.rootRunId, ids))) {
      const why = reason === null ? '' : `: ${String(reason)}`;
      const what = isAction === true ? `called ${String(call)}` : `${String(schedule)} follows`;
      lines.push({ at: Number(openedAt), what: 'then', detail: `${what}: run ${String(id)}, ${String(state).replace('_', ' ')}${why}` });
    }
    return lines;
  }

  async #letter(failed: readonly ClosedAttempt[]): Promise<Line[]> {
    const lines: Line[] = [];
    for (const { run, finishedAt } of failed) {
      const [row] = await this.#rows(this.#sql.settled([run.runId]));
      const hint = `RETRY DEAD LETTER '${run.runId}'; tries it again, DROP DEAD LETTER forgets it`;
      if (row === undefined) lines.push({ at: finishedAt, what: 'dead letter', detail: hint });
      else lines.push({ at: Number(row[1]), what: 'dead letter', detail: row[0] === 'retried' ? 'retried by hand' : 'dropped by hand' });
    }
    return lines;
  }

  async #rows(sql: string): Promise<Value[][]> {
    return (await this.#context.connection.table(sql)).rows;
  }

  /** `02:00:00.000`, with the day where it is another one than that of its time. */
  #clock(at: Instant): string {
    const [day, clock] = this.#local(at);
    return day === this.#local(this.#first.scheduledAt)[0] ? clock : `${clock} on ${day}`;
  }

  /** `2026-11-20 02:00:00` */
  #day(at: Instant): string {
    return this.#local(at)
      .join(' ')
      .replace(/\.000$/, '');
  }

  #local(at: Instant): [day: string, clock: string] {
    const [day = '', clock = ''] = formatLocal(at, this.#zone).split(' ');
    return [day, clock.includes('.') ? clock : `${clock}.000`];
  }
}

interface Start {
  readonly bootId: string;
  readonly at: Instant;
}

interface Retry {
  readonly line: Line;
  /** When its time came. */
  readonly dueAt: Instant;
}

interface Beginning {
  readonly which: string;
  /** That led to it. */
  readonly retry: Retry | undefined;
  /** Those that were made durable. */
  readonly starts: readonly Start[];
  readonly waitedFor: string | null;
}

/** Jitter and a calendar's moves may put so many fires of a dense clock between a nominal time and its own. */
const mostLooks = 10_000;

/** Shorter waits are the time that it takes to begin. */
const leastWaitMs = 50;

/** `1 ms`, `4.2 s`, `1h30m` */
function elapsed(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 60_000) return `${Number((ms / 1000).toFixed(ms < 10_000 ? 2 : 1))} s`;
  return formatDuration(Math.round(ms / 1000) * 1000);
}

/** `4 s for queue low: 1 of 1 busy`, but `4 s: queue low is paused` */
function forWhat(waitedFor: string | null): string {
  if (waitedFor === null) return '';
  return / (?:is|runs) /.test(waitedFor) ? `: ${waitedFor}` : ` for ${waitedFor}`;
}

const ended = ({ run, state }: ClosedAttempt): string => `${run.schedule} ${state.replace('_', ' ')} (run ${run.runId})`;

function joined(one: string, other: string, by = '; '): string {
  return one === '' ? other : other === '' ? one : `${one}${by}${other}`;
}

/** The line after it tells of the retry. */
function withoutRetry(reason: string): string {
  return reason.replace(/(?:^|; )retry in \w+$/, '') || 'no reason was given';
}

function guaranteed({ guarantee, run, state }: ClosedAttempt): string {
  if (guarantee === 'exactly_once' && state !== 'succeeded') return 'exactly once: of an attempt that did not succeed nothing stays';
  if (guarantee === 'exactly_once') return 'exactly once: what it wrote and the row that says so are one transaction';
  const isOutside = run.exe === 'command' || run.exe === 'handler';
  return `at least once: ${isOutside ? `a ${run.exe} works outside of the database` : 'what it wrote is not all in one transaction of this database'}`;
}
