// One step of a pipeline: the one thing it does, for one item or for each, and what follows when that fails or finds nothing.

import { Diagnostic, type Span } from '../../core/diagnostic.ts';
import type { Entry, Name, Value } from '../../parser/ast.ts';
import { factsOf } from '../../parser/facts.ts';
import { isPlainWord } from '../../parser/make.ts';
import { suggest } from '../../parser/suggest.ts';
import type { RetryPolicy } from '../../scheduler/schedule.ts';
import { actionOf } from '../actionText.ts';
import { shellWarnings } from '../executors/command/definition.ts';
import type { Warning } from '../result.ts';
import type { PipelineStep, StepArgument, StepReaction, StepWork } from '../routine.ts';
import { checkActions, undelivered } from './action.ts';
import { bindParameter, checkArguments, checkExpressions, missingRoutine, refuseRunNames } from './arguments.ts';
import { bindStatements, checkSyntax } from './body.ts';
import { commandWord } from './command.ts';
import { type Fields, inside, objectOf, textOf, wrongType } from './fields.ts';
import { type BindContext, retryPhrase } from './schedule.ts';

export interface DraftStep {
  readonly name: Name;
  readonly fields: Fields;
  readonly after: readonly string[];
  /** All steps that have ended before this one begins, folded. */
  readonly ancestors: ReadonlySet<string>;
}

/** What a step keeps with `as`. */
export interface KnownResult {
  readonly name: string;
  readonly step: string;
}

export interface StepScope {
  readonly pipeline: string;
  readonly params: readonly string[];
  readonly atomic: boolean;
  /** Of all steps, by their folded name. */
  readonly results: ReadonlyMap<string, KnownResult>;
  readonly context: BindContext;
  readonly warnings: Warning[];
}

type WorkKind = StepWork['kind'];

const workKinds = ['query', 'sql', 'call', 'command', 'handler', 'expect', 'emit'] as const satisfies readonly WorkKind[];
/** Those that answer rows, so that there is something to keep, or nothing found. */
const kindsWithRows: readonly WorkKind[] = ['query', 'sql', 'call', 'handler'];

