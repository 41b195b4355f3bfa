// The process: from argv to an exit code. What an answer does not need is not loaded: --help and --version touch no engine, and
// the shell greets before 68 MB of it are read.

import { existsSync } from 'node:fs';
import type { Diagnostic } from '../core/diagnostic.ts';
import type { Clock } from '../scheduler/clock.ts';
import { type CommandLine, type Input, isCommand, parseCommandLine } from './cli.ts';
import { type Config, readConfig } from './config.ts';
import { type ExitCode, exitCodeOf, exitCodes, toDiagnostic } from './exit.ts';
import type { Fires } from './fires.ts';
import type { Host } from './host.ts';
import { OutputClosed } from './output.ts';
import type { Place } from './place.ts';
import type { Outcome, Shell } from './shell.ts';
import type { Sitting } from './sitting.ts';
import { cuckooVersion, duckdbVersion } from './version.ts';

export async function main(argv: readonly string[]): Promise<void> {
  // An error of a standard stream is met where it is written to; what nobody reads ends nothing by itself.
  process.stdout.on('error', () => {});
  process.stderr.on('error', () => {});
  const config = readConfig();
  try {
    if (isCommand(argv[2])) {
      process.exitCode = await runCommandOf(argv, config);
      return;
    }
    const asked = parseCommandLine(argv);
    if (asked.kind === 'print') process.stdout.write(asked.text);
    else process.exitCode = await serve(asked.commandLine, config);
  } catch (error) {
    process.exitCode = await explain(error, config);
  }
}

async function runCommandOf(argv: readonly string[], config: Config): Promise<ExitCode> {
  const [{ parseCommand }, { runCommand }] = await Promise.all([import('./commands/commandLine.ts'), import('./commands/commands.ts')]);
  const asked = parseCommand(argv);
  if (asked.kind === 'command') return runCommand(asked.command, config);
  process.stdout.write(asked.text);
  return exitCodes.done;
}

async function explain(error: unknown, config: Config): Promise<ExitCode> {
  if (error instanceof OutputClosed) return exitCodes.outputClosed;
  const { renderDiagnostic } = await import('./render/diagnostic.ts');
  const diagnostic = toDiagnostic(error);
  const { stderr } = process;
  stderr.write(renderDiagnostic(diagnostic, { color: config.color && stderr.isTTY, columns: stderr.columns }));
  return exitCodeOf(diagnostic);
}

async function serve(commandLine: CommandLine, config: Config): Promise<ExitCode> {
  const { stdin, stdout, stderr } = process;
  const file = commandLine.file ?? config.file;
  const interactive = commandLine.inputs.length === 0 && stdin.isTTY;
  const color = commandLine.color && config.color;
  if (interactive) (stdout.isTTY ? stdout : stderr).write(greeting(file, commandLine.readOnly));
  const [{ openPlace }, { Output }, { Shell }, { systemClock }] = await Promise.all([
    import('./place.ts'),
    import('./output.ts'),
    import('./shell.ts'),
    import('../scheduler/clock.ts'),
  ]);
  const { environment, poolSize } = config;
  const sits: { at?: Sitting } = {};
  const open = (): Promise<Place> =>
    openPlace(file, {
      readOnly: commandLine.readOnly,
      environment,
      poolSize,
      onHandover: async (by) =>
        sits.at?.handOver(by) ?? { refused: interactive ? 'it is only starting' : 'it runs a script, and ends by itself', passes: true },
    });
  const place = await open();
  const told: { fires?: Fires } = {};
  const begun: { stay?: Stay } = {};
  try {
    const session = await place.session();
    if (interactive) {
      const { Sitting } = await import('./sitting.ts');
      sits.at = new Sitting(place, session, {
        clock: systemClock,
        open,
        arrived: async (at, how) => begun.stay?.arrive(at, how),
        leaving: async () => begun.stay?.leave(),
        isBusy: () => shell.busy,
        say: (line) => told.fires?.say(line),
      });
    }
    const shell = new Shell({
      place: sits.at ?? place,
      session: sits.at ?? session,
      output: new Output(stdout, 'standard output'),
      errors: stderr,
      clock: systemClock,
      mode: commandLine.format ?? 'duckbox',
      color: { output: color && stdout.isTTY, errors: color && stderr.isTTY },
      interactive,
      onRuns: (runIds) => told.fires?.answered(runIds),
    });
    try {
      if (sits.at !== undefined) {
        return await converse(shell, { sitting: sits.at, begun, told, config, commandLine, color, clock: systemClock });
      }
      await knowFile(shell, place, { config, commandLine });
      return await runInputs(shell, commandLine.inputs);
    } finally {
      await shell.close();
      await (sits.at ?? session).close();
    }
  } finally {
    await (sits.at ?? place).close();
  }
}

