// A file of many schedules, for scale.ts: as so many UPSERTs would leave it, but made by one statement of 300 templates.
// What falls due when is in the templates, so that one file serves for all that is measured, each later on the clock than the last:
// nothing in February, 10,000 schedules at one instant of the first of March, 1,000 each second of an hour of the second, and on
// the days after it 100 each second for every `catchup` policy. All others fire once a year, in June, at 300 different minutes.

import { openEngine } from '../src/engine/engine.ts';
import { Connection } from '../src/engine/store/duckdb/connection.ts';
import { systemClock } from '../src/scheduler/clock.ts';

export const times = {
  made: '2027-02-01T00:00:00Z',
  instant: '2027-03-01T00:00:00Z',
  rate: '2027-03-02T12:00:00Z',
  missed: { none: '2027-03-03T12:00:00Z', latest: '2027-03-04T12:00:00Z', all: '2027-03-05T12:00:00Z' },
} as const;

export const dueAtOnce = 10_000;
export const duePerSecond = 1000;
export const missing = 100;

interface Template {
  readonly name: string;
  readonly sched: string;
  readonly catchup: string;
  /** Where a run takes longer than its schedule's interval, a machine that cannot keep up shall be late and not refuse. */
  readonly overlap?: string;
  readonly copies: number;
}

export async function makeFile(path: string, schedules: number): Promise<void> {
  const templates: Template[] = [
    { name: 'instant', sched: '0 0 1 3 *', catchup: 'none', copies: dueAtOnce },
    { name: 'rate', sched: '* * 12 2 3 *', catchup: 'none', overlap: 'allow', copies: duePerSecond },
    { name: 'none', sched: '* * 12 3 3 *', catchup: 'none', copies: missing },
    { name: 'latest', sched: '* * 12 4 3 *', catchup: 'latest', copies: missing },
    { name: 'all', sched: '* * 12 5 3 *', catchup: 'all', copies: missing },
  ];
  const others = Math.min(300, schedules);
  for (let number = 1; number <= others; number++) {
    const sched = `${number % 60} ${Math.floor(number / 60) % 24} ${1 + (number % 28)} 6 *`;
    templates.push({
      name: `s_${number}`,
      sched,
      catchup: 'latest',
      copies: Math.floor((schedules * number) / others) - Math.floor((schedules * (number - 1)) / others),
    });
  }
  const madeAt = Date.parse(times.made);
  const engine = await openEngine(path, { clock: { ...systemClock, now: () => madeAt }, zone: 'UTC', poolSize: 16 });
  try {
    engine.worker.handlers.add('noop', async () => null);
    const session = await engine.session({ actor: 'bench', admin: true });
    const say = async (text: string): Promise<unknown> => (await session.execute(text)).toArray();
    await say('SET cron.workers = 32');
    await say('BEGIN');
    for (const { name, sched, catchup, overlap = 'skip' } of templates) {
      await say(`UPSERT SCHEDULE ${name} ( sched: '${sched}', handler: 'noop', catchup: ${catchup}, overlap: ${overlap} )`);
    }
    await say('COMMIT');
    await session.close();
    await multiply(engine.sql.ledger, new Connection(await engine.database.connect()), templates);
  } finally {
    await engine.close();
  }
}

/** `name_1` to `name_copies` beside each `name`, which itself goes. */
async function multiply(ledger: string, connection: Connection, templates: readonly Template[]): Promise<void> {
  const copies = templates.map(({ name, copies }) => `('${name}', ${copies})`).join(', ');
  const renamed = (text: string, before: string, after: string): string =>
    `replace(${text}, '${before}' || s.name || '${after}', '${before}' || s.name || '_' || i || '${after}')`;
  const bound = renamed(renamed('s.bound::VARCHAR', '"name":"', '"'), '"jitterKey":"', '"');
  await connection.run(`
    CREATE TEMP TABLE made AS
    SELECT s.* REPLACE (
      ${templates.length} + row_number() OVER (ORDER BY i ASC NULLS LAST, s.schedule_id ASC NULLS LAST) AS schedule_id,
      s.name || '_' || i AS name, s.name_key || '_' || i AS name_key,
      ${bound}::JSON AS bound, ${renamed('s.definition', 'SCHEDULE ', ' ')} AS definition
    ) FROM ${ledger}.schedule s JOIN (VALUES ${copies}) AS c(template, copies) ON c.template = s.name, range(1, c.copies + 1) AS numbers(i)`);
  await connection.run(`DELETE FROM ${ledger}.schedule`);
  await connection.run(`INSERT INTO ${ledger}.schedule SELECT * FROM made ORDER BY schedule_id ASC NULLS LAST`);
  await connection.run(`
    INSERT INTO ${ledger}.schedule_version BY NAME
    SELECT schedule_id, name AS schedule, version, definition, ['created'] AS changed, created_at AS changed_at, 'ada' AS changed_by, bound
    FROM made ORDER BY schedule_id ASC NULLS LAST`);
  await connection.run('CHECKPOINT');
  await connection.close();
}
