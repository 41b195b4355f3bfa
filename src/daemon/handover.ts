// A daemon that starts while a shell holds the file asks for it. The shell says no as long as something would be lost with its process,
// and why; else it lets go of the file before it answers, and becomes the daemon's client (sitting.ts).

import { realpathSync } from 'node:fs';
import { request } from 'node:http';
import type { Engine } from '../engine/engine.ts';
import { type Clock, systemClock } from '../scheduler/clock.ts';
import { nameOf } from '../scheduler/run.ts';
import { type HandoverAnswer, whoHolds } from './lock.ts';
import { oneLine, truncated } from './render/terminalText.ts';
import { protocolVersion, type ShellSession } from './wire/protocol.ts';

export interface HandoverRequest {
  readonly clock?: Clock;
  /** Who asks. */
  readonly pid: number;
  readonly timeoutMs?: number;
}

/** A shell that lets go waits for what is being written, and for a checkpoint. */
const defaultTimeoutMs = 30_000;

/** nobody: no Cuckoo answers for the file. Resolves with `released` when DuckDB's lock is free. */
export async function askToHandOver(file: string, options: HandoverRequest): Promise<HandoverAnswer | 'nobody'> {
  const { clock = systemClock, timeoutMs = defaultTimeoutMs } = options;
  let holder: Awaited<ReturnType<typeof whoHolds>>;
  try {
    holder = await whoHolds(realpathSync(file), clock);
  } catch {
    // A file that does not exist is held by nobody.
    return 'nobody';
  }
  if (holder === undefined) return 'nobody';
  const who = `${holder.kind === undefined ? 'the process that holds the file' : `a Cuckoo ${holder.kind}`}${holder.pid === undefined ? '' : ` (process ${holder.pid})`}`;
  if (holder.kind === 'daemon' || holder.kind === 'library') return { refused: `${who} holds the file and hands it to nobody` };
  return new Promise((resolve) => {
    const body = JSON.stringify({ protocol: protocolVersion, pid: options.pid });
    const headers = { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) };
    const asked = request({ socketPath: holder.address, method: 'POST', path: '/handover', headers, agent: false });
    const timer = clock.after(timeoutMs, () => settle({ refused: `${who} has not answered for ${Math.round(timeoutMs / 1000)} s` }));
    const settle = (answer: HandoverAnswer): void => {
      timer.cancel();
      asked.destroy();
      resolve(answer);
    };
    asked.on('error', (error) => settle({ refused: `${who} does not answer: ${error.message}` }));
    asked.on('response', (response) => {
      let text = '';
      response.on('data', (chunk) => {
        text += String(chunk);
      });
      response.on('error', () => settle({ refused: `${who} broke off` }));
      response.on('end', () =>
        settle(response.statusCode === 200 ? 'released' : refusalIn(text, { who, hasNone: response.statusCode === 404 })),
      );
    });
    asked.end(body);
  });
}

/** `hasNone`: it takes no such question, as a command does not, which has done its work in a moment. */
function refusalIn(text: string, { who, hasNone }: { readonly who: string; readonly hasNone: boolean }): HandoverAnswer {
  try {
    const { refused, passes } = Object(JSON.parse(text)) as { readonly refused?: unknown; readonly passes?: unknown };
    if (typeof refused === 'string') return passes === true ? { refused, passes } : { refused };
  } catch {
    // It says so in another way.
  }
  return { refused: `${who} does not hand over`, passes: hasNone };
}

// ---- The other side ----

const shownNames = 3;
const longestName = 48;

/** Why a shell cannot let go of its file right now: what would be lost, and could not be had again. */
export async function reasonToStay(engine: Engine, session: ShellSession): Promise<string | undefined> {
  if (session.busy) return 'a statement is at work';
  if (session.transaction !== 'none') return 'a transaction is open';
  const runs = [...engine.scheduler.allRunning()].map(({ run }) => nameOf(run));
  if (runs.length > 0) return `${counted(runs.length, 'run is at work', 'runs are at work')}: ${listed(runs)}`;
  const temporary = await texts(
    session,
    `SELECT table_name FROM duckdb_tables() WHERE temporary UNION ALL
     SELECT view_name FROM duckdb_views() WHERE temporary AND NOT internal UNION ALL
     SELECT sequence_name FROM duckdb_sequences() WHERE temporary ORDER BY 1`,
  );
  if (temporary.length > 0) return `it has ${counted(temporary.length, 'temporary table', 'temporary tables')}: ${listed(temporary)}`;
  const own = engine.database.catalogue.replaceAll("'", "''");
  const attached = await texts(
    session,
    `SELECT database_name FROM duckdb_databases() WHERE NOT internal AND database_name <> '${own}' ORDER BY 1`,
  );
  if (attached.length > 0) return `it has attached ${counted(attached.length, 'other database', 'other databases')}: ${listed(attached)}`;
  return undefined;
}

/** What goes with the session all the same, by name: settings, variables, prepared statements. */
export async function lostWith(engine: Engine, session: ShellSession): Promise<readonly string[]> {
  const fresh = await engine.session({ actor: 'cuckoo', admin: true });
  try {
    const settings = 'SELECT name, value FROM duckdb_settings() ORDER BY name';
    const usual = new Map((await (await fresh.execute(settings)).toArray()).map(([name, value]) => [name, value]));
    const changed = (await (await session.execute(settings)).toArray()).filter(([name, value]) => usual.get(name ?? null) !== value);
    const rest = await texts(
      session,
      "SELECT 'variable ' || name FROM duckdb_variables() UNION ALL SELECT 'prepared statement ' || name FROM duckdb_prepared_statements() ORDER BY 1",
    );
    return [...changed.map(([name, value]) => `${name} = '${value}'`), ...rest].map((text) => truncated(oneLine(text), longestName));
  } finally {
    await fresh.close();
  }
}

async function texts(session: ShellSession, sql: string): Promise<string[]> {
  return (await (await session.execute(sql)).toArray()).map(([value]) => String(value));
}

function counted(count: number, one: string, many: string): string {
  return `${count} ${count === 1 ? one : many}`;
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, shownNames).map((name) => truncated(oneLine(name), longestName));
  return `${shown.join(', ')}${names.length > shownNames ? ', ..' : ''}`;
}
