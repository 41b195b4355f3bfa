// The ledger in memory keeps what every ledger promises.

import { MemoryLedger } from '../../../src/scheduler/simulation/memoryLedger.ts';
import { describeLedger, start } from '../../support/ledgerConformance.ts';
import { plainDefinition, plainQueue, plainSettings } from '../../support/plain.ts';

describeLedger('in memory', async () => {
  const ledger = new MemoryLedger({ settings: plainSettings, queues: [plainQueue('default')], watermark: start });
  const ids = new Map<string, number>();
  return {
    ledger,
    other: ledger,
    async define(name) {
      const scheduleId = ids.get(name) ?? ids.size + 1;
      ids.set(name, scheduleId);
      ledger.define(plainDefinition({ scheduleId, name, effectiveFrom: start }));
      return scheduleId;
    },
    async drop(name) {
      ledger.drop(ids.get(name) ?? 0);
    },
    async pause(at) {
      ledger.pause(at);
    },
    async defineQueue(queue) {
      ledger.defineQueue(queue);
    },
    async closeInside(closing, marks) {
      return ledger.closeInside(closing, { marks });
    },
    async close() {},
  };
});
