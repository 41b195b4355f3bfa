// What the environment says, read once and in one place: nothing else in the house looks at process.env.

import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';

export interface Config {
  /** The database to open where the command line names none. */
  readonly file: string;
  /** Where history is kept over sessions; undefined: nowhere. */
  readonly historyPath: string | undefined;
  /** Where it is kept what this user has committed and run. */
  readonly trustPath: string | undefined;
  /** Where this user's tokens are kept. */
  readonly stateFolder: string | undefined;
  readonly color: boolean;
  /** A terminal that moves its cursor; without one, lines are read as they come. */
  readonly canEdit: boolean;
  /** How many native calls may run at once; bin/cuckoo.cjs has set it before anything was loaded. */
  readonly poolSize: number;
  /** What `env('..')` in a definition reads, when it is used. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** The variables that are looked at; `cuckoo --help` lists them. */
interface Environment {
  readonly CUCKOO_FILE?: string | undefined;
  readonly NO_COLOR?: string | undefined;
  readonly TERM?: string | undefined;
  readonly XDG_STATE_HOME?: string | undefined;
  readonly HOME?: string | undefined;
  readonly UV_THREADPOOL_SIZE?: string | undefined;
}

/** libuv's own. */
const defaultPoolSize = 4;

export function readConfig(environment: Environment = process.env): Config {
  const isDumb = environment.TERM === 'dumb';
  return {
    file: given(environment.CUCKOO_FILE) ?? './cuckoo.duckdb',
    historyPath: statePath(environment, 'history'),
    trustPath: statePath(environment, 'trust'),
    stateFolder: stateFolder(environment),
    // https://no-color.org: set and not empty, whatever it holds.
    color: given(environment.NO_COLOR) === undefined && !isDumb,
    canEdit: !isDumb,
    poolSize: Number(given(environment.UV_THREADPOOL_SIZE)) || defaultPoolSize,
    environment: { ...environment },
  };
}

function statePath(environment: Environment, name: string): string | undefined {
  const folder = stateFolder(environment);
  return folder === undefined ? undefined : join(folder, name);
}

function stateFolder(environment: Environment): string | undefined {
  const state = given(environment.XDG_STATE_HOME);
  // The XDG specification: a path that is not absolute is ignored.
  if (state !== undefined && isAbsolute(state)) return join(state, 'cuckoo');
  const home = given(environment.HOME) ?? given(homedir());
  return home === undefined ? undefined : join(home, '.local', 'state', 'cuckoo');
}

function given(value: string | undefined): string | undefined {
  return value === undefined || value === '' ? undefined : value;
}
