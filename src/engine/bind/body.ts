// SQL that a run will execute: bodies of procedures, `sql:`, `when`, steps. Each statement is looked at by itself, because it
// will be prepared by itself; what cannot hold inside a run's transaction is refused at definition, with its place.

import { Diagnostic } from '../../core/diagnostic.ts';
import type { Value } from '../../parser/ast.ts';
import { type Facts, factsOf, type ParameterUse } from '../../parser/facts.ts';
import { split } from '../../parser/split.ts';
import { suggest } from '../../parser/suggest.ts';
import { callOf } from '../calls.ts';
import { guardBody } from '../guard.ts';
import { type BodyStatement, runParameters } from '../routine.ts';
import type { Catalogue } from '../store/duckdb/catalogue.ts';
import { inside } from './fields.ts';

export interface BodyContext {
  /** Names that the definition binds, beside those that every run has. */
  readonly parameters: readonly string[];
  readonly onlyOne?: boolean;
  /** From a place in the text to a place in the statement that defines it. */
  readonly toOffset?: (index: number) => number;
}

/** The statements of a text that is known to be good: from the catalogue. */
export function bodyStatements(text: string): BodyStatement[] {
  return split(text).statements.map((slice) => ({ text: slice.text, start: slice.start }));
}

export function bindBody(text: string, context: BodyContext): BodyStatement[] {
  try {
    return check(text, context);
  } catch (error) {
    if (error instanceof Diagnostic && context.toOffset !== undefined) throw error.movedBy(context.toOffset);
    throw error;
  }
}

/** The same for a text that stands in `value`. */
export function bindStatements(text: string, value: Value | undefined, context: BodyContext): BodyStatement[] {
  return value === undefined ? bindBody(text, context) : inside(value, () => bindBody(text, context));
}

/** DuckDB's own parser reads each statement of a text that stands in `value`: what it cannot read would fail in every run. */
export async function checkSyntax(
  text: string,
  place: Value | ((index: number) => number) | undefined,
  catalogue: Catalogue,
): Promise<void> {
  for (const statement of bodyStatements(text)) {
    const refused = (await syntaxErrorOf(statement.text, catalogue))?.movedBy((index) => statement.start + index);
    if (refused === undefined) continue;
    if (typeof place === 'function') throw refused.movedBy(place);
    if (place === undefined) throw refused;
    inside(place, () => {
      throw refused;
    });
  }
}

/** A CALL may name a procedure as no function of DuckDB can be named, so only its arguments are DuckDB's. */
async function syntaxErrorOf(text: string, catalogue: Catalogue): Promise<Diagnostic | undefined> {
  const call = callOf(text);
  if (call === undefined) return catalogue.syntaxError(text);
  for (const { expression } of call.arguments) {
    const refused = await catalogue.expressionError(expression.text);
    if (refused !== undefined) return refused.movedBy((index) => expression.span.start + index);
  }
  return undefined;
}

function check(text: string, context: BodyContext): BodyStatement[] {
  const { statements, open } = split(text);
  if (open !== undefined && open.construct !== 'statement') {
    throw new Diagnostic('unterminated', `the ${open.construct} does not end`, { span: open.span });
  }
  if (statements.length === 0)
    throw new Diagnostic('invalid_value', 'there is no statement in it', { span: { start: 0, end: text.length } });
  const second = statements[1];
  if (context.onlyOne === true && second !== undefined) {
    throw new Diagnostic('invalid_value', 'one statement is enough here', { span: { start: second.start, end: second.end } });
  }
  const known = [...context.parameters, ...runParameters];
  for (const statement of statements) {
    const refused = guardBody(statement.text);
    if (refused !== undefined) throw refused.movedBy((index) => statement.start + index);
    const facts = factsOf(statement.text);
    for (const parameter of facts.parameters) {
      const span = { start: statement.start + parameter.span.start, end: statement.start + parameter.span.end };
      if (parameter.kind !== 'named') {
        throw new Diagnostic(
          'undefined_parameter',
          `parameters here have names, and ${statement.text.slice(parameter.span.start, parameter.span.end)} has none`,
          {
            span,
            hint: `write $name; known: ${known.map((name) => `$${name}`).join(', ')}`,
          },
        );
      }
      if (!known.some((name) => name.toLowerCase() === parameter.name.toLowerCase())) {
        const near = suggest(parameter.name, known);
        throw new Diagnostic('undefined_parameter', `$${parameter.name} is not a parameter here`, {
          span,
          hint: `${near === undefined ? '' : `did you mean $${near}? `}known: ${known.map((name) => `$${name}`).join(', ')}`,
        });
      }
      const form = takesNoParameter(statement.text, facts, parameter);
      if (form !== undefined) {
        throw new Diagnostic('invalid_value', `DuckDB takes no parameter in ${form}`, {
          span,
          hint: 'write the value into a table first and let the statement read it from there',
        });
      }
    }
  }
  return statements.map((slice) => ({ text: slice.text, start: slice.start }));
}

/** The kinds of statement, or places in one, where DuckDB 1.5 takes no parameter (each was tried). */
function takesNoParameter(text: string, facts: Facts, parameter: ParameterUse): string | undefined {
  const [act] = facts.acts;
  if (act?.kind === 'attach') return 'ATTACH';
  if (act?.kind === 'object') {
    if (act.verb === 'comment') return 'COMMENT ON';
    if (act.what === 'view' || act.what === 'macro') return `${act.verb.toUpperCase()} ${act.what.toUpperCase()}`;
    if (act.what === 'table' && /\bDEFAULT\b/i.test(text.slice(0, parameter.span.start))) return 'DEFAULT';
  }
  if (/^\s*PIVOT\b/i.test(text) && !/\bIN\s*\(/i.test(text)) return 'a PIVOT that finds its own columns';
  return undefined;
}
