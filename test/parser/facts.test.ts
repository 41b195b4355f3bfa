import { describe, expect, test } from 'vitest';
import { type Act, factsOf, parametersOf } from '../../src/parser/facts.ts';

const acts = (text: string) => factsOf(text).acts.map(({ span: _, ...act }) => act);
const files = (text: string) => factsOf(text).files.map(({ path, by }) => `${by} ${path}`);

describe('what a statement does', () => {
  test.each<[string, readonly Partial<Act>[]]>([
    ['SELECT 1', []],
    ['BEGIN', [{ kind: 'transaction', control: 'begin' }]],
    ['begin transaction read only', [{ kind: 'transaction', control: 'begin' }]],
    ['START TRANSACTION', [{ kind: 'transaction', control: 'begin' }]],
    ['COMMIT', [{ kind: 'transaction', control: 'commit' }]],
    ['END TRANSACTION', [{ kind: 'transaction', control: 'commit' }]],
    ['ROLLBACK', [{ kind: 'transaction', control: 'rollback' }]],
    ['/* x */ ABORT', [{ kind: 'transaction', control: 'rollback' }]],
    ['EXPLAIN ANALYZE COMMIT', [{ kind: 'transaction', control: 'commit' }]],
    ['EXPLAIN (ANALYZE, FORMAT json) COMMIT', [{ kind: 'transaction', control: 'commit' }]],
    ['EXPLAIN COMMIT', []],
    ['SELECT 1; COMMIT', [{ kind: 'transaction', control: 'commit' }]],
    ["SELECT 'COMMIT;' AS begin", []],
    ['ATTACH \'x.duckdb\' AS "Cron" (READ_ONLY)', [{ kind: 'attach', path: 'x.duckdb', alias: 'Cron' }]],
    ["ATTACH DATABASE IF NOT EXISTS 'cron.duckdb'", [{ kind: 'attach', path: 'cron.duckdb', alias: undefined }]],
    ["ATTACH OR REPLACE ':memory:' AS m", [{ kind: 'attach', path: ':memory:', alias: 'm' }]],
    ['DETACH DATABASE IF EXISTS "main db"', [{ kind: 'detach', name: 'main db' }]],
    ['USE other.main', [{ kind: 'use', target: ['other', 'main'] }]],
    ["USE 'memory'", [{ kind: 'use', target: ['memory'] }]],
    ['SET threads = 2', [{ kind: 'setting', verb: 'set', scope: undefined, name: 'threads', value: '2' }]],
    ['SET GLOBAL "Memory_Limit" TO \'1GB\'', [{ kind: 'setting', verb: 'set', scope: 'global', name: 'memory_limit', value: '1GB' }]],
    ["SET schema 'cron'", [{ kind: 'setting', name: 'schema', value: 'cron' }]],
    ["SET TIME ZONE 'UTC'", [{ kind: 'setting', name: 'timezone', value: 'UTC' }]],
    ['SET VARIABLE threads = 1', []],
    ['RESET SESSION threads', [{ kind: 'setting', verb: 'reset', scope: 'session', name: 'threads' }]],
    ['PRAGMA threads=4', [{ kind: 'setting', verb: 'pragma', name: 'threads', value: '4' }]],
    ["PRAGMA memory_limit('1GB')", [{ kind: 'setting', verb: 'pragma', name: 'memory_limit', value: '1GB' }]],
    ['PRAGMA database_list', [{ kind: 'setting', verb: 'pragma', name: 'database_list', value: undefined }]],
    ["COPY t TO 'out.csv' (HEADER)", [{ kind: 'copyTo', path: 'out.csv' }]],
    ["COPY (SELECT ')' FROM t) TO 'out.csv'", [{ kind: 'copyTo', path: 'out.csv' }]],
    ["COPY main.t (a, b) FROM 'in.csv'", [{ kind: 'write', verb: 'copy', target: ['main', 't'] }]],
    ['COPY FROM DATABASE a TO b', [{ kind: 'write', verb: 'copy', target: ['b'] }]],
    ["EXPORT DATABASE a TO 'dir' (FORMAT parquet)", [{ kind: 'copyTo', path: 'dir' }]],
    [
      'CREATE OR REPLACE TEMP MACRO cron_next(a) AS a',
      [{ kind: 'object', verb: 'create', what: 'macro', temporary: true, target: ['cron_next'] }],
    ],
    [
      'create function main."Cron_x"(a) AS TABLE SELECT a',
      [{ kind: 'object', verb: 'create', what: 'macro', temporary: false, target: ['main', 'Cron_x'] }],
    ],
    ['CREATE SCHEMA IF NOT EXISTS cron', [{ kind: 'object', verb: 'create', what: 'schema', target: ['cron'] }]],
    ['DROP SCHEMA IF EXISTS db.cuckoo_ledger CASCADE', [{ kind: 'object', verb: 'drop', what: 'schema', target: ['db', 'cuckoo_ledger'] }]],
    ['DROP MACRO TABLE cron_x', [{ kind: 'object', verb: 'drop', what: 'macro', target: ['cron_x'] }]],
    ['ALTER TABLE IF EXISTS cron.runs ADD COLUMN a INT', [{ kind: 'object', verb: 'alter', what: 'table', target: ['cron', 'runs'] }]],
    ['COMMENT ON TABLE cron.runs IS NULL', [{ kind: 'object', verb: 'comment', what: 'table', target: ['cron', 'runs'] }]],
    ['CREATE UNIQUE INDEX i ON t(a)', [{ kind: 'object', verb: 'create', what: 'index', target: ['i'] }]],
    [
      'CREATE TEMPORARY TABLE IF NOT EXISTS t AS SELECT 1',
      [{ kind: 'object', verb: 'create', what: 'table', temporary: true, target: ['t'] }],
    ],
    ['INSERT OR REPLACE INTO cron.runs VALUES (1)', [{ kind: 'write', verb: 'insert', target: ['cron', 'runs'] }]],
    ["INSERT INTO 't' BY NAME SELECT 1", [{ kind: 'write', verb: 'insert', target: ['t'] }]],
    ['UPDATE cron.job SET active = false', [{ kind: 'write', verb: 'update', target: ['cron', 'job'] }]],
    ['DELETE FROM "db"."cron"."job_run_details"', [{ kind: 'write', verb: 'delete', target: ['db', 'cron', 'job_run_details'] }]],
    ['MERGE INTO t USING s ON (a) WHEN MATCHED THEN DELETE', [{ kind: 'write', verb: 'merge', target: ['t'] }]],
    ['TRUNCATE TABLE t', [{ kind: 'write', verb: 'truncate', target: ['t'] }]],
    [
      'WITH RECURSIVE x(a) AS MATERIALIZED (DELETE FROM no) INSERT INTO t SELECT * FROM x',
      [{ kind: 'write', verb: 'insert', target: ['t'] }],
    ],
    ['PREPARE p AS DELETE FROM t', [{ kind: 'write', verb: 'delete', target: ['t'] }]],
    ['COPY', [{ kind: 'write', verb: 'copy', target: [] }]],
  ])('%s', (text, expected) => {
    const found = acts(text);
    expect(found).toHaveLength(expected.length);
    for (const [index, act] of expected.entries()) expect(found[index]).toMatchObject(act);
  });

  test('an act knows its place', () => {
    const text = "SELECT 1; /* x */ SET threads = 2; SELECT ';'";
    const [act] = factsOf(text).acts;
    expect(text.slice(act!.span.start, act!.span.end)).toMatch(/^SET threads/);
  });
});

