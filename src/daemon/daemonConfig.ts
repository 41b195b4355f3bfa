// How a daemon is set up, and who said so. Each key may stand in five places; the first that names it wins:
//
//   flags > environment CUCKOO_* > ./cuckoo.config.json > $XDG_CONFIG_HOME/cuckoo/config.json > (settings in the file >) defaults
//
// Values are read as strictly in a file as on the command line. What is wrong names the place where it stands, so that a daemon that
// reads its configuration again keeps the old one and says what to mend.

import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { z } from 'zod';
import { Diagnostic } from '../core/diagnostic.ts';
import { parseDuration } from '../core/duration.ts';
import { type SettingName, settingDefaults, settingTextOf } from '../engine/settings.ts';
import { suggest } from '../parser/suggest.ts';

export const logLevels = ['debug', 'info', 'warn', 'error'] as const;
export const logFormats = ['auto', 'pretty', 'json'] as const;

export interface DaemonConfig {
  readonly file: string;
  /** undefined: only the socket beside the file. */
  readonly listen: ListenAddress | undefined;
  readonly logLevel: (typeof logLevels)[number];
  readonly logFormat: (typeof logFormats)[number];
  readonly jobsDir: string | undefined;
  readonly sandbox: boolean;
  readonly drainTimeoutMs: number;
  readonly tlsCert: string | undefined;
  readonly tlsKey: string | undefined;
  readonly behindProxy: boolean;
  /** Under which names a request may ask for this machine. */
  readonly hostNames: readonly string[];
  /** What wins over the settings in the file. */
  readonly settings: ReadonlyMap<SettingName, { readonly value: string; readonly origin: string }>;
}

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** A key, where its value stands, and that value as it was written. */
export interface Stated {
  readonly key: string;
  readonly value: unknown;
  readonly origin: string;
}

type Key = keyof typeof keys;

interface KeyDefinition {
  readonly flag?: string;
  /** undefined: not in the environment. */
  readonly variable?: string;
  readonly fallback: unknown;
  readonly legal: string;
  /** Text from flags and the environment, JSON from files. */
  read(value: unknown): unknown;
}

const keys = {
  file: { variable: 'CUCKOO_FILE', fallback: './cuckoo.duckdb', legal: 'a path', read: path },
  listen: { flag: '--listen', variable: 'CUCKOO_LISTEN', fallback: '127.0.0.1:8470', legal: 'host:port, a port, or none', read: address },
  logLevel: { flag: '--log-level', variable: 'CUCKOO_LOG_LEVEL', fallback: 'info', legal: logLevels.join(', '), read: oneOf(logLevels) },
  logFormat: {
    flag: '--log-format',
    variable: 'CUCKOO_LOG_FORMAT',
    fallback: 'auto',
    legal: logFormats.join(', '),
    read: oneOf(logFormats),
  },
  jobsDir: { flag: '--jobs-dir', variable: 'CUCKOO_JOBS_DIR', fallback: undefined, legal: 'a folder', read: path },
  sandbox: { flag: '--sandbox', variable: 'CUCKOO_SANDBOX', fallback: false, legal: 'true or false', read: truth },
  drainTimeout: {
    flag: '--drain-timeout',
    variable: 'CUCKOO_DRAIN_TIMEOUT',
    fallback: '30s',
    legal: 'a duration such as 30s',
    read: duration,
  },
  tlsCert: { flag: '--tls-cert', variable: 'CUCKOO_TLS_CERT', fallback: undefined, legal: 'a file', read: path },
  tlsKey: { flag: '--tls-key', variable: 'CUCKOO_TLS_KEY', fallback: undefined, legal: 'a file', read: path },
  behindProxy: { flag: '--behind-proxy', variable: 'CUCKOO_BEHIND_PROXY', fallback: false, legal: 'true or false', read: truth },
  hostNames: { flag: '--host-name', variable: 'CUCKOO_HOST_NAMES', fallback: [], legal: 'names, separated by commas', read: names },
} satisfies Record<string, KeyDefinition>;

/** Those of the file's settings that a process may overrule. `timezone` is bound into definitions, so it is the file's alone. */
const overrulable = Object.keys(settingDefaults).filter((name): name is SettingName => name !== 'timezone');

export interface ConfigSources {
  /** By key: what the command line says. */
  readonly flags: Readonly<Record<string, unknown>>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Where ./cuckoo.config.json is looked for. */
  readonly folder: string;
}

