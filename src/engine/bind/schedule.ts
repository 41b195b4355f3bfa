// From the entries of a definition to a Schedule: the only place that doubts. Whatever can be known to be wrong is refused
// here with the place in the statement; whatever is merely surprising becomes a warning, never silence.

import { Diagnostic, type Span } from '../../core/diagnostic.ts';
import { formatDuration } from '../../core/duration.ts';
import type { Instant } from '../../core/instant.ts';
import type { JsonObject } from '../../core/jsonValue.ts';
import { nameKey } from '../../core/name.ts';
import type { Name, ObjectValue, Value } from '../../parser/ast.ts';
import { suggest } from '../../parser/suggest.ts';
import { toOffset } from '../../parser/text.ts';
import {
  type Cadence,
  type CalendarDays,
  describe,
  neverFires,
  next,
  noBusinessDay,
  parseCadence,
  type Timing,
  validateZone,
  warningsFor,
} from '../../scheduler/cadence/cadence.ts';
import { type Priority, priorities, type Schedule, type ScheduleTiming, type Target } from '../../scheduler/schedule.ts';
import { holdsEnvironment, withEnvironmentNames } from '../environment.ts';
import { ioClasses } from '../executors/executor.ts';
import type { Registry } from '../executors/registry.ts';
import type { Warning } from '../result.ts';
import type { Routine } from '../routine.ts';
import type { Catalogue } from '../store/duckdb/catalogue.ts';
import { toParameter } from '../value.ts';
import { bindActions, checkActions } from './action.ts';
import { bindParameters, checkArguments, checkExpressions, missingRoutine, refuseRunNames } from './arguments.ts';
import { bindStatements, checkSyntax } from './body.ts';
import { checkCondition } from './condition.ts';
import { durationOf, Fields, inside, jsonOf, objectOf, textOf, unknownWord, wrongType } from './fields.ts';

export interface BindContext {
  readonly now: Instant;
  /** `cron.timezone` */
  readonly defaultZone: string;
  readonly catalogue: Catalogue;
  /** Names of the task types that were registered beside the built-in ones. */
  readonly executors: Registry;
}

export interface BoundSchedule {
  readonly schedule: Schedule;
  /** undefined where the definition leaves it out: then it keeps its present value. */
  readonly enabled: boolean | undefined;
  /** The cadences as people wrote them: the column `sched`. */
  readonly schedText: string | undefined;
  readonly inWords: string;
  /** The calendar's days, joined to the timing. */
  readonly timing: Timing | undefined;
  readonly warnings: readonly Warning[];
}

