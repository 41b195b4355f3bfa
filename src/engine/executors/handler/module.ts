// Which module a handler's `call` names: `./jobs/sync.js`, or `./jobs/sync.js#export`. A relative path starts at the folder of the
// database file, so that a file and its jobs can be moved together.

import { statSync } from 'node:fs';
import { extname, resolve } from 'node:path';
import { Diagnostic } from '../../../core/diagnostic.ts';

export interface HandlerModule {
  /** As it was written. */
  readonly call: string;
  /** Absolute. */
  readonly path: string;
  readonly exportName: string;
}

const endings: ReadonlySet<string> = new Set(['.js', '.mjs', '.cjs', '.ts', '.mts', '.cts']);

export function moduleOf(call: string, folder: string): HandlerModule {
  if (call.includes('\0')) throw new Diagnostic('invalid_value', 'the path of a handler cannot hold the character NUL');
  const hash = call.lastIndexOf('#');
  // A file may have a `#` in its name.
  const whole = hash < 0 || endings.has(extname(call));
  const written = whole ? call : call.slice(0, hash);
  const exportName = whole ? 'default' : call.slice(hash + 1);
  if (exportName === '' || written === '') {
    throw new Diagnostic('invalid_value', `'${call}' names no ${written === '' ? 'module' : 'export'}`, {
      hint: "'./jobs/sync.js' calls its default export, './jobs/sync.js#nightly' the one that is called nightly",
    });
  }
  if (!endings.has(extname(written).toLowerCase())) {
    throw new Diagnostic('invalid_value', `'${call}' is no module`, {
      hint: `a module ends in ${[...endings].join(', ')}; a plain name is a function that the host has registered: db.handler('name', fn)`,
    });
  }
  return { call, path: resolve(folder, written), exportName };
}

export function exists({ path }: HandlerModule): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}

export function notThere({ call, path }: HandlerModule): Diagnostic {
  return new Diagnostic('file_not_found', `the handler ${call} does not exist: there is no file ${path}`, {
    hint: 'a relative path starts at the folder of the database file',
  });
}
