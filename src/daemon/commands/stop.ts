// cuckoo stop: ends the daemon of a file as its supervisor would, and waits until it is gone.

import { realpathSync } from 'node:fs';
import { Diagnostic } from '../../core/diagnostic.ts';
import { systemClock } from '../../scheduler/clock.ts';
import type { Config } from '../config.ts';
import { type ExitCode, exitCodes } from '../exit.ts';
import { whoHolds } from '../lock.ts';
import type { AskedCommand } from './commandLine.ts';

const looksEveryMs = 100;

export async function stopDaemon({ options }: AskedCommand, config: Config): Promise<ExitCode> {
  const file = options.file ?? config.file;
  const holder = await holderOf(file);
  if (holder?.kind !== 'daemon' || holder.pid === undefined) {
    process.stderr.write(`no daemon holds ${file}\n`);
    return exitCodes.noDaemon;
  }
  const { pid } = holder;
  try {
    process.kill(pid, 'SIGTERM');
  } catch (error) {
    throw new Diagnostic(
      'forbidden',
      `the daemon (process ${pid}) cannot be told to stop: ${error instanceof Error ? error.message : String(error)}`,
      {
        hint: 'it belongs to another user, or lives in another container: stop it there',
        cause: error,
      },
    );
  }
  process.stderr.write(`the daemon (process ${pid}) stops; it waits for what is at work\n`);
  while ((await holderOf(file))?.pid === pid) await systemClock.sleep(looksEveryMs);
  return exitCodes.done;
}

async function holderOf(file: string): ReturnType<typeof whoHolds> {
  try {
    return await whoHolds(realpathSync(file), systemClock);
  } catch {
    return undefined;
  }
}
