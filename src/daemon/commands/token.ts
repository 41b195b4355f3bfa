// cuckoo token create | list | revoke: who may come in over HTTP.

import { Diagnostic } from '../../core/diagnostic.ts';
import { systemClock } from '../../scheduler/clock.ts';
import { Access, type Role } from '../access.ts';
import type { Config } from '../config.ts';
import { type ExitCode, exitCodes } from '../exit.ts';
import type { AskedCommand } from './commandLine.ts';

export async function manageTokens({ verb, operands: [name = ''], options }: AskedCommand, config: Config): Promise<ExitCode> {
  if (config.stateFolder === undefined) {
    throw new Diagnostic('invalid_config', 'there is no folder for tokens: neither XDG_STATE_HOME nor HOME is set');
  }
  const access = Access.open({ folder: config.stateFolder, clock: systemClock });
  const { stdout, stderr } = process;
  switch (verb) {
    case 'create': {
      const token = access.create({ name, role: options.role as Role });
      stderr.write(`A token of ${name}, who is ${options.role}. It is shown this once:\n`);
      stdout.write(`${token}\n`);
      return exitCodes.done;
    }
    case 'revoke':
      access.revoke(name);
      stderr.write(`${name} comes in no more\n`);
      return exitCodes.done;
    default: {
      const tokens = access.list();
      if (options.json === true) stdout.write(`${JSON.stringify(tokens)}\n`);
      else for (const token of tokens) stdout.write(`${token.name}  ${token.role}  ${token.createdAt}\n`);
      return exitCodes.done;
    }
  }
}