export async function bindSchedule(name: Name, definition: ObjectValue, context: BindContext): Promise<BoundSchedule> {
  const fields = new Fields(definition);
  const warnings: Warning[] = [];
  const target = bindTarget(fields, context);
  const routine = await findRoutine(target, context);
  const params = bindParameters(fields.object('params'));
  await checkExpressions(fields.object('params'), context.catalogue);
  if (target.exe === 'sql') {
    await checkSyntax(String(target.call), fields.get('sql') ?? fields.get('call'), context.catalogue);
    refuseRunNames(fields.object('params')?.entries.map((entry) => entry.key) ?? []);
    checkNatural(fields.object('params'));
  }
  await checkParameters(target, routine, fields, context, warnings);
  warnings.push(...(await checkTask(target, routine, fields, context)));

  const after = fields.names('after');
  if (after.length > 0 && (fields.has('sched') || fields.has('run_at'))) {
    throw new Diagnostic('invalid_value', "'after' and 'sched' exclude each other", {
      span: fields.keySpan('after'),
      hint: 'a schedule that follows others has no clock of its own; leave one of the two out',
    });
  }
  await checkParents(name, after, context);

  const timing = await bindTiming(name, fields, context, after.length > 0);
  const full =
    timing === undefined ? undefined : { ...timing.timing, ...(timing.calendar === undefined ? {} : { calendar: timing.calendar }) };
  if (full !== undefined) warnings.push(...fewOf(warningsFor(full, context.now)), ...outOfTurn(full, context.now));
  warnings.push(...withoutEffect(target, routine, timing !== undefined && timing.timing.cadences.length > 0, fields));
  const queue = fields.text('queue') ?? 'default';
  await checkQueue(queue, fields, context);

  const actions = {
    onComplete: bindActions(fields, 'on_complete'),
    onFail: bindActions(fields, 'on_fail'),
    onSkip: bindActions(fields, 'on_skip'),
  };
  await checkActions(
    { on_complete: actions.onComplete, on_fail: actions.onFail, on_skip: actions.onSkip },
    fields,
    context.catalogue,
    warnings,
  );
  const whenText = fields.text('when');
  if (whenText !== undefined)
    warnings.push(...(await checkCondition(whenText, fields.get('when'), Object.keys(params), context.catalogue)));

  const maxRuns = fields.integer('max_runs', 1);
  const timeoutMs = fields.timeout();
  const resources = fields.object('resources');
  if (resources !== undefined) new Fields(resources).word('io', ioClasses);
  const description = fields.text('description');
  const owner = fields.text('owner');
  const catchup = fields.word('catchup', ['none', 'latest', 'all']);
  const schedule: Schedule = {
    name: name.text,
    target,
    params,
    config: bindConfig(fields),
    ...(timing === undefined ? {} : { timing: timing.timing }),
    ...(description === undefined ? {} : { description }),
    tags: fields.texts('tags'),
    ...(owner === undefined ? {} : { owner }),
    ...(maxRuns === undefined ? {} : { maxRuns }),
    overlap: fields.word('overlap', ['skip', 'queue', 'allow', 'replace']) ?? 'skip',
    overlapLimit: fields.integer('overlap_limit', 1) ?? 100,
    ...(catchup === undefined ? {} : { catchup }),
    catchupLimit: fields.integer('catchup_limit', 1, 1_000_000) ?? 100,
    catchupWithinMs: fields.duration('catchup_within') ?? 86_400_000,
    ...(whenText === undefined ? {} : { when: whenText }),
    after: after.map((parent) => parent.text),
    afterState: fields.word('after_state', ['success', 'failure', 'any']) ?? 'success',
    queue,
    priority: bindPriority(fields),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    retry: bindRetry(fields),
    disableAfterFailures: fields.integer('disable_after_failures', 0) ?? 0,
    onCrash: fields.word('on_crash', ['retry', 'fail']) ?? 'retry',
    ...(resources === undefined ? {} : { resources: objectOf(resources) }),
    isolation: bindIsolation(fields),
    ...actions,
    keep: bindKeep(fields),
  };
  return {
    schedule,
    enabled: fields.boolean('enabled'),
    schedText: timing?.text,
    inWords: inWords(schedule, full),
    timing: full,
    warnings,
  };
}

const mostWarnings = 10;

/** Each once, and no more than a person reads: a list of cadences says the same many times. */
function fewOf(warnings: readonly { readonly message: string; readonly hint?: string }[]): Warning[] {
  const seen = new Map(warnings.map(({ message, hint }) => [message, { message, hint }]));
  const few = [...seen.values()].slice(0, mostWarnings);
  const left = seen.size - few.length;
  return left === 0 ? few : [...few, { message: `and ${left} more warning${left === 1 ? '' : 's'} about its cadences` }];
}

/** A fire that jitter puts off beyond the next. */
function outOfTurn(timing: Timing, now: Instant): Warning[] {
  if (timing.jitterMs === 0) return [];
  const fires: Instant[] = [];
  const nominal = { ...timing, jitterMs: 0 };
  for (let fire = next(nominal, now); fire !== undefined && fires.length < mostLooked; fire = next(nominal, fire.due)) {
    fires.push(fire.nominal);
  }
  const between = Math.min(...fires.slice(1).map((at, index) => at - (fires[index] ?? at)));
  if (!(timing.jitterMs > between)) return [];
  return [
    {
      message: `'jitter' (${formatDuration(timing.jitterMs)}) is longer than the time between two fires (${formatDuration(between)}): a fire may start after the next is due`,
      hint: `jitter: ${formatDuration(between / 2)} keeps them in their turns`,
    },
  ];
}

const mostLooked = 10;

