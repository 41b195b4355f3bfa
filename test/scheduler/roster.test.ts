// A schedule is a row of columns: that nobody notices is what these are about.

import { describe, expect, test } from 'vitest';
import { parseCadence, type Timing } from '../../src/scheduler/cadence/cadence.ts';
import type { Tick } from '../../src/scheduler/ports.ts';
import { Roster } from '../../src/scheduler/roster.ts';
import { noCounters } from '../../src/scheduler/run.ts';
import type { Definition, Policy } from '../../src/scheduler/schedule.ts';

const start = Date.parse('2026-11-20T12:00:00Z');
const tick: Tick = { seq: 1, watermark: start, partly: null, gap: null, replayUntil: null };
const policy = { overlap: 'skip', priority: 'normal' } as Policy;
const hourly: Timing = {
  cadences: [parseCadence('every 1h', { zone: 'UTC' })],
  zone: 'UTC',
  dstGap: 'default',
  dstOverlap: 'default',
  onHoliday: 'skip',
  jitterMs: 0,
  jitterKey: 'any',
};

const definition = (scheduleId: number, more: Partial<Definition> = {}): Definition => ({
  scheduleId,
  name: `s${scheduleId}`,
  version: 1,
  enabled: true,
  effectiveFrom: start,
  exe: 'sql',
  call: `SELECT ${scheduleId}`,
  timing: hourly,
  policy,
  ...more,
});

function rosterOf(count: number): Roster {
  const roster = new Roster();
  for (let id = 1; id <= count; id++) {
    roster.apply({ kind: 'defined', definition: definition(id) }, tick);
    roster.setCounters(id, { consecutiveFailures: id % 3, openedFires: id, lastSuccessAt: id % 2 === 0 ? start + id : null });
    roster.countOpen(id, { live: id % 5, catchup: id % 7 });
  }
  return roster;
}

describe('a schedule', () => {
  test('is what it was defined as and what it has come to, however many others are dropped', () => {
    const roster = rosterOf(5000);
    const held = roster.get(4999);
    const gone = roster.get(4998);
    const stays = (id: number): boolean => id % 4 === 3;
    for (let id = 1; id <= 5000; id++) if (!stays(id)) roster.apply({ kind: 'dropped', scheduleId: id }, tick);
    roster.apply({ kind: 'defined', definition: definition(5001) }, tick);
    const left = [...Array.from({ length: 5000 }, (_, index) => index + 1).filter(stays), 5001];
    expect(roster.size).toBe(left.length);
    expect(roster.slots.size).toBe(left.length);
    expect([...roster.all()].map((armed) => armed.definition)).toEqual(left.map((id) => definition(id)));
    for (const armed of roster.all()) {
      const { scheduleId } = armed.definition;
      if (scheduleId === 5001) continue;
      const lastSuccessAt = scheduleId % 2 === 0 ? start + scheduleId : null;
      expect(armed.counters).toEqual({ consecutiveFailures: scheduleId % 3, openedFires: scheduleId, lastSuccessAt });
      expect([armed.live, armed.catchup]).toEqual([scheduleId % 5, scheduleId % 7]);
    }
    // Whoever held one goes on with it; what was dropped is as it was last seen, and is nobody else.
    if (held === undefined || gone === undefined) throw new Error('they were there');
    held.counters = { ...held.counters, openedFires: 70_000 };
    gone.counters = { ...gone.counters, openedFires: 80_000 };
    expect(roster.get(4999)?.counters.openedFires).toBe(70_000);
    expect(roster.get(4998)).toBeUndefined();
    expect([gone.definition.name, gone.counters.openedFires, gone.live]).toEqual(['s4998', 80_000, 0]);
    expect(roster.get(5001)?.counters).toEqual(noCounters);
  });

  test('keeps what it has come to when it is defined anew, and nothing when all is read again', () => {
    const roster = rosterOf(3);
    const before = roster.get(2);
    roster.apply({ kind: 'defined', definition: definition(2, { name: 'other', version: 2 }) }, tick);
    expect(roster.get(2)?.definition).toMatchObject({ name: 'other', version: 2 });
    expect(roster.get(2)?.counters.openedFires).toBe(2);
    expect(before?.definition).toMatchObject({ name: 's2', version: 1 });
    roster.clear();
    expect([roster.size, roster.slots.size, roster.get(2)]).toEqual([0, 0, undefined]);
    roster.apply({ kind: 'defined', definition: definition(2) }, tick);
    expect([roster.get(2)?.counters, roster.get(2)?.live]).toEqual([noCounters, 0]);
  });

  test('that cannot be read has no clock any more, and its like go on', () => {
    const roster = rosterOf(2);
    expect(roster.apply({ kind: 'unreadable', scheduleId: 1, name: 's1', version: 2, message: 'torn' }, tick)).toBe('torn');
    roster.rearmAll(tick);
    expect(roster.slots.dueAt(1)).toBe(Number.POSITIVE_INFINITY);
    expect(roster.slots.dueAt(2)).toBe(start + 3_600_000);
    expect(roster.get(1)?.definition.policy).toBe(policy);
    const nowhere = { ...hourly, zone: 'Nowhere/Land' };
    expect(roster.apply({ kind: 'defined', definition: definition(3, { timing: nowhere }) }, tick)).toContain('Nowhere/Land');
    expect(roster.apply({ kind: 'defined', definition: definition(2 ** 40) }, tick)).toContain('is no id of a schedule');
    expect([...roster.names()]).toEqual([
      [1, 's1'],
      [2, 's2'],
      [3, 's3'],
    ]);
  });

  test('is found by its name, by what it has in common with others, and by its failures', () => {
    const roster = rosterOf(6);
    roster.apply({ kind: 'defined', definition: definition(4, { policy: { ...policy, overlap: 'replace' } }) }, tick);
    roster.get(5)?.disable();
    const idsOf = (found: Iterable<{ readonly definition: Definition }>): number[] =>
      [...found].map((armed) => armed.definition.scheduleId);
    expect(roster.named('s6')?.definition.scheduleId).toBe(6);
    expect(roster.named('S6')).toBeUndefined();
    expect(idsOf(roster.whose((kind) => kind.policy.overlap === 'replace'))).toEqual([4]);
    expect(idsOf(roster.failing())).toEqual([1, 2, 4, 5]);
    expect([...roster.all()].filter((armed) => !armed.definition.enabled).map((armed) => armed.definition.name)).toEqual(['s5']);
  });
});
