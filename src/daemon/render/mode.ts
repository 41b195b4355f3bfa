// The names of the output modes, for `.mode` and `--format`. duckbox is for people, the last ones are for programs.

export const modes = ['duckbox', 'box', 'line', 'markdown', 'csv', 'tsv', 'json', 'jsonlines', 'arrow'] as const;

export type Mode = (typeof modes)[number];
