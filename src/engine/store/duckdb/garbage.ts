// The client gives DuckDB's rows back when the garbage collector meets them, and has no other way; rows that were not read to
// their end keep the whole instance open until then: the file, its lock, its transaction. Whoever must be sure that the file is
// closed (to open it again, or for another process) therefore asks for a collection.

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Clock } from '../../../scheduler/clock.ts';

/** Answers when what was found has been given back, a turn later. */
export async function collectGarbage(clock: Clock): Promise<void> {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  setFlagsFromString('--no-expose-gc');
  collect();
  await clock.yieldTurn();
}
