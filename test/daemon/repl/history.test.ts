import { mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { holdsSecret, openHistory } from '../../../src/daemon/repl/history.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cuckoo-history-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe('history', () => {
  it('is kept over sessions, a statement of many lines as one entry', () => {
    const path = join(folder, 'state', 'cuckoo', 'history');
    openHistory(path).add('SELECT\n  1;');
    const second = openHistory(path);
    second.add('.tables');
    expect(openHistory(path).entries).toEqual(['SELECT\n  1;', '.tables']);
  });

  it('is readable by its owner alone, also where it was not before', () => {
    const path = join(folder, 'history');
    writeFileSync(path, '"old;"\n', { mode: 0o644 });
    openHistory(path).add('new;');
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const fresh = join(folder, 'sub', 'history');
    openHistory(fresh).add('x;');
    expect(statSync(fresh).mode & 0o777).toBe(0o600);
    expect(statSync(join(folder, 'sub')).mode & 0o777).toBe(0o700);
  });

  it('does not repeat what was typed twice in a row', () => {
    const history = openHistory(undefined);
    for (const entry of ['a;', 'a;', 'b;', 'a;', '  ']) history.add(entry);
    expect(history.entries).toEqual(['a;', 'b;', 'a;']);
  });

  it('remembers a statement with a secret in this session and never on the disk', () => {
    const path = join(folder, 'history');
    const history = openHistory(path);
    history.add("CREATE SECRET s (TYPE s3, KEY_ID 'x', SECRET 'hunter2');");
    history.add('SELECT 1;');
    expect(history.entries).toHaveLength(2);
    expect(readFileSync(path, 'utf8')).toBe('"SELECT 1;"\n');
  });

  it('loses a torn or foreign line and nothing else', () => {
    const path = join(folder, 'history');
    writeFileSync(path, '"one;"\n{"not": "ours"}\n"two\n\n"three;"\n"torn');
    expect(openHistory(path).entries).toEqual(['one;', 'three;']);
  });

  it('is cut to the newest entries when it has grown long, and keeps what another shell adds', () => {
    const path = join(folder, 'history');
    writeFileSync(path, Array.from({ length: 8000 }, (_, index) => `"SELECT ${index};"\n`).join(''), { mode: 0o600 });
    const first = openHistory(path);
    expect(first.entries).toHaveLength(5000);
    expect(first.entries.at(-1)).toBe('SELECT 7999;');
    openHistory(path).add('second;');
    first.add('first;');
    expect(openHistory(path).entries.slice(-2)).toEqual(['second;', 'first;']);
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it('says why it is not kept, and works without', () => {
    writeFileSync(join(folder, 'file'), '');
    const history = openHistory(join(folder, 'file', 'history'));
    expect(history.problem).toContain('history');
    history.add('SELECT 1;');
    expect(history.entries).toEqual(['SELECT 1;']);
  });

  it('leaves alone what the user has linked to a device', () => {
    const path = join(folder, 'history');
    symlinkSync('/dev/null', path);
    const mode = statSync('/dev/null').mode;
    openHistory(path).add('SELECT 1;');
    expect(statSync('/dev/null').mode).toBe(mode);
  });
});

describe('what looks like a secret', () => {
  it.each([
    "ATTACH 'postgres://bob:pw@host/db' AS p;",
    "ATTACH 'dbname=x password=y' AS p (TYPE postgres);",
    "SET s3_secret_access_key = 'x';",
    "SELECT * FROM read_csv('https://api.example.com?api_key=1');",
    "CALL deploy(token => 'x');",
    "UPSERT SCHEDULE x ( command: 'STRIPE_KEY=abc ./pay' );",
    "SELECT 'ghp_0123456789012345678901234567890123456';",
    "SELECT 'AKIAIOSFODNN7EXAMPLE';",
    "SELECT 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.x';",
    "CREATE PERSISTENT SECRET (TYPE http, BEARER_TOKEN 'x');",
    "ATTACH 'x.duckdb' (ENCRYPTION_KEY 'k');",
  ])('is seen: %s', (statement) => {
    expect(holdsSecret(statement)).toBe(true);
  });

  it.each([
    'SELECT 1;',
    'LIST SCHEDULES;',
    "UPSERT SCHEDULE a ( sched: '0 2 * * *', sql: 'SELECT 1' );",
    "SELECT 'a:b@c';",
    'SELECT primary_key FROM t;',
  ])('and this is none: %s', (statement) => {
    expect(holdsSecret(statement)).toBe(false);
  });
});