/** What this user has run before, of a file that is open here: a daemon runs the file it is given. */
async function knowFile(shell: Shell, place: Place, { config, commandLine }: Pick<Conversation, 'config' | 'commandLine'>): Promise<void> {
  shell.known = undefined;
  if (place.kind !== 'here' || commandLine.readOnly) return;
  const { KnownFile, Trust } = await import('./trust.ts');
  shell.known = new KnownFile(place.engine, new Trust(config.trustPath));
}

// ---- Scripts ----

async function runInputs(shell: Shell, inputs: readonly Input[]): Promise<ExitCode> {
  const { readScript, runPieces, runStream } = await import('./script.ts');
  const { readPieces } = await import('./input.ts');
  const { stdin, stderr } = process;
  let ended: ExitCode | undefined;
  const stop = (code: ExitCode) => (): void => {
    // The second time nobody waits for anything.
    if (ended !== undefined) process.exit(ended);
    ended = code;
    stdin.destroy();
    shell.interrupt().catch(() => {
      // The statement has ended by itself.
    });
  };
  const onInterrupt = stop(exitCodes.interrupted);
  const onTerminate = stop(exitCodes.terminated);
  process.on('SIGINT', onInterrupt);
  process.on('SIGTERM', onTerminate);
  try {
    let outcome: Outcome = 'done';
    const texts = inputs.filter((input) => input.kind === 'text').length;
    let text = 0;
    for (const input of inputs.length === 0 ? [{ kind: 'standard input' } as const] : inputs) {
      if (outcome !== 'done' || ended !== undefined) break;
      switch (input.kind) {
        case 'text':
          text++;
          outcome = await runPieces(shell, readPieces(input.text), texts === 1 ? '-c' : `-c #${text}`);
          break;
        case 'file':
          outcome = await runPieces(shell, readPieces(await readScript(input.path, shell.path)), input.path);
          break;
        case 'standard input':
          outcome = await runStream(shell, stdin, '<stdin>');
          break;
        default:
          input satisfies never;
      }
    }
    return ended ?? (outcome === 'failed' ? exitCodes.failed : exitCodes.done);
  } catch (error) {
    // Reading was cut off above.
    if (ended !== undefined) return ended;
    throw error;
  } finally {
    process.off('SIGINT', onInterrupt);
    process.off('SIGTERM', onTerminate);
    if (shell.session.transaction !== 'none') stderr.write('note: the script ended inside a transaction, which was rolled back\n');
  }
}

// ---- The interactive shell ----

function greeting(file: string, readOnly: boolean): string {
  const what = file === ':memory:' ? ' (kept nowhere)' : readOnly ? ' (read-only)' : existsSync(file) ? '' : ' (new)';
  return `Cuckoo ${cuckooVersion}, DuckDB ${duckdbVersion}, ${file}${what}\nStatements end with ;  .help tells more, .quit leaves.\n`;
}

interface Conversation {
  readonly sitting: Sitting;
  /** Where the sitting finds what goes with its place. */
  readonly begun: { stay?: Stay };
  /** Where the shell finds who tells of runs. */
  readonly told: { fires?: Fires };
  readonly config: Config;
  readonly commandLine: CommandLine;
  readonly color: boolean;
  readonly clock: Clock;
}

