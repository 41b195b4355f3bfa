// Files x catalogue -> what is to be done, and how each file fares. Pure, and without memory: it is asked again whenever a file or the
// catalogue has changed, and where both agree it answers nothing.
//
// Three rules decide. What was made by hand is never touched. Of two files that define one name the first by path has it. A file
// that cannot be used keeps what it has made before, as does one that is not there for the moment.

import { Diagnostic } from '../../core/diagnostic.ts';
import type { Catalogued } from '../../engine/jobFiles.ts';
import type { Noun } from '../../parser/ast.ts';
import { nameOf, nowhere } from '../../parser/make.ts';
import { print } from '../../parser/print.ts';
import { type Definition, type JobFile, located, madeKey } from './jobFile.ts';

export interface PlanInput {
  readonly files: readonly (JobFile | LeavingFile)[];
  readonly catalogue: readonly Catalogued[];
  /** What is known of files from before: that they belong to this directory, and the hash of what was carried out. */
  readonly known: ReadonlyMap<string, { readonly directory: string; readonly hash: string | null }>;
  readonly directory: string;
}

/** It was there a moment ago. Whatever it has made stays, and whoever defines it anew may have it. */
export interface LeavingFile {
  readonly path: string;
  readonly isLeaving: true;
}

export interface Plan {
  /** In the order of their paths. */
  readonly units: readonly Unit[];
  readonly states: readonly FileState[];
  /** Files that were known and are not there any more. */
  readonly gone: readonly string[];
  /** Definitions of files of another directory, which nobody drops. */
  readonly foreign: number;
  /** Whose each definition was (madeKey -> source) when this was planned. */
  readonly sources: ReadonlyMap<string, string | null>;
}

/** What one file wants done: all of it or nothing. */
export interface Unit {
  readonly path: string;
  /** undefined: the file is gone. */
  readonly file: JobFile | undefined;
  readonly steps: readonly Step[];
}

export type Step =
  | { readonly kind: 'define'; readonly definition: Definition }
  | { readonly kind: 'drop'; readonly noun: Noun; readonly names: readonly string[]; readonly text: string };

export interface FileState {
  readonly path: string;
  readonly kind: JobFile['kind'];
  readonly schedules: number;
  /** Of a file with a unit: once that is carried out. */
  readonly state: 'loaded' | 'error';
  readonly error: string | null;
}

/** Of ten thousand files in some 30 ms: the thread that plans is the one that schedules. */
export function planJobs({ files, catalogue, known, directory }: PlanInput): Plan {
  const byKey = new Map<string, Catalogued>();
  const sources = new Map<string, string | null>();
  const bySource = new Map<string, string[]>();
  for (const object of catalogue) {
    const key = keyOf(object);
    byKey.set(key, object);
    sources.set(key, object.source);
    if (object.source === null) continue;
    const made = bySource.get(object.source);
    if (made === undefined) bySource.set(object.source, [key]);
    else made.push(key);
  }
  const claims = new Map<string, string>();
  const states: FileState[] = [];
  const accepted: JobFile[] = [];
  const present = new Set<string>();
  for (const file of [...files].sort((a, b) => (a.path < b.path ? -1 : 1))) {
    present.add(file.path);
    if ('isLeaving' in file) continue;
    const error = file.problem?.message ?? refusal(file, byKey, claims);
    const keys = error === undefined ? claimed(file, byKey) : (bySource.get(file.path) ?? []);
    let schedules = 0;
    for (const key of keys) {
      if (!claims.has(key)) claims.set(key, file.path);
      if (isSchedule(key)) schedules += 1;
    }
    if (error === undefined) accepted.push(file);
    states.push({ path: file.path, kind: file.kind, schedules, state: error === undefined ? 'loaded' : 'error', error: error ?? null });
  }

  const units: Unit[] = [];
  const lost = (path: string): Catalogued[] => {
    const keys = bySource.get(path)?.filter((key) => !claims.has(key)) ?? [];
    return keys.flatMap((key) => byKey.get(key) ?? []);
  };
  for (const file of accepted) {
    const hash = known.get(file.path)?.hash;
    const wanted = file.definitions.filter((definition) => !isThere(definition, file, byKey, hash));
    const changed = wanted.flatMap((definition) => ofOtherNoun(definition, file.path, byKey));
    const steps = [...drops(changed), ...wanted.map((definition): Step => ({ kind: 'define', definition })), ...drops(lost(file.path))];
    if (steps.length > 0) units.push({ path: file.path, file, steps });
  }
  const gone: string[] = [];
  for (const [path, row] of known) {
    if (row.directory !== directory || present.has(path)) continue;
    gone.push(path);
    present.add(path);
    const steps = drops(lost(path));
    if (steps.length > 0) units.push({ path, file: undefined, steps });
  }
  let foreign = 0;
  for (const [path, keys] of bySource) if (!present.has(path)) foreign += keys.filter((key) => !claims.has(key)).length;
  return { units, states, gone, foreign, sources };
}

