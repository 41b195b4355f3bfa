// The whole minute: `npm run test:conflicts`, with other seconds as an argument.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { conflicts } from './conflicts.ts';

const seconds = Number(process.argv[2] ?? 60);
const folder = mkdtempSync(join(tmpdir(), 'cuckoo-conflicts-'));
try {
  const report = await conflicts(join(folder, 'my.duckdb'), { forMs: seconds * 1000, heldMs: 10_000 });
  const { runs, states, sum, missing, beaten, conflicts: met, behindMs } = report;
  const isRight = states['succeeded'] === runs && sum === runs && missing === 0 && beaten > 0;
  process.stdout.write(`${runs} runs ${JSON.stringify(states)}, sum ${sum}, ${missing} missing; ${beaten} met ${met} conflicts; `);
  process.stdout.write(`done ${behindMs} ms after the last fire: ${isRight ? 'right' : 'WRONG'}\n`);
  process.exitCode = isRight ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
