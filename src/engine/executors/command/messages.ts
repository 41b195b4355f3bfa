// What the scheduler's process and the one that runs commands tell each other. Plain data: it travels as JSON.

import type { Resources, TaskLine } from '../executor.ts';

/** To the process that runs commands. */
export type Order =
  | { readonly kind: 'begin'; readonly environment: Environment; readonly enforcement: Enforcement }
  | { readonly kind: 'start'; readonly id: number; readonly command: CommandOrder }
  /** Time is up, or somebody says stop. */
  | { readonly kind: 'end'; readonly id: number }
  /** Ends what carries one of these marks. */
  | { readonly kind: 'sweep'; readonly id: number; readonly marks: readonly string[] };

/** From it. */
export type News =
  | { readonly kind: 'lines'; readonly id: number; readonly dropped: number; readonly lines: readonly OutputLine[] }
  | { readonly kind: 'ended'; readonly id: number; readonly report: CommandReport }
  | { readonly kind: 'swept'; readonly id: number };

export type Environment = Readonly<Record<string, string>>;

/**
 * How limits are kept and processes are found. cgroup: by control groups, where one can be made; tree: by watching the processes
 * themselves, as /proc shows them; group: by nothing but the process group, as on systems without /proc.
 */
export type Enforcement = 'cgroup' | 'tree' | 'group';

export interface CommandOrder {
  /** A text is given to /bin/sh -c. */
  readonly call: string | readonly string[];
  readonly folder: string;
  /** What is set over what every command inherits; null takes away. */
  readonly variables: Readonly<Record<string, string | null>>;
  /** All processes that carry it belong to this command. */
  readonly mark: string;
  /** Ended before this command begins: what an attempt before has left, by how its marks begin. */
  readonly sweeps: readonly string[];
  readonly resources: Resources;
  readonly graceMs: number;
  /** As many lines as its log keeps. */
  readonly mostLines: number;
  readonly secrets: readonly string[];
}

export type OutputLine = Pick<TaskLine, 'text'> & { readonly stream: 'stdout' | 'stderr' };

/** How a command ended. */
export interface CommandReport {
  /** It could not be started. */
  readonly refusal: { readonly code: string; readonly message: string; readonly hint: string | null } | null;
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly cpuMs: number | null;
  readonly peakMemoryBytes: number | null;
  /** The memory that it was allowed, where it was ended because it took more. */
  readonly memoryExceeded: { readonly allowedBytes: number; readonly takenBytes: number | null } | null;
  readonly lastLine: string | null;
  readonly lastErrorLines: readonly string[];
  readonly notes: readonly string[];
}
