// How the process ends: one number for each kind of end, the same for every way in.

import { Diagnostic } from '../core/diagnostic.ts';

export const exitCodes = {
  done: 0,
  failed: 1,
  usage: 2,
  noDaemon: 3,
  locked: 4,
  refused: 5,
  config: 6,
  jobFailed: 7,
  timedOut: 8,
  internal: 70,
  hangup: 129,
  interrupted: 130,
  outputClosed: 141,
  terminated: 143,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

export function exitCodeOf(diagnostic: Diagnostic): ExitCode {
  switch (diagnostic.code) {
    case 'usage':
      return exitCodes.usage;
    case 'unreachable':
      return exitCodes.noDaemon;
    case 'file_locked':
      return exitCodes.locked;
    case 'invalid_config':
      return exitCodes.config;
    case 'internal':
      return exitCodes.internal;
    default:
      return exitCodes.failed;
  }
}

/** Whatever was thrown, as the house's one error: what is none of ours is a mistake in cuckoo. */
export function toDiagnostic(error: unknown): Diagnostic {
  if (error instanceof Diagnostic) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new Diagnostic('internal', message, { hint: 'this is a mistake in cuckoo: please report it with the statement', cause: error });
}
