// `cuckoo status`, `cuckoo list_jobs`, ..: what was asked comes back as plain data, what was wrong as one Diagnostic. The names are those
// that people know from other schedulers, so they are words of their own and no options of the shell.

import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { type CommandName, usage } from '../cli.ts';
import { logFormats, logLevels } from '../daemonConfig.ts';
import { cuckooVersion } from '../version.ts';

export interface AskedCommand {
  readonly name: CommandName;
  /** Of `service install`, `token create`, `config show`. */
  readonly verb: string | undefined;
  readonly operands: readonly string[];
  readonly options: CommandOptions;
}

export interface CommandOptions {
  readonly file?: string;
  readonly json?: boolean;
  readonly color: boolean;
  readonly wait?: boolean;
  readonly follow?: boolean;
  readonly limit?: number;
  /** `k=v`, as they were given. */
  readonly param?: readonly string[];
  readonly role?: string;
  readonly origin?: boolean;
  readonly user?: boolean;
  readonly system?: boolean;
  /** The account of a system's daemon. */
  readonly runAs?: string;
  readonly print?: boolean;
  /** Of the daemon: daemonConfig.ts reads them. */
  readonly flags: Readonly<Record<string, unknown>>;
}

export type AskedOfCommands =
  | { readonly kind: 'command'; readonly command: AskedCommand }
  | { readonly kind: 'print'; readonly text: string };

export function parseCommand(argv: readonly string[]): AskedOfCommands {
  let asked: AskedCommand | undefined;
  let printed = '';
  const program = commandProgram((command) => {
    asked = command;
  });
  for (const one of [program, ...program.commands, ...program.commands.flatMap((command) => command.commands)]) {
    one.configureOutput({
      writeOut: (text) => {
        printed += text;
      },
      writeErr: () => {},
    });
    one.exitOverride();
  }
  try {
    program.parse([...argv]);
  } catch (error) {
    if (error instanceof CommanderError && (error.exitCode === 0 || error.code === 'commander.help'))
      return { kind: 'print', text: printed };
    throw usage(error);
  }
  return asked === undefined ? { kind: 'print', text: printed } : { kind: 'command', command: asked };
}

/** All commands with their options; `completion` reads them too. */
export function commandProgram(ask: (command: AskedCommand) => void): Command {
  const program = new Command('cuckoo')
    .description('Commands. Without one: the shell, see cuckoo --help.')
    .version(`cuckoo ${cuckooVersion}`);
  const add = (name: CommandName, description: string, operands = '', parent = program, verb?: string): Command => {
    const command = parent.command(`${verb ?? name}${operands === '' ? '' : ` ${operands}`}`).description(description);
    command.option('--no-color', 'write no colours');
    command.configureHelp({ helpWidth: 100 });
    command.action((...given: unknown[]) => {
      const { color = true, ...opts } = command.opts<Record<string, unknown> & { readonly color?: boolean }>();
      const isOwn = ([key]: readonly [string, unknown]): boolean => ownOptions.includes(key);
      const entries = Object.entries(opts);
      const options = Object.fromEntries(entries.filter(isOwn)) as Omit<CommandOptions, 'flags' | 'color'>;
      const flags = Object.fromEntries(entries.filter((entry) => !isOwn(entry)));
      const operands = given
        .slice(0, command.registeredArguments.length)
        .filter((operand): operand is string => typeof operand === 'string');
      ask({ name, verb, operands, options: { ...options, color, flags } });
    });
    return command;
  };
  const withFile = (command: Command): Command =>
    command.option('--file <file>', 'the database (default: CUCKOO_FILE, or ./cuckoo.duckdb)');
  const withJson = (command: Command): Command => withFile(command).option('--json', 'for programs');

  daemonOptions(add('daemon', 'own the file, run what falls due, and serve', '[FILE]'));
  withJson(add('status', 'who holds the file, and how the scheduler fares'));
  withJson(add('list_jobs', 'all schedules, with their next and last run'));
  withJson(add('job_status', 'one schedule', '<NAME>'));
  withJson(add('enable_job', 'let it fire again, from now on', '<NAME>'));
  withJson(add('disable_job', 'let it fire no more', '<NAME>'));
  withJson(add('run_job', 'run it now', '<NAME>'))
    .option('--wait', 'wait for its end; 7 where it did not succeed')
    .option('--param <name=value>', 'in place of what the schedule says; may be repeated', collected);
  withJson(add('history', 'its runs, the newest first', '<NAME>')).option('--limit <n>', 'so many (default: 20)', whole);
  withJson(add('logs', 'the lines of a run', '<RUN>')).option('-f, --follow', 'go on until the run has ended');
  withJson(add('cancel', 'end a run', '<RUN>'));
  withFile(add('stop', 'end the daemon; it waits for what is at work'));
  withJson(add('doctor', 'look for what is wrong, and say what to do'));
  const service = program.command('service').description('run the daemon by systemd');
  daemonOptions(withFile(add('service', 'write a unit and start it', '', service, 'install')))
    .option('--user', 'of this user (the default)')
    .option('--system', 'of the machine')
    .option('--run-as <account>', 'with --system: whose commands and files they are (default: cuckoo)')
    .option('--print', 'only show it');
  add('completion', 'what a shell needs to complete cuckoo: cuckoo completion bash > ..', '<bash|zsh|fish>');
  const token = program.command('token').description('who may come in over HTTP');
  add('token', 'make one; it is shown once', '<NAME>', token, 'create').addOption(
    new Option('--role <role>', 'what it may').choices(['viewer', 'operator', 'admin']).default('viewer'),
  );
  add('token', 'all but the tokens themselves', '', token, 'list').option('--json', 'for programs');
  add('token', 'let it in no more', '<NAME>', token, 'revoke');
  const config = program.command('config').description('how the daemon is set up');
  daemonOptions(add('config', 'what is in force', '', config, 'show'))
    .option('--origin', 'and who said so')
    .option('--json', 'for programs');
  return program;
}

/** Those that are no flags of the daemon's. */
const ownOptions = ['file', 'json', 'wait', 'follow', 'limit', 'param', 'role', 'origin', 'user', 'system', 'runAs', 'print'];

function daemonOptions(command: Command): Command {
  return command
    .option('--listen <address>', 'host:port; port 0 picks one; none: only the socket (default: 127.0.0.1:8470)')
    .option('--jobs-dir <folder>', 'files of jobs that become schedules')
    .option('--workers <n>', 'runs at once, in place of cron.workers')
    .option('--sandbox', 'nothing reaches beyond the file: no commands, no handlers, no other files')
    .option('--drain-timeout <duration>', 'how long a stop waits for runs (default: 30s)')
    .addOption(new Option('--log-level <level>', 'what is said').choices([...logLevels]))
    .addOption(new Option('--log-format <format>', 'auto: for people on a terminal, else JSON').choices([...logFormats]))
    .option('--tls-cert <file>', 'a certificate, in PEM')
    .option('--tls-key <file>', 'its key')
    .option('--behind-proxy', 'something in front of it does TLS')
    .option('--host-name <name>', 'a name under which requests may ask for this machine; may be repeated', collected);
}

function collected(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value];
}

function whole(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new InvalidArgumentError('a whole number from 1');
  return value;
}
