// `exe: 'pipeline.step'`: one step of a pipeline, as a pipeline of its own. What follows the end of the whole does not follow it.

import { Diagnostic } from '../../../core/diagnostic.ts';
import { nameKey } from '../../../core/name.ts';
import { suggest } from '../../../parser/suggest.ts';
import type { Pipeline } from '../../routine.ts';
import { type KnownResult, resultsOf } from './results.ts';

export function onlyStep(
  pipeline: Pipeline,
  name: string,
): { readonly pipeline: Pipeline; readonly foreignResults: readonly KnownResult[] } {
  const step = pipeline.steps.find((known) => nameKey(known.name) === nameKey(name));
  if (step === undefined) {
    const names = pipeline.steps.map((known) => known.name);
    const near = suggest(name, names);
    throw new Diagnostic('undefined_object', `pipeline ${pipeline.name} has no step ${name}`, {
      hint: `${near === undefined ? '' : `did you mean ${near}? `}its steps: ${names.join(', ')}`,
    });
  }
  const others = pipeline.steps.filter((known) => known !== step);
  const alone = { ...pipeline, steps: [{ ...step, after: [] }], onComplete: [], onFail: [], onSkip: [] };
  return { pipeline: alone, foreignResults: resultsOf(others) };
}