/** Keys that say something about what this schedule does not have. */
function withoutEffect(target: Target, routine: Routine | undefined, hasClock: boolean, fields: Fields): Warning[] {
  const warnings: Warning[] = [];
  const warn = (field: string, why: string, hint?: string): void => {
    if (fields.has(field)) warnings.push({ message: `'${field}' has no effect ${why}`, hint });
  };
  const work = routine?.kind === 'procedure' ? routine.body.language : target.exe === 'handler' ? 'javascript' : target.exe;
  if (work === 'sql') warn('resources', 'on SQL, which runs inside of the database', 'it limits commands and handlers');
  if (work === 'sql') warn('config', 'on SQL', 'it is handed to handlers; params reach SQL as $name');
  if (work === 'sql' || work === 'command') warn('isolation', `on ${work === 'sql' ? 'SQL' : 'a command'}`, 'it is about handlers');
  const follows = fields.has('after');
  if (!follows) warn('after_state', "without 'after'");
  if (!hasClock) {
    const clockKeys = ['starts', 'ends', 'jitter', 'dst_gap', 'dst_overlap', 'catchup', 'catchup_limit', 'catchup_within'];
    const why = follows ? "beside 'after': the schedule has no clock of its own" : "without 'sched'";
    for (const field of follows ? clockKeys : [...clockKeys, 'calendar', 'on_holiday']) warn(field, why);
  } else if (fields.has('catchup') && fields.text('catchup')?.toLowerCase() !== 'all') {
    for (const field of ['catchup_limit', 'catchup_within']) warn(field, "without 'catchup: all'");
  }
  if (fields.text('overlap')?.toLowerCase() !== 'queue') warn('overlap_limit', "without 'overlap: queue'");
  if (fields.has('retry_delays')) {
    for (const field of ['retry_delay', 'retry_backoff', 'retry_max_delay']) warn(field, "beside 'retry_delays', which names each delay");
  }
  if (fields.has('max_retries')) warn('retry', "on how often it is tried beside 'max_retries'", 'leave one of the two out');
  return warnings;
}

/** SQL without a procedure has no types to cast to: lists and objects become LIST and STRUCT as they are. */
function checkNatural(params: ObjectValue | undefined): void {
  for (const { key, value } of params?.entries ?? []) {
    if (value.kind !== 'list' && value.kind !== 'object') continue;
    const literal = jsonOf(value);
    if (holdsEnvironment(literal)) continue;
    try {
      toParameter(literal);
    } catch (error) {
      if (!(error instanceof Diagnostic)) throw error;
      throw new Diagnostic('wrong_type', `parameter ${key.text} has no type in SQL: ${error.message}`, {
        span: value.span,
        hint: `${error.hint === undefined ? '' : `${error.hint}; `}or call a procedure, whose parameter has a type`,
      });
    }
  }
}

/** The schedule's rhythm for people: its cadence in words, or what starts it instead. */
export function inWords(schedule: Schedule, timing: Timing | undefined): string {
  if (timing !== undefined && timing.cadences.length > 0) {
    const calendar = schedule.timing?.calendarName;
    const left = timing.cadences.length - mostInWords;
    const words = `${describe(timing.cadences.slice(0, mostInWords), timing.zone)}${left > 0 ? `; and ${left} more` : ''}`;
    return calendar === undefined || timing.onHoliday === 'run' ? words : `${words}; ${holidayWords[timing.onHoliday]} ${calendar}`;
  }
  if (schedule.after.length === 0) return 'by hand';
  const state = { success: 'succeeded', failure: 'failed', any: 'finished' }[schedule.afterState];
  return `after ${schedule.after.join(' and ')} ${schedule.after.length > 1 ? 'have' : 'has'} ${state}`;
}

/** A longer list is read in the definition. */
const mostInWords = 10;

const holidayWords = {
  skip: 'only on business days of',
  next: 'moved to the next business day of',
  previous: 'moved to the previous business day of',
} as const;

const builtInExecutables = ['procedure', 'pipeline', 'sql', 'command', 'handler'] as const;
const shortForms = ['sql', 'command', 'handler'] as const;

