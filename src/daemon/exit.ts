// How the process ends: one number for each kind of end, the same for every way in.

import { Diagnostic } from '../core/diagnostic.ts';

export const exitCodes = {
  done: 0,
  failed: 1,
  usage: 2,
  locked: 4,
  hangup: 129,
  interrupted: 130,
  outputClosed: 141,
  terminated: 143,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

export function exitCodeOf(diagnostic: Diagnostic): ExitCode {
  if (diagnostic.code === 'usage') return exitCodes.usage;
  return diagnostic.code === 'file_locked' ? exitCodes.locked : exitCodes.failed;
}

/** Whatever was thrown, as the house's one error: what is none of ours is a mistake in cuckoo. */
export function toDiagnostic(error: unknown): Diagnostic {
  if (error instanceof Diagnostic) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new Diagnostic('internal', message, { hint: 'this is a mistake in cuckoo: please report it with the statement', cause: error });
}
