// Statements for the splitter, also for whoever sends them on to DuckDB.

/** Forty ways to write a statement in which a careless splitter would find an end too many or too few. */
export const fortyKinds: readonly ((n: number) => string)[] = [
  (n) => `SELECT ${n}`,
  (n) => `SELECT 'a;b''c;${n}'`,
  (n) => `SELECT "col;${n}" FROM (SELECT 1 AS "col;${n}")`,
  (n) => `SELECT "a"";""${n}" FROM (SELECT 1 AS "a"";""${n}")`,
  (n) => `SELECT $$ ; -- ${n} $$`,
  (n) => `SELECT $tag$ ; $$ ; $other$ ${n} $tag$`,
  (n) => `SELECT E'it\\';s ${n}'`,
  (n) => `SELECT e'\\\\', ';', ${n}`,
  (n) => `SELECT ${n} /* ; */ + 1`,
  (n) => `SELECT ${n} /* a ; /* b ; */ ; */ + 1`,
  (n) => `SELECT ${n} -- ; not yet\n + 1`,
  (n) => `SELECT ${n} -- it's\n + 1`,
  (n) => `SELECT ${n} - -1`,
  (n) => `SELECT '/*', ${n}, '*/'`,
  (n) => `SELECT '--', ${n}`,
  (n) => `SELECT $1 + ${n}, $name`,
  (n) => `SELECT a$b$c FROM (SELECT ${n} AS a$b$c)`,
  (n) => `SELECT [1, 2, ${n}][1:2]`,
  (n) => `SELECT {'a;': ${n}, b: '}'}`,
  (n) => `SELECT CASE WHEN ${n} > 1 THEN 'END;' ELSE 'BEGIN;' END`,
  (n) => `CREATE TABLE t${n} (a INTEGER DEFAULT 1, b VARCHAR CHECK (b <> ';'))`,
  (n) => `CREATE OR REPLACE VIEW v${n} AS SELECT 1 AS procedure, 2 AS begin`,
  (n) => `INSERT INTO t VALUES (${n}, 'x;y'), (2, $$;$$)`,
  (n) => `UPDATE t SET a = ';' WHERE b = ${n}`,
  (n) => `DELETE FROM t WHERE a = ';${n}'`,
  () => 'BEGIN',
  () => 'COMMIT',
  () => 'END',
  (n) => `COPY (SELECT ${n}) TO 'x;.csv' (DELIMITER ';')`,
  (n) => `SELECT 'Grüße; 日本; 😀 ${n}'`,
  (n) => `SELECT x'3b', b'01', ${n}`,
  (n) => `SELECT 1\u00a0+\u2003${n}`,
  (n) => `UPSERT SCHEDULE s${n} ( sched: "0 2 * * *", sql: 'DELETE FROM t; SELECT 1' )`,
  (n) => `UPSERT PROCEDURE p${n}() AS BEGIN DELETE FROM t; SELECT CASE WHEN true THEN 1 END; END`,
  (n) => `UPSERT PROCEDURE AS p${n}(a INTEGER DEFAULT 7, b DATE) AS\nBEGIN\n  SELECT ';'; -- END;\n  SELECT 1;\nEND`,
  (n) => `CREATE OR REPLACE PROCEDURE p${n}(a INTEGER) AS { SELECT {'a': '}'}; SELECT '{'; }`,
  (n) => `CREATE PROCEDURE IF NOT EXISTS p${n} <{ kind: 'a;b', sched: '@daily' }> () (atomic: true) LANGUAGE sql AS $$ SELECT 1; $$`,
  (n) => `upsert procedure begin(n integer) as begin select ${n}; end`,
  (n) => `UPSERT PROCEDURE AS as(n INTEGER) LANGUAGE command AS ['echo', ';', '${n}']`,
  (n) => `UPSERT PIPELINE l${n} ( steps: [ { name: a, sql: $$ SELECT 1; SELECT 2 $$ } ] )`,
];

const separators = [';', ' ;\n', ';;;', "; -- it's ; a comment\n", ';\r\n\r\n', ' /* ; /* ; */ */ ;', ';\t', '\n;\n'];

/** A script of `count` statements, and what a splitter must find in it. */
export function script(count: number): { text: string; statements: string[] } {
  const statements = Array.from({ length: count }, (_, n) => fortyKinds[n % fortyKinds.length]!(n));
  return { text: statements.map((statement, n) => statement + separators[n % separators.length]).join(''), statements };
}
