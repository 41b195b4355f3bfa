// Who says what, and who wins. A Diagnostic of each mistake names the place where it stands.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import type { Diagnostic } from '../../src/core/diagnostic.ts';
import { readDaemonConfig } from '../../src/daemon/daemonConfig.ts';

const base = mkdtempSync(join(tmpdir(), 'cuckoo-config-'));
afterAll(() => rmSync(base, { recursive: true, force: true }));

let folder = base;
let home = base;
beforeEach(() => {
  folder = mkdtempSync(join(base, 'project-'));
  home = mkdtempSync(join(base, 'home-'));
});

function read(flags: Record<string, unknown> = {}, environment: Record<string, string> = {}) {
  return readDaemonConfig({ flags, environment: { XDG_CONFIG_HOME: home, ...environment }, folder });
}

function project(content: unknown): string {
  const path = join(folder, 'cuckoo.config.json');
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

function mistake(work: () => unknown): Diagnostic {
  try {
    work();
  } catch (error) {
    return error as Diagnostic;
  }
  throw new Error('nothing was wrong');
}

describe('the configuration of a daemon', () => {
  it('listens on this machine alone where nobody says anything', () => {
    const { config, stated } = read();
    expect(config).toMatchObject({
      file: './cuckoo.duckdb',
      listen: { host: '127.0.0.1', port: 8470 },
      logLevel: 'info',
      drainTimeoutMs: 30_000,
    });
    expect(config.settings.size).toBe(0);
    expect(stated.every(({ origin }) => origin === 'default')).toBe(true);
  });

  it('is said by flags before the environment before the project before the user', () => {
    mkdirSync(join(home, 'cuckoo'));
    writeFileSync(
      join(home, 'cuckoo', 'config.json'),
      JSON.stringify({ logLevel: 'error', listen: '127.0.0.1:1', jobsDir: 'jobs', drainTimeout: '1s' }),
    );
    const path = project({ logLevel: 'warn', listen: '127.0.0.1:2', jobsDir: 'jobs' });
    const { config, stated } = read({ logLevel: 'debug' }, { CUCKOO_LISTEN: '3' });
    expect(config).toMatchObject({ logLevel: 'debug', listen: { port: 3 }, jobsDir: join(folder, 'jobs'), drainTimeoutMs: 1000 });
    const origin = (key: string) => stated.find((entry) => entry.key === key)?.origin;
    expect(['logLevel', 'listen', 'jobsDir', 'drainTimeout', 'sandbox'].map(origin)).toEqual([
      '--log-level',
      'CUCKOO_LISTEN',
      path,
      join(home, 'cuckoo', 'config.json'),
      'default',
    ]);
  });

  it('overrules settings of the file, and says who did', () => {
    project({ settings: { workers: 3, late_within: '2m' } });
    const { config } = read({ workers: '8' }, { CUCKOO_MAX_RETRIES: '1' });
    expect(Object.fromEntries(config.settings)).toEqual({
      workers: { value: '8', origin: '--workers' },
      late_within: { value: '2m', origin: join(folder, 'cuckoo.config.json') },
      max_retries: { value: '1', origin: 'CUCKOO_MAX_RETRIES' },
    });
  });

  it.each([
    [{ lisen: '1' }, "there is no key 'lisen'", 'did you mean listen?'],
    [{ settings: { worker: 3 } }, "there is no key 'settings.worker'", 'did you mean settings.workers?'],
    [{ settings: { timezone: 'UTC' } }, "the time zone is the file's own", 'SET cron.timezone'],
    [{ settings: { workers: 0 } }, 'workers is not a whole number from 1 to 1000', 'cuckoo config show --origin'],
    [{ logLevel: 'loud' }, 'logLevel: "loud" is not debug, info, warn, error', 'cuckoo config show --origin'],
    [{ listen: 'here:port' }, 'listen: "here:port" is not host:port', 'cuckoo config show --origin'],
    [{ listen: '127.0.0.1:65536' }, 'listen', 'cuckoo config show --origin'],
    [{ drainTimeout: 'soon' }, 'drainTimeout: "soon" is not a duration', 'cuckoo config show --origin'],
    ['{ "listen": ', 'is no JSON', ''],
    ['[]', 'holds no object', '{ "listen"'],
  ])('refuses %j with its place and what would be right', (content, message, hint) => {
    const path = project(content);
    const error = mistake(() => read());
    expect(error).toMatchObject({ code: 'invalid_config' });
    expect(error.message).toContain(path);
    expect(error.message).toContain(message);
    expect(error.hint ?? '').toContain(hint);
  });

  it('does not listen to a network without TLS', () => {
    expect(mistake(() => read({ listen: '0.0.0.0:8470' }))).toMatchObject({
      code: 'invalid_config',
      hint: expect.stringContaining('--behind-proxy'),
    });
    expect(mistake(() => read({ tlsCert: 'a.pem' })).message).toContain('--tls-cert stands alone');
    expect(read({ listen: '0.0.0.0:8470', tlsCert: 'a', tlsKey: 'b' }).config.listen).toEqual({ host: '0.0.0.0', port: 8470 });
    expect(read({ listen: '[::]:8470', behindProxy: true }).config.listen).toEqual({ host: '::', port: 8470 });
    expect(read({ listen: '[::1]:0' }).config.listen).toEqual({ host: '::1', port: 0 });
    expect(read({ listen: 'none' }).config.listen).toBeUndefined();
  });
});