describe('which files a statement names', () => {
  test.each<[string, readonly string[]]>([
    ["SELECT * FROM read_blob('my.duckdb')", ['read_blob my.duckdb']],
    ["FROM Read_Text(['a', 'b'], x := 'c')", ['read_text a', 'read_text b', 'read_text c']],
    ["SELECT (SELECT content FROM read_text('a')), 'not a file'", ['read_text a']],
    ["SELECT f('no'), glob(concat('a', 'b'))", ['glob a', 'glob b']],
    ["FROM 'a.csv'", ['from a.csv']],
    ["SELECT * FROM t, 'a.csv' AS x JOIN 'b.csv' USING (i)", ['from a.csv', 'join b.csv']],
    ['FROM "a.csv"', ['from a.csv']],
    ["SELECT 'a' FROM t WHERE b IN ('c', 'd')", []],
    ["INSERT INTO t VALUES ('a', 'b')", []],
    ["COPY t TO E'a\\x2ecsv'", ['copy a.csv']],
    ["COPY t FROM 'a.csv'", ['from a.csv']],
    ["ATTACH 'a.duckdb'", ['attach a.duckdb']],
    ["IMPORT DATABASE 'dir'", ['import dir']],
    ["SELECT extract('year' FROM now())", []],
  ])('%s', (text, expected) => {
    expect(files(text)).toEqual(expected);
  });
});

test('names and functions are found in any case and quoting, but not in strings and comments', () => {
  const facts = factsOf(
    `SELECT cron_next(a), "Cuckoo_Ledger".x FROM Cron.runs -- hidden\n WHERE 'secret' = $$ quoted $$ /* lost */ AND f (1)`,
  );
  for (const name of ['cron_next', 'cuckoo_ledger', 'cron', 'runs']) expect(facts.names).toContain(name);
  for (const name of ['hidden', 'secret', 'quoted', 'lost']) expect(facts.names).not.toContain(name);
  expect([...facts.functions].sort()).toEqual(['cron_next', 'f']);
});

test('parameters are found with their places, dollar quotes are none', () => {
  const text = 'SELECT $day, \'$no\', $1, ?, $$ $no $$, $t$ $no $t$, "$no", a$no, $größe::DATE /* $no */ -- $no\n + $day';
  expect(parametersOf(text).map(({ name, kind, span }) => [text.slice(span.start, span.end), name, kind])).toEqual([
    ['$day', 'day', 'named'],
    ['$1', '1', 'numbered'],
    ['?', '', 'next'],
    ['$größe', 'größe', 'named'],
    ['$day', 'day', 'named'],
  ]);
  expect(factsOf(text).parameters).toEqual(parametersOf(text));
});
