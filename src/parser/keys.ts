// The legal keys of every definition, in the order in which they are printed, and what each one takes. This table is the whole
// difference between a schedule and a queue for the parser: the syntax of all definitions is one. A deeper doubt (does the
// calendar exist, is the cadence a cadence) is for the engine's bind.

export type Shape =
  | { readonly kind: 'any' }
  /** Read as a phrase unless it is one plain value: `every 30m`, `'0 2 * * *'`, `@daily`, a list of these. */
  | { readonly kind: 'cadence' }
  | { readonly kind: 'phrase'; readonly example: string }
  | { readonly kind: 'instant'; readonly phrase: boolean }
  | { readonly kind: 'duration'; readonly none: boolean }
  | { readonly kind: 'number'; readonly least: number; readonly most: number; readonly whole: boolean }
  | { readonly kind: 'size' }
  | { readonly kind: 'boolean' }
  | { readonly kind: 'choice'; readonly words: readonly string[] }
  /** One name, plain or quoted; `dotted` ones may have parts. */
  | { readonly kind: 'name'; readonly dotted: boolean }
  | { readonly kind: 'text'; readonly example: string }
  | { readonly kind: 'list'; readonly of: Shape; readonly single: boolean }
  | { readonly kind: 'object'; readonly place: Place }
  /** `emit(..)`, `skip('..')`; those in `bare` also stand without brackets. */
  | { readonly kind: 'action'; readonly functions: readonly string[]; readonly bare: readonly string[] }
  | { readonly kind: 'oneOf'; readonly shapes: readonly Shape[] };

export interface Key {
  readonly shape: Shape;
  readonly aliases?: readonly string[];
}

export interface Place {
  /** As in "a schedule has no key 'sechd'". */
  readonly name: string;
  /** Undefined: any key may stand here, and quotes make text. */
  readonly keys: ReadonlyMap<string, Key> | undefined;
}

/** The functions that may stand as a value; `env` and `sql` wherever values are free. */
export const valueFunctions: readonly string[] = ['env', 'sql', 'skip', 'abort', 'continue', 'emit', 'notify', 'call'];

/** The key that `written` names in this place, also by an alias and in any case; undefined if there is none. */
export function keyIn(place: Place, written: string): { readonly field: string; readonly shape: Shape } | undefined {
  const wanted = written.toLowerCase();
  const direct = place.keys?.get(wanted);
  if (direct !== undefined) return { field: wanted, shape: direct.shape };
  for (const [field, key] of place.keys ?? []) if (key.aliases?.includes(wanted)) return { field, shape: key.shape };
  return undefined;
}

/** Every spelling that is legal in a place. */
export function legalKeys(place: Place): string[] {
  return [...(place.keys ?? [])].flatMap(([field, key]) => [field, ...(key.aliases ?? [])]);
}

function place(name: string, keys: Readonly<Record<string, Shape | Key>>): Place {
  return { name, keys: new Map(Object.entries(keys).map(([key, value]) => [key, 'shape' in value ? value : { shape: value }])) };
}

const any: Shape = { kind: 'any' };
const cadence: Shape = { kind: 'cadence' };
const instant: Shape = { kind: 'instant', phrase: false };
const duration: Shape = { kind: 'duration', none: false };
const durationOrNone: Shape = { kind: 'duration', none: true };
const size: Shape = { kind: 'size' };
const boolean: Shape = { kind: 'boolean' };
const name: Shape = { kind: 'name', dotted: false };
const target: Shape = { kind: 'name', dotted: true };
const text: Shape = { kind: 'text', example: "'nightly load'" };
const sql: Shape = { kind: 'text', example: "'SELECT 1'" };
const path: Shape = { kind: 'text', example: "'./jobs/sync.js'" };
const names: Shape = { kind: 'list', of: name, single: true };
const retry: Shape = { kind: 'phrase', example: '3 times with exponential_backoff' };
const zone: Shape = { kind: 'oneOf', shapes: [name, { kind: 'text', example: "'Europe/Berlin'" }] };

function whole(least: number, most = Number.MAX_SAFE_INTEGER): Shape {
  return { kind: 'number', least, most, whole: true };
}

function choice(...words: readonly string[]): Shape {
  return { kind: 'choice', words };
}

function listOf(of: Shape, single = false): Shape {
  return { kind: 'list', of, single };
}

function oneOf(...shapes: readonly Shape[]): Shape {
  return { kind: 'oneOf', shapes };
}

export const freePlace: Place = { name: 'an object', keys: undefined };

const free: Shape = { kind: 'object', place: freePlace };
const command: Shape = oneOf(text, listOf(any));
const actions: Shape = listOf({ kind: 'action', functions: ['emit', 'notify', 'call'], bare: [] }, true);
const stepActions: Shape = listOf(
  { kind: 'action', functions: ['skip', 'abort', 'continue', 'emit', 'notify', 'call'], bare: ['skip', 'abort', 'continue'] },
  true,
);

