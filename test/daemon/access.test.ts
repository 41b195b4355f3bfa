import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test as base, expect } from 'vitest';
import { Diagnostic } from '../../src/core/diagnostic.ts';
import { Access } from '../../src/daemon/access.ts';
import { systemClock } from '../../src/scheduler/clock.ts';

class Folder {
  readonly path = join(mkdtempSync(join(tmpdir(), 'cuckoo-access-')), 'cuckoo');
  readonly problems: string[] = [];

  open(): Access {
    return Access.open({
      folder: this.path,
      clock: { ...systemClock, now: () => Date.parse('2026-11-20T12:00:00Z') },
      onProblem: ({ message }) => this.problems.push(message),
    });
  }

  file(name: string): string {
    return join(this.path, name);
  }

  read(name: string): string {
    return readFileSync(this.file(name), 'utf8');
  }
}

const test = base.extend<{ folder: Folder }>({
  // biome-ignore lint/correctness/noEmptyPattern: vitest reads the first parameter as a pattern of fixtures.
  folder: async ({}, use) => {
    const folder = new Folder();
    await use(folder);
    rmSync(join(folder.path, '..'), { recursive: true, force: true });
  },
});

function mistake(work: () => unknown): { code: string; message: string; hint: string | undefined } {
  try {
    work();
  } catch (error) {
    if (!(error instanceof Diagnostic)) throw error;
    return { code: error.code, message: error.message, hint: error.hint };
  }
  return expect.unreachable('was allowed');
}

test('the first start makes the admin token: one line, in a file and a folder that nobody else can open', ({ folder }) => {
  const access = folder.open();
  const text = folder.read('token');
  expect(text).toMatch(/^cuckoo_[\w-]{43}\n$/);
  expect(access.tokenPath).toBe(folder.file('token'));
  expect(statSync(folder.file('token')).mode & 0o777).toBe(0o600);
  expect(statSync(folder.path).mode & 0o777).toBe(0o700);
  expect(readdirSync(folder.path)).toEqual(['token']);
  expect(access.check(`Bearer ${text.trim()}`)).toEqual({ name: 'admin', role: 'admin' });
  // The next start keeps it.
  expect(folder.open().check(`Bearer ${text.trim()}`)?.role).toBe('admin');
  expect(folder.read('token')).toBe(text);
});

test('whoever shows no token, a wrong one, or half of one stays outside', ({ folder }) => {
  const access = folder.open();
  const token = folder.read('token').trim();
  for (const header of [undefined, '', 'Bearer', 'Bearer ', `Bearer ${token.slice(0, -1)}`, `Bearer ${token}x`, token, `Basic ${token}`]) {
    expect(access.check(header), header).toBeUndefined();
  }
  expect(access.check(`Bearer ${token.toUpperCase()}`)).toBeUndefined();
  // The word in front may be written as one likes.
  expect(access.check(`bearer  ${token} `)?.name).toBe('admin');
});

test('tokens of others are kept as hashes, listed without them, and revoked', ({ folder }) => {
  const access = folder.open();
  const viewer = access.create({ name: 'grafana', role: 'viewer' });
  const operator = access.create({ name: 'ops', role: 'operator' });
  expect(viewer).not.toBe(operator);
  expect(access.check(`Bearer ${viewer}`)).toEqual({ name: 'grafana', role: 'viewer' });
  expect(access.check(`Bearer ${operator}`)).toEqual({ name: 'ops', role: 'operator' });
  expect(statSync(folder.file('access.json')).mode & 0o777).toBe(0o600);
  for (const token of [viewer, operator]) expect(folder.read('access.json')).not.toContain(token.slice('cuckoo_'.length));
  expect(access.list()).toEqual([
    { name: 'grafana', role: 'viewer', createdAt: '2026-11-20T12:00:00.000Z' },
    { name: 'ops', role: 'operator', createdAt: '2026-11-20T12:00:00.000Z' },
  ]);
  access.revoke('grafana');
  expect(access.check(`Bearer ${viewer}`)).toBeUndefined();
  expect(access.check(`Bearer ${operator}`)?.name).toBe('ops');
  expect(mistake(() => access.revoke('grafana'))).toMatchObject({ code: 'undefined_object', hint: 'there are ops' });
});

