// Plays seeds for a test, and tells of the first that breaks a promise as one needs it to begin: how to replay it, and how it ends.

import { expect } from 'vitest';
import { play } from './play.ts';

const lastLines = 40;

export async function keepsPromises({ first, seeds }: { readonly first: number; readonly seeds: number }): Promise<void> {
  for (let seed = first; seed < first + seeds; seed++) {
    const { violations } = await play({ seed });
    const [broken] = violations;
    if (broken === undefined) continue;
    const { lines } = await play({ seed, trace: true });
    const story = [
      `seed ${seed} breaks a promise: ${broken.invariant}`,
      broken.message,
      `npm run simulate -- --seed ${seed}`,
      '',
      ...lines.slice(-lastLines),
    ];
    expect.fail(story.join('\n'));
  }
}
