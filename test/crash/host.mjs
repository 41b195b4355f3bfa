// A real process with a scheduler, on a disk that will be full. Each line of its input is a statement, each line of its output the
// answer as JSON, or an event of the scheduler as it happens. It ends when its input does.

import { createInterface } from 'node:readline';
import { open } from '../../dist/index.js';

const db = await open(process.argv[2], { scheduler: true });
const tell = (line) => process.stdout.write(`${JSON.stringify(line, (_, value) => (typeof value === 'bigint' ? Number(value) : value))}\n`);
let low = false;
for (const event of ['storage:low', 'storage:enough', 'ledger:trouble', 'ledger:recovered']) {
  db.on(event, (detail) => {
    if (event.startsWith('storage:')) low = event === 'storage:low';
    tell({ event, detail });
  });
}
db.on('run:opened', ({ schedule, scheduledAt }) => {
  if (low) tell({ event: 'opened without room', detail: { schedule, scheduledAt } });
});

for await (const text of createInterface({ input: process.stdin })) {
  try {
    tell({ rows: await (await db.sql(text)).toArray() });
  } catch ({ code, message }) {
    tell({ code, message });
  }
}
await db.close();
