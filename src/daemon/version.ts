// Both versions come from our own package.json, where the client is pinned: the banner and --version must not load 68 MB of
// engine to say what it is called.

import { readFileSync } from 'node:fs';

interface Manifest {
  readonly version: string;
  readonly dependencies: Readonly<Record<string, string>>;
}

const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as Manifest;

export const cuckooVersion = manifest.version;
/** The engine's version without the client's own release number: `1.5.6-r.1` is DuckDB 1.5.6. */
export const duckdbVersion = (manifest.dependencies['@duckdb/node-api'] ?? '').replace(/-.*$/, '');
