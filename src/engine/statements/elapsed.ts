// A stretch of time as people say it.

import { formatDuration } from '../../core/duration.ts';

/** `1 ms`, `4.2 s`, `1h30m` */
export function elapsed(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 60_000) return `${Number((ms / 1000).toFixed(ms < 10_000 ? 2 : 1))} s`;
  return formatDuration(Math.round(ms / 1000) * 1000);
}