test('a name stands once, and is none that would look like something else', ({ folder }) => {
  const access = folder.open();
  access.create({ name: 'ops', role: 'operator' });
  expect(mistake(() => access.create({ name: 'ops', role: 'viewer' })).code).toBe('duplicate_object');
  expect(mistake(() => access.create({ name: 'admin', role: 'viewer' })).code).toBe('duplicate_object');
  for (const name of ['', ' x', 'a\nb', '\u001b[31mred', 'x'.repeat(65)]) {
    expect(mistake(() => access.create({ name, role: 'viewer' })).code, name).toBe('invalid_name');
  }
});

test('what another process creates or revokes counts at the next request', ({ folder }) => {
  const daemon = folder.open();
  const command = folder.open();
  const token = command.create({ name: 'ci', role: 'operator' });
  expect(daemon.check(`Bearer ${token}`)?.name).toBe('ci');
  command.revoke('ci');
  expect(daemon.check(`Bearer ${token}`)).toBeUndefined();
});

test('a token file that others can read is refused, with what to do', ({ folder }) => {
  folder.open();
  chmodSync(folder.file('token'), 0o644);
  const { code, message, hint } = mistake(() => folder.open());
  expect(code).toBe('forbidden');
  expect(message).toBe(`"${folder.file('token')}" is open to other users of this machine (mode 644)`);
  expect(hint).toBe(
    `chmod 600 '${folder.file('token')}'; if somebody may have read it, delete it instead, and the next start makes a new one`,
  );
  chmodSync(folder.file('token'), 0o600);
  folder.open().create({ name: 'x', role: 'viewer' });
  chmodSync(folder.file('access.json'), 0o640);
  expect(mistake(() => folder.open()).message).toContain('access.json" is open to other users');
});

test('a file that becomes unusable while it is used lets nobody in, and says so once', ({ folder }) => {
  const access = folder.open();
  const ops = access.create({ name: 'ops', role: 'operator' });
  const admin = folder.read('token').trim();
  chmodSync(folder.file('token'), 0o604);
  expect(access.check(`Bearer ${admin}`)).toBeUndefined();
  expect(access.check(`Bearer ${admin}`)).toBeUndefined();
  expect(folder.problems.length).toBe(1);
  // The other file is as good as before.
  expect(access.check(`Bearer ${ops}`)?.name).toBe('ops');
  chmodSync(folder.file('token'), 0o600);
  expect(access.check(`Bearer ${admin}`)?.name).toBe('admin');
  writeFileSync(folder.file('access.json'), '{"version":1,"tokens":[{"name":"ops"');
  expect(access.check(`Bearer ${ops}`)).toBeUndefined();
  expect(access.check(`Bearer ${admin}`)?.name).toBe('admin');
  expect(folder.problems.length).toBe(2);
});

test('a deleted admin token counts no longer, and a new one is there', ({ folder }) => {
  const access = folder.open();
  const old = folder.read('token').trim();
  rmSync(folder.file('token'));
  expect(access.check(`Bearer ${old}`)).toBeUndefined();
  expect(existsSync(folder.file('token'))).toBe(true);
  expect(access.check(`Bearer ${folder.read('token').trim()}`)?.role).toBe('admin');
});

test('a file that holds no token is not taken for an empty one', ({ folder }) => {
  folder.open();
  for (const text of ['', '\n', 'short\n', `${'a'.repeat(20)} ${'b'.repeat(20)}\n`]) {
    writeFileSync(folder.file('token'), text);
    expect(mistake(() => folder.open()).message, JSON.stringify(text)).toContain('does not hold a token');
  }
});