export interface ReadConfig {
  readonly config: DaemonConfig;
  /** All keys in their order, with the winner of each. */
  readonly stated: readonly Stated[];
}

export function readDaemonConfig(sources: ConfigSources): ReadConfig {
  const layers = [flagsOf(sources), environmentOf(sources), ...filesOf(sources)];
  const stated: Stated[] = [];
  const values = new Map<Key, unknown>();
  for (const [key, definition] of Object.entries(keys) as [Key, KeyDefinition][]) {
    const won = layers.flatMap((layer) => layer.filter((found) => found.key === key)).at(0);
    const value = won?.value ?? definition.fallback;
    stated.push({ key, value, origin: won?.origin ?? 'default' });
    if (value === undefined) continue;
    values.set(key, readKey(key, definition, value, won?.origin));
  }
  const settings = new Map<SettingName, { value: string; origin: string }>();
  for (const name of overrulable) {
    const won = layers.flatMap((layer) => layer.filter((found) => found.key === `settings.${name}`)).at(0);
    if (won === undefined) continue;
    const value = settingTextOf(name, String(won.value), (message) => wrong(name, message, won.origin));
    settings.set(name, { value, origin: won.origin });
    stated.push({ key: `settings.${name}`, value, origin: won.origin });
  }
  const get = <Value>(key: Key): Value => values.get(key) as Value;
  const config: DaemonConfig = {
    file: get('file'),
    listen: get('listen'),
    logLevel: get('logLevel'),
    logFormat: get('logFormat'),
    jobsDir: get('jobsDir'),
    sandbox: get('sandbox'),
    drainTimeoutMs: get('drainTimeout'),
    tlsCert: get('tlsCert'),
    tlsKey: get('tlsKey'),
    behindProxy: get('behindProxy'),
    hostNames: get('hostNames'),
    settings,
  };
  mustBeSafe(config);
  return { config, stated };
}

const loopback = /^(?:127(?:\.\d{1,3}){3}|\[?::1\]?|localhost)$/i;

/** What everybody on a network could read on its way. */
function mustBeSafe({ listen, tlsCert, tlsKey, behindProxy }: DaemonConfig): void {
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    throw new Diagnostic('invalid_config', `${tlsCert === undefined ? '--tls-key' : '--tls-cert'} stands alone`, {
      hint: 'TLS needs both: --tls-cert cert.pem --tls-key key.pem',
    });
  }
  if (listen === undefined || loopback.test(listen.host) || tlsCert !== undefined || behindProxy) return;
  throw new Diagnostic(
    'invalid_config',
    `--listen ${listen.host}:${listen.port} is not this machine alone, and tokens would cross the network in the clear`,
    {
      hint: 'give --tls-cert and --tls-key; or --behind-proxy where something in front of it does TLS; or listen on 127.0.0.1',
    },
  );
}

// ---- Where values stand ----

function flagsOf({ flags: given }: ConfigSources): Stated[] {
  const flags: Readonly<Record<string, unknown>> = { ...given, hostNames: given['hostName'] };
  const known = Object.entries(keys as Record<string, KeyDefinition>);
  const stated = known.flatMap(([key, { flag = `--${key}` }]) =>
    flags[key] === undefined ? [] : [{ key, value: flags[key], origin: flag }],
  );
  if (flags['workers'] !== undefined) stated.push({ key: 'settings.workers', value: flags['workers'], origin: '--workers' });
  return stated;
}

function environmentOf({ environment }: ConfigSources): Stated[] {
  const given = (key: string, variable: string | undefined): Stated[] => {
    const value = variable === undefined ? undefined : environment[variable];
    return value === undefined || value === '' ? [] : [{ key, value, origin: String(variable) }];
  };
  return [
    ...Object.entries(keys as Record<string, KeyDefinition>).flatMap(([key, { variable }]) => given(key, variable)),
    ...overrulable.flatMap((name) => given(`settings.${name}`, `CUCKOO_${name.toUpperCase()}`)),
  ];
}

/** The project's before the user's. */
function filesOf({ environment, folder }: ConfigSources): Stated[][] {
  const base = environment['XDG_CONFIG_HOME'];
  const home = environment['HOME'] ?? homedir();
  const own = base !== undefined && isAbsolute(base) ? base : join(home, '.config');
  return [join(folder, 'cuckoo.config.json'), join(own, 'cuckoo', 'config.json')].map((file) => entriesOf(file));
}

