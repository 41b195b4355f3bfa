import { DuckDBInstance } from '@duckdb/node-api';
import { expect, it } from 'vitest';
import { ownSettings, sharedSettings } from '../../src/engine/sharedSettings.ts';

it('every setting of this DuckDB is known to be either shared or the own one of a session', async () => {
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  const rows = (await connection.runAndReadAll('SELECT lower(name) AS name FROM duckdb_settings() ORDER BY 1')).getRows();
  const names = rows.map(([name]) => String(name));
  expect(names.filter((name) => ownSettings.has(name) === sharedSettings.has(name))).toEqual([]);
  expect(names.length).toBeGreaterThan(100);
  connection.closeSync();
  instance.closeSync();
});

it('no setting that is called the own one of a session shows in another session', async () => {
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  const others = await instance.connect();
  const settings = async (of: typeof connection): Promise<Map<string, string>> => {
    const rows = (
      await of.runAndReadAll('SELECT lower(name) AS name, value, input_type FROM duckdb_settings() WHERE value IS NOT NULL')
    ).getRows();
    return new Map(rows.map(([name, value, type]) => [String(name), `${type} ${value}`]));
  };
  const before = await settings(others);
  let changed = 0;
  for (const name of ownSettings) {
    // These print to the terminal and into files.
    if (name.includes('profil') || name === 'log_query_path') continue;
    const [type = '', value = ''] = before.get(name)?.split(' ') ?? [];
    const values =
      type === 'BOOLEAN'
        ? [String(value !== 'true')]
        : type === 'VARCHAR'
          ? ["'Asia/Tokyo'", "'main'", "'detailed'", "'/tmp'", "'all'"]
          : [String(Number(value) + 1)];
    for (const next of values) {
      await connection.run(`SET ${name} = ${next}`).then(
        () => {
          changed += 1;
        },
        () => undefined,
      );
    }
  }
  expect(changed).toBeGreaterThan(30);
  expect(await settings(others)).toEqual(before);
  connection.closeSync();
  others.closeSync();
  instance.closeSync();
});
