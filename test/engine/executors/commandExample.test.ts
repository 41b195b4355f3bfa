import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { DocumentDatabase, read, root } from '../../support/document.ts';

test('examples/commands does what its comments say', async () => {
  const database = new DocumentDatabase();
  try {
    await database.open();
    cpSync(join(root, 'examples/commands'), database.folder, { recursive: true });
    const { text, failed } = await database.answerTo(read('examples/commands/commands.sql'));
    expect(failed, text).toBe(false);
    const runs = "SELECT concat_ws(' | ', schedule, state, result->>'last_line', notes) FROM cron.runs ORDER BY run_id";
    expect(await database.rows(runs)).toEqual([
      'morning_report | succeeded | report.csv: 2 lines',
      expect.stringMatching(/^archive_report \| succeeded \| archived as report\.csv\.[0-9a-f-]{36}$/),
    ]);
    expect(await database.rows("SELECT line FROM cron.run_logs WHERE stream = 'stderr'")).toEqual(['an old setting is still in use']);
    expect(await database.rows(`SELECT content FROM read_text('${database.folder}/report.csv')`)).toEqual([
      'day,attempt,rows\n2026-11-19,1,500\n',
    ]);
  } finally {
    await database.remove();
  }
});
