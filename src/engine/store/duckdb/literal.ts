// Quoting for SQL text that we write ourselves. Values of people travel as parameters; these are for places that take none.

export function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

export function identifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
