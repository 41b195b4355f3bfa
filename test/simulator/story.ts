// How a play is told: instants, decisions and statements in words.

import type { Statement } from './store.ts';

export const shownInstant = (instant: number): string =>
  Math.abs(instant) < 8.64e15 ? new Date(instant).toISOString().replace('T', ' ').replace('.000Z', '').replace('Z', '') : String(instant);

export function shownDecision(decision: string): string {
  return decision.replace(/\d{12,}/g, (instant) => shownInstant(Number(instant)));
}

export function shownStatement(statement: Statement): string {
  switch (statement.kind) {
    case 'define': {
      const { name, version, enabled, effectiveFrom, timing, policy } = statement.definition;
      const sched = timing === undefined ? 'no clock' : `${timing.cadences.map((cadence) => cadence.text).join(' | ')} in ${timing.zone}`;
      return `${name} version ${version}${enabled ? '' : ' disabled'} from ${shownInstant(effectiveFrom)}: ${sched}; ${JSON.stringify({ ...policy, timing: timing === undefined ? undefined : { ...timing, cadences: undefined } })}`;
    }
    case 'drop':
      return `drop #${statement.scheduleId}`;
    case 'spoil':
      return `the row of ${statement.unreadable.name} is spoiled`;
    case 'queue':
      return `queue ${JSON.stringify(statement.queue)}`;
    case 'set':
      return `set ${JSON.stringify(statement.settings)}`;
    case 'pause':
      return statement.at === null ? 'resume scheduler' : 'pause scheduler';
    default:
      return statement satisfies never;
  }
}
