// Which jobs have series of their own: the oldest 1000, so that a file with a million schedules does not drown whoever reads the page, and
// so that they are the same ones after a restart. The others are counted together.

/** What stands for all others, and for work that belongs to no schedule. */
export const otherJobs = '(other)';

export class JobNames {
  readonly #most: number;
  #names: ReadonlySet<string> = new Set();
  #isStale = true;

  constructor(most: number) {
    this.#most = most;
  }

  /** Definitions have changed. */
  forget(): void {
    this.#isStale = true;
  }

  /** `known`: the oldest first, of which no more are asked for than there is room. Answers who has gone. */
  refresh(known: Iterable<{ readonly name: string }>): readonly string[] {
    if (!this.#isStale) return [];
    const names = new Set<string>();
    for (const { name } of known) {
      if (names.size === this.#most) break;
      names.add(name);
    }
    const gone = [...this.#names].filter((name) => !names.has(name));
    this.#names = names;
    this.#isStale = false;
    return gone;
  }

  labelOf(name: string): string {
    return this.#names.has(name) ? name : otherJobs;
  }

  get size(): number {
    return this.#names.size;
  }
}
