// A job as other schedulers write it in JSON, read as a schedule: the keys of those formats are translated, every key of a schedule
// may stand beside them, and what comes out is the same tree that the parser makes of an UPSERT SCHEDULE. Nothing is pasted into
// text: the printer writes it, and quotes what needs quotes.

import { isAbsolute, resolve } from 'node:path';
import { Diagnostic, type Span } from '../../core/diagnostic.ts';
import type { DefineStatement, Entry, Value } from '../../parser/ast.ts';
import { keyIn, legalKeys, type Place, places, type Shape } from '../../parser/keys.ts';
import { tokenAt } from '../../parser/lexer.ts';
import {
  booleanValue,
  callValue,
  durationValue,
  entryOf,
  isPlainWord,
  listValue,
  nameOf,
  nowhere,
  nullValue,
  numberValue,
  objectValue,
  phraseValue,
  stringValue,
  wordValue,
} from '../../parser/make.ts';
import { suggest } from '../../parser/suggest.ts';
import { itemShape, objectPlace } from '../../parser/values.ts';
import type { JsonEntry, JsonNode, JsonObjectNode, JsonStringNode } from './jsonText.ts';

export interface JobContext {
  /** Of the file: modules are found from there. */
  readonly folder: string;
  /** Task types that a host has registered. */
  readonly executors: readonly string[];
  /** Of a module's manifest: a length of time without a unit is milliseconds. */
  readonly inManifest: boolean;
}

export interface Job {
  readonly statement: DefineStatement;
  readonly name: JsonStringNode;
  /** Where each entry of the statement comes from, in their order. */
  readonly origins: readonly Origin[];
}

export interface Origin {
  readonly key: Span;
  readonly value: JsonNode;
}

/** Throws a Diagnostic with the place of the first mistake. */
export function readJob(node: JsonNode, context: JobContext): Job {
  if (node.kind !== 'object') {
    throw new Diagnostic('wrong_type', `a job is an object { .. }, not ${shownKind(node)}`, { span: node.span });
  }
  const draft = new Draft(context);
  const name = nameOfJob(node);
  for (const entry of node.entries) {
    if (entry.key.text === name.key || ignored.has(entry.key.text)) continue;
    if (entry.key.text === 'task') readTask(entry.value, draft);
    else draft.add(entry);
  }
  const definition = objectValue(draft.entries);
  const statement = {
    kind: 'define',
    verb: 'upsert',
    noun: 'schedule',
    ifNotExists: false,
    name: nameOf(name.node.text),
    like: undefined,
    definition,
    span: nowhere,
  } as const;
  return { statement, name: name.node, origins: draft.origins };
}

/** Keys that an editor wants. */
const ignored: ReadonlySet<string> = new Set(['$schema']);

const nameKeys = ['job_id', 'id', 'name'];

function nameOfJob(job: JsonObjectNode): { readonly key: string; readonly node: JsonStringNode } {
  const given = job.entries.filter((entry) => nameKeys.includes(entry.key.text));
  const [first, second] = given;
  if (first === undefined) {
    const near = job.entries.find((entry) => suggest(entry.key.text, nameKeys) !== undefined);
    throw new Diagnostic('missing_key', 'the job has no job_id', {
      span: near?.key.span ?? { start: job.span.start, end: job.span.start + 1 },
      hint: near === undefined ? 'add "job_id": "nightly_load"' : `did you mean "${suggest(near.key.text, nameKeys)}"?`,
    });
  }
  if (second !== undefined) {
    throw new Diagnostic('duplicate_key', `the job is named twice, by ${first.key.text} and by ${second.key.text}`, {
      span: second.key.span,
      hint: 'keep job_id',
    });
  }
  const { value } = first;
  if (value.kind !== 'string') throw wrongType(first.key.text, 'text', value);
  if (value.text.trim() === '') throw new Diagnostic('invalid_name', `${first.key.text} is empty`, { span: value.span });
  refuseUnprintable(value);
  return { key: first.key.text, node: value };
}

class Draft {
  readonly entries: Entry[] = [];
  readonly origins: Origin[] = [];
  readonly context: JobContext;

  constructor(context: JobContext) {
    this.context = context;
  }

  /** A key of a schedule, by its own name or as other schedulers call it. */
  add(entry: JsonEntry, legal = jobKeys): void {
    const { key, value } = entry;
    const field = fieldOf(key.text);
    if (field === undefined) throw unknownKey('a job', key, legal);
    this.put(field, key.span, value);
  }

