// Names are kept as they were written and compared without regard to case.

/** ASCII only, as DuckDB folds its identifiers. */
export function nameKey(name: string): string {
  return name.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}
