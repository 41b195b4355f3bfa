// Which file a command is, before it is started: what a kernel says with one word, and a shell with a number, is told here in full.

import { accessSync, closeSync, constants, openSync, readSync, statSync } from 'node:fs';
import { basename, extname, isAbsolute, join, resolve } from 'node:path';
import { Diagnostic } from '../../../core/diagnostic.ts';

/** Where programs are looked for if the environment does not say. */
export const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** The folder in which a command is to run. */
export function checkFolder(folder: string): void {
  const kind = kindOf(folder);
  if (kind === 'folder') return;
  throw new Diagnostic('file_not_found', `the working directory ${folder} ${kind === 'nothing' ? 'does not exist' : 'is a file'}`, {
    hint: "config: { cwd: '..' } names another; a relative one is read from the folder of the database",
  });
}

/** The path of what `name` means in `folder`, or the reason why there is none. */
export function resolveProgram(name: string, folder: string, path: string): string {
  if (name.trim() === '')
    throw new Diagnostic('invalid_value', 'the command has no name', { hint: "write command: ['program', 'argument']" });
  const found = findProgram(name, folder, path);
  if (found !== undefined) {
    checkInterpreter(name, found);
    return found;
  }
  const near = resolve(folder, name);
  const kind = kindOf(near);
  if (!name.includes('/')) {
    const isHere = kind === 'file';
    throw new Diagnostic('file_not_found', `there is no program ${name}`, {
      hint: isHere ? `it lies in the working directory: write './${name}'` : `it was looked for in PATH: ${path}`,
    });
  }
  if (kind === 'folder') throw new Diagnostic('file_not_found', `${name} is a directory, and no program`);
  if (kind === 'nothing') {
    throw new Diagnostic('file_not_found', `${name} does not exist`, { hint: `it was looked for as ${near}` });
  }
  const interpreter = interpreters[extname(name)];
  throw new Diagnostic('file_not_found', `${name} is not executable`, {
    hint: `chmod +x ${basename(name)}${interpreter === undefined ? '' : `, or name what reads it: ['${interpreter}', '${name}']`}`,
  });
}

const interpreters: Readonly<Record<string, string>> = {
  '.py': 'python3',
  '.sh': 'sh',
  '.js': 'node',
  '.mjs': 'node',
  '.rb': 'ruby',
  '.pl': 'perl',
  '.php': 'php',
};

/** As a shell looks for it. */
export function findProgram(name: string, folder: string, path: string): string | undefined {
  const candidates = name.includes('/') ? [resolve(folder, name)] : path.split(':').map((part) => join(resolve(folder, part), name));
  return candidates.find((candidate) => kindOf(candidate) === 'file' && isExecutable(candidate));
}

/** A script says in its first line who reads it; where that one is missing, the kernel says that the script is. */
function checkInterpreter(name: string, path: string): void {
  const interpreter = /^#![ \t]*([^\s]+)/.exec(beginning(path))?.[1];
  if (interpreter === undefined || !isAbsolute(interpreter) || kindOf(interpreter) === 'file') return;
  throw new Diagnostic('file_not_found', `${name} wants to be read by ${interpreter}, which does not exist`, {
    hint: 'its first line says so; a line end of Windows there is a part of the name',
  });
}

function beginning(path: string): string {
  const bytes = Buffer.alloc(256);
  try {
    const file = openSync(path, 'r');
    try {
      return bytes.toString('latin1', 0, readSync(file, bytes, 0, bytes.length, 0)).split('\n')[0] ?? '';
    } finally {
      closeSync(file);
    }
  } catch {
    // It may be executed and not read.
    return '';
  }
}

function kindOf(path: string): 'file' | 'folder' | 'nothing' {
  try {
    return statSync(path).isDirectory() ? 'folder' : 'file';
  } catch {
    return 'nothing';
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
