// Where the guests' programs are. Node 20 reads no TypeScript, so that from the source tree those that were built are started.

import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export function entryOf(guest: 'thread' | 'process'): string {
  const beside = fileURLToPath(new URL(`./guest/${guest}.js`, import.meta.url));
  if (existsSync(beside)) return beside;
  return fileURLToPath(new URL(`../../../../dist/engine/executors/handler/guest/${guest}.js`, import.meta.url));
}
