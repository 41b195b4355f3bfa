// Who may come in, and what he may do there.

/** Each may what those before it may. */
export const roles = ['viewer', 'operator', 'admin'] as const;
export type Role = (typeof roles)[number];

export interface Caller {
  readonly name: string;
  readonly role: Role;
}

export interface Access {
  /** Of an Authorization header; undefined: nobody we know. */
  check(header: string | undefined): Caller | undefined;
}
