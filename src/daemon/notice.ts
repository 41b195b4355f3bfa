// A line for somebody who may be typing right now: what happened meanwhile. It knows how it is written and not where; the editor
// puts it over its prompt, a plain terminal between two lines.

export interface Notice {
  /** Lines of one key say the same of another time: a newer one may take the place of the older. */
  readonly key?: string;
  /** How often it happened; the line stands for all of them. */
  readonly count: number;
  /** Never wider than the terminal; without one, as long as it is. */
  line(count: number, columns: number | undefined): string;
}
