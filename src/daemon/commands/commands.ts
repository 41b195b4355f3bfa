// Which function carries out which command.

import type { Config } from '../config.ts';
import type { ExitCode } from '../exit.ts';
import type { AskedCommand } from './commandLine.ts';

export async function runCommand(asked: AskedCommand, config: Config): Promise<ExitCode> {
  switch (asked.name) {
    case 'daemon':
      return (await import('./daemon.ts')).runDaemon(asked, config);
    case 'service':
      return (await import('./service.ts')).installService(asked, config);
    case 'completion':
      return (await import('./completion.ts')).printCompletion(asked);
    case 'token':
      return (await import('./token.ts')).manageTokens(asked, config);
    case 'config':
      return (await import('./configShow.ts')).showConfig(asked, config);
    case 'stop':
      return (await import('./stop.ts')).stopDaemon(asked, config);
    case 'doctor':
      return (await import('./doctor.ts')).examine(asked, config);
    case 'status':
    case 'list_jobs':
    case 'job_status':
    case 'enable_job':
    case 'disable_job':
    case 'run_job':
    case 'history':
    case 'logs':
    case 'cancel':
      return (await import('./jobs.ts')).runJobCommand({ ...asked, name: asked.name }, config);
    default:
      return asked.name satisfies never;
  }
}
