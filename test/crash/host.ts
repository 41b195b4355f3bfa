// A process with a scheduler under load, as a test sees it, and what the file must answer when all is over.

import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect } from 'vitest';
import { openEngine } from '../../src/engine/engine.ts';

/** Each fires every second. */
export const schedules = 20;

interface Said {
  readonly event?: string;
  readonly detail?: Readonly<Record<string, unknown>>;
  readonly rows?: readonly (readonly unknown[])[];
  readonly code?: string;
  readonly message?: string;
}

/** The process with the scheduler. Statements are answered in their order; events come in between. */
export class Host {
  readonly process: ChildProcess;
  readonly events: Said[] = [];
  readonly ended: Promise<number | null>;
  readonly #answers: ((said: Said) => void)[] = [];
  readonly #watchers = new Set<() => void>();
  #code: number | null | undefined;

  constructor(path: string) {
    const host = spawn(process.execPath, [join(import.meta.dirname, 'host.mjs'), path], {
      env: { ...process.env, TZ: 'UTC', UV_THREADPOOL_SIZE: '16' },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.process = host;
    this.ended = new Promise((resolve) => host.on('close', resolve));
    // Whoever waits for an answer hears that there will be none.
    host.on('close', (code) => {
      this.#code = code;
      for (const answer of this.#answers.splice(0)) answer(this.#gone());
      for (const look of [...this.#watchers]) look();
    });
    createInterface({ input: host.stdout }).on('line', (line) => {
      const said = JSON.parse(line) as Said;
      if (said.event === undefined) this.#answers.shift()?.(said);
      else this.events.push(said);
      for (const look of this.#watchers) look();
    });
  }

  send(text: string): Promise<Said> {
    if (this.#code !== undefined) return Promise.resolve(this.#gone());
    return new Promise((answer) => {
      this.#answers.push(answer);
      this.process.stdin?.write(`${text.replaceAll(/\s+/g, ' ')}\n`);
    });
  }

  async value(query: string): Promise<unknown> {
    const { rows, ...mistake } = await this.send(query);
    if (rows === undefined) throw new Error(JSON.stringify(mistake));
    return rows[0]?.[0];
  }

  #gone(): Said {
    return { code: 'gone', message: `the process has ended with ${this.#code}` };
  }

  happens(event: string): Promise<Said> {
    return new Promise((resolve, reject) => {
      const look = () => {
        const found = this.events.find((said) => said.event === event);
        if (found === undefined && this.#code === undefined) return;
        this.#watchers.delete(look);
        if (found === undefined) reject(new Error(`${this.#gone().message} before ${event}`));
        else resolve(found);
      };
      this.#watchers.add(look);
      look();
    });
  }

  async define(): Promise<void> {
    const insert = 'INSERT INTO beats SELECT $run_id, $schedule, $scheduled_at, repeat(md5($run_id), 60)';
    const statements = [
      'CREATE TABLE beats (run_id VARCHAR, schedule VARCHAR, scheduled_at TIMESTAMPTZ, filling VARCHAR)',
      'SET cron.retry_delay = 200ms',
      'BEGIN',
      ...Array.from(
        { length: schedules },
        (_, i) => `UPSERT SCHEDULE s${i} ( sched: every 1s, sql: '${insert}', overlap: ${i % 2 === 0 ? 'queue' : 'skip'}, catchup: all,
          max_retries: 50, retry_backoff: fixed, retry_jitter: false )`,
      ),
      'COMMIT',
    ];
    for (const text of statements) {
      const { code, message } = await this.send(text);
      if (code !== undefined) throw new Error(`${text}: ${message}`);
    }
  }

  /** So many beats more than there are now. */
  async beats(more: number): Promise<void> {
    const count = async () => Number(await this.value('SELECT count(*) FROM beats'));
    const before = await count();
    await expect.poll(count, { timeout: 15_000, interval: 100 }).toBeGreaterThanOrEqual(before + more);
  }

  /** Nothing new, nothing open, closed in peace. */
  async end(): Promise<void> {
    await this.value('DISABLE SCHEDULE ALL');
    await expect.poll(() => this.value('SELECT count(*) FROM cuckoo_ledger.open_run'), { timeout: 15_000, interval: 100 }).toBe(0);
    this.process.stdin?.end();
    expect(await this.ended).toBe(0);
  }
}

/** Each counts what must not be. */
const questions: Readonly<Record<string, string>> = {
  'beats without a succeeded run': `SELECT count(*) FROM beats b WHERE NOT EXISTS (FROM cron.runs r WHERE r.run_id = b.run_id AND r.state = 'succeeded')`,
  'succeeded runs without a beat': `SELECT count(*) FROM cron.runs r WHERE r.state = 'succeeded' AND NOT EXISTS (FROM beats b WHERE b.run_id = r.run_id)`,
  'instants done twice': 'SELECT count(*) FROM (SELECT 1 FROM beats GROUP BY schedule, scheduled_at HAVING count(*) > 1)',
  'runs that failed for good': `SELECT count(*) FROM cron.runs WHERE final AND state NOT IN ('succeeded', 'skipped')`,
  'chains without one end': 'SELECT count(*) FROM (SELECT 1 FROM cron.runs GROUP BY root_run_id HAVING count(*) FILTER (final) <> 1)',
  'schedules with a second that is not covered, or covered twice': `
    SELECT ${schedules} - count(*) FROM (
      SELECT schedule, sum(CASE WHEN state = 'skipped' THEN coalesce(fires, 1) ELSE 1 END) AS covered,
        min(coalesce(first_scheduled_at, scheduled_at)) AS first, max(scheduled_at) AS last
      FROM cron.runs WHERE attempt = 1 GROUP BY schedule
    ) WHERE covered = date_diff('second', first, last) + 1`,
};

/** What is wrong with the file: nothing, one hopes. */
export async function damageOf(path: string): Promise<unknown[]> {
  const engine = await openEngine(path, { readOnly: true });
  try {
    await using session = await engine.session({ actor: 'tester', admin: true });
    const counted: unknown[] = [];
    for (const [question, text] of Object.entries(questions)) {
      const [[count] = []] = await (await session.execute(text)).toArray();
      if (Number(count) !== 0) counted.push([question, count]);
    }
    return counted;
  } finally {
    await engine.close();
  }
}
