// A module as this thread has loaded it. What was imported once stays imported: Node has no way to forget an ES module, and every way
// around it (a query behind the path) leaks the old one and leaves what it imports as it was. So a module that has changed, or a file
// that it imports, is loaded by a new thread, and the one that had loaded it ends.
//
// Which files belong to it is read from their text: relative imports and requires, and those of what they name. Packages do not
// count, and neither does a path that is computed.

import { spawnSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { extname } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Diagnostic } from '../../../../core/diagnostic.ts';
import type { Handler } from '../messages.ts';
import type { HandlerModule } from '../module.ts';

/** A module that is made of more files is looked at in part. */
const mostFiles = 500;
const mostFileBytes = 4_000_000;

export class LoadedModule {
  readonly #exports: Readonly<Record<string, unknown>>;
  /** What each of its files was when it was read. */
  readonly #files: ReadonlyMap<string, string>;

  static async load(module: HandlerModule): Promise<LoadedModule> {
    // Before the import: what changes meanwhile is seen by the next run.
    const files = filesOf(module.path);
    try {
      const exports = (await import(pathToFileURL(module.path).href)) as Readonly<Record<string, unknown>>;
      return new LoadedModule(exports, files);
    } catch (error) {
      throw explained(error, module, files);
    }
  }

  private constructor(exports: Readonly<Record<string, unknown>>, files: ReadonlyMap<string, string>) {
    this.#exports = exports;
    this.#files = files;
  }

  hasChanged(): boolean {
    for (const [path, state] of this.#files) if (stateOf(path) !== state) return true;
    return false;
  }

  handler({ call, exportName }: HandlerModule): Handler {
    // A CommonJS module is the default export of what is imported; one that was compiled from ESM has another in it.
    const inner = this.#exports['default'] as Readonly<Record<string, unknown>> | null | undefined;
    const found = [this.#exports[exportName], inner?.[exportName]].find((candidate) => typeof candidate === 'function');
    if (found !== undefined) return found as Handler;
    const functions = Object.keys(this.#exports).filter((name) => typeof this.#exports[name] === 'function');
    const what = exportName === 'default' ? 'no default export that is a function' : `no function that is exported as ${exportName}`;
    throw new Diagnostic('undefined_object', `the module ${call} has ${what}`, {
      hint:
        functions.length === 0
          ? 'write: export default async function (context) { .. }'
          : `its functions: ${functions.join(', ')}; name one behind the path: module.js#${functions[0]}`,
    });
  }
}

/** The entry and, as far as their text tells, what it imports, each with its state. */
function filesOf(entry: string): Map<string, string> {
  const files = new Map<string, string>();
  const open = [entry];
  for (let path = open.pop(); path !== undefined && files.size < mostFiles; path = open.pop()) {
    if (files.has(path)) continue;
    const state = stateOf(path);
    files.set(path, state);
    if (state === 'absent' || !readable.test(path)) continue;
    for (const specifier of importsOf(textOf(path))) {
      const found = resolved(specifier, path);
      if (found !== undefined) open.push(found);
    }
  }
  return files;
}

const readable = /\.[cm]?[jt]sx?$/;

/** ctime moves whenever a file is written, also where a tool sets mtime back. */
function stateOf(path: string): string {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false });
  return found === undefined ? 'absent' : `${found.ino} ${found.size} ${found.ctimeNs} ${found.mtimeNs}`;
}

function textOf(path: string): string {
  try {
    const text = readFileSync(path, 'utf8');
    return text.length > mostFileBytes ? '' : text;
  } catch {
    return '';
  }
}

const imports = /\b(?:from|import|require)\s*\(?\s*(['"])(\.{1,2}\/[^'"\n]+|\/[^'"\n]+|file:[^'"\n]+)\1/g;

function importsOf(text: string): string[] {
  return [...text.matchAll(imports)].map(([, , specifier = '']) => specifier);
}

/** A require may leave the ending out. */
function resolved(specifier: string, from: string): string | undefined {
  let path: string;
  try {
    path = fileURLToPath(new URL(specifier, pathToFileURL(from)));
  } catch {
    return undefined;
  }
  if (extname(path) !== '') return path;
  const candidates = ['.js', '.cjs', '.json', '/index.js'].map((ending) => path + ending);
  return candidates.find((candidate) => statSync(candidate, { throwIfNoEntry: false })?.isFile()) ?? path;
}

/** Why it could not be loaded, and where. */
function explained(error: unknown, module: HandlerModule, files: ReadonlyMap<string, string>): unknown {
  const code = (error as { readonly code?: unknown } | null)?.code;
  if (code === 'ERR_UNKNOWN_FILE_EXTENSION' && /\.[cm]?ts$/.test(module.path)) {
    return new Diagnostic('unsupported', `this Node (${process.version}) does not read TypeScript: ${module.call}`, {
      hint: 'Node 22.18 and newer do; else compile it to .js, or start the host with a loader: node --import tsx',
      cause: error,
    });
  }
  if (error instanceof SyntaxError && !/^\S*[/\\]/.test(error.stack ?? '')) {
    const place = placeOf([...files.keys()]);
    if (place !== undefined) error.stack = place;
  }
  return error;
}

/** A SyntaxError of an ES module does not say where it is; `node --check` does. */
function placeOf(paths: readonly string[]): string | undefined {
  for (const path of paths.slice(0, 20)) {
    if (!readable.test(path)) continue;
    const { status, stderr } = spawnSync(process.execPath, ['--check', path], { encoding: 'utf8', timeout: 5_000, env: {} });
    if (status !== 0 && stderr.includes('SyntaxError')) return stderr.replace(/\n+Node\.js v[\s\S]*$/, '').trim();
  }
  return undefined;
}