function bindTarget(fields: Fields, context: BindContext): Target {
  const shorts = shortForms.filter((field) => fields.has(field));
  const second = shorts[1] ?? (shorts.length > 0 && fields.has('call') ? 'call' : undefined);
  if (second !== undefined) {
    throw new Diagnostic('invalid_value', `'${shorts[0]}' and '${second}' exclude each other`, {
      span: fields.keySpan(second),
      hint: 'a schedule calls one thing; to do several, call a procedure or a pipeline',
    });
  }
  const short = shorts[0];
  const exe = fields.text('exe');
  if (short !== undefined) {
    if (exe !== undefined && exe.toLowerCase() !== short) {
      throw new Diagnostic('invalid_value', `'exe' is ${exe}, but the work is given as '${short}'`, {
        span: fields.get('exe')?.span,
        hint: `leave 'exe' out: ${short}: .. says it`,
      });
    }
    return { exe: short, call: callText(fields, short) };
  }
  if (exe === undefined) {
    const call = fields.get('call');
    if (call === undefined) {
      throw new Diagnostic('missing_key', 'the schedule has nothing to do', {
        span: fields.span,
        hint: "add exe: procedure, call: name, or sql: 'INSERT ..', or command: ['program', 'argument']",
      });
    }
    // A bare `call` names a procedure or a pipeline; which of the two, findRoutine knows.
    return { exe: 'procedure', call: textOf(call, 'call') };
  }
  const folded = exe.toLowerCase();
  const built = builtInExecutables.find((kind) => kind === folded);
  if (built === undefined && !context.executors.has(exe)) {
    const dot = exe.indexOf('.');
    if (dot > 0 && !fields.has('call')) return { exe: 'pipeline', call: exe };
    const legal = [...builtInExecutables, ...context.executors.names];
    throw unknownWord('exe', exe, legal, fields.get('exe')?.span ?? fields.span);
  }
  if (!fields.has('call')) {
    throw new Diagnostic('missing_key', `'exe: ${exe}' needs 'call'`, {
      span: fields.keySpan('exe'),
      hint: folded === 'procedure' || folded === 'pipeline' ? `add call: name_of_the_${folded}` : "add call: '..'",
    });
  }
  return { exe: built ?? exe, call: callText(fields, 'call', built) };
}

function callText(fields: Fields, field: string, exe?: string): string | readonly string[] {
  const value = fields.get(field);
  if (value?.kind === 'list') {
    if (field !== 'command' && exe !== 'command') throw wrongType(field, value, 'a text');
    if (value.items.length === 0) throw new Diagnostic('invalid_value', 'the command is empty', { span: value.span });
    return value.items.map((item) => textOf(item, field));
  }
  const text = fields.text(field) ?? '';
  if (text.trim() === '') throw new Diagnostic('invalid_value', `'${field}' is empty`, { span: value?.span });
  const kind = exe ?? field;
  if (kind === 'sql') bindStatements(text, value, { parameters: parameterNames(fields) });
  return text;
}

function parameterNames(fields: Fields): string[] {
  return fields.object('params')?.entries.map((entry) => entry.key.text) ?? [];
}

async function findRoutine(target: Target, context: BindContext): Promise<Routine | undefined> {
  if (target.exe !== 'procedure' && target.exe !== 'pipeline') return undefined;
  const [name = '', step] = String(target.call).split('.');
  return (
    (await context.catalogue.routine(name))?.routine ??
    (step === undefined ? undefined : (await context.catalogue.routine(String(target.call)))?.routine)
  );
}

