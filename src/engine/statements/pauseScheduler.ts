// PAUSE and RESUME SCHEDULER: durable, and each schedule's own flag stays what it is. In a shell that holds its scheduler, RESUME
// ends the hold.

import { formatInstant } from '../../core/instant.ts';
import type { PauseSchedulerStatement } from '../../parser/ast.ts';
import type { Result } from '../result.ts';
import { outcome, type StatementContext } from './context.ts';

export async function pauseScheduler({ paused }: PauseSchedulerStatement, context: StatementContext): Promise<Result> {
  const { sql, connection, engine } = context;
  // Where no scheduler runs it is read now, because paused time is neither missed nor a row, whoever ends the pause.
  await engine.scheduler.ready();
  const before = await connection.all(sql.fileValue, { key });
  const isPaused = before.length > 0;
  if (isPaused !== paused) {
    await context.defining(async () => {
      if (paused) await connection.run(sql.setFileValue, { key, value: formatInstant(context.now) });
      else await connection.run(sql.forgetFileValue, { key });
    });
  }
  const isHeld = engine.scheduler.mode === 'held';
  if (!paused && isHeld) await engine.scheduler.release();
  const what = isPaused === paused && !(isHeld && !paused) ? 'unchanged' : paused ? 'paused' : 'resumed';
  return outcome(`${paused ? 'PAUSE' : 'RESUME'} SCHEDULER`, [['scheduler', what]]);
}

const key = 'paused_at';
