// `npm run test:time -- --cases 1000000 [--from 0] [--moved]`: the proof of oracle.test.ts, as long as wanted. Zone tables
// are shared between cases, so a long run costs little more for each case than a short one. `--moved` takes only the cases
// that are rare among the others and hard: a calendar moves fires, and a clock change is near.

import { compare } from './agreement.ts';
import { changesOf } from './oracle.ts';
import { type Case, randomCase } from './randomCases.ts';
import { provenZones } from './zones.ts';

function argument(name: string, fallback: number): number {
  const index = process.argv.indexOf(`--${name}`);
  return index < 0 ? fallback : Number(process.argv[index + 1]);
}

function movedNearChange({ onHoliday, start, zone }: Case): boolean {
  if (onHoliday !== 'next' && onHoliday !== 'previous') return false;
  return changesOf(zone, new Date(start).getUTCFullYear()).some(({ at }) => Math.abs(at - start) <= nearMs);
}

const nearMs = 3 * 86_400_000;
const cases = argument('cases', 100_000);
const from = argument('from', 1_000_000);
const onlyMoved = process.argv.includes('--moved');
const began = performance.now();
let compared = 0;
let differences = 0;
for (let seed = from; compared < cases; seed++) {
  const given = randomCase(seed, { zones: provenZones });
  if (onlyMoved && !movedNearChange(given)) continue;
  const agreement = compare(given);
  if (agreement.compared) compared++;
  if (agreement.difference !== undefined) {
    differences++;
    if (differences <= 20) console.log(agreement.difference);
  }
  if (agreement.compared && compared % 50_000 === 0)
    console.log(`${compared} cases, ${differences} differences, ${Math.round((performance.now() - began) / 1000)} s`);
}
console.log(
  `${compared} cases in ${provenZones.length} zones, ${differences} differences, ${Math.round((performance.now() - began) / 1000)} s`,
);
process.exitCode = differences === 0 ? 0 : 1;
