import { describe, expect, test } from 'vitest';
import { Diagnostic } from '../../src/core/diagnostic.ts';
import { Calls } from '../../src/scheduler/calls.ts';
import { Events } from '../../src/scheduler/events.ts';
import type { Unit } from '../../src/scheduler/ports.ts';
import { MemoryLedger } from '../../src/scheduler/simulation/memoryLedger.ts';
import { VirtualClock } from '../../src/scheduler/simulation/virtualClock.ts';
import { Writer } from '../../src/scheduler/writer.ts';
import { plainRun, plainSettings } from '../support/plain.ts';

function newWriter(): { writer: Writer; clock: VirtualClock; ledger: MemoryLedger } {
  const clock = new VirtualClock({ startAt: 0 });
  const ledger = new MemoryLedger({ watermark: 0, queues: [], settings: plainSettings });
  return { writer: new Writer(ledger, new Calls(clock, new Events())), clock, ledger };
}

const unit = (bootId: string): Unit => [{ kind: 'boot', bootId, event: 'start', at: 0 }];

describe('the writer', () => {
  test('forgets nothing that is sent in the moment in which a batch ends', async () => {
    for (let turns = 0; turns < 12; turns++) {
      const { writer, clock } = newWriter();
      let isWritten = false;
      void writer.write(unit('first')).then(async () => {
        for (let turn = 0; turn < turns; turn++) await null;
        await writer.write(unit('second'));
        isWritten = true;
      });
      await clock.advance(0);
      expect(isWritten, `${turns} turns later`).toBe(true);
    }
  });

  test('goes on after a conflict of which everything was there', async () => {
    const { writer, clock, ledger } = newWriter();
    const write = ledger.write.bind(ledger);
    ledger.write = async (units, signal) => {
      ledger.write = write;
      await write(units, signal);
      throw new Diagnostic('conflict', 'somebody else was there');
    };
    const first = writer.write([{ kind: 'open', run: plainRun('first', {}) }]);
    await clock.advance(60_000);
    expect(await first).toBe(true);
    let isWritten = false;
    void writer.write(unit('second')).then(() => {
      isWritten = true;
    });
    await clock.advance(60_000);
    expect(isWritten).toBe(true);
  });
});