const resources = place('resources', {
  cpu: { kind: 'number', least: 1, most: 100_000, whole: false },
  memory: size,
  nice: whole(-20, 19),
  io: name,
});

const keep = place('keep', {
  succeeded: durationOrNone,
  failed: durationOrNone,
  skipped: durationOrNone,
  timed_out: durationOrNone,
  cancelled: durationOrNone,
  interrupted: durationOrNone,
});

const schedule = place('a schedule', {
  sched: { shape: cadence, aliases: ['schedule', 'cron'] },
  run_at: { kind: 'instant', phrase: true },
  exe: target,
  call: oneOf(target, text, listOf(any)),
  sql,
  command,
  handler: path,
  params: free,
  config: free,
  timezone: { shape: zone, aliases: ['tz'] },
  enabled: boolean,
  description: text,
  tags: listOf(oneOf(name, text), true),
  owner: oneOf(name, text),
  starts: instant,
  ends: instant,
  max_runs: whole(1),
  calendar: name,
  on_holiday: choice('run', 'skip', 'next', 'previous'),
  dst_gap: choice('run', 'skip'),
  dst_overlap: choice('first', 'second', 'both'),
  jitter: duration,
  overlap: choice('skip', 'queue', 'allow', 'replace'),
  overlap_limit: whole(0),
  catchup: choice('none', 'latest', 'all'),
  catchup_limit: whole(1),
  catchup_within: duration,
  when: sql,
  after: names,
  after_state: choice('success', 'failure', 'any'),
  queue: name,
  priority: oneOf(choice('critical', 'high', 'normal', 'low', 'background'), whole(1, 5)),
  timeout: durationOrNone,
  max_retries: whole(0),
  retry_delay: duration,
  retry_backoff: choice('exponential', 'linear', 'fixed'),
  retry_max_delay: durationOrNone,
  retry_jitter: boolean,
  retry_delays: listOf(duration),
  retry,
  disable_after_failures: whole(0),
  on_crash: choice('retry', 'fail'),
  resources: { kind: 'object', place: resources },
  isolation: choice('none', 'thread', 'process'),
  on_complete: actions,
  on_fail: actions,
  on_skip: actions,
  keep: { kind: 'object', place: keep },
});

const step = place('a step', {
  name,
  for_each: target,
  parallel: whole(1),
  query: sql,
  sql: { shape: sql, aliases: ['action'] },
  call: target,
  command,
  handler: path,
  expect: sql,
  emit: oneOf(name, text),
  args: free,
  config: free,
  as: name,
  message: text,
  if: sql,
  after: names,
  timeout: durationOrNone,
  retry,
  on_empty: stepActions,
  on_fail: stepActions,
  description: text,
});

const pipeline = place('a pipeline', {
  params: free,
  config: free,
  steps: listOf({ kind: 'object', place: step }),
  atomic: boolean,
  timeout: durationOrNone,
  description: text,
  tags: listOf(oneOf(name, text), true),
  owner: oneOf(name, text),
  on_complete: actions,
  on_fail: actions,
  on_skip: actions,
});

const holiday = place('a holiday', { day: instant, name: oneOf(name, text) });
const days = [
  'mon',
  'tue',
  'wed',
  'thu',
  'fri',
  'sat',
  'sun',
  'monday',
  'tuesday',
  'wednesday',
  'thursday',
  'friday',
  'saturday',
  'sunday',
];

const calendar = place('a calendar', {
  weekend: listOf(choice(...days)),
  holidays: listOf(oneOf(instant, { kind: 'object', place: holiday })),
  holidays_from: sql,
  ics: { kind: 'text', example: "'closures.ics'" },
  country: oneOf(name, text),
  description: text,
  tags: listOf(oneOf(name, text), true),
});

const queue = place('a queue', {
  weight: whole(1),
  concurrency: whole(1),
  rate: { kind: 'phrase', example: '100 per 1m' },
  description: text,
  tags: listOf(oneOf(name, text), true),
});

const procedure = place('the option list of a procedure', {
  atomic: boolean,
  timeout: durationOrNone,
  description: text,
  tags: listOf(oneOf(name, text), true),
  owner: oneOf(name, text),
});

/** What each noun's definition may hold; for a procedure its options. */
export const places = { schedule, pipeline, calendar, queue, procedure } as const;

/** The prefix `<{ .. }>` of older procedures: under `sched` a cadence, a schedule's name, or a list of both. */
export const legacyPlace: Place = place('<{ .. }>', {
  kind: oneOf(name, text),
  sched: { shape: cadence, aliases: ['schedule', 'cron'] },
});
