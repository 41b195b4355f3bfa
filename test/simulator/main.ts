// Plays seeds from the command line: `npm run simulate -- --seed 7` shows everything that happens in one, `--seeds 500` plays as
// many from there, `--soak` goes on until a promise is broken. `--rough`: more goes wrong; `--fires 40`: shorter plays; `--duckdb`:
// on a real file instead of in memory.

import { DuckStore } from './duckStore.ts';
import { type PlayOptions, play } from './play.ts';

function numberOf(name: string): number | undefined {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? undefined : Number(process.argv[at + 1]);
}

const first = numberOf('seed') ?? 1;
const seeds = numberOf('seeds');
const fires = numberOf('fires');
const soak = process.argv.includes('--soak');
const most = soak ? Number.POSITIVE_INFINITY : (seeds ?? 1);
const isOne = most === 1;
const options: Partial<PlayOptions> = {
  rough: process.argv.includes('--rough'),
  ...(fires === undefined ? {} : { fires }),
  ...(process.argv.includes('--duckdb') ? { openStore: (journal, clock) => new DuckStore(journal, clock) } : {}),
};
const began = performance.now();
const totals = new Map<string, number>();
let virtualMs = 0;
let broken = 0;

for (let seed = first; seed < first + most; seed++) {
  const played = await play({ seed, trace: isOne, ...options });
  for (const [name, count] of Object.entries(played.counts)) totals.set(name, (totals.get(name) ?? 0) + count);
  virtualMs += played.virtualMs;
  if (isOne) console.log(played.lines.join('\n'));
  const [violation] = played.violations;
  if (violation !== undefined) {
    broken += 1;
    console.log(`seed ${seed}: ${violation.invariant}: ${violation.message} (after ${(violation.atMs / 1000).toFixed(3)} s)`);
    if (soak) break;
  }
  if (soak && seed % 1000 === 0) console.log(`${seed} seeds, ${shown()}`);
}

console.log(`${broken === 0 ? 'every promise is kept' : `${broken} seeds break a promise`}: ${shown()}`);
if (broken > 0) process.exitCode = 1;

function shown(): string {
  const days = (virtualMs / 86_400_000).toFixed(1);
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  return `${days} days in ${seconds} s; ${[...totals].map(([name, count]) => `${count} ${name}`).join(', ')}`;
}
