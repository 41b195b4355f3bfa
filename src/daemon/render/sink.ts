// Where a rendered result goes, as far as rendering needs to know.

export interface Sink {
  /** Resolves when the next piece is welcome: a slow reader slows the query down. */
  write(piece: string | Uint8Array): Promise<void>;
  /** The width of the terminal; undefined where there is none. */
  readonly columns?: number | undefined;
  /** Colours and faint text; without it, plain text. */
  readonly color?: boolean | undefined;
}

export interface RenderOptions {
  /** Where TIMESTAMPTZ is shown; `UTC` unless told. JSON and Arrow carry instants, which need none. */
  readonly zone?: string | undefined;
}
