// What a schedule's `sched` means, and when it fires. A cadence is plain data, compiled when it is defined and stored with
// the schedule; this file is the room's door, and the rest of the house imports from here.
//
// Behind it: cron.ts interval.ts once.ts words.ts read one form each; pattern.ts finds matching readings of a clock,
// zone.ts knows clocks, evaluator.ts makes instants of readings, timing.ts and holidayMove.ts compose them; describe.ts and
// warnings.ts speak. calendar.ts ics.ts country.ts make calendars, and are imported by those who define calendars.

import { Diagnostic } from '../../core/diagnostic.ts';
import { type CronCadence, parseAlias, parseCron } from './cron.ts';
import { type IntervalCadence, parseInterval } from './interval.ts';
import { type OnceCadence, parseOnce } from './once.ts';
import { looksLikeWords, parseWords, type WordsCadence } from './words.ts';
import { zoneNamed } from './zone.ts';

export type { CalendarDays } from './calendar.ts';
export { describe, note } from './describe.ts';
export { type CompiledTiming, compile, type Fire, matches, next, previous, refusedOn, type Timing } from './timing.ts';
export { neverFires, noBusinessDay, warningsFor } from './warnings.ts';
export { formatLocal, validateZone } from './zone.ts';

export type Cadence = CronCadence | IntervalCadence | OnceCadence | WordsCadence | RebootCadence;

/** Each scheduler start; no instant of the clock, so `next` knows none. */
export interface RebootCadence {
  readonly kind: 'reboot';
  readonly version: 1;
  readonly text: string;
}

export interface CadenceContext {
  readonly zone: string;
  /** pg_cron's rule for day fields that begin with `*`; the canonical `text` then says the same in the standard dialect. */
  readonly dialect?: 'standard' | 'pg_cron';
}

/** Bounded: ten thousand texts, the oldest goes first. */
const seenLimit = 10_000;
const seen = new Map<string, Cadence>();

/** Throws a Diagnostic whose span lies in `text`. A text seen before costs a look-up. */
export function parseCadence(text: string, context: CadenceContext): Cadence {
  const key = `${context.dialect ?? 'standard'} ${context.zone} ${text}`;
  const known = seen.get(key);
  if (known !== undefined) return known;
  const cadence = parsed(text, context);
  if (seen.size >= seenLimit)
    for (const oldest of seen.keys()) {
      seen.delete(oldest);
      break;
    }
  seen.set(key, cadence);
  return cadence;
}

/** Naming every value of every field takes about half of this. */
const longestText = 1000;

function parsed(text: string, context: CadenceContext): Cadence {
  const trimmed = text.trim();
  if (trimmed.length > longestText) {
    throw new Diagnostic('invalid_cadence', `the cadence has ${trimmed.length} characters`, {
      span: spanOf(text),
      hint: `a cadence has at most ${longestText}; a schedule may have a list of cadences`,
    });
  }
  if (/^@reboot$/i.test(trimmed)) return { kind: 'reboot', version: 1, text: '@reboot' };
  if (trimmed.startsWith('@')) return parseAlias(text);
  if (/^every\b/i.test(trimmed) || /^\d+\s*[a-z]+$/i.test(trimmed)) return parseInterval(text);
  if (/^(?:at\b|['"]?\d{4}-)/i.test(trimmed)) return parseOnce(text, zoneNamed(context.zone));
  if (looksLikeWords(trimmed)) return parseWords(text);
  if (trimmed === '') {
    throw new Diagnostic('invalid_cadence', 'the cadence is empty', { span: { start: 0, end: text.length }, hint: forms });
  }
  // A first field of letters is no field of any cron; what was meant is unclear, so all forms are shown.
  if (/^[a-z]{2,}/i.test(trimmed)) {
    throw new Diagnostic('invalid_cadence', `'${trimmed}' is not a cadence`, { span: spanOf(text), hint: forms });
  }
  return parseCron(text, context.dialect ?? 'standard');
}

const forms =
  "write a cron ('0 2 * * *'), an alias (@daily), an interval (every 30m), an instant (at '2027-09-20 02:00') or calendar words (business days at 18:00)";

function spanOf(text: string): { start: number; end: number } {
  const start = text.length - text.trimStart().length;
  return { start, end: start + text.trim().length };
}