  put(field: string, key: Span, node: JsonNode, value = this.#valueOf(field, node)): void {
    const isInstant = field === 'sched' && node.kind === 'string' && /^\s*\d{4}-\d\d-\d\d(?:[T ]|\s*$)/.test(node.text);
    const used = isInstant ? 'run_at' : field;
    if (this.entries.some((entry) => entry.field === used)) {
      throw new Diagnostic('duplicate_key', `the job says '${used}' twice`, { span: key, hint: 'say it once' });
    }
    this.entries.push(entryOf(used, value));
    this.origins.push({ key, value: node });
  }

  /** What the task says in keys of its own is its config. */
  configure(own: readonly JsonEntry[], task: JsonObjectNode): void {
    const [first] = own;
    if (first === undefined) return;
    if (this.entries.some((entry) => entry.field === 'config')) {
      const message = `the task has both a config and '${first.key.text}', which belongs there`;
      throw new Diagnostic('duplicate_key', message, { span: first.key.span, hint: 'put it into config' });
    }
    this.put('config', first.key.span, { kind: 'object', entries: own, span: task.span });
  }

  #valueOf(field: string, node: JsonNode): Value {
    const shape = keyIn(places.schedule, field)?.shape ?? { kind: 'any' };
    if (field === 'handler' && node.kind === 'string') return stringValue(fromFolder(node.text, this.context.folder));
    if (shape.kind === 'duration' && node.kind === 'number' && this.context.inManifest && /^\d{1,15}$/.test(node.text)) {
      return durationValue(Number(node.text));
    }
    return treeOf(node, shape, field);
  }
}

/** What other schedulers call a key of ours. */
const foreignKeys: Readonly<Record<string, string>> = { retries: 'max_retries', parameters: 'params' };

const jobKeys = ['job_id', 'task', ...legalKeys(places.schedule), ...Object.keys(foreignKeys)];

function fieldOf(key: string): string | undefined {
  return keyIn(places.schedule, key)?.field ?? foreignKeys[key.toLowerCase()];
}

// ---- What a job does ----

interface TaskType {
  /** Keys that name the target; the first is the one that is suggested. */
  readonly target: readonly string[];
  readonly read: (target: JsonEntry, type: JsonStringNode, draft: Draft) => void;
}

const short =
  (field: 'sql' | 'command' | 'handler') =>
  ({ key, value }: JsonEntry, _type: JsonStringNode, draft: Draft): void =>
    draft.put(field, key.span, value);

const routine =
  (exe: 'procedure' | 'pipeline') =>
  ({ key, value }: JsonEntry, type: JsonStringNode, draft: Draft): void => {
    draft.put('exe', type.span, type, wordValue(exe));
    draft.put('call', key.span, value);
  };

const taskTypes: ReadonlyMap<string, TaskType> = new Map<string, TaskType>([
  ['command', { target: ['command'], read: short('command') }],
  ['sql', { target: ['sql', 'query'], read: short('sql') }],
  ['procedure', { target: ['procedure', 'call', 'name'], read: routine('procedure') }],
  ['pipeline', { target: ['pipeline', 'call', 'name'], read: routine('pipeline') }],
  ['handler', { target: ['handler', 'path', 'module'], read: short('handler') }],
]);

/** Keys of the schedule that a task may bring along. */
const taskKeys = ['params', 'parameters', 'config', 'timeout', 'resources', 'isolation'];

function readTask(node: JsonNode, draft: Draft): void {
  if (node.kind !== 'object') throw wrongType('task', 'an object { "type": .. }', node);
  const type = node.entries.find((entry) => entry.key.text === 'type')?.value;
  if (type === undefined) {
    throw new Diagnostic('missing_key', 'the task has no type', {
      span: { start: node.span.start, end: node.span.start + 1 },
      hint: `add "type": ${typeWords(draft.context).join(' | ')}`,
    });
  }
  if (type.kind !== 'string') throw wrongType('type', 'text', type);
  const kind = taskTypes.get(type.text.toLowerCase().replace(/^execute_/, ''));
  if (kind !== undefined) readBuiltIn(node, type, kind, draft);
  else readRegistered(node, type, draft);
}