export async function bindStep(step: DraftStep, scope: StepScope): Promise<PipelineStep> {
  const { fields, name } = step;
  const kind = workKind(step);
  const forEach = bindForEach(step, scope);
  const as = bindAs(fields, kind);
  const args = bindArguments(step, scope);
  await checkExpressions(fields.object('args'), scope.context.catalogue);
  const work = await bindWork(kind, step, scope);
  const onEmpty = bindReaction(fields, 'on_empty', 'continue');
  const onFail = bindReaction(fields, 'on_fail', 'abort');
  await checkStepActions(step, { on_empty: onEmpty, on_fail: onFail }, scope);
  if (fields.has('on_empty') && forEach === undefined && !kindsWithRows.includes(kind)) {
    scope.warnings.push({
      message: `step ${name.text}: 'on_empty' has no effect, because ${kind} answers no rows`,
      hint: "'on_fail' says what follows a failure",
    });
  }
  const timeoutMs = fields.timeout();
  const condition = await bindCondition(fields, scope);
  const message = bindMessage(fields, kind);
  const description = fields.text('description');
  const config = fields.object('config');
  if (scope.atomic) await checkAtomic(kind, work, onFail, step, scope);
  return {
    name: name.text,
    work,
    after: step.after,
    ...(as === undefined ? {} : { as }),
    ...(forEach === undefined ? {} : { forEach }),
    parallel: bindParallel(fields),
    args,
    config: config === undefined ? {} : objectOf(config),
    ...(condition === undefined ? {} : { if: condition }),
    ...(message === undefined ? {} : { message }),
    ...(description === undefined ? {} : { description }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    retry: bindRetry(fields),
    onEmpty,
    onFail,
  };
}

function workKind({ name, fields }: DraftStep): WorkKind {
  const [kind, second] = workKinds.filter((field) => fields.has(field));
  if (kind === undefined) {
    throw new Diagnostic('missing_key', `step ${name.text} has nothing to do`, {
      span: fields.span,
      hint: `${fields.has('for_each') ? "'for_each' says for what; " : ''}add one of ${workKinds.join(', ')}`,
    });
  }
  if (second !== undefined) {
    throw new Diagnostic('invalid_value', `step ${name.text} does two things: ${kind} and ${second}`, {
      span: fields.keySpan(second),
      hint: 'make two steps of it; they run in the order written',
    });
  }
  return kind;
}

// What it works on

function bindForEach(step: DraftStep, scope: StepScope): string | undefined {
  const value = step.fields.get('for_each');
  if (value === undefined) {
    if (!step.fields.has('parallel')) return undefined;
    throw new Diagnostic('missing_key', "'parallel' needs 'for_each'", {
      span: step.fields.keySpan('parallel'),
      hint: 'it says how many items at once; steps that do not wait for each other run side by side by themselves: after: []',
    });
  }
  const text = textOf(value, 'for_each');
  return resultBefore(text, step, scope, value.span).name;
}

/** A result that is there when the step begins. */
function resultBefore(text: string, step: DraftStep, scope: StepScope, span: Span): KnownResult {
  const visible = [...scope.results.values()].filter((result) => step.ancestors.has(folded(result.step)));
  const found = visible.find((result) => folded(result.name) === folded(text));
  if (found !== undefined) return found;
  const known = visible.map((result) => result.name);
  const list =
    known.length === 0
      ? 'no step before this one keeps a result; add as: name to the one that finds the rows'
      : `results here: ${known.join(', ')}`;
  const other = scope.results.get(folded(text));
  if (other === undefined) {
    const near = suggest(text, known);
    throw new Diagnostic('undefined_object', `there is no result ${text}`, {
      span,
      hint: `${near === undefined ? '' : `did you mean ${near}? `}${list}`,
    });
  }
  const own = folded(other.step) === folded(step.name.text);
  throw new Diagnostic(
    'undefined_object',
    own ? `${text} is what this step itself keeps` : `step ${step.name.text} does not wait for ${other.step}, which keeps ${text}`,
    {
      span,
      hint: own ? list : `add after: [${other.step}]`,
    },
  );
}

function bindAs(fields: Fields, kind: WorkKind): string | undefined {
  const [name] = fields.names('as');
  if (name === undefined) return undefined;
  if (!kindsWithRows.includes(kind)) {
    throw new Diagnostic('invalid_value', `'as' keeps rows, and ${kind} answers none`, {
      span: fields.keySpan('as'),
      hint: `steps with rows: ${kindsWithRows.join(', ')}`,
    });
  }
  if (folded(name.text) === itemWord || !isPlainWord(name.text)) {
    throw new Diagnostic('invalid_name', `a result cannot be called '${name.text}'`, {
      span: name.span,
      hint:
        folded(name.text) === itemWord
          ? "'item' is the item of a for_each"
          : 'later steps write it without quotes: as: items, then items.id',
    });
  }
  return name.text;
}

function bindParallel(fields: Fields): number {
  return fields.integer('parallel', 1, 1000) ?? 1;
}

// What it is given

const itemWord = 'item';

function bindArguments(step: DraftStep, scope: StepScope): Record<string, StepArgument> {
  const entries = step.fields.object('args')?.entries ?? [];
  return Object.fromEntries(entries.map((entry) => [entry.key.text, bindArgument(entry, step, scope)]));
}

function bindArgument({ key, value }: Entry, step: DraftStep, scope: StepScope): StepArgument {
  const path = referenceIn(value, step, scope);
  if (path !== undefined) return { kind: 'reference', path };
  for (const nested of innerValues(value)) {
    if (referenceIn(nested, step, scope) === undefined) continue;
    throw new Diagnostic('invalid_value', 'a reference cannot stand inside a list or an object', {
      span: nested.span,
      hint: `give it an argument of its own: args: { ${key.text}: ${textOf(nested, key.text)} }`,
    });
  }
  return bindParameter(key.text, value);
}

/** The parts of `item.id` or `items.id`; undefined for a value that is what it says. */
function referenceIn(value: Value, step: DraftStep, scope: StepScope): readonly string[] | undefined {
  if (value.kind !== 'word' || value.text.startsWith('@')) return undefined;
  const [head = '', column] = value.parts;
  const isItem = folded(head) === itemWord;
  if (column === undefined) {
    if (!isItem && !scope.results.has(folded(head))) return undefined;
    throw new Diagnostic('invalid_value', `${head} alone is no value`, {
      span: value.span,
      hint: `write ${head}.column, or '${head}' for the text`,
    });
  }
  if (!isItem) {
    const known = [...scope.results.values()].map((result) => result.name);
    if (scope.results.has(folded(head))) resultBefore(head, step, scope, value.span);
    else throw unknownReference(value, head, step, known);
    return value.parts;
  }
  if (step.fields.has('for_each')) return value.parts;
  throw new Diagnostic('undefined_object', `${value.text}: this step has no items`, {
    span: value.span,
    hint: 'add for_each: name_of_a_result',
  });
}

function unknownReference(value: Value, head: string, step: DraftStep, results: readonly string[]): Diagnostic {
  const legal = [...(step.fields.has('for_each') ? [itemWord] : []), ...results];
  const near = suggest(head, legal);
  const text = value.kind === 'word' ? value.text : head;
  return new Diagnostic('undefined_object', `${text}: there is no result ${head}`, {
    span: value.span,
    hint: `${near === undefined ? '' : `did you mean ${text.replace(head, near)}? `}text stands in quotes: '${text}'`,
  });
}

function innerValues(value: Value): Value[] {
  const inner = value.kind === 'list' ? value.items : value.kind === 'object' ? value.entries.map((entry) => entry.value) : [];
  return inner.flatMap((item) => [item, ...innerValues(item)]);
}

// What it does

async function bindWork(kind: WorkKind, step: DraftStep, scope: StepScope): Promise<StepWork> {
  const { fields } = step;
  switch (kind) {
    case 'query':
    case 'sql':
    case 'expect':
      refuseRunNames(fields.object('args')?.entries.map((entry) => entry.key) ?? []);
      return bindSql(kind, step, scope);
    case 'call':
      return bindCall(step, scope);
    case 'command':
      return { kind, command: bindCommand(step, scope) };
    case 'handler':
      return { kind, path: notEmpty(fields, 'handler') };
    case 'emit': {
      const event = notEmpty(fields, 'emit');
      scope.warnings.push(undelivered(`step ${step.name.text}`, `emit('${event}')`));
      return { kind, event };
    }
    default:
      return kind satisfies never;
  }
}

async function bindSql(kind: 'query' | 'sql' | 'expect', step: DraftStep, scope: StepScope): Promise<StepWork> {
  const { fields } = step;
  const value = fields.get(kind);
  const text = notEmpty(fields, kind);
  const given = fields.object('args')?.entries.map((entry) => entry.key.text) ?? [];
  const statements = bindStatements(text, value, { parameters: [...scope.params, ...given], onlyOne: kind !== 'sql' });
  await checkSyntax(text, value, scope.context.catalogue);
  const facts = factsOf(text);
  const [act] = facts.acts;
  if (kind !== 'sql' && act !== undefined && value !== undefined) {
    inside(value, () => {
      throw new Diagnostic('invalid_value', `'${kind}' reads, and this changes something`, {
        span: act.span,
        hint: 'write sql: for a statement that changes something',
      });
    });
  }
  for (const result of scope.results.values()) {
    if (!facts.names.has(folded(result.name)) || step.ancestors.has(folded(result.step))) continue;
    scope.warnings.push({
      message: `step ${step.name.text} names ${result.name} but does not wait for ${result.step}, which keeps it`,
      hint: `add after: [${result.step}], unless a table of that name is meant`,
    });
  }
  return { kind, text, statements };
}

async function bindCall(step: DraftStep, scope: StepScope): Promise<StepWork> {
  const { fields } = step;
  const { catalogue } = scope.context;
  const name = notEmpty(fields, 'call');
  const span = fields.get('call')?.span ?? fields.span;
  const routine = (await catalogue.routine(name))?.routine;
  if (folded(name) === folded(scope.pipeline) || routine?.kind === 'pipeline') {
    throw new Diagnostic('unsupported', `${name} is a pipeline, and a step calls procedures`, {
      span,
      hint: 'write its steps here, or let a schedule with after: .. run the one after the other',
    });
  }
  if (routine === undefined) throw await missingRoutine('procedure', name, span, catalogue);
  const given = fields.object('args');
  const isReference = (value: Value): boolean => value.kind === 'word' && value.parts.length > 1;
  const place = fields.has('args') ? fields.keySpan('args') : span;
  await checkArguments({ routine, given, key: 'args', complete: true, place, isReference }, catalogue);
  return { kind: 'call', routine: routine.name };
}

function bindCommand({ name, fields }: DraftStep, scope: StepScope): string | readonly string[] {
  const value = fields.get('command');
  const given = [...(fields.object('args')?.entries.map((entry) => entry.key.text) ?? []), ...scope.params];
  if (value?.kind !== 'list') {
    const text = notEmpty(fields, 'command');
    for (const message of shellWarnings(text, given)) scope.warnings.push({ message: `step ${name.text}: ${message}` });
    return text;
  }
  if (value.items.length === 0) throw new Diagnostic('invalid_value', 'the command is empty', { span: value.span });
  return value.items.map((item) => commandWord(item, [...given, 'step', 'item']));
}

function notEmpty(fields: Fields, field: string): string {
  const text = fields.text(field) ?? '';
  if (text.trim() !== '') return text;
  throw new Diagnostic('invalid_value', `'${field}' is empty`, { span: fields.get(field)?.span });
}

async function bindCondition(fields: Fields, scope: StepScope): Promise<string | undefined> {
  const text = fields.text('if');
  if (text === undefined) return undefined;
  bindStatements(text, fields.get('if'), { onlyOne: true, parameters: scope.params });
  await checkSyntax(text, fields.get('if'), scope.context.catalogue);
  return text;
}

function bindMessage(fields: Fields, kind: WorkKind): string | undefined {
  const text = fields.text('message');
  if (text === undefined || kind === 'expect') return text;
  throw new Diagnostic('invalid_value', "'message' is what a failed expect says", {
    span: fields.keySpan('message'),
    hint: "write on_fail: abort('..'), or on_empty: skip('..')",
  });
}

// What follows

const reactions = ['skip', 'abort', 'continue'] as const;

function bindReaction(fields: Fields, field: 'on_empty' | 'on_fail', fallback: StepReaction['kind']): StepReaction {
  let chosen: { kind: StepReaction['kind']; message?: string } | undefined;
  const actions: StepReaction['actions'][number][] = [];
  for (const item of fields.items(field)) {
    const action = actionOf(item, field);
    if (action !== undefined) {
      actions.push(action);
      continue;
    }
    const kind = reactions.find((word) => word === (item.kind === 'call' ? item.name : textOf(item, field).toLowerCase()));
    if (kind === undefined) {
      throw new Diagnostic(
        'invalid_value',
        `'${field}' cannot be ${item.kind === 'call' ? `${item.name}(..)` : `'${textOf(item, field)}'`}`,
        {
          span: item.span,
          hint: `legal: ${reactions.join(', ')}, each also with a message, as in skip('no data'); emit('event'), notify('channel'), call('procedure')`,
        },
      );
    }
    if (chosen !== undefined) {
      throw new Diagnostic('invalid_value', `'${field}' cannot be ${chosen.kind} and ${kind} at once`, {
        span: item.span,
        hint: `choose one of ${reactions.join(', ')}`,
      });
    }
    const message = item.kind === 'call' ? messageOf(item.arguments, item.span, field) : undefined;
    chosen = { kind, ...(message === undefined ? {} : { message }) };
  }
  return { kind: fallback, ...chosen, actions };
}

function messageOf(items: readonly Value[], span: Span, field: string): string | undefined {
  const [message, second] = items;
  if (second !== undefined) throw new Diagnostic('invalid_value', 'one message is enough', { span, hint: "as in skip('no data')" });
  if (message === undefined) return undefined;
  if (message.kind !== 'string') throw wrongType(field, message, "a message in quotes, as in skip('no data')");
  return message.text;
}

async function checkStepActions(
  step: DraftStep,
  places: Readonly<Record<'on_empty' | 'on_fail', StepReaction>>,
  scope: StepScope,
): Promise<void> {
  const told: Warning[] = [];
  const actions = { on_empty: places.on_empty.actions, on_fail: places.on_fail.actions };
  await checkActions(actions, step.fields, scope.context.catalogue, told);
  for (const { message, hint } of told) scope.warnings.push({ message: `step ${step.name.text}, ${message}`, hint });
}

/** A step is tried once, unless it says otherwise. */
function bindRetry(fields: Fields): RetryPolicy {
  const value = fields.get('retry');
  const { times = 0, backoff = 'exponential' } = value === undefined ? {} : retryPhrase(value);
  return { maxRetries: times, backoff, maxDelayMs: 3_600_000, jitter: true };
}

/** One transaction has no savepoints: an error ends all of it, and what leaves the database cannot be undone. */
async function checkAtomic(kind: WorkKind, work: StepWork, onFail: StepReaction, step: DraftStep, scope: StepScope): Promise<void> {
  const { fields } = step;
  const refuse = (message: string, field: string): Diagnostic =>
    new Diagnostic('invalid_value', `step ${step.name.text}: ${message}`, {
      span: fields.get(field)?.span ?? fields.span,
      hint: 'an atomic pipeline is one transaction: query, sql, expect and call of SQL procedures, one after another, with on_fail: abort; or leave atomic out',
    });
  if (kind === 'command' || kind === 'handler' || kind === 'emit') throw refuse(`${kind} cannot be part of a transaction`, kind);
  if (work.kind === 'call') {
    const routine = (await scope.context.catalogue.routine(work.routine))?.routine;
    if (routine?.kind === 'procedure' && routine.body.language !== 'sql') {
      throw refuse(`procedure ${routine.name} is a ${routine.body.language}, which cannot be part of a transaction`, 'call');
    }
  }
  if (onFail.kind !== 'abort') throw refuse(`on_fail: ${onFail.kind} cannot follow an error that undoes everything`, 'on_fail');
  if (fields.has('retry')) throw refuse('a step cannot be tried again after an error that undoes everything', 'retry');
  if (bindParallel(fields) > 1) throw refuse('items cannot run side by side on one connection', 'parallel');
}

export function folded(name: string): string {
  return name.toLowerCase();
}