async function checkParameters(
  target: Target,
  routine: Routine | undefined,
  fields: Fields,
  context: BindContext,
  warnings: Warning[],
): Promise<void> {
  if (target.exe !== 'procedure' && target.exe !== 'pipeline') return;
  const place = fields.get('call')?.span ?? fields.get('exe')?.span ?? fields.span;
  if (routine === undefined) throw await missingRoutine(target.exe, String(target.call), place, context.catalogue);
  if (fields.has('exe') && fields.has('call') && routine.kind !== target.exe) {
    throw new Diagnostic('undefined_object', `${target.call} is a ${routine.kind}, not a ${target.exe}`, {
      span: place,
      hint: `write exe: ${routine.kind}`,
    });
  }
  const step = String(target.call).split('.')[1];
  if (
    routine.kind === 'pipeline' &&
    step !== undefined &&
    !routine.steps.some((known) => known.name.toLowerCase() === step.toLowerCase())
  ) {
    throw new Diagnostic('undefined_object', `pipeline ${routine.name} has no step ${step}`, {
      span: place,
      hint: `its steps: ${routine.steps.map((known) => known.name).join(', ')}`,
    });
  }
  await checkArguments(
    {
      routine,
      given: fields.object('params'),
      key: 'params',
      // A run by hand may still give them with WITH ( .. ); a schedule with a clock has nobody to ask.
      complete: fields.has('sched') || fields.has('run_at') || fields.has('after'),
      place: fields.has('params') ? fields.keySpan('params') : place,
    },
    context.catalogue,
  );
  if (routine.kind === 'procedure' && (await context.catalogue.hidesDuckDb(routine.name))) {
    warnings.push({
      message: `procedure ${routine.name} hides DuckDB's own ${routine.name}`,
      hint: 'CALL reaches the procedure; rename it to reach both',
    });
  }
}

/** What the executor says of it, at the place that it is about. */
async function checkTask(target: Target, routine: Routine | undefined, fields: Fields, context: BindContext): Promise<Warning[]> {
  if (routine?.kind === 'procedure' && routine.body.language === 'command') {
    // Its words were checked with it; what this schedule adds is its config.
    return checkTask({ exe: 'command', call: [] }, undefined, fields, context);
  }
  const { exe, call } = target;
  if (exe === 'sql' || exe === 'procedure' || exe === 'pipeline') return [];
  const params = Object.fromEntries(
    (fields.object('params')?.entries ?? []).map(({ key, value }) => {
      const isComputed = value.kind === 'call' && value.name !== 'env';
      return [key.text, isComputed ? `${value.name}(..)` : withEnvironmentNames(jsonOf(value))];
    }),
  );
  const config = withEnvironmentNames(bindConfig(fields)) as JsonObject;
  const place = fields.get('call') ?? fields.get(exe);
  try {
    const warnings = await context.executors.validate({ exe, call, params, config, isolation: bindIsolation(fields) });
    return warnings.map((message) => ({ message }));
  } catch (error) {
    throw refusedTask(error, exe, fields, place);
  }
}

/**
 * An executor says which value is wrong by the `path` of its error, or of its first issue, as validators of JSON do: `['url']` is
 * in config, `['params', 'id']` is not. A Diagnostic with a span is about the text of `call`.
 */
function refusedTask(error: unknown, exe: string, fields: Fields, call: Value | undefined): Diagnostic {
  const issue = issueOf(error);
  const span = placeOf(issue.path, fields) ?? call?.span ?? fields.span;
  if (error instanceof Diagnostic) {
    if (error.span === undefined || call?.kind !== 'string' || call.offsets.length === 0) return error.at(span);
    return error.movedBy((index) => toOffset(call, index));
  }
  const place = issue.path.length === 0 ? exe : `${exe}: ${issue.path.join('.')}`;
  return new Diagnostic('invalid_value', `${place}: ${issue.message}`, { span, cause: error });
}

interface Issue {
  readonly message: string;
  readonly path: readonly string[];
}

function issueOf(error: unknown): Issue {
  if (typeof error !== 'object' || error === null) return { message: String(error), path: [] };
  const first: unknown = 'issues' in error && Array.isArray(error.issues) ? error.issues[0] : error;
  const { message, path } = (first ?? {}) as { readonly message?: unknown; readonly path?: unknown };
  const keys = Array.isArray(path) ? path.map(String) : [];
  const known = keys[0] === undefined || ['call', 'params', 'config'].includes(keys[0]);
  return { message: typeof message === 'string' && message !== '' ? message : String(error), path: known ? keys : ['config', ...keys] };
}

/** The value that the path leads to, or the last one before it. */
function placeOf([field = '', ...keys]: readonly string[], fields: Fields): Span | undefined {
  let value = fields.get(field);
  let span = value?.span;
  for (const key of keys) {
    value = value?.kind === 'object' ? value.entries.find((entry) => entry.key.text === key)?.value : undefined;
    span = value?.span ?? span;
  }
  return span;
}

