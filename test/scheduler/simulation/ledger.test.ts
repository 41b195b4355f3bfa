// The ledger in memory keeps what every ledger promises.

import type { QueueDefinition, SchedulerSettings } from '../../../src/scheduler/ports.ts';
import type { Definition } from '../../../src/scheduler/schedule.ts';
import { MemoryLedger } from '../../../src/scheduler/simulation/memoryLedger.ts';
import { describeLedger, start } from '../../support/ledgerConformance.ts';

const settings: SchedulerSettings = {
  workers: 4,
  checkIntervalMs: 30_000,
  lateWithinMs: 60_000,
  maxRetries: 3,
  retryDelayMs: 60_000,
  catchup: 'latest',
  onFail: [],
  alerts: { failures: 0, backlog: 0, slowness: 0, busyMs: 0 },
};

const queues: readonly QueueDefinition[] = [{ name: 'default', weight: 3, concurrency: null, rate: null, paused: false }];

const policy: Definition['policy'] = {
  overlap: 'skip',
  overlapLimit: 100,
  catchupLimit: 100,
  catchupWithinMs: 86_400_000,
  after: [],
  afterState: 'success',
  queue: 'default',
  priority: 'normal',
  retry: { backoff: 'exponential', maxDelayMs: 3_600_000, jitter: true },
  disableAfterFailures: 0,
  onCrash: 'retry',
  onComplete: [],
  onFail: [],
  onSkip: [],
};

describeLedger('in memory', async () => {
  const ledger = new MemoryLedger({ settings, queues, watermark: start });
  const ids = new Map<string, number>();
  return {
    ledger,
    other: ledger,
    async define(name) {
      const scheduleId = ids.get(name) ?? ids.size + 1;
      ids.set(name, scheduleId);
      ledger.define({
        scheduleId,
        name,
        version: 1,
        enabled: true,
        effectiveFrom: start,
        exe: 'sql',
        call: 'SELECT 1',
        timing: undefined,
        policy,
      });
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
