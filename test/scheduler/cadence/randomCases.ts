// Random cases for the proof: every kind of field, form and option, starts that lie around clock changes as often as not.

import { changesOf, type OracleTiming } from './oracle.ts';

export interface Case extends OracleTiming {
  readonly seed: number;
  readonly start: number;
}

const dayMs = 86_400_000;

/** One seed, one case: what a failure prints is enough to see it again. */
export function randomCase(seed: number, options: { readonly zones: readonly string[] }): Case {
  const random = generator(seed);
  const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)]!;
  const whole = (low: number, high: number) => low + Math.floor(random() * (high - low + 1));
  const chance = (probability: number) => random() < probability;
  const zone = pick(options.zones);

  const value = (low: number, high: number, names?: readonly string[]): string => {
    const number = whole(low, high);
    const name = names?.[number - (names.length === 12 ? 1 : 0)];
    return name !== undefined && chance(0.4) ? (chance(0.5) ? name : name.toLowerCase()) : String(number);
  };
  const piece = (low: number, high: number, names?: readonly string[]): string => {
    const kind = random();
    if (kind < 0.45) return value(low, high, names);
    const first = whole(low, high);
    const last = whole(first, high);
    if (kind < 0.65) return `${first}-${last}`;
    if (kind < 0.75) return `${first}-${last}/${whole(1, Math.max(1, Math.min(high, 20)))}`;
    if (kind < 0.85) return `${first}/${whole(1, Math.min(high, 20))}`;
    return `${chance(0.9) ? '*' : '?'}/${whole(1, high)}`;
  };
  const list = (low: number, high: number, names?: readonly string[]): string =>
    Array.from({ length: chance(0.7) ? 1 : whole(2, 4) }, () => piece(low, high, names)).join(',');
  const star = () => (chance(0.95) ? '*' : '?');

  const anywhere = () => whole(0, 47_000 * 86_400) * 1000;
  const changes = chance(0.5) ? changesOf(zone, whole(1970, 2099)) : [];
  const change = changes.length > 0 ? pick(changes) : undefined;
  const nearby = (at: number) => at + pick([1.5, 1.5, 3, 40].map((hours) => whole(-hours * 3600, hours * 3600))) * 1000;
  const faraway = () => Date.UTC(whole(2100, 9998), whole(0, 11), whole(1, 28), whole(0, 23), whole(0, 59), whole(0, 59));
  const rounded =
    change !== undefined ? nearby(change.at) : chance(0.03) ? whole(0, 3 * 86_400) * 1000 : chance(0.05) ? faraway() : anywhere();
  const start = Math.max(0, rounded) + (chance(0.1) ? whole(0, 999) : 0);
  // What clocks show where they change: half of a case's fields are made to lie there, or hardly any case would touch it.
  const shown = change === undefined ? undefined : new Date(change.at + pick([change.before, change.after]));
  const startYear = new Date(start).getUTCFullYear();

  const dayField = (): string => {
    if (shown !== undefined && chance(0.6)) return chance(0.7) ? star() : String(Math.max(1, shown.getUTCDate() + whole(-1, 0)));
    const kind = random();
    if (kind < 0.45) return star();
    if (kind < 0.7) return list(1, 31);
    const special = () => pick(['L', '$', 'LW', 'lw', `${whole(1, 31)}W`, `${whole(1, 31)}w`, String(whole(1, 28)), '1W', '31W']);
    return Array.from({ length: chance(0.75) ? 1 : 2 }, special).join(',');
  };
  const weekdayField = (): string => {
    if (shown !== undefined && chance(0.6)) return star();
    const kind = random();
    const field = () => {
      if (kind < 0.75) return list(0, 7);
      const day = () => (chance(0.5) ? pick(weekdays) : String(whole(0, 7)));
      const special = () => pick([`${day()}#${whole(1, 5)}`, `${day()}#L`, `${day()}L`, `${day()}`]);
      return Array.from({ length: chance(0.75) ? 1 : 2 }, special).join(',');
    };
    if (kind < 0.5) return star();
    return `${chance(0.2) ? '+' : ''}${field()}`;
  };
  const minuteField = () => (chance(0.2) ? star() : chance(0.25) ? `*/${pick([2, 5, 7, 10, 15, 20, 30, 45])}` : list(0, 59));
  const nearHour = (hour: number) => (hour + whole(-1, 2) + 24) % 24;
  const hourField = () => {
    if (shown !== undefined && chance(0.6))
      return Array.from({ length: chance(0.7) ? 1 : 2 }, () => nearHour(shown.getUTCHours())).join(',');
    return usualHours();
  };
  const usualHours = () =>
    chance(0.3) ? star() : chance(0.2) ? `*/${pick([2, 3, 5, 6, 12])}` : chance(0.4) ? String(whole(0, 4)) : list(0, 23);
  const withCalendar = chance(0.12);
  const onHoliday = withCalendar ? pick(['run', 'skip', 'next', 'previous'] as const) : 'run';
  // The oracle lists every fire of the weeks that a move may reach over; one for each second of them would take minutes.
  const moves = onHoliday === 'next' || onHoliday === 'previous';
  const cron = (): string => {
    const fields = [
      moves ? String(whole(0, 59)) : minuteField(),
      hourField(),
      dayField(),
      chance(shown === undefined ? 0.65 : 0.85) ? star() : list(1, 12, months),
      weekdayField(),
    ];
    if (chance(0.3)) {
      fields.unshift(moves || chance(0.4) ? '0' : chance(0.3) ? `*/${pick([10, 15, 30])}` : list(0, 59));
      if (chance(0.3)) {
        const from = Math.min(9940, Math.max(1970, startYear + whole(-12, 12)));
        fields.push(
          pick([
            '*',
            `*/${whole(1, 8)}`,
            String(from),
            `${from}-${from + whole(0, 40)}`,
            `${from}/${whole(1, 9)}`,
            `${from},${from + 3}-${from + 30}/${whole(1, 9)}`,
          ]),
        );
      }
    }
    return fields.join(' ');
  };
  const clockHour = () => (shown !== undefined && chance(0.6) ? nearHour(shown.getUTCHours()) : chance(0.5) ? whole(0, 3) : whole(0, 23));
  const clock = () => `${two(clockHour())}:${two(pick([0, 15, 30, whole(0, 59)]))}`;
  const date = () => (shown !== undefined && chance(0.5) ? shown : new Date(whole(0, 47_000) * dayMs)).toISOString().slice(0, 10);
  const interval = (): string => {
    const from = chance(0.5) ? ` from '${date()} ${clock()}'` : '';
    const unit = pick(['s', 'm', 'h', 'd', 'w'] as const);
    // Seconds in a row of forty days are a row of millions for whoever lists them.
    const count = {
      s: moves ? whole(1000, 7200) : whole(1, 7200),
      m: whole(moves ? 15 : 1, 3000),
      h: whole(1, 800),
      d: whole(1, 366),
      w: whole(1, 52),
    }[unit];
    return `every ${count}${unit}${from}`;
  };
  const words = (): string => {
    const ordinal = pick(['first', 'second', 'third', 'fourth', 'last']);
    const period = pick(['month', 'month', 'month', 'quarter', 'year']);
    const noun = pick(['business day', 'day', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday']);
    return `${pick(['business days', `${period} ${pick(['start', 'end'])}`, `${ordinal} ${noun} of ${period}`, `fifth ${noun} of month`])} at ${clock()}`;
  };
  const form = (): string => {
    const kind = random();
    if (kind < 0.8) return cron();
    if (kind < 0.88) return interval();
    if (kind < 0.97) return words();
    return `at '${date()} ${clock()}'`;
  };

  const expressions = Array.from({ length: chance(0.94) ? 1 : whole(2, 3) }, form);
  return {
    seed,
    expressions,
    zone,
    dstGap: chance(0.75) ? 'default' : pick(['run', 'skip']),
    dstOverlap: chance(0.75) ? 'default' : pick(['first', 'second', 'both']),
    ...(chance(0.05) ? { starts: start - whole(-100, 100) * 3_600_000 } : {}),
    ...(chance(0.05) ? { ends: start + whole(-100, 5000) * 3_600_000 } : {}),
    ...(withCalendar ? { calendar: { weekend: pick([[0, 6], [5, 6], [0], []]), holidays: freeDays(start, whole(0, 12), whole) } } : {}),
    onHoliday,
    start,
  };
}

/** Holidays around the start, where they have something to move. */
function freeDays(start: number, count: number, whole: (low: number, high: number) => number): string[] {
  const days = Array.from({ length: count }, () => Math.max(0, Math.floor(start / dayMs) + whole(-20, 40)));
  return [...new Set(days)].sort((left, right) => left - right).map((day) => new Date(day * dayMs).toISOString().slice(0, 10));
}

const months = ['JAN', 'FEB', 'MAR', 'APR', 'MAY', 'JUN', 'JUL', 'AUG', 'SEP', 'OCT', 'NOV', 'DEC'];
const weekdays = ['SUN', 'MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT'];

function two(value: number): string {
  return String(value).padStart(2, '0');
}

function generator(seed: number): () => number {
  let state = (seed * 0x9e3779b1) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
