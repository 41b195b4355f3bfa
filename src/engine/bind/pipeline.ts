// From UPSERT PIPELINE to a Pipeline: its steps, and the graph they make. All that can be known before a run is doubted here,
// so that what is stored runs or fails for its data, and not for how it was written.

import { Diagnostic } from '../../core/diagnostic.ts';
import type { Name, ObjectValue } from '../../parser/ast.ts';
import { suggest } from '../../parser/suggest.ts';
import type { Warning } from '../result.ts';
import type { Pipeline } from '../routine.ts';
import { bindActions, checkActions } from './action.ts';
import { bindParameters, checkExpressions, refuseRunNames } from './arguments.ts';
import { Fields, objectOf, textOf, wrongType } from './fields.ts';
import type { BindContext } from './schedule.ts';
import { bindStep, type DraftStep, folded, type KnownResult } from './step.ts';

export interface BoundPipeline {
  readonly pipeline: Pipeline;
  readonly warnings: readonly Warning[];
}

export async function bindPipeline(name: Name, definition: ObjectValue, context: BindContext): Promise<BoundPipeline> {
  const fields = new Fields(definition);
  const warnings: Warning[] = [];
  const params = bindParameters(fields.object('params'));
  await checkExpressions(fields.object('params'), context.catalogue);
  refuseRunNames(fields.object('params')?.entries.map((entry) => entry.key) ?? []);
  const atomic = fields.boolean('atomic') ?? false;
  const drafts = ordered(readSteps(fields));
  const results = readResults(drafts);
  const scope = { pipeline: name.text, params: Object.keys(params), atomic, results, context, warnings };
  const steps = [];
  for (const draft of drafts) steps.push(await bindStep(draft, scope));

  const config = fields.object('config');
  const description = fields.text('description');
  const owner = fields.text('owner');
  const timeoutMs = fields.timeout();
  const actions = {
    onComplete: bindActions(fields, 'on_complete'),
    onFail: bindActions(fields, 'on_fail'),
    onSkip: bindActions(fields, 'on_skip'),
  };
  const places = { on_complete: actions.onComplete, on_fail: actions.onFail, on_skip: actions.onSkip };
  await checkActions(places, fields, context.catalogue, warnings);
  return {
    pipeline: {
      kind: 'pipeline',
      name: name.text,
      params,
      steps,
      atomic,
      config: config === undefined ? {} : objectOf(config),
      ...(description === undefined ? {} : { description }),
      tags: fields.texts('tags'),
      ...(owner === undefined ? {} : { owner }),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
      ...actions,
    },
    warnings,
  };
}

/** A step as it is written, before the others are known. */
interface WrittenStep {
  readonly name: Name;
  readonly fields: Fields;
}

const mostSteps = 1000;

function readSteps(fields: Fields): WrittenStep[] {
  const items = fields.items('steps');
  if (items.length === 0) {
    throw new Diagnostic('missing_key', 'a pipeline needs steps', {
      span: fields.has('steps') ? fields.keySpan('steps') : fields.span,
      hint: "write steps: [ { name: load, sql: 'INSERT ..' }, .. ]",
    });
  }
  if (items.length > mostSteps) {
    throw new Diagnostic('too_large', `a pipeline holds at most ${mostSteps} steps, and this one has ${items.length}`, {
      span: fields.keySpan('steps'),
      hint: 'for_each does one thing to many items',
    });
  }
  const seen = new Map<string, Name>();
  return items.map((item, index) => {
    if (item.kind !== 'object') throw wrongType('steps', item, 'a list of steps { name: .., sql: .. }');
    const step = new Fields(item);
    const value = step.get('name');
    if (value === undefined) {
      throw new Diagnostic('missing_key', `step ${index + 1} has no name`, {
        span: item.span,
        hint: 'write { name: load, .. }: the history of a run is told by its steps',
      });
    }
    const name: Name = { text: textOf(value, 'name'), quoted: value.kind === 'string', span: value.span };
    // `pipeline.step` names one step of a pipeline in a schedule.
    if (name.text.trim() === '' || name.text.includes('.')) {
      throw new Diagnostic('invalid_name', `a step cannot be called '${name.text}'`, {
        span: name.span,
        hint: 'a step has a name without dots: load',
      });
    }
    if (seen.has(folded(name.text))) {
      throw new Diagnostic('duplicate_object', `two steps are called ${name.text}`, {
        span: name.span,
        hint: 'each step has a name of its own',
      });
    }
    seen.set(folded(name.text), name);
    return { name, fields: step };
  });
}

