// The command line. It only reads: what was asked comes back as plain data, what was wrong as one Diagnostic.

import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { Diagnostic } from '../core/diagnostic.ts';
import { suggest } from '../parser/suggest.ts';
import { type Mode, modes } from './render/mode.ts';
import { cuckooVersion, duckdbVersion } from './version.ts';

/** First words that are no file: see commands/. A file of such a name is written ./status. */
export const commandNames = [
  'daemon',
  'status',
  'list_jobs',
  'job_status',
  'enable_job',
  'disable_job',
  'run_job',
  'history',
  'logs',
  'cancel',
  'stop',
  'doctor',
  'service',
  'completion',
  'token',
  'config',
] as const;
export type CommandName = (typeof commandNames)[number];

export function isCommand(word: string | undefined): word is CommandName {
  return commandNames.some((name) => name === word);
}

export interface CommandLine {
  /** The database; undefined where none was named. */
  readonly file: string | undefined;
  /** What to run, in the order in which it was given; empty: standard input, or the shell on a terminal. */
  readonly inputs: readonly Input[];
  readonly format: Mode | undefined;
  readonly color: boolean;
  readonly readOnly: boolean;
  /** The shell runs what falls due. */
  readonly scheduler: boolean;
}

export type Input =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'standard input' };

export type Asked =
  | { readonly kind: 'run'; readonly commandLine: CommandLine }
  /** --help, --version */
  | { readonly kind: 'print'; readonly text: string };

export function parseCommandLine(argv: readonly string[]): Asked {
  const inputs: Input[] = [];
  let printed = '';
  const command = new Command('cuckoo')
    .usage('[options] [FILE]')
    .description('DuckDB SQL, and schedules that live in the database file.')
    .argument('[FILE]', 'the database, made where there is none; :memory: for one that is not kept (default: ./cuckoo.duckdb)')
    .addOption(
      new Option('-c, --command <sql>', 'run SQL and leave; may be repeated').argParser((text: string) => {
        inputs.push({ kind: 'text', text });
        return text;
      }),
    )
    .addOption(
      new Option('-f, --file <path>', 'run a file of SQL and leave (- is standard input); may be repeated').argParser((path: string) => {
        if (path === '') throw new InvalidArgumentError('the path is empty');
        inputs.push(path === '-' ? { kind: 'standard input' } : { kind: 'file', path });
        return path;
      }),
    )
    .addOption(
      new Option('--format <mode>', `how results are written: ${modes.join(', ')} (default: duckbox)`).argParser((word: string) => {
        return readMode(word);
      }),
    )
    .option('--no-color', 'write no colours')
    .option('--readonly', 'open the database for reading only; it must exist')
    .option('--no-scheduler', 'the shell runs no schedules')
    .version(`cuckoo ${cuckooVersion} (DuckDB ${duckdbVersion})`, '-V, --version', 'say the versions and leave')
    .helpOption('-h, --help', 'say this and leave')
    .addHelpText('after', manual)
    .showSuggestionAfterError(true)
    .configureHelp({ helpWidth: 100 })
    .configureOutput({
      writeOut: (text) => {
        printed += text;
      },
      writeErr: () => {},
    })
    .exitOverride();
  try {
    command.parse([...argv]);
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return { kind: 'print', text: printed };
    throw usage(error);
  }
  const options = command.opts<{ format?: Mode; color: boolean; readonly?: boolean; scheduler: boolean }>();
  const [file] = command.args;
  if (file === '') throw new Diagnostic('usage', 'FILE is empty', { hint: 'name a file, or leave it out for ./cuckoo.duckdb' });
  const { format, color, readonly: readOnly = false, scheduler } = options;
  return { kind: 'run', commandLine: { file, inputs, format, color, readOnly, scheduler } };
}

/** A mode by its name; a Diagnostic that lists them otherwise. */
export function readMode(word: string): Mode {
  const mode = modes.find((known) => known === word.toLowerCase());
  if (mode !== undefined) return mode;
  const near = suggest(word, modes);
  throw new Diagnostic('usage', `there is no mode '${word}'`, {
    hint: `${near === undefined ? '' : `did you mean ${near}? `}modes: ${modes.join(', ')}`,
  });
}

const manual = `
With neither -c nor -f, standard input is run; on a terminal the shell begins.
The shell runs what falls due while it is open, unless --no-scheduler or --readonly
says otherwise; a script never does. Of a file with schedules that you have not run
before, nothing runs until RESUME SCHEDULER.
-c and -f run in the order given. A script stops at its first error, names its place and leaves the rest undone.

Commands (cuckoo COMMAND --help tells more):
  daemon        own the file, run what falls due, and serve
  status, list_jobs, job_status, enable_job, disable_job, run_job, history, logs, cancel
                ask and tell the daemon, or open the file where there is none
  stop, doctor, service, completion, token, config

Exit codes:
  0    all was done
  1    a statement or a file was wrong
  2    the command line was wrong
  3    no daemon answers
  4    the database is held by another process
  5    the daemon lets nobody in without a token it knows
  6    the configuration is wrong
  7    a run that was waited for did not succeed
  70   a mistake in cuckoo
  130  interrupted (Ctrl-C); an open transaction was rolled back

Environment:
  CUCKOO_FILE      the database where FILE is left out
  NO_COLOR         when not empty, no colours
  XDG_STATE_HOME   history and what you have run are kept in $XDG_STATE_HOME/cuckoo
                   (default: ~/.local/state/cuckoo)

Examples:
  cuckoo                                     the shell on ./cuckoo.duckdb
  cuckoo jobs.duckdb -c 'LIST SCHEDULES'     one statement
  cuckoo --format csv -c 'FROM beats' > beats.csv
  cuckoo jobs.duckdb < setup.sql`;

export function usage(error: unknown): unknown {
  if (error instanceof Diagnostic || !(error instanceof CommanderError)) return error;
  // Commander writes `error: .. (Did you mean --format?)`.
  const text = error.message.replace(/^error:\s*/, '');
  const near = /\(Did you mean (?:one of )?(.+)\?\)\s*$/s.exec(text)?.[1];
  const message = text.replace(/\s*\(Did you mean .*$/s, '').replace(/\.$/, '');
  return new Diagnostic('usage', message, { hint: `${near === undefined ? '' : `did you mean ${near}? `}see cuckoo --help`, cause: error });
}
