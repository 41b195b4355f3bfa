// What a definition gives to a procedure or a pipeline: the `params` of a schedule, the `args` of a step. Known names, nothing
// missing, values that fit: refused here with their place, and not at 2 a.m.

import { Diagnostic, type Span } from '../../core/diagnostic.ts';
import type { JsonValue } from '../../core/jsonValue.ts';
import type { Name, ObjectValue, Value } from '../../parser/ast.ts';
import { suggest } from '../../parser/suggest.ts';
import type { ParameterValue } from '../../scheduler/schedule.ts';
import { holdsEnvironment } from '../environment.ts';
import { type Procedure, type Routine, runParameters } from '../routine.ts';
import type { Catalogue } from '../store/duckdb/catalogue.ts';
import { bindBody } from './body.ts';
import { inside, jsonOf } from './fields.ts';

export interface GivenArguments {
  readonly routine: Routine;
  readonly given: ObjectValue | undefined;
  readonly key: 'params' | 'args';
  /** Nobody will be asked for what is missing. */
  readonly complete: boolean;
  /** Where a missing argument is missed. */
  readonly place: Span;
  /** Known only when it runs: an item, the result of a step. */
  readonly isReference?: (value: Value) => boolean;
}

export async function checkArguments(arguments_: GivenArguments, catalogue: Catalogue): Promise<void> {
  const { routine } = arguments_;
  checkNames(arguments_);
  if (routine.kind !== 'procedure') return;
  if (arguments_.complete) checkComplete(routine, arguments_);
  await checkTypes(routine, arguments_, catalogue);
}

function checkNames({ routine, given }: GivenArguments): void {
  const legal = routine.kind === 'procedure' ? routine.parameters.map((parameter) => parameter.name) : Object.keys(routine.params);
  for (const { key } of given?.entries ?? []) {
    if (legal.some((known) => known.toLowerCase() === key.text.toLowerCase())) continue;
    const near = suggest(key.text, legal);
    throw new Diagnostic('undefined_parameter', `${routine.kind} ${routine.name} has no parameter ${key.text}`, {
      span: key.span,
      hint: `${near === undefined ? '' : `did you mean ${near}? `}${legal.length === 0 ? 'it takes none' : `its parameters: ${legal.join(', ')}`}`,
    });
  }
}

function checkComplete(procedure: Procedure, { given, key, place }: GivenArguments): void {
  const names = new Set(given?.entries.map((entry) => entry.key.text.toLowerCase()));
  const missing = procedure.parameters.filter((parameter) => parameter.default === undefined && !names.has(parameter.name.toLowerCase()));
  if (missing.length === 0) return;
  throw new Diagnostic(
    'missing_key',
    `procedure ${procedure.name} needs ${missing.map(({ name, type }) => `${name} ${type}`).join(', ')}`,
    {
      span: place,
      hint: `add ${key}: { ${missing.map(({ name }) => `${name}: ..`).join(', ')} }`,
    },
  );
}

async function checkTypes(procedure: Procedure, { given, isReference }: GivenArguments, catalogue: Catalogue): Promise<void> {
  for (const { key, value } of given?.entries ?? []) {
    const parameter = procedure.parameters.find((known) => known.name.toLowerCase() === key.text.toLowerCase());
    if (parameter === undefined || value.kind === 'call' || value.kind === 'null' || isReference?.(value) === true) continue;
    const literal = jsonOf(value);
    if (holdsEnvironment(literal) || (await catalogue.castable(literal, parameter.type))) continue;
    throw new Diagnostic(
      'wrong_type',
      `parameter ${parameter.name} of ${procedure.name} is ${parameter.type}; ${JSON.stringify(literal)} is not`,
      {
        span: value.span,
      },
    );
  }
}

export function bindParameters(object: ObjectValue | undefined): Record<string, ParameterValue> {
  return Object.fromEntries((object?.entries ?? []).map((entry) => [entry.key.text, bindParameter(entry.key.text, entry.value)]));
}

export function bindParameter(name: string, value: Value): ParameterValue {
  if (value.kind !== 'call') return { kind: 'literal', value: jsonOf(value) };
  const [argument] = value.arguments;
  if (value.arguments.length === 1 && argument?.kind === 'string') {
    if (value.name === 'env') return { kind: 'env', name: argument.text };
    if (value.name === 'sql') {
      checkExpression(argument.text, argument);
      return { kind: 'sql', text: argument.text };
    }
  }
  throw new Diagnostic('invalid_value', `'${name}' cannot be ${value.name}(..)`, {
    span: value.span,
    hint: "legal here: a value, env('NAME') (read when used), sql('expression') (evaluated when the run starts)",
  });
}

/** WITH replaces the parameters it names, and only such as there are. `owner` is who has them: `schedule nightly`. */
export function bindReplaced(given: ObjectValue | undefined, legal: readonly string[], owner: string): Record<string, JsonValue> {
  const values: Record<string, JsonValue> = {};
  for (const { key, value: written } of given?.entries ?? []) {
    const name = legal.find((known) => known.toLowerCase() === key.text.toLowerCase());
    if (name === undefined) {
      const near = suggest(key.text, legal);
      throw new Diagnostic('undefined_parameter', `${owner} has no parameter ${key.text}`, {
        span: key.span,
        hint: `${near === undefined ? '' : `did you mean ${near}? `}${legal.length === 0 ? 'it takes none' : `its parameters: ${legal.join(', ')}`}`,
      });
    }
    const value = bindParameter(name, written);
    if (value.kind !== 'literal') {
      throw new Diagnostic('invalid_value', `WITH takes values, and ${key.text} is a call`, { span: written.span });
    }
    values[name] = value.value;
  }
  return values;
}

function checkExpression(text: string, value: Value): void {
  const before = 'SELECT ';
  inside(value, () =>
    bindBody(`${before}${text}`, { onlyOne: true, parameters: [], toOffset: (index) => Math.max(0, index - before.length) }),
  );
}

/** The syntax of each `sql('..')`, as it will be evaluated. */
export async function checkExpressions(object: ObjectValue | undefined, catalogue: Catalogue): Promise<void> {
  for (const { value } of object?.entries ?? []) {
    const [argument] = value.kind === 'call' && value.name === 'sql' ? value.arguments : [];
    if (argument?.kind !== 'string') continue;
    const refused = await catalogue.expressionError(argument.text);
    if (refused === undefined) continue;
    inside(argument, () => {
      throw refused;
    });
  }
}

/** What every run binds by itself keeps its meaning in SQL. */
export function refuseRunNames(names: readonly Name[]): void {
  const name = names.find(({ text }) => runParameters.some((known) => known === text.toLowerCase()));
  if (name === undefined) return;
  throw new Diagnostic('invalid_name', `a parameter cannot be called '${name.text}': every run has a value of that name`, {
    span: name.span,
    hint: `taken: ${runParameters.join(', ')}`,
  });
}

/** The same for a procedure and a pipeline, because a name alone may mean either. */
export async function missingRoutine(kind: string, name: string, span: Span, catalogue: Catalogue): Promise<Diagnostic> {
  const near = suggest(name, await catalogue.routineNames());
  const statement =
    kind === 'pipeline' ? `UPSERT PIPELINE AS ${name} ( steps: [ .. ] );` : `UPSERT PROCEDURE AS ${name}() AS BEGIN .. END;`;
  return new Diagnostic('undefined_object', `${kind} ${name} does not exist`, {
    span,
    hint: `${near === undefined ? '' : `did you mean ${near}? `}create it first: ${statement}`,
  });
}
