// The process: from argv to an exit code. What an answer does not need is not loaded: --help and --version touch no engine, and
// the shell greets before 68 MB of it are read.

import { existsSync } from 'node:fs';
import { userInfo } from 'node:os';
import type { Clock } from '../scheduler/clock.ts';
import { type CommandLine, type Input, parseCommandLine } from './cli.ts';
import { type Config, readConfig } from './config.ts';
import { type ExitCode, exitCodeOf, exitCodes, toDiagnostic } from './exit.ts';
import type { Fires } from './fires.ts';
import type { Host, HostedScheduler } from './host.ts';
import { OutputClosed } from './output.ts';
import type { Terminal } from './repl/painter.ts';
import type { Repl } from './repl/repl.ts';
import type { Outcome, Shell } from './shell.ts';
import type { KnownFile } from './trust.ts';
import { cuckooVersion, duckdbVersion } from './version.ts';

export async function main(argv: readonly string[]): Promise<void> {
  // An error of a standard stream is met where it is written to; what nobody reads ends nothing by itself.
  process.stdout.on('error', () => {});
  process.stderr.on('error', () => {});
  const config = readConfig();
  try {
    const asked = parseCommandLine(argv);
    if (asked.kind === 'print') process.stdout.write(asked.text);
    else process.exitCode = await serve(asked.commandLine, config);
  } catch (error) {
    process.exitCode = await explain(error, config);
  }
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
  const [{ openEngine }, { Output }, { Shell }, { claimFile }, { systemClock }, { KnownFile, Trust }] = await Promise.all([
    import('../engine/engine.ts'),
    import('./output.ts'),
    import('./shell.ts'),
    import('./lock.ts'),
    import('../scheduler/clock.ts'),
    import('./trust.ts'),
  ]);
  const { environment, poolSize } = config;
  const engine = await openEngine(file, { readOnly: commandLine.readOnly, claim: claimFile, environment, poolSize });
  try {
    // Whoever may start a shell on the file may do with it what DuckDB's own shell would let them do.
    const session = await engine.session({ actor: userInfo().username, admin: true });
    const known = commandLine.readOnly ? undefined : new KnownFile(engine, new Trust(config.trustPath));
    const told: { fires?: Fires } = {};
    const shell = new Shell({
      engine,
      session,
      output: new Output(stdout, 'standard output'),
      errors: stderr,
      clock: systemClock,
      mode: commandLine.format ?? 'duckbox',
      color: { output: color && stdout.isTTY, errors: color && stderr.isTTY },
      interactive,
      known,
      onRuns: (runIds) => told.fires?.answered(runIds),
    });
    try {
      const hosted =
        known === undefined || !commandLine.scheduler ? undefined : { scheduler: engine.scheduler, known, clock: systemClock, told };
      if (interactive) return await converse(shell, config, color, hosted);
      return await runInputs(shell, commandLine.inputs);
    } finally {
      await shell.close();
      await session.close();
    }
  } finally {
    await engine.close();
  }
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
          outcome = await runPieces(shell, readPieces(await readScript(input.path, shell.engine.path)), input.path);
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

/** What it takes for the shell to run what falls due. */
interface Hosted {
  readonly scheduler: HostedScheduler;
  readonly known: KnownFile;
  readonly clock: Clock;
  /** Where the shell finds who tells of runs. */
  readonly told: { fires?: Fires };
}

async function converse(shell: Shell, config: Config, color: boolean, hosted: Hosted | undefined): Promise<ExitCode> {
  const [{ Repl }, { openHistory }] = await Promise.all([import('./repl/repl.ts'), import('./repl/history.ts')]);
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
    onPrompt: () => hosted?.told.fires?.flush(),
  });
  let host: Host | undefined;
  let ended: ExitCode | undefined;
  let leaves = false;
  const leave = (code: ExitCode) => (): void => {
    if (ended !== undefined) process.exit(ended);
    ended = code;
    repl.interrupt();
    repl.leave();
  };
  const onInterrupt = (): void => {
    if (!leaves) repl.interrupt();
    else if (host?.hurry() !== false) process.exit(ended ?? exitCodes.interrupted);
  };
  // DuckDB has stopped, and its file cannot be opened again: no statement could do anything. The one that met it says why.
  const offLost = shell.engine.recovery.onLost((reason) => {
    // The scheduler may meet it too.
    if (ended !== undefined) return;
    const isIdle = repl.canTell;
    ended = exitCodes.failed;
    repl.leave();
    if (isIdle) shell.report(reason);
  });
  const onTerminate = leave(exitCodes.terminated);
  const onHangup = leave(exitCodes.hangup);
  // Whatever ends the process, the terminal is not left in raw mode.
  const onExit = (): void => repl.close();
  process.on('SIGINT', onInterrupt);
  process.on('SIGTERM', onTerminate);
  process.on('SIGHUP', onHangup);
  process.on('exit', onExit);
  try {
    if (hosted !== undefined) host = await beginToHost(hosted, { shell, repl, terminal, color });
    await repl.run();
    leaves = true;
    await host?.end();
    return ended ?? exitCodes.done;
  } finally {
    hosted?.told.fires?.close();
    offLost();
    process.off('SIGINT', onInterrupt);
    process.off('SIGTERM', onTerminate);
    process.off('SIGHUP', onHangup);
    process.off('exit', onExit);
  }
}

interface Place {
  readonly shell: Shell;
  readonly repl: Repl;
  readonly terminal: Terminal;
  readonly color: boolean;
}

/** A scheduler that cannot begin is told, and the shell goes on without one. */
async function beginToHost({ scheduler, known, clock, told }: Hosted, { shell, repl, terminal, color }: Place): Promise<Host> {
  const [{ Host }, { Fires }, { folded }] = await Promise.all([
    import('./host.ts'),
    import('./fires.ts'),
    import('./render/terminalText.ts'),
  ]);
  if (known.problem !== undefined) shell.warn(`note: what you have run before is not known: ${known.problem}`);
  await shell.knownZone();
  const fires = new Fires({
    events: scheduler.events,
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
  const host = new Host({ engine: shell.engine, scheduler, known, clock, write, say: (line) => fires.say(line) });
  try {
    await host.begin();
  } catch (error) {
    shell.report(toDiagnostic(error));
    shell.warn('the shell goes on without a scheduler');
  }
  return host;
}
