// What must not run under the loader that reads TypeScript here, because its threads and processes would inherit it, is a script of its
// own on dist. It prints what it measured as JSON in its last line; what it says before that is shown as it comes.

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** As large as the command makes it: bin/cuckoo.cjs. */
const poolSize = '24';

export function measuredInPlainNode<T>(script: string, args: readonly string[] = [], options: readonly string[] = []): Promise<T> {
  const command = [...options, join(import.meta.dirname, script), ...args];
  const env = { ...process.env, UV_THREADPOOL_SIZE: poolSize, NODE_OPTIONS: '' };
  const child = spawn(process.execPath, command, { stdio: ['ignore', 'pipe', 'inherit'], env });
  return new Promise((resolve, reject) => {
    let answer: T | undefined;
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (line.startsWith('{"measured":')) ({ measured: answer } = JSON.parse(line) as { measured: T });
      else console.log(line);
    });
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0 && answer !== undefined) resolve(answer);
      else reject(new Error(`${script} ended with ${code ?? 'a signal'}, ${answer === undefined ? 'without an answer' : 'too late'}`));
    });
  });
}