/** What a unit touches. */
export function keysOf({ steps }: Unit): string[] {
  return steps.flatMap((step) => (step.kind === 'define' ? step.definition.makes : step.names.map((name) => madeKey(step.noun, name))));
}

function keyOf({ noun, name }: Catalogued): string {
  return madeKey(noun, name);
}

function isSchedule(key: string): boolean {
  return key.startsWith('schedule:');
}

/** Why nothing of the file may be carried out. */
function refusal(file: JobFile, byKey: ReadonlyMap<string, Catalogued>, claims: ReadonlyMap<string, string>): string | undefined {
  for (const definition of file.definitions) {
    for (const key of definition.makes) {
      const noun = isSchedule(key) ? 'schedule' : definition.noun;
      const other = claims.get(key);
      if (other !== undefined) return located(definedTwice(definition, noun, other), file.text);
      if (byKey.get(key)?.source === null && !definition.onlyIfAbsent) return located(madeByHand(definition, noun), file.text);
    }
  }
  return undefined;
}

function definedTwice({ name, span }: Definition, noun: Noun, other: string): Diagnostic {
  return new Diagnostic('duplicate_object', `${noun} ${name} is defined by ${other} already`, {
    span,
    hint: 'of two files the first by path has a name: rename one of them',
  });
}

function madeByHand({ name, span }: Definition, noun: Noun): Diagnostic {
  return new Diagnostic('duplicate_object', `${noun} ${name} was made by hand, and no file changes it`, {
    span,
    hint: `rename it here, or give the name to the file: ${dropText(noun, [name])};`,
  });
}

/** What is there already under IF NOT EXISTS stays whose it is. */
function claimed({ definitions, path }: JobFile, byKey: ReadonlyMap<string, Catalogued>): readonly string[] {
  const keys: string[] = [];
  for (const { makes, onlyIfAbsent } of definitions) {
    for (const key of makes) {
      const held = byKey.get(key);
      if (!onlyIfAbsent || held === undefined || held.source === path) keys.push(key);
    }
  }
  return keys;
}

function isThere(
  { makes, kept, enabled, onlyIfAbsent }: Definition,
  { path, hash }: JobFile,
  byKey: ReadonlyMap<string, Catalogued>,
  carriedOut: string | null | undefined,
): boolean {
  for (const key of makes) {
    const held = byKey.get(key);
    if (held === undefined) return false;
    if (onlyIfAbsent) continue;
    if (held.source !== path) return false;
    if (kept === undefined ? hash !== carriedOut || !held.isAsMade : held.definition !== kept) return false;
    if (enabled !== undefined && held.enabled !== enabled) return false;
  }
  return true;
}

/** A procedure that becomes a pipeline of the same name, or the other way round. */
function ofOtherNoun({ noun, makes }: Definition, path: string, byKey: ReadonlyMap<string, Catalogued>): Catalogued[] {
  const [key = ''] = makes;
  const held = byKey.get(key);
  return held === undefined || held.noun === noun || held.source !== path ? [] : [held];
}

/** What uses others goes before what is used. */
const dropOrder: readonly Noun[] = ['schedule', 'pipeline', 'procedure', 'queue', 'calendar'];

function drops(objects: readonly Catalogued[]): Step[] {
  if (objects.length === 0) return [];
  return dropOrder.flatMap((noun) => {
    const names = objects.filter((object) => object.noun === noun).map(({ name }) => name);
    return names.length === 0 ? [] : [{ kind: 'drop', noun, names, text: dropText(noun, names) } as const];
  });
}

function dropText(noun: Noun, names: readonly string[]): string {
  return print({ kind: 'drop', noun, ifExists: false, names: names.map(nameOf), span: nowhere });
}