async function converse(shell: Shell, conversation: Conversation): Promise<ExitCode> {
  const { sitting, begun, told, config, color, clock } = conversation;
  const [{ Repl }, { Fires }, { openHistory }, { folded }] = await Promise.all([
    import('./repl/repl.ts'),
    import('./fires.ts'),
    import('./repl/history.ts'),
    import('./render/terminalText.ts'),
  ]);
  const { stdin, stdout, stderr } = process;
  const history = openHistory(config.historyPath);
  if (history.problem !== undefined) stderr.write(`note: history is not kept: ${history.problem}\n`);
  const terminal = stdout.isTTY ? stdout : stderr;
  const repl = new Repl({
    shell,
    keyboard: stdin,
    terminal,
    history,
    color,
    canEdit: config.canEdit,
    suspend: process.platform === 'win32' ? undefined : () => process.kill(0, 'SIGTSTP'),
    onPrompt: () => told.fires?.flush(),
  });
  const fires = new Fires({
    events: sitting.scheduler.events,
    clock,
    setting: () => shell.fires,
    zone: () => shell.zone,
    color,
    ready: () => repl.canTell,
    tell: (notices) => repl.tell(notices),
  });
  told.fires = fires;
  const write = (line: string): void => {
    terminal.write(`${folded(line, { columns: terminal.columns, indent: '   ' })}\n`);
  };
  let ended: ExitCode | undefined;
  let leaves = false;
  const leave = (code: ExitCode) => (): void => {
    if (ended !== undefined) process.exit(ended);
    ended = code;
    repl.interrupt();
    repl.leave();
  };
  // DuckDB has stopped, and its file cannot be opened again: no statement could do anything. The one that met it says why.
  const onLost = (reason: Diagnostic): void => {
    // The scheduler may meet it too.
    if (ended !== undefined) return;
    const isIdle = repl.canTell;
    ended = exitCodes.failed;
    repl.leave();
    if (isIdle) shell.report(reason);
  };
  const stay = new Stay(shell, { ...conversation, write, say: (line) => fires.say(line), onLost });
  begun.stay = stay;
  const onInterrupt = (): void => {
    if (!leaves) repl.interrupt();
    else if (stay.hurry() !== false) process.exit(ended ?? exitCodes.interrupted);
  };
  const onTerminate = leave(exitCodes.terminated);
  const onHangup = leave(exitCodes.hangup);
  // Whatever ends the process, the terminal is not left in raw mode.
  const onExit = (): void => repl.close();
  process.on('SIGINT', onInterrupt);
  process.on('SIGTERM', onTerminate);
  process.on('SIGHUP', onHangup);
  process.on('exit', onExit);
  try {
    await shell.knownZone();
    await stay.arrive(sitting.place, 'first');
    await repl.run();
    leaves = true;
    await stay.end();
    return ended ?? exitCodes.done;
  } finally {
    fires.close();
    stay.close();
    process.off('SIGINT', onInterrupt);
    process.off('SIGTERM', onTerminate);
    process.off('SIGHUP', onHangup);
    process.off('exit', onExit);
  }
}

interface StayOptions extends Pick<Conversation, 'config' | 'commandLine' | 'clock'> {
  /** A line of its own, for what is told before the first prompt and after the last. */
  readonly write: (line: string) => void;
  /** The same while the shell is in use. */
  readonly say: (line: string) => void;
  readonly onLost: (reason: Diagnostic) => void;
}

/** What goes with the place where the file is: here the scheduler, and what this user has run before; with a daemon, nothing. */
class Stay {
  readonly #shell: Shell;
  readonly #options: StayOptions;
  #host: Host | undefined;
  #offLost: (() => void) | undefined;

  constructor(shell: Shell, options: StayOptions) {
    this.#shell = shell;
    this.#options = options;
  }

  async arrive(place: Place, how: 'first' | 'moved' | 'stayed'): Promise<void> {
    const { config, commandLine, clock, write, say, onLost } = this.#options;
    const shell = this.#shell;
    this.close();
    this.#host = undefined;
    if (how === 'moved') shell.forgetZone();
    if (how !== 'stayed') await knowFile(shell, place, { config, commandLine });
    if (place.kind === 'daemon') {
      if (how === 'first') write(`connected to the daemon (process ${place.daemon.pid ?? 'unknown'}), which runs the schedules`);
      return;
    }
    const { engine } = place;
    this.#offLost = engine.recovery.onLost(onLost);
    const { known } = shell;
    if (known === undefined || !commandLine.scheduler) return;
    const { Host } = await import('./host.ts');
    if (known.problem !== undefined && how === 'first') shell.warn(`note: what you have run before is not known: ${known.problem}`);
    const { scheduler } = engine;
    const host = new Host({ engine, scheduler, known, clock, write: how === 'first' ? write : say, say });
    this.#host = host;
    try {
      await host.begin();
    } catch (error) {
      // A scheduler that cannot begin is told, and the shell goes on without one.
      shell.report(toDiagnostic(error));
      shell.warn('the shell goes on without a scheduler');
    }
  }

  /** The file is handed over. */
  async leave(): Promise<void> {
    await this.#shell.known?.settled();
    await this.#host?.handOver();
  }

  async end(): Promise<void> {
    await this.#host?.end();
  }

  /** Answers whether nobody waits for anything any more. */
  hurry(): boolean {
    return this.#host?.hurry() ?? true;
  }

  close(): void {
    this.#offLost?.();
    this.#offLost = undefined;
  }
}