function bindConfig(fields: Fields): JsonObject {
  const config = fields.object('config');
  return config === undefined ? {} : objectOf(config);
}

function bindIsolation(fields: Fields): Schedule['isolation'] {
  return fields.word('isolation', ['none', 'thread', 'process']) ?? 'thread';
}

interface BoundTiming {
  readonly timing: ScheduleTiming;
  readonly calendar: CalendarDays | undefined;
  readonly text: string;
}

async function bindTiming(name: Name, fields: Fields, context: BindContext, follows: boolean): Promise<BoundTiming | undefined> {
  const zone = bindZone(fields) ?? context.defaultZone;
  const calendarName = fields.text('calendar');
  const calendar = calendarName === undefined ? undefined : await bindCalendar(calendarName, fields, context);
  const onHoliday = fields.word('on_holiday', ['run', 'skip', 'next', 'previous']);
  if (onHoliday !== undefined && calendarName === undefined) {
    throw new Diagnostic('missing_key', "'on_holiday' needs a 'calendar'", {
      span: fields.keySpan('on_holiday'),
      hint: 'add calendar: name',
    });
  }
  if (follows && (onHoliday === 'next' || onHoliday === 'previous')) {
    throw new Diagnostic('invalid_value', `a schedule with 'after' cannot move to the ${onHoliday} business day`, {
      span: fields.get('on_holiday')?.span,
      hint: 'legal with after: run, skip',
    });
  }
  if (fields.has('sched') && fields.has('run_at')) {
    throw new Diagnostic('invalid_value', "'sched' and 'run_at' exclude each other", {
      span: fields.keySpan('run_at'),
      hint: "a list fires at the union: sched: ['0 2 * * *', 2027-09-20T02:00:00Z]",
    });
  }
  const items = fields.has('run_at') ? fields.items('run_at') : fields.items('sched');
  if (fields.has('sched') && items.length === 0) {
    throw new Diagnostic('invalid_value', 'the list of cadences is empty', {
      span: fields.get('sched')?.span,
      hint: "name at least one, or leave 'sched' out: then it runs by hand",
    });
  }
  const starts = bindInstant(fields, 'starts', zone);
  const ends = bindInstant(fields, 'ends', zone);
  if (starts !== undefined && ends !== undefined && ends <= starts) {
    throw new Diagnostic('invalid_value', "'ends' is not after 'starts'", { span: fields.get('ends')?.span });
  }
  if (items.length === 0) {
    if (!follows || calendarName === undefined) return undefined;
  }
  const cadences = distinct(items.map((item) => bindCadence(item, fields.has('run_at') ? 'run_at' : 'sched', zone)));
  const timing: ScheduleTiming = {
    cadences,
    zone,
    dstGap: fields.word('dst_gap', ['run', 'skip']) ?? 'default',
    dstOverlap: fields.word('dst_overlap', ['first', 'second', 'both']) ?? 'default',
    ...(starts === undefined ? {} : { starts }),
    ...(ends === undefined ? {} : { ends }),
    onHoliday: onHoliday ?? 'skip',
    jitterMs: fields.duration('jitter') ?? 0,
    jitterKey: name.text.toLowerCase(),
    ...(calendarName === undefined ? {} : { calendarName }),
  };
  const never = neverFires(timing);
  if (never !== undefined) {
    const first = items[0];
    throw new Diagnostic('never_fires', never.message, { span: first === undefined ? fields.span : first.span, hint: never.hint });
  }
  const idle = noBusinessDay(calendar === undefined ? timing : { ...timing, calendar }, context.now);
  if (idle !== undefined) throw idle.at(fields.get('calendar')?.span ?? items[0]?.span ?? fields.span);
  return { timing, calendar, text: items.map((item) => textOf(item, 'sched')).join(' | ') };
}

/** Two that say the same fire once. */
function distinct(cadences: readonly Cadence[]): Cadence[] {
  const meanings = new Map<string, Cadence>();
  for (const cadence of cadences) {
    const meaning = JSON.stringify({ ...cadence, text: '' });
    if (!meanings.has(meaning)) meanings.set(meaning, cadence);
  }
  return [...meanings.values()];
}

