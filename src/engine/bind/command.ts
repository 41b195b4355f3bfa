// A word of a command's list, where it is defined.

import type { Value } from '../../parser/ast.ts';
import { checkParameters } from '../executors/command/definition.ts';
import { inside, textOf } from './fields.ts';

/** An argument; `'$day'` is one of the parameters. */
export function commandWord(item: Value, parameters: readonly string[]): string {
  const word = textOf(item, 'command');
  return inside(item, () => {
    checkParameters([word], parameters);
    return word;
  });
}