const fileShape = z.record(z.string(), z.unknown());

function entriesOf(file: string): Stated[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw new Diagnostic('invalid_config', `${file} cannot be read: ${message}`, { cause: error });
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new Diagnostic('invalid_config', `${file} is no JSON: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
  const object = fileShape.safeParse(parsed);
  if (!object.success) throw new Diagnostic('invalid_config', `${file} holds no object`, { hint: '{ "listen": "127.0.0.1:8470" }' });
  return Object.entries(object.data).flatMap(([key, value]): Stated[] => {
    if (value === null) return [];
    if (key === '$schema') return [];
    if (key === 'settings') return settingsIn(value, file);
    if (!Object.hasOwn(keys, key)) throw unknownKey(key, [...Object.keys(keys), 'settings'], file);
    // Paths in a file are meant from where it stands.
    const isPath = ['file', 'jobsDir', 'tlsCert', 'tlsKey'].includes(key) && typeof value === 'string' && value !== ':memory:';
    return [{ key, value: isPath ? resolve(dirname(file), value) : value, origin: file }];
  });
}

function settingsIn(value: unknown, file: string): Stated[] {
  const object = fileShape.safeParse(value);
  if (!object.success) throw wrong('settings', 'an object such as { "workers": 8 }', file);
  return Object.entries(object.data).map(([name, given]) => {
    if (name === 'timezone') {
      throw new Diagnostic('invalid_config', `${file}: the time zone is the file's own, because definitions are bound to it`, {
        hint: "SET cron.timezone = 'Europe/Berlin';",
      });
    }
    if (!overrulable.some((known) => known === name))
      throw unknownKey(
        `settings.${name}`,
        overrulable.map((known) => `settings.${known}`),
        file,
      );
    return { key: `settings.${name}`, value: given, origin: file };
  });
}

function unknownKey(key: string, legal: readonly string[], file: string): Diagnostic {
  const near = suggest(key, legal);
  return new Diagnostic('invalid_config', `${file}: there is no key '${key}'`, {
    hint: `${near === undefined ? '' : `did you mean ${near}? `}keys: ${legal.join(', ')}`,
  });
}

// ---- What values may be ----

function readKey(key: string, { legal, read }: KeyDefinition, value: unknown, origin: string | undefined): unknown {
  const result = read(value);
  if (result === refused) throw wrong(key, legal, origin, value);
  return result;
}

function wrong(key: string, legal: string, origin = 'default', value?: unknown): Diagnostic {
  const shown = value === undefined ? '' : `: ${JSON.stringify(value)}`;
  return new Diagnostic('invalid_config', `${origin}: ${key}${shown} is not ${legal}`, {
    hint: 'cuckoo config show --origin tells what is in force',
  });
}

const refused = Symbol('refused');

function path(value: unknown): string | typeof refused {
  return typeof value === 'string' && value !== '' ? value : refused;
}

function oneOf(legal: readonly string[]) {
  return (value: unknown): string | typeof refused => legal.find((word) => word === String(value).toLowerCase()) ?? refused;
}

function truth(value: unknown): boolean | typeof refused {
  if (typeof value === 'boolean') return value;
  const text = String(value).toLowerCase();
  if (['true', '1', 'yes', 'on'].includes(text)) return true;
  return ['false', '0', 'no', 'off'].includes(text) ? false : refused;
}

function duration(value: unknown): number | typeof refused {
  try {
    return parseDuration(String(value));
  } catch {
    return refused;
  }
}

function names(value: unknown): readonly string[] | typeof refused {
  const list = Array.isArray(value) ? value : String(value).split(',');
  const trimmed = list.map((name) => String(name).trim().toLowerCase()).filter((name) => name !== '');
  return trimmed.every((name) => /^[a-z0-9.-]+$/.test(name)) ? trimmed : refused;
}

/** undefined for `none`. */
function address(value: unknown): ListenAddress | undefined | typeof refused {
  const text = String(value).trim();
  if (text.toLowerCase() === 'none') return undefined;
  const [, bracketed, plain, port = text] = /^(?:\[([0-9a-f:.%]+)\]|([^:\s]*)):(\d+)$/i.exec(text) ?? [];
  const number = Number(port);
  if (!/^\d+$/.test(port) || number > 65_535) return refused;
  return { host: bracketed ?? (plain === undefined || plain === '' ? '127.0.0.1' : plain), port: number };
}