function readBuiltIn(task: JsonObjectNode, type: JsonStringNode, { target: targets, read }: TaskType, draft: Draft): void {
  const given = task.entries.filter((entry) => targets.includes(entry.key.text));
  const [target, second] = given;
  if (target === undefined) {
    const near = task.entries.find(({ key }) => key.text !== 'type' && suggest(key.text, targets) !== undefined);
    throw new Diagnostic('missing_key', `a task of type ${type.text} needs '${targets[0]}'`, {
      span: near?.key.span ?? type.span,
      hint: near === undefined ? `add "${targets[0]}": ..` : `did you mean "${targets[0]}"?`,
    });
  }
  if (second !== undefined) throw new Diagnostic('duplicate_key', 'the task says twice what it does', { span: second.key.span });
  const words = targets[0] === 'command' ? commandWords(task, target) : undefined;
  if (words === undefined) read(target, type, draft);
  else draft.put('command', target.key.span, target.value, words);
  const surroundings: JsonEntry[] = [];
  for (const entry of task.entries) {
    const { key } = entry;
    if (key.text === 'type' || entry === target || (words !== undefined && key.text === 'args')) continue;
    if (targets[0] === 'command' && commandKeys.includes(key.text)) surroundings.push(entry);
    else if (taskKeys.includes(key.text)) draft.add(entry, taskKeys);
    else throw unknownKey(`a task of type ${type.text}`, key, [...targets, ...taskKeys, ...(targets[0] === 'command' ? commandKeys : [])]);
  }
  draft.configure(surroundings, task);
}

/** Of a command's config, as other schedulers write them. */
const commandKeys: readonly string[] = ['cwd', 'env'];

/** `"command": "python3", "args": [..]`: run without a shell, like a list. */
function commandWords(task: JsonObjectNode, { value: command }: JsonEntry): Value | undefined {
  const given = task.entries.find((entry) => entry.key.text === 'args')?.value;
  if (given === undefined || command.kind !== 'string') return undefined;
  if (given.kind !== 'list') throw wrongType('args', 'a list [ .. ]', given);
  return listValue([command, ...given.items].map((item) => treeOf(item, { kind: 'any' }, 'command')));
}

/** What its executor reads stands in the task itself: it becomes `config`. */
function readRegistered(task: JsonObjectNode, type: JsonStringNode, draft: Draft): void {
  const { executors } = draft.context;
  const exe = executors.find((name) => name.toLowerCase() === type.text.toLowerCase());
  if (exe === undefined) {
    const words = typeWords(draft.context);
    const near = suggest(type.text, words);
    throw new Diagnostic('invalid_value', `there is no task type ${JSON.stringify(type.text)}`, {
      span: type.span,
      hint: `${near === undefined ? '' : `did you mean ${near}? `}types: ${words.join(', ')}`,
    });
  }
  draft.put('exe', type.span, type, wordValue(exe));
  const own: JsonEntry[] = [];
  let call: JsonEntry | undefined;
  for (const entry of task.entries) {
    if (entry.key.text === 'call') call = entry;
    else if (taskKeys.includes(entry.key.text)) draft.add(entry, taskKeys);
    else if (entry.key.text !== 'type') own.push(entry);
  }
  if (call === undefined) draft.put('call', type.span, type, stringValue(exe));
  else draft.put('call', call.key.span, call.value);
  draft.configure(own, task);
}

function typeWords({ executors }: JobContext): string[] {
  return ['execute_command', ...[...taskTypes.keys()].filter((word) => word !== 'command'), ...executors];
}