/** Who waits for whom, in the order written; a step without `after` waits for the one before it. */
function ordered(steps: readonly WrittenStep[]): DraftStep[] {
  const names = steps.map((step) => step.name.text);
  const after = new Map<string, readonly string[]>();
  for (const [index, { name, fields }] of steps.entries()) {
    const before = steps[index - 1];
    const parents = fields.has('after') ? readAfter(name, fields, names) : before === undefined ? [] : [before.name.text];
    after.set(folded(name.text), parents);
  }
  const cycle = cycleIn(names, after);
  if (cycle !== undefined) throw cycleOf(cycle, steps);
  const ancestors = new Map<string, ReadonlySet<string>>();
  const reach = (name: string): ReadonlySet<string> => {
    const known = ancestors.get(folded(name));
    if (known !== undefined) return known;
    const found = new Set<string>();
    for (const parent of after.get(folded(name)) ?? []) for (const step of [folded(parent), ...reach(parent)]) found.add(step);
    ancestors.set(folded(name), found);
    return found;
  };
  return steps.map(({ name, fields }) => ({ name, fields, after: after.get(folded(name.text)) ?? [], ancestors: reach(name.text) }));
}

function readAfter(step: Name, fields: Fields, names: readonly string[]): string[] {
  const parents: string[] = [];
  for (const parent of fields.names('after')) {
    const known = names.find((name) => folded(name) === folded(parent.text));
    if (known === undefined) {
      const near = suggest(parent.text, names);
      throw new Diagnostic('undefined_object', `there is no step ${parent.text}`, {
        span: parent.span,
        hint: `${near === undefined ? '' : `did you mean ${near}? `}the steps are ${names.join(', ')}`,
      });
    }
    if (folded(known) === folded(step.text)) {
      throw new Diagnostic('cycle', `step ${step.text} waits for itself`, { span: parent.span, hint: 'after: [] starts it at once' });
    }
    if (!parents.includes(known)) parents.push(known);
  }
  return parents;
}

/** The way from a step back to itself, if there is one. */
function cycleIn(names: readonly string[], after: ReadonlyMap<string, readonly string[]>): readonly string[] | undefined {
  const done = new Set<string>();
  const walk = (name: string, path: readonly string[]): readonly string[] | undefined => {
    const at = path.findIndex((earlier) => folded(earlier) === folded(name));
    if (at >= 0) return [...path.slice(at), name];
    if (done.has(folded(name))) return undefined;
    for (const parent of after.get(folded(name)) ?? []) {
      const found = walk(parent, [...path, name]);
      if (found !== undefined) return found;
    }
    done.add(folded(name));
    return undefined;
  };
  for (const name of names) {
    const found = walk(name, []);
    if (found !== undefined) return found;
  }
  return undefined;
}

function cycleOf(cycle: readonly string[], steps: readonly WrittenStep[]): Diagnostic {
  const inside = steps.filter(({ name }) => cycle.some((step) => folded(step) === folded(name.text)));
  const explicit = inside.find(({ fields }) => fields.has('after'));
  const silent = inside.find(({ fields }) => !fields.has('after'));
  return new Diagnostic('cycle', `'after' makes a cycle: ${cycle.join(' -> ')}`, {
    span: explicit?.fields.get('after')?.span ?? explicit?.name.span,
    hint:
      silent === undefined
        ? 'each waits for the one it points at, so none would ever run'
        : `step ${silent.name.text} has no 'after', so it waits for the step before it; after: [] starts it at once`,
  });
}

/** What the steps keep under a name, by that name. */
function readResults(steps: readonly DraftStep[]): ReadonlyMap<string, KnownResult> {
  const results = new Map<string, KnownResult>();
  for (const step of steps) {
    const [name] = step.fields.names('as');
    if (name === undefined) continue;
    const earlier = results.get(folded(name.text));
    if (earlier !== undefined) {
      throw new Diagnostic('duplicate_object', `two steps keep their result as ${name.text}: ${earlier.step} and ${step.name.text}`, {
        span: name.span,
        hint: 'each result has a name of its own',
      });
    }
    results.set(folded(name.text), { name: name.text, step: step.name.text });
  }
  return results;
}
