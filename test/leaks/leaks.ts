// Thousands of short runs of every kind in one process, and what it holds before and after them.

import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface Held {
  readonly rssMb: number;
  readonly descriptors: number;
  readonly threads: number;
  readonly children: number;
  /** Files in the folder for temporary ones. */
  readonly temporary: number;
  /** Results that pipelines have kept. */
  readonly tables: number;
  readonly open: number;
}

export interface LeakReport {
  /** By kind and state. */
  readonly states: Readonly<Record<string, number>>;
  /** After a tenth of the runs. */
  readonly warm: Held;
  /** After each third of the others. */
  readonly parts: readonly Held[];
  /** Before the file was opened, and after it was closed. */
  readonly empty: Held;
  readonly closed: Held;
  /** Beside the database, what lies in its folder. */
  readonly leftFiles: readonly string[];
}

export async function leaks({ runs, kinds = [] }: { readonly runs: number; readonly kinds?: readonly string[] }): Promise<LeakReport> {
  const folder = mkdtempSync(join(tmpdir(), 'cuckoo-leaks-'));
  try {
    const temporary = join(folder, 'tmp');
    mkdirSync(temporary);
    const worker = fileURLToPath(new URL('./worker.mjs', import.meta.url));
    const child = spawn(process.execPath, ['--expose-gc', worker, join(folder, 'my.duckdb'), String(runs), ...kinds], {
      env: { ...process.env, UV_THREADPOOL_SIZE: '24', TMPDIR: temporary, NODE_OPTIONS: '' },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    const code = await new Promise((resolve) => child.on('close', resolve));
    if (code !== 0) throw new Error(`the process ended with ${String(code)}:\n${output}`);
    const told = new Map(
      output
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Held & { readonly what: string; readonly states: Readonly<Record<string, number>> })
        .map((each) => [each.what, each]),
    );
    const of = (what: string) => {
      const found = told.get(what);
      if (found === undefined) throw new Error(`the process did not tell '${what}':\n${output}`);
      return found;
    };
    return {
      states: of('states').states,
      warm: of('warm'),
      parts: [1, 2, 3].map((part) => of(`part ${part}`)),
      empty: of('empty'),
      closed: of('closed'),
      leftFiles: readdirSync(folder).filter((name) => !['my.duckdb', 'tmp', 'jobs'].includes(name)),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
