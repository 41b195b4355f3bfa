// cuckoo service install: a systemd unit for the daemon, of this user or of the machine.

import { spawnSync } from 'node:child_process';
import { mkdirSync, realpathSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { Diagnostic } from '../../core/diagnostic.ts';
import type { Config } from '../config.ts';
import { readDaemonConfig } from '../daemonConfig.ts';
import { type ExitCode, exitCodes } from '../exit.ts';
import type { AskedCommand } from './commandLine.ts';

export async function installService({ options }: AskedCommand, config: Config): Promise<ExitCode> {
  if (options.system === true && options.user === true) {
    throw new Diagnostic('usage', '--user and --system exclude each other');
  }
  const isSystem = options.system === true;
  if (options.runAs !== undefined && !isSystem) throw new Diagnostic('usage', '--run-as goes with --system');
  const account = isSystem ? (options.runAs ?? usualAccount) : undefined;
  const file = resolve(options.file ?? config.file);
  // What is wrong is better heard now than from a unit that does not start.
  readDaemonConfig({ flags: { ...options.flags, file }, environment: config.environment, folder: process.cwd() });
  const unit = unitText({
    node: process.execPath,
    program: realpathSync(process.argv[1] ?? ''),
    file,
    flags: flagsOf(options.flags),
    account,
  });
  if (options.print === true) {
    process.stdout.write(unit);
    return exitCodes.done;
  }
  if (account !== undefined) mustBeThere(account, dirname(file));
  const path = isSystem ? '/etc/systemd/system/cuckoo.service' : join(homedir(), '.config', 'systemd', 'user', 'cuckoo.service');
  try {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, unit, { mode: 0o644 });
  } catch (error) {
    throw new Diagnostic('io_error', `${path} cannot be written: ${error instanceof Error ? error.message : String(error)}`, {
      hint: isSystem
        ? 'the unit of a machine is written by root: sudo cuckoo service install --system'
        : 'cuckoo service install --print shows it',
      cause: error,
    });
  }
  process.stderr.write(`wrote ${path}\n`);
  const scope = isSystem ? [] : ['--user'];
  for (const words of [['daemon-reload'], ['enable', '--now', 'cuckoo.service']]) {
    const { status, error, stderr } = spawnSync('systemctl', [...scope, ...words], { encoding: 'utf8' });
    if (status === 0) continue;
    const why = error === undefined ? stderr.trim() : error.message;
    process.stderr.write(`systemctl ${[...scope, ...words].join(' ')} did not succeed: ${why}\nrun it where systemd runs\n`);
    return exitCodes.failed;
  }
  process.stderr.write(`cuckoo.service runs; journalctl ${isSystem ? '' : '--user '}-u cuckoo -f shows what it says\n`);
  return exitCodes.done;
}

export interface UnitParts {
  readonly node: string;
  readonly program: string;
  readonly file: string;
  readonly flags: readonly string[];
  /** Of the machine, under this account; undefined: of the user who installs it. */
  readonly account: string | undefined;
}

/** Not root: what can define a job would be root, too. */
const usualAccount = 'cuckoo';

function mustBeThere(account: string, folder: string): void {
  const { status, error } = spawnSync('id', ['-u', account], { stdio: 'ignore' });
  if (error !== undefined || status === 0) return;
  throw new Diagnostic('invalid_config', `there is no account ${account} on this machine`, {
    hint: `useradd --system --home-dir ${folder} --shell /usr/sbin/nologin ${account}; or name another: --run-as root gives jobs the whole machine`,
  });
}

/** What systemd makes with the right owner, and keeps from others; elsewhere the folder has to be there. */
function stateOf(file: string, account: string): string {
  const [, name] = /^\/var\/lib\/([\w.-]+)\/[^/]+$/.exec(file) ?? [];
  if (name === undefined) return `User=${account}\n`;
  return `User=${account}\nStateDirectory=${name}\nStateDirectoryMode=0700\nEnvironment=XDG_STATE_HOME=/var/lib/${name}/state\n`;
}

/** `UV_THREADPOOL_SIZE` stands here too: the program sets it by itself, and whoever reads the unit should know. */
export function unitText({ node, program, file, flags, account }: UnitParts): string {
  const isSystem = account !== undefined;
  const words = [node, program, 'daemon', file, '--log-format', 'json', ...flags].map(unitWord).join(' ');
  return `[Unit]
Description=Cuckoo, the scheduler of ${file.replaceAll('%', '%%')}
After=network.target

[Service]
Type=exec
ExecStart=${words}
ExecReload=/bin/kill -HUP $MAINPID
Environment=UV_THREADPOOL_SIZE=24
WorkingDirectory=${dirname(file).replaceAll('%', '%%')}
Restart=on-failure
RestartSec=1
KillMode=mixed
KillSignal=SIGTERM
TimeoutStopSec=45
UMask=0077
NoNewPrivileges=true
${isSystem ? `${stateOf(file, account)}PrivateTmp=true\nProtectSystem=full\nProtectKernelTunables=true\nProtectControlGroups=false\nRestrictSUIDSGID=true\nDelegate=yes\n` : ''}
[Install]
WantedBy=${isSystem ? 'multi-user.target' : 'default.target'}
`;
}

/** As systemd reads a word of a command line. */
function unitWord(word: string): string {
  const escaped = word.replaceAll('%', '%%').replaceAll('$', '$$$$');
  return /^[\w@%+=:,./-]+$/.test(escaped) ? escaped : `"${escaped.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}

function flagsOf(flags: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(flags).flatMap(([key, value]) => {
    const flag = `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    if (value === true) return [flag];
    if (value === undefined || value === false) return [];
    const values: readonly unknown[] = Array.isArray(value) ? value : [value];
    const isPath = ['jobsDir', 'tlsCert', 'tlsKey'].includes(key);
    return values.flatMap((one) => [flag, isPath ? resolve(String(one)) : String(one)]);
  });
}
