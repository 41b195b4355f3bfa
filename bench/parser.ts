// How long a statement is read: as text by our parser alone, without time, files or DuckDB. What a statement that is not ours costs
// beside the bare client is in coldStart.ts.

import type { parse } from '../src/parser/parse.ts';
import { type Asked, type Figure, holds, median } from './report.ts';

const statements: Readonly<Record<string, string>> = {
  'SELECT 1': 'SELECT 1',
  'a query of 300 characters': `SELECT customer, sum(amount) AS total, count(*) FILTER (amount > 100) AS large FROM orders WHERE day BETWEEN DATE '2026-01-01' AND DATE '2026-12-31' AND status IN ('paid', 'shipped', 'it''s done') GROUP BY ALL HAVING total > 10 ORDER BY total DESC NULLS LAST LIMIT 20 -- the best customers`,
  'UPSERT SCHEDULE with ten keys': `UPSERT SCHEDULE nightly (
    sched: '30 2 * * *', timezone: 'Europe/Berlin', sql: $$ INSERT INTO totals SELECT day, sum(amount) FROM orders GROUP BY day $$,
    params: { 'country': 'de', 'days': 7 }, overlap: skip, catchup: latest, max_retries: 3, retry_delay: 5m, timeout: 1h, tags: ['night']
  )`,
  'LIST RUNS with a condition': `LIST RUNS WHERE schedule = 'nightly' AND state = 'failed' ORDER BY started_at DESC LIMIT 20`,
};

/** Of each statement in one round. */
const inOneRound = 500;

export async function run({ full }: Asked): Promise<Figure[]> {
  // What ships is measured: the build, not the sources through a loader.
  const { parse: read } = (await import(new URL('../dist/parser/parse.js', import.meta.url).href)) as { parse: typeof parse };
  const rounds = full ? 200 : 50;
  const times = new Map(Object.keys(statements).map((name) => [name, [] as number[]]));
  for (const [name, text] of Object.entries(statements)) holds(`${name} can be read`, 'statement' in read(text), true);
  for (let round = -5; round < rounds; round++) {
    for (const [name, text] of Object.entries(statements)) {
      const began = performance.now();
      for (let index = 0; index < inOneRound; index++) read(text);
      if (round >= 0) times.get(name)?.push(((performance.now() - began) * 1000) / inOneRound);
    }
  }
  const rows = Array.from({ length: 16_000 }, (_, row) => `('customer ${row}', ${row}.50, DATE '2026-01-02', 'paid')`);
  const large = `INSERT INTO orders VALUES ${rows.join(', ')}`;
  const ofLarge = Array.from({ length: full ? 40 : 10 }, () => {
    const began = performance.now();
    read(large);
    return (performance.now() - began) / (large.length / 1e6);
  });
  return [
    ...[...times].map(([name, us]): Figure => ({ what: `read ${name}`, unit: 'us', ...median(us) })),
    { what: 'read one statement of 0.8 million characters, per million', unit: 'ms', ...median(ofLarge) },
  ];
}
