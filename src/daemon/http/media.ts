// Which of the forms that an answer can have a client wants: the Accept header of RFC 9110, with its weights.

import { Diagnostic } from '../../core/diagnostic.ts';
import { Refusal } from './problem.ts';

/** One of `offered`, of which the first is for those who do not care. */
export function preferred<Type extends string>(accept: string | undefined, offered: readonly [Type, ...Type[]]): Type {
  if (accept === undefined || accept.trim() === '') return offered[0];
  const ranges = accept.split(',').map(rangeOf);
  let best: { readonly type: Type; readonly weight: number } | undefined;
  for (const type of offered) {
    const weight = weightOf(type, ranges);
    if (weight > (best?.weight ?? 0)) best = { type, weight };
  }
  if (best !== undefined) return best.type;
  throw new Refusal(
    new Diagnostic('unsupported', 'the answer comes in none of the forms that are accepted', { hint: `Accept: ${offered.join(', ')}` }),
    {
      status: 406,
    },
  );
}

interface Range {
  readonly type: string;
  readonly weight: number;
}

function rangeOf(text: string): Range {
  const [type = '', ...parameters] = text.split(';').map((part) => part.trim().toLowerCase());
  const q = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2);
  const weight = q === undefined ? 1 : Number(q);
  return { type, weight: weight >= 0 && weight <= 1 ? weight : 0 };
}

/** Of the most exact range that the type is in. */
function weightOf(type: string, ranges: readonly Range[]): number {
  const exact = ranges.find((range) => range.type === type);
  const kind = ranges.find((range) => range.type === `${type.split('/')[0]}/*`);
  return (exact ?? kind ?? ranges.find((range) => range.type === '*/*'))?.weight ?? 0;
}