function bindZone(fields: Fields): string | undefined {
  const value = fields.get('timezone');
  return value === undefined ? undefined : inside(value, () => validateZone(textOf(value, 'timezone')));
}

function bindCadence(value: Value, field: string, zone: string): Cadence {
  const text = textOf(value, field);
  if (value.kind === 'number' || value.kind === 'duration') {
    throw new Diagnostic('invalid_cadence', `'${field}' takes a cadence, got ${text}`, {
      span: value.span,
      hint: value.kind === 'duration' ? `write every ${text}` : `quote a cron: '${text} * * * *', or write every ${text}m`,
    });
  }
  if (field === 'run_at' && !isCadence(text, zone)) throw noInstant(field, text, value);
  const cadence = inside(value, () => parseCadence(text, { zone }));
  if (field === 'run_at' && cadence.kind !== 'once') {
    throw new Diagnostic('invalid_cadence', "'run_at' takes one instant", {
      span: value.span,
      hint: `for a rhythm write sched: '${text}'`,
    });
  }
  return cadence;
}

function bindInstant(fields: Fields, field: string, zone: string): Instant | undefined {
  const value = fields.get(field);
  if (value === undefined) return undefined;
  const text = textOf(value, field);
  if (!isCadence(text, zone)) throw noInstant(field, text, value);
  const cadence = inside(value, () => parseCadence(text, { zone }));
  if (cadence.kind === 'once') return cadence.at;
  throw noInstant(field, text, value);
}

