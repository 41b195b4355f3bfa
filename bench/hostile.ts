// How late fifty schedules are, each every second, while hostile work runs beside them: from their nominal time to their start. Measured
// in a plain Node on what was built, with the pool of threads that the shell and the daemon have.

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import type { Asked, Figure } from './report.ts';

const budgetMs = 250;

interface Measured {
  readonly name: string;
  readonly runs: number;
  /** Of SQL and of functions together. */
  readonly late: { readonly p50: number; readonly p99: number };
  readonly sql: { readonly p99: number };
  readonly done: { readonly p99: number };
  readonly list: { readonly p99: number };
}

/** `npm run bench -- hostile [seconds of each] [which]` */
export function run({ full, args }: Asked): Figure[] {
  const [seconds = full ? '20' : '6', ...which] = args;
  const script = join(import.meta.dirname, 'measureHostile.mjs');
  const env = { ...process.env, UV_THREADPOOL_SIZE: '24', NODE_OPTIONS: '' };
  const { status, stdout } = spawnSync(process.execPath, [script, seconds, ...which], {
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
    env,
  });
  if (status !== 0) throw new Error(`it ended with ${status}: ${stdout}`);
  const measured = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Measured);
  return measured.flatMap(({ name, runs, late, sql, done, list }): Figure[] => {
    const group = `beside ${name}`;
    const note = name === 'nothing' ? undefined : { note: `${runs} runs, each once` };
    return [
      { group, what: `beside ${name}: late, p50`, value: late.p50, unit: 'ms' },
      { group, what: `beside ${name}: late, p99`, value: late.p99, unit: 'ms', budget: { atMost: budgetMs }, ...note },
      { group, what: `beside ${name}: SQL alone, p99`, value: sql.p99, unit: 'ms' },
      { group, what: `beside ${name}: until it has ended, p99`, value: done.p99, unit: 'ms' },
      { group, what: `beside ${name}: LIST RUNS answers, p99`, value: list.p99, unit: 'ms' },
    ];
  });
}
