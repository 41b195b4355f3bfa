// A document that runs: its ```sql and ```js fences are executed, and a ```text fence right behind one holds what it must answer.
// `UPDATE_DOCS=1` writes what was answered into those fences; whoever does so reads what they freeze.
//
// SQL goes through the very shell that people use, on a fresh database, at a fixed time and in a fixed zone: a next run that is
// told in a document is checked to the minute. JavaScript runs in a process of its own at its own time, so times are masked there.

import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { pathToFileURL } from 'node:url';
import { readPieces } from '../../src/daemon/input.ts';
import { Output } from '../../src/daemon/output.ts';
import { Shell } from '../../src/daemon/shell.ts';
import { openEngine } from '../../src/engine/engine.ts';
import type { Session } from '../../src/engine/session.ts';
import { SetClock } from './database.ts';

export const root = join(import.meta.dirname, '../..');

export interface Fence {
  readonly language: string;
  readonly text: string;
  /** Where the text stands in the document. */
  readonly start: number;
  readonly end: number;
  /** The line of its first character, from 1. */
  readonly line: number;
}

export interface Example {
  readonly source: Fence;
  /** What it must answer; without one it must only be carried out. */
  readonly answer: Fence | undefined;
}

export function fencesOf(markdown: string): Fence[] {
  return [...markdown.matchAll(/^```(\w*)[^\n]*\n([\s\S]*?)^```$/gm)].map((match) => {
    const [whole, language = '', text = ''] = match;
    const start = match.index + whole.indexOf('\n') + 1;
    return { language, text, start, end: start + text.length, line: markdown.slice(0, start).split('\n').length };
  });
}

/** The fences of a language, each with the text fence from which only blank lines part it. */
export function examplesOf(markdown: string, language: string): Example[] {
  const fences = fencesOf(markdown);
  return fences.flatMap((source, at) => {
    if (source.language !== language) return [];
    const next = fences[at + 1];
    const follows = next?.language === 'text' && markdown.slice(source.end, next.start).trim() === '```\n\n```text';
    return [{ source, answer: follows ? next : undefined }];
  });
}

/** The document with what was answered in the place of what was expected. */
export function refreshed(markdown: string, answers: readonly { readonly fence: Fence; readonly text: string }[]): string {
  const sorted = [...answers].sort((left, right) => right.fence.start - left.fence.start);
  return sorted.reduce((text, { fence, text: answer }) => text.slice(0, fence.start) + answer + text.slice(fence.end), markdown);
}

/** Ids are made of chance, of which a narrow column shows the beginning, and so is a tenth of the time before a retry. */
export function maskedIds(text: string): string {
  return text.replaceAll(/\b01[0-9a-f]{6}-[0-9a-f-]*[0-9a-f-…]/g, '<id>').replaceAll(/\bretry\s+in \w+/g, 'retry in <duration>');
}

/** All that differs from one run to the next, where time does not stand still. */
export function masked(text: string): string {
  return maskedIds(text)
    .replaceAll(/\b\w{3} \d{1,2} \w{3}(?: \d{4})? \d\d:\d\d(?::\d\d)? \S+ \(in [^)]*\)/g, '<time>')
    .replaceAll(/\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d(?::\d\d)?)?/g, '<time>')
    .replaceAll(/\b\d+(?:\.\d+)? ms\b/g, '<duration>');
}

/** The moment and the zone in which documents are written. */
const now = '2026-11-20T12:00:00Z';
const zone = 'Europe/Berlin';
/** The width of the terminal on which the manuals are read. */
export const manualColumns = 100;

/** A database that lives as long as a document. */
export class DocumentDatabase {
  readonly folder = mkdtempSync(join(tmpdir(), 'cuckoo-docs-'));
  readonly #close: (() => Promise<void>)[] = [];
  #shell: Shell | undefined;
  #session: Session | undefined;
  #written = '';

  /** Without `columns` there is no terminal. */
  async open(columns?: number): Promise<void> {
    const engine = await openEngine(join(this.folder, 'my.duckdb'), { clock: new SetClock(now), zone, environment: {} });
    this.#close.unshift(() => engine.close());
    const session = await engine.session({ actor: 'ada', admin: true });
    this.#close.unshift(() => session.close());
    this.#session = session;
    await session.execute(`SET TimeZone = '${zone}'`);
    // Files that a document names lie in its own folder.
    await session.execute(`SET file_search_path = '${this.folder}'`);
    this.#shell = new Shell({
      place: engine,
      session,
      output: new Output(this.#stream(columns), 'standard output'),
      errors: this.#stream(columns),
      clock: new SetClock(now),
      mode: 'duckbox',
      color: { output: false, errors: false },
      interactive: false,
    });
  }

  /** What the shell writes for these statements, up to the first that fails. */
  async answerTo(statements: string): Promise<{ readonly text: string; readonly failed: boolean }> {
    this.#written = '';
    for (const piece of readPieces(statements)) {
      if ((await this.#shell?.run(piece)) === 'failed') return { text: this.#written, failed: true };
    }
    return { text: this.#written, failed: false };
  }

  /** The first column of a query. */
  async rows(query: string): Promise<unknown[]> {
    const result = await this.#session?.execute(query);
    return ((await result?.toArray()) ?? []).map(([value]) => value);
  }

  async remove(): Promise<void> {
    for (const close of this.#close.splice(0)) await close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  #stream(columns: number | undefined): Writable {
    const stream = new Writable({
      decodeStrings: false,
      write: (chunk, _encoding, done) => {
        this.#written += String(chunk);
        done();
      },
    });
    return columns === undefined ? stream : Object.assign(stream, { isTTY: true, columns });
  }
}

/** Runs the fences as one module, so that a later one sees what an earlier one made; answers what each of them printed. */
export async function runModule(fences: readonly Fence[], language: 'js' | 'ts'): Promise<readonly string[]> {
  const folder = mkdtempSync(join(tmpdir(), 'cuckoo-docs-'));
  try {
    mkdirSync(join(folder, 'node_modules'));
    symlinkSync(root, join(folder, 'node_modules', 'cuckoo-sql'));
    const boundary = '-- the next fence --';
    const file = language === 'js' ? 'document.mjs' : 'document.mts';
    writeFileSync(join(folder, file), fences.map(({ text }) => text).join(`\nconsole.log('${boundary}');\n`));
    // Node 20 reads neither types nor `await using`.
    const loader = language === 'js' ? [] : ['--import', pathToFileURL(join(root, 'node_modules/tsx/dist/esm/index.mjs')).href];
    const { code, stdout, stderr } = await runProcess(process.execPath, [...loader, file], { folder });
    if (code !== 0 || stderr !== '') throw new Error(`the module ended with ${code}\n${stdout}${stderr}`);
    return stdout.split(`${boundary}\n`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ProcessOptions {
  readonly folder: string;
  readonly input?: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** Ctrl-C, as soon as it has printed this. */
  readonly interruptAt?: string;
}

export function runProcess(program: string, words: readonly string[], options: ProcessOptions): Promise<Ended> {
  const { folder, input = '', environment = {}, interruptAt } = options;
  const { PATH } = process.env;
  const child = spawn(program, words, { cwd: folder, env: { PATH, TZ: zone, HOME: folder, ...environment } });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    if (interruptAt !== undefined && !child.killed && stdout.includes(interruptAt)) child.kill('SIGINT');
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  child.stdin.end(input);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
}

export function read(path: string): string {
  return readFileSync(join(root, path), 'utf8');
}

export function write(path: string, text: string): void {
  writeFileSync(join(root, path), text);
}
