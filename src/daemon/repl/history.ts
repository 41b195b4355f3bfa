// What was typed, kept over sessions. One entry is one statement, however many lines it has, so a line of the file is a
// JSON string. Entries are appended one by one (two shells may share the file); only a file grown long is rewritten, on
// loading. What looks like a secret is remembered in this session only and never reaches the disk.

import { appendFileSync, chmodSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

export interface History {
  /** Oldest first. */
  readonly entries: readonly string[];
  add(entry: string): void;
  /** Why entries are not kept over sessions, where they are not. */
  readonly problem: string | undefined;
}

const mostEntries = 5000;
const longestEntry = 100_000;

/** Without a path nothing is kept over sessions. */
export function openHistory(path: string | undefined): History {
  const entries: string[] = [];
  let problem: string | undefined;
  let target = path;
  if (path !== undefined) {
    try {
      if (!prepare(path, entries)) target = undefined;
    } catch (error) {
      problem = `${path}: ${error instanceof Error ? error.message : String(error)}`;
      target = undefined;
    }
  }
  return {
    entries,
    get problem() {
      return problem;
    },
    add(entry) {
      const text = entry.trim();
      if (text === '' || text === entries.at(-1)) return;
      entries.push(text);
      if (target === undefined || text.length > longestEntry || holdsSecret(text)) return;
      try {
        appendFileSync(target, `${JSON.stringify(text)}\n`, { mode: 0o600 });
      } catch (error) {
        problem = `${target}: ${error instanceof Error ? error.message : String(error)}`;
        target = undefined;
      }
    },
  };
}

/** False where nothing is to be written: whoever links the path to /dev/null has said so. */
function prepare(path: string, entries: string[]): boolean {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  if (statSync(path, { throwIfNoEntry: false })?.isFile() === false) return false;
  appendFileSync(path, '', { mode: 0o600 });
  chmodSync(path, 0o600);
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    const entry = readEntry(line);
    if (entry !== undefined) entries.push(entry);
  }
  if (entries.length <= mostEntries * 1.5) return true;
  entries.splice(0, entries.length - mostEntries);
  const rewritten = `${path}.${process.pid}`;
  writeFileSync(rewritten, entries.map((entry) => `${JSON.stringify(entry)}\n`).join(''), { mode: 0o600 });
  renameSync(rewritten, path);
  return true;
}

// A torn or foreign line costs itself and nothing else.
function readEntry(line: string): string | undefined {
  if (line === '') return undefined;
  try {
    const entry: unknown = JSON.parse(line);
    return typeof entry === 'string' && entry !== '' ? entry : undefined;
  } catch {
    return undefined;
  }
}

const secretWords =
  /passw(?:or)?d|passphrase|\bpwd\b|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|encryption[_-]?key|account[_-]?key|credential|authorization|\bbearer\b|connection[_-]?string/i;

/** Values that are secrets whatever they are called: keys of clouds and hosts, JSON web tokens, `scheme://user:pass@host`. */
const secretValues =
  /\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_|\bxox[abeprs]-|\b[rs]k[_-](?:live|test|proj|ant)[_-]|\beyJ[A-Za-z0-9_-]{10,}\.|-----BEGIN [A-Z ]*PRIVATE KEY|:\/\/[^\s/:@']+:[^\s@']+@|hooks\.slack\.com\/services\//;

/** Keys that look like an environment's: `DB_PASS = ..`, `STRIPE_KEY: ..`. */
const secretSettings = /\b[A-Z][A-Z0-9]*_(?:KEY|PASS|PW|AUTH|SALT|CERT|DSN)\b/;

/** Leans to yes: a harmless statement forgotten costs little, a secret kept on disk much. */
export function holdsSecret(text: string): boolean {
  return secretWords.test(text) || secretValues.test(text) || secretSettings.test(text);
}
