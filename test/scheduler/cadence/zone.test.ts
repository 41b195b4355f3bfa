import { describe, expect, it } from 'vitest';
import { Diagnostic } from '../../../src/core/diagnostic.ts';
import { formatLocal, validateZone } from '../../../src/scheduler/cadence/cadence.ts';
import { Zone, zoneNamed } from '../../../src/scheduler/cadence/zone.ts';

describe('the name of a zone', () => {
  it.each([
    ['europe/berlin', 'Europe/Berlin'],
    ['EUROPE/BERLIN', 'Europe/Berlin'],
    ['utc', 'UTC'],
    ['gmt', 'GMT'],
    ['Etc/UTC', 'Etc/UTC'],
    // Intl would answer Asia/Calcutta and Europe/Kiev.
    ['Asia/Kolkata', 'Asia/Kolkata'],
    ['asia/kolkata', 'Asia/Kolkata'],
    ['Europe/Kyiv', 'Europe/Kyiv'],
    ['us/eastern', 'US/Eastern'],
    ['america/port_of_spain', 'America/Port_of_Spain'],
  ])('%s is kept as %s', (given, kept) => {
    expect(validateZone(given)).toBe(kept);
  });

  it.each([
    ['Europe/Berln', "did you mean 'Europe/Berlin'?"],
    ['Berlin', "did you mean 'Europe/Berlin'?"],
    ['New York', "did you mean 'America/New_York'?"],
    // Three letters name several zones, or only half of a year; Intl takes this one for Dhaka.
    ['BST', "did you mean 'Europe/London'?"],
    ['CEST', "did you mean 'Europe/Berlin'?"],
    ['+02:00', "an offset is not a zone: write a place, such as Europe/Berlin, or 'UTC'"],
    ['Mars/Base', 'zones are IANA names, such as Europe/Berlin, America/New_York or UTC'],
    ['', 'zones are IANA names, such as Europe/Berlin, America/New_York or UTC'],
  ])("'%s' is refused: %s", (given, hint) => {
    try {
      validateZone(given);
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(Diagnostic);
      expect(error).toMatchObject({ code: 'unknown_zone', hint, span: { start: 0, end: given.length } });
    }
  });
});

describe('the offsets of a zone', () => {
  /** Asked of Intl day by day; the zone found its changes by other steps. */
  it.each([
    'Europe/Berlin',
    'America/Sao_Paulo',
    'Africa/Casablanca',
    'Australia/Lord_Howe',
    'America/Recife',
    'Africa/Monrovia',
    'Asia/Gaza',
  ])('of %s are what Intl says on every day from 1970 to 2110 and on many after', (name) => {
    const zone = new Zone(name);
    const format = new Intl.DateTimeFormat('en-US', { timeZone: name, timeZoneName: 'longOffset' });
    const wrong: string[] = [];
    const compare = (instant: number) => {
      zone.seek(instant);
      const [, sign, hours = '0', minutes = '0', seconds = '0'] =
        /GMT(?:([+-])(\d\d):(\d\d)(?::(\d\d))?)?$/.exec(format.format(instant)) ?? [];
      const offset = (Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds)) * (sign === '-' ? -1000 : 1000);
      if (zone.offset !== offset && !(zone.offset === 0 && offset === 0))
        wrong.push(`${new Date(instant).toISOString()}: ${zone.offset}, not ${offset}`);
    };
    for (let instant = 0; instant < Date.UTC(2110, 0, 1); instant += 86_400_000) compare(instant + 43_200_000);
    for (let instant = Date.UTC(2110, 0, 1); instant < Date.UTC(9999, 0, 1); instant += 86_400_000 * 97) compare(instant);
    expect(wrong).toEqual([]);
  });

  it('are found once: one zone for every spelling of its name', () => {
    expect(zoneNamed('europe/lisbon')).toBe(zoneNamed('Europe/Lisbon'));
  });

  it('change on the second where they did', () => {
    const zone = new Zone('Africa/Monrovia');
    zone.seek(Date.UTC(1972, 0, 6));
    expect([zone.offset, new Date(zone.until).toISOString(), zone.beyond]).toEqual([-2_670_000, '1972-01-07T00:44:30.000Z', 0]);
  });
});

describe('a local time', () => {
  it.each([
    ['2027-03-28T01:30:00Z', 'Europe/Berlin', '2027-03-28 03:30:00 +02:00 CEST'],
    ['2027-01-01T00:00:00Z', 'America/New_York', '2026-12-31 19:00:00 -05:00 EST'],
    ['2027-01-01T00:00:00.250Z', 'UTC', '2027-01-01 00:00:00.250 +00:00 UTC'],
    ['2027-01-01T00:00:00Z', 'Asia/Tokyo', '2027-01-01 09:00:00 +09:00'],
    ['2027-06-01T00:00:00Z', 'Australia/Lord_Howe', '2027-06-01 10:30:00 +10:30 LHST'],
    ['1971-01-01T00:00:00Z', 'Africa/Monrovia', '1970-12-31 23:15:30 -00:44:30'],
  ])('of %s in %s is %s', (instant, zone, local) => {
    expect(formatLocal(Date.parse(instant), zone)).toBe(local);
  });
});
