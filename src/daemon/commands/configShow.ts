// cuckoo config show [--origin]: what a daemon that is started now would have, and who said so.

import type { Config } from '../config.ts';
import { readDaemonConfig } from '../daemonConfig.ts';
import { type ExitCode, exitCodes } from '../exit.ts';
import type { AskedCommand } from './commandLine.ts';

export async function showConfig({ options }: AskedCommand, config: Config): Promise<ExitCode> {
  const { stated } = readDaemonConfig({ flags: options.flags, environment: config.environment, folder: process.cwd() });
  const { stdout } = process;
  if (options.json === true) {
    const entries = stated.map(({ key, value = null, origin }) => [key, options.origin === true ? { value, origin } : value]);
    stdout.write(`${JSON.stringify(Object.fromEntries(entries), null, 2)}\n`);
    return exitCodes.done;
  }
  const shown = stated.map(({ key, value, origin }) => [
    key,
    value === undefined ? '' : typeof value === 'string' ? value : JSON.stringify(value),
    origin,
  ]);
  const widths = [0, 1].map((at) => Math.max(...shown.map((row) => (row[at] ?? '').length)));
  for (const row of shown) {
    const cells = options.origin === true ? row : row.slice(0, 2);
    stdout.write(`${cells.map((cell, at) => (at === cells.length - 1 ? cell : cell.padEnd(widths[at] ?? 0))).join('  ')}\n`);
  }
  return exitCodes.done;
}