/** Whether there is more to say of a text than that it is no instant: it begins like one, or is another cadence. */
function isCadence(text: string, zone: string): boolean {
  if (/^\s*(?:at\b|['"]?\d{4}-)/i.test(text)) return true;
  try {
    parseCadence(text, { zone });
    return true;
  } catch {
    return false;
  }
}

function noInstant(field: string, text: string, value: Value): Diagnostic {
  return new Diagnostic('invalid_value', `'${field}' takes an instant, and '${text}' is none`, {
    span: value.span,
    hint: "write 2027-09-20T02:00:00Z, or '2027-09-20 02:00' in the schedule's zone",
  });
}

async function bindCalendar(name: string, fields: Fields, context: BindContext): Promise<CalendarDays> {
  const stored = await context.catalogue.calendar(name);
  if (stored !== undefined) return stored.days;
  const near = suggest(name, await context.catalogue.calendarNames());
  throw new Diagnostic('undefined_object', `calendar ${name} does not exist`, {
    span: fields.get('calendar')?.span,
    hint: `${near === undefined ? '' : `did you mean ${near}? `}create it first: UPSERT CALENDAR AS ${name} ( weekend: [sat, sun] );`,
  });
}

async function checkParents(name: Name, parents: readonly Name[], context: BindContext): Promise<void> {
  if (parents.length === 0) return;
  const followers = await context.catalogue.followers();
  const known = await context.catalogue.scheduleNames();
  for (const parent of parents) {
    const key = nameKey(parent.text);
    if (key === nameKey(name.text) || known.some((other) => nameKey(other) === key)) continue;
    const near = suggest(parent.text, known);
    throw new Diagnostic('undefined_object', `schedule ${parent.text} does not exist`, {
      span: parent.span,
      hint: `${near === undefined ? '' : `did you mean ${near}? `}a schedule follows schedules that exist; create ${parent.text} first`,
    });
  }
  followers.set(
    nameKey(name.text),
    parents.map((parent) => parent.text),
  );
  const cycle = findCycle(name.text, followers);
  if (cycle !== undefined) {
    throw new Diagnostic('cycle', `'after' makes a cycle: ${cycle.join(' -> ')}`, {
      span: parents[0]?.span,
      hint: 'each waits for the one before it, so none would ever run',
    });
  }
}

/** The way from `start` back to itself through the parents, if there is one. */
function findCycle(start: string, followers: ReadonlyMap<string, readonly string[]>): readonly string[] | undefined {
  const goal = nameKey(start);
  const seen = new Set<string>();
  const stack: (readonly string[])[] = [[start]];
  for (let path = stack.pop(); path !== undefined; path = stack.pop()) {
    for (const parent of followers.get(nameKey(path[path.length - 1] ?? '')) ?? []) {
      const key = nameKey(parent);
      if (key === goal) return [...path, start];
      if (seen.has(key)) continue;
      seen.add(key);
      stack.push([...path, parent]);
    }
  }
  return undefined;
}

async function checkQueue(queue: string, fields: Fields, context: BindContext): Promise<void> {
  // Nobody can drop it.
  if (queue.toLowerCase() === 'default') return;
  const names = await context.catalogue.queueNames();
  if (names.some((name) => name.toLowerCase() === queue.toLowerCase())) return;
  const near = suggest(queue, names);
  throw new Diagnostic('undefined_object', `queue ${queue} does not exist`, {
    span: fields.get('queue')?.span,
    hint: `${near === undefined ? '' : `did you mean ${near}? `}queues: ${names.join(', ')}; or create it: UPSERT QUEUE AS ${queue} ( weight: 3 );`,
  });
}

function bindPriority(fields: Fields): Priority {
  const value = fields.get('priority');
  if (value === undefined) return 'normal';
  if (value.kind === 'number') {
    const level = fields.integer('priority', 1, priorities.length) ?? 3;
    return priorities[level - 1] ?? 'normal';
  }
  return fields.word('priority', priorities) ?? 'normal';
}

function bindRetry(fields: Fields): Schedule['retry'] {
  const short = fields.get('retry');
  const spoken = short === undefined ? undefined : retryPhrase(short);
  if (fields.has('retry_delays') && fields.items('retry_delays').length === 0) {
    throw new Diagnostic('invalid_value', 'the list of delays is empty', {
      span: fields.get('retry_delays')?.span,
      hint: 'name at least one, as in [1m, 5m, 30m]; max_retries: 0 tries once',
    });
  }
  const delays = fields.items('retry_delays').map((item) => durationOf(item, 'retry_delays'));
  const maxRetries = fields.integer('max_retries', 0, 1000) ?? spoken?.times ?? (delays.length > 0 ? delays.length : undefined);
  const delayMs = fields.duration('retry_delay');
  return {
    ...(maxRetries === undefined ? {} : { maxRetries }),
    ...(delayMs === undefined ? {} : { delayMs }),
    backoff: fields.word('retry_backoff', ['exponential', 'linear', 'fixed']) ?? spoken?.backoff ?? 'exponential',
    maxDelayMs: fields.duration('retry_max_delay') ?? 3_600_000,
    jitter: fields.boolean('retry_jitter') ?? true,
    ...(delays.length > 0 ? { delaysMs: delays } : {}),
  };
}

/** `3 times`, `3 times with exponential_backoff`. */
export function retryPhrase(value: Value): { times: number; backoff?: 'exponential' | 'linear' | 'fixed' } {
  const text = textOf(value, 'retry');
  const match = /^(\d+)\s*(?:times?)?(?:\s+with\s+(exponential|linear|fixed)(?:[_ ]backoff)?)?$/i.exec(text.trim());
  const times = Number(match?.[1]);
  if (match === null || times > 1000) {
    throw new Diagnostic('invalid_value', `'retry' cannot be '${text}'`, {
      span: value.span,
      hint: 'write 3 times, or 3 times with exponential_backoff (exponential, linear, fixed)',
    });
  }
  const backoff = match[2]?.toLowerCase() as 'exponential' | 'linear' | 'fixed' | undefined;
  return { times, ...(backoff === undefined ? {} : { backoff }) };
}

function bindKeep(fields: Fields): Schedule['keep'] {
  const keep = fields.object('keep');
  if (keep === undefined) return {};
  const legal = ['succeeded', 'failed', 'skipped'] as const;
  return Object.fromEntries(
    keep.entries.map((entry) => {
      const state = legal.find((known) => known === entry.key.text.toLowerCase());
      if (state === undefined) throw unknownWord('keep', entry.key.text, legal, entry.key.span);
      return [state, durationOf(entry.value, `keep.${state}`)];
    }),
  );
}
