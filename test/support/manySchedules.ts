// Hundreds of schedules in one statement, where UPSERT after UPSERT would take longer than the test.

import type { Engine } from '../../src/engine/engine.ts';
import { underneath } from './underneath.ts';

/** `name_1` to `name_count`, alike `name` but for it, as so many UPSERTs would leave them. */
export async function multiply(engine: Engine, name: string, count: number): Promise<void> {
  // Ids are given out by the engine alone.
  const firstId = engine.nextScheduleId();
  for (let number = 2; number <= count; number++) engine.nextScheduleId();
  const { ledger } = engine.sql;
  const renamed = (text: string, before: string, after: string): string =>
    `replace(${text}, '${before}' || s.name || '${after}', '${before}' || s.name || '_' || i || '${after}')`;
  const bound = renamed(renamed('s.bound::VARCHAR', '"name":"', '"'), '"jitterKey":"', '"');
  // A boundary for a scheduler that runs, as any change of definitions is.
  await engine.scheduler.change(async () => {
    await underneath(
      engine,
      `INSERT INTO ${ledger}.schedule
      SELECT s.* REPLACE (
        ${firstId} + i - 1 AS schedule_id, s.name || '_' || i AS name, s.name_key || '_' || i AS name_key,
        ${bound}::JSON AS bound, ${renamed('s.definition', 'SCHEDULE ', ' ')} AS definition
      ) FROM ${ledger}.schedule s, range(1, ${count + 1}) numbers(i) WHERE s.name = '${name}'`,
    );
    await underneath(
      engine,
      `INSERT INTO ${ledger}.schedule_version BY NAME
      SELECT schedule_id, name AS schedule, version, definition, ['created'] AS changed, created_at AS changed_at, 'ada' AS changed_by, bound
      FROM ${ledger}.schedule WHERE schedule_id >= ${firstId} AND schedule_id < ${firstId + count} ORDER BY schedule_id ASC NULLS LAST`,
    );
  });
}
