// `npm run test:time -- --cases 1000000 [--from 0]`: the proof of oracle.test.ts, as long as wanted. Zone tables are
// shared between cases, so a long run costs little more for each case than a short one.

import { compare } from './agreement.ts';
import { randomCase } from './randomCases.ts';
import { provenZones } from './zones.ts';

function argument(name: string, fallback: number): number {
  const index = process.argv.indexOf(`--${name}`);
  return index < 0 ? fallback : Number(process.argv[index + 1]);
}

const cases = argument('cases', 100_000);
const from = argument('from', 1_000_000);
const began = performance.now();
let compared = 0;
let differences = 0;
for (let seed = from; compared < cases; seed++) {
  const agreement = compare(randomCase(seed, { zones: provenZones }));
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
