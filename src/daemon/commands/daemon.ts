// `cuckoo daemon`: the process around the daemon's life: its signals and its exit code.

import type { Config } from '../config.ts';
import type { Daemon } from '../daemon.ts';
import { readDaemonConfig } from '../daemonConfig.ts';
import { type ExitCode, exitCodes, toDiagnostic } from '../exit.ts';
import type { AskedCommand } from './commandLine.ts';

export async function runDaemon({ operands: [file], options }: AskedCommand, process_: Config): Promise<ExitCode> {
  const [module, { openLog }, { systemClock }] = await Promise.all([
    import('../daemon.ts'),
    import('../log.ts'),
    import('../../scheduler/clock.ts'),
  ]);
  const flags = { ...options.flags, ...(file === undefined ? {} : { file }) };
  const read = () => readDaemonConfig({ flags, environment: process_.environment, folder: process.cwd() }).config;
  const config = read();
  const log = await openLog({ ...config, output: process.stdout, color: options.color && process_.color && process.stdout.isTTY });
  let ended: (() => void) | undefined;
  const end = new Promise<void>((resolve) => {
    ended = resolve;
  });
  let asked = false;
  let daemon: Daemon | undefined;
  const stop = (): void => {
    // The second time nobody waits for anything.
    if (daemon === undefined) process.exit(exitCodes.terminated);
    const stopping = daemon.stop(asked ? { graceMs: 0 } : {});
    asked = true;
    void stopping.then(ended);
  };
  const reload = (): void => {
    const again = async (): Promise<void> => daemon?.reload(read());
    again().catch((error: unknown) => {
      const problem = toDiagnostic(error);
      log.error({ hint: problem.hint }, `the configuration stays as it is: ${problem.message}`);
    });
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  process.on('SIGHUP', reload);
  try {
    daemon = await module.Daemon.start({
      config,
      log,
      clock: systemClock,
      environment: process_.environment,
      poolSize: process_.poolSize,
      stateFolder: process_.stateFolder,
      onEnd: () => ended?.(),
    });
    await end;
    return daemon.problem === undefined ? exitCodes.done : exitCodes.failed;
  } finally {
    process.off('SIGTERM', stop);
    process.off('SIGINT', stop);
    process.off('SIGHUP', reload);
  }
}