/** A module beside the job file; a plain name is a function that the host has registered. */
function fromFolder(handler: string, folder: string): string {
  return isAbsolute(handler) || !/\.[cm]?[jt]s(?:#|$)/i.test(handler) ? handler : resolve(folder, handler);
}

// ---- Values ----

/** As the parser would have read it under a key of this shape: what does not fit it refuses itself, when the text is parsed. */
function treeOf(node: JsonNode, shape: Shape, key: string): Value {
  switch (node.kind) {
    case 'null':
      return nullValue();
    case 'boolean':
      return booleanValue(node.value);
    case 'number':
      return numberOf(node, shape, key);
    case 'string':
      return textOf(node, shape);
    case 'list':
      return listValue(node.items.map((item) => treeOf(item, itemShape(shape), key)));
    case 'object':
      return objectOf(node, shape, key);
    default:
      return node satisfies never;
  }
}

function numberOf(node: Extract<JsonNode, { kind: 'number' }>, shape: Shape, key: string): Value {
  if (shape.kind === 'duration' || (shape.kind === 'list' && shape.of.kind === 'duration')) {
    throw new Diagnostic('wrong_type', `${key} takes a duration, not the number ${node.text}`, {
      span: node.span,
      hint: `give it a unit: "${key}": "${node.text}s"`,
    });
  }
  const digits = node.text.replace(/^-/, '');
  const token = tokenAt(digits, 0);
  if (token.kind === 'number' && token.end === digits.length) return { ...numberValue(Number(node.text)), text: node.text };
  return numberValue(Number(node.text));
}

function textOf(node: JsonStringNode, shape: Shape): Value {
  refuseUnprintable(node);
  const { text } = node;
  if (isOf(shape, 'action')) return actionOf(text) ?? stringValue(text);
  if (isOf(shape, 'duration')) {
    const token = tokenAt(text, 0);
    // Its length is the parser's to say: the value is printed as it is written.
    if (token.kind === 'duration' && token.start === 0 && token.end === text.length) return { ...durationValue(0), text };
  }
  if (isOf(shape, 'size')) {
    const token = tokenAt(text, 0);
    if (token.kind === 'size' && token.start === 0 && token.end === text.length) return { kind: 'size', bytes: 0, text, span: nowhere };
  }
  if (shape.kind === 'phrase') return phraseValue(text);
  const isWord = isOf(shape, 'choice') || isOf(shape, 'name') || (isOf(shape, 'duration') && /^none$/i.test(text));
  return isWord && isPlainWord(text) ? wordValue(text) : stringValue(text);
}

/** `emit('restock.failed')`, or `emit(restock.failed)`. */
function actionOf(text: string): Value | undefined {
  const [, name, quoted, bare] = /^\s*([a-z]+)\s*\(\s*(?:'([^']*)'|([^'"()\s]+))\s*\)\s*$/i.exec(text) ?? [];
  const target = quoted ?? bare;
  return name === undefined || target === undefined ? undefined : callValue(name.toLowerCase(), [stringValue(target)]);
}

function isOf(shape: Shape, kind: Shape['kind']): boolean {
  if (shape.kind === kind) return true;
  if (shape.kind === 'oneOf') return shape.shapes.some((option) => isOf(option, kind));
  return shape.kind === 'list' && shape.single && isOf(shape.of, kind);
}

function objectOf(node: JsonObjectNode, shape: Shape, key: string): Value {
  const [first, second] = node.entries;
  if (first !== undefined && second === undefined && first.value.kind === 'string') {
    const target = first.value;
    // { "emit": "restock.failed" }
    if (isOf(shape, 'action') || isOf(itemShape(shape), 'action')) return callValue(first.key.text, [stringOf(target)]);
    const called = { $env: 'env', $sql: 'sql' }[first.key.text];
    if (called !== undefined) return callValue(called, [stringOf(target)]);
  }
  const place = objectPlace(shape);
  return objectValue(node.entries.map((entry) => entryOf(entry.key.text, memberOf(entry, place, key))));
}

function memberOf({ key, value }: JsonEntry, place: Place, outer: string): Value {
  refuseUnprintable(key);
  const known = place.keys === undefined ? undefined : keyIn(place, key.text);
  if (place.keys !== undefined && known === undefined) throw unknownKey(place.name, key, legalKeys(place));
  return treeOf(value, known?.shape ?? { kind: 'any' }, known === undefined ? outer : key.text);
}

function stringOf(node: JsonStringNode): Value {
  refuseUnprintable(node);
  return stringValue(node.text);
}

/** What no statement can hold: DuckDB reads up to a NUL, and half a surrogate pair has no UTF-8. */
function refuseUnprintable({ text, span }: JsonStringNode): void {
  if (text.includes('\0')) throw new Diagnostic('invalid_encoding', 'a string holds a NUL character', { span });
  if (/\p{Surrogate}/u.test(text)) throw new Diagnostic('invalid_encoding', 'a string holds half of a surrogate pair', { span });
}

// ---- Mistakes ----

function unknownKey(place: string, key: JsonStringNode, legal: readonly string[]): Diagnostic {
  const near = suggest(key.text, legal);
  return new Diagnostic('unknown_key', `${place} has no key ${JSON.stringify(key.text)}`, {
    span: key.span,
    hint: near === undefined ? `it takes ${legal.join(', ')}` : `did you mean "${near}"?`,
  });
}

function wrongType(key: string, wanted: string, node: JsonNode): Diagnostic {
  return new Diagnostic('wrong_type', `${key} takes ${wanted}, not ${shownKind(node)}`, { span: node.span });
}

export function shownKind(node: JsonNode): string {
  switch (node.kind) {
    case 'object':
      return 'an object';
    case 'list':
      return 'a list';
    case 'string':
      return 'a text';
    case 'number':
      return `the number ${node.text}`;
    case 'boolean':
      return String(node.value);
    case 'null':
      return 'null';
    default:
      return node satisfies never;
  }
}
