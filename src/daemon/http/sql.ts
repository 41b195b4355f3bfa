// POST /sql: one statement, and its rows as they are computed, no faster than the client reads them. A client that goes ends the
// statement. A session is made for it and closed with it, so nothing of it is left behind but what it has committed.
//
// SQL text reaches as far as the account does, so it takes an admin; with --sandbox it reaches the database only, and then viewers
// may ask and operators may define.

import { z } from '@hono/zod-openapi';
import { Diagnostic } from '../../core/diagnostic.ts';
import { writeIpc } from '../../engine/arrow.ts';
import type { Result, Row, Warning } from '../../engine/result.ts';
import { typeName } from '../../engine/type.ts';
import type { Statement } from '../../parser/ast.ts';
import { factsOf } from '../../parser/facts.ts';
import { parse } from '../../parser/parse.ts';
import type { Role } from '../access.ts';
import { preferred } from './media.ts';
import { Places } from './places.ts';
import { pour } from './pour.ts';
import { problemOf, problemSchema, Refusal } from './problem.ts';
import { type Desk, type RouteRequest, route } from './route.ts';
import { anyJson, warningSchema } from './schemas.ts';
import { rowReader } from './statements.ts';

const bodySchema = z.strictObject({
  sql: z.string().openapi({ example: 'SELECT name, next_run FROM cron.schedules WHERE queue = $queue' }),
  params: z
    .union([z.array(anyJson), z.record(z.string(), anyJson)])
    .optional()
    .openapi({ description: 'a list for $1, $2 or ?, an object for $name', example: { queue: 'default' } }),
});

type Body = z.infer<typeof bodySchema>;

const jsonType = 'application/json';
const linesType = 'application/x-ndjson';
const arrowType = 'application/vnd.apache.arrow.stream';

const answerSchema = z
  .object({
    columns: z.array(z.object({ name: z.string(), type: z.string().openapi({ example: 'DECIMAL(10,2)' }) })),
    rows: z
      .array(z.looseObject({}))
      .openapi({ description: 'objects by the names of the columns; numbers that a double cannot hold are texts' }),
    rows_changed: z.int().nullable().openapi({ description: 'null where the statement writes no rows' }),
    warnings: z.array(warningSchema),
    notes: z.array(z.string()),
    failure: z.union([problemSchema, z.null()]).openapi({ description: 'it was carried out, and what it ran did not succeed' }),
    error: problemSchema.optional().openapi({ description: 'the rows end here by a mistake; the connection then breaks off' }),
  })
  .openapi('SqlAnswer');

const mostAtOnce = 100;

export function sqlRoute(desk: Desk): void {
  const { limits, parts } = desk;
  const places = new Places({ most: mostAtOnce, clock: parts.clock, longestWaitMs: 0 });
  route(
    desk,
    {
      method: 'post',
      path: '/api/v1/sql',
      operationId: 'executeSql',
      summary: 'Execute one statement of SQL',
      description:
        'Rows come as they are computed. By Accept: JSON, an object for each line, or an Arrow IPC stream. When the client goes, the statement ends.',
      tag: 'sql',
      role: parts.sandbox === true ? 'viewer' : 'admin',
      body: { schema: bodySchema, isRequired: true, mostBytes: limits.sqlBodyBytes },
      answers: {
        200: {
          description: 'its rows',
          content: { [jsonType]: answerSchema, [linesType]: z.string(), [arrowType]: z.string().openapi({ format: 'binary' }) },
        },
      },
    },
    (request) => places.use(() => execute(desk, request)),
  );
}

async function execute({ parts, limits, statements }: Desk, request: RouteRequest<undefined, unknown, Body>): Promise<Response> {
  const { body, caller, context, gone } = request;
  const type = preferred(context.env.incoming.headers.accept, [jsonType, linesType, arrowType]);
  const { sql, params } = body;
  const isReading = parts.sandbox === true && caller.role !== 'admin' && mustBeAllowedInSandbox(sql, caller.role);
  const session = await statements.session(caller);
  const stop = (): void => {
    session.interrupt().catch(() => undefined);
  };
  gone.addEventListener('abort', stop, { once: true });
  try {
    gone.throwIfAborted();
    if (isReading) await session.execute('BEGIN TRANSACTION READ ONLY');
    const result = await session.execute(sql, params as Parameters<typeof session.execute>[1]);
    const lost = session.transaction === 'none' || isReading ? [] : [transactionLost];
    const chunks = await begun(chunksOf(result, type, [...result.warnings, ...lost]));
    return await pour(context, { headers: { 'Content-Type': type }, chunks, clock: parts.clock, stallMs: limits.stallMs });
  } catch (error) {
    if (!(error instanceof Diagnostic)) throw error;
    // What is not there is not the page that was asked for.
    const status = error.code === 'undefined_object' ? 400 : undefined;
    throw new Refusal(isReading ? inReadersWords(error) : error, { source: 'sql', status });
  } finally {
    gone.removeEventListener('abort', stop);
    await session.close();
  }
}

const transactionLost: Warning = {
  message: 'rolled back: a transaction does not outlive its request',
  hint: 'a session for several statements: cuckoo FILE',
};

/** The first chunk is computed before anything is answered: mistakes mostly show by then, and have a status of their own. */
async function begun<Chunk>(chunks: AsyncGenerator<Chunk, void, undefined>): Promise<AsyncIterable<Chunk>> {
  const first = await chunks.next();
  return (async function* () {
    try {
      if (first.done !== true) yield first.value;
      yield* chunks;
    } finally {
      await chunks.return();
    }
  })();
}

// ---- Forms ----

function chunksOf(
  result: Result,
  type: typeof jsonType | typeof linesType | typeof arrowType,
  warnings: readonly Warning[],
): AsyncGenerator<string | Uint8Array, void, undefined> {
  switch (type) {
    case jsonType:
      return jsonText(result, warnings);
    case linesType:
      return jsonLines(result);
    case arrowType:
      return writeIpc(result, 'stream');
    default:
      return type satisfies never;
  }
}

/** As much text as one write takes. */
const pieceLength = 64 << 10;

async function* jsonText(result: Result, warnings: readonly Warning[]): AsyncGenerator<string, void, undefined> {
  const read = rowReader(result.columns);
  const { notes, failure, rowsChanged } = result;
  const columns = Object.keys(read(result.columns.map(() => null))).map((name, at) => ({ name, type: typeOf(result, at) }));
  let text = `{"columns":${JSON.stringify(columns)},"rows":[`;
  let between = '';
  const end = (more: object): string => `${text}]${JSON.stringify(more).replace('{', ',')}\n`;
  const rest = { rows_changed: rowsChanged ?? null, warnings, notes };
  try {
    for await (const rows of pieces(result)) {
      for (const row of rows) {
        text += between + JSON.stringify(read(row));
        between = ',\n';
      }
      if (text.length < pieceLength) continue;
      yield text;
      text = '';
    }
  } catch (error) {
    if (between === '' || !(error instanceof Diagnostic)) throw error;
    yield end({ ...rest, failure: null, error: problemOf(error) });
    throw error;
  }
  yield end({ ...rest, failure: failure === undefined ? null : problemOf(failure) });
}

/** Each chunk is handed on as it comes: lines of a log that is followed come one by one. */
async function* jsonLines(result: Result): AsyncGenerator<string, void, undefined> {
  const read = rowReader(result.columns);
  let isBegun = false;
  try {
    for await (const rows of pieces(result)) {
      yield rows.map((row) => `${JSON.stringify(read(row))}\n`).join('');
      isBegun = true;
    }
  } catch (error) {
    if (isBegun && error instanceof Diagnostic) yield `${JSON.stringify({ error: problemOf(error) })}\n`;
    throw error;
  }
}

const rowsInPiece = 128;

/** Making text of two thousand wide rows at once would keep the scheduler waiting. */
async function* pieces(result: Result): AsyncGenerator<readonly Row[], void, undefined> {
  for await (const rows of result.chunks()) {
    for (let at = 0; at < rows.length; at += rowsInPiece) yield rows.slice(at, at + rowsInPiece);
  }
}

function typeOf({ columns }: Result, at: number): string {
  const column = columns[at];
  return column === undefined ? '' : typeName(column.type);
}

// ---- The sandbox ----

/** Answers whether it only reads, and then sees nothing else done. */
function mustBeAllowedInSandbox(sql: string, role: Role): boolean {
  const { statement } = parse(sql);
  // What cannot be read does nothing, and its mistakes are told by the session.
  if (statement === undefined) return true;
  const needed = neededFor(statement, sql);
  if (needed === 'viewer') return true;
  if (needed === 'operator' && role === 'operator') return false;
  throw new Refusal(
    new Diagnostic('forbidden', `this statement takes an ${needed}'s token`, {
      span: statement.span,
      hint: role === 'viewer' ? 'a viewer may SELECT, LIST, DESCRIBE and EXPLAIN' : 'an operator may read, define, run and cancel',
    }),
    { source: 'sql' },
  );
}

function neededFor(statement: Statement, sql: string): Role {
  switch (statement.kind) {
    case 'list':
    case 'describe':
    case 'showCreate':
    case 'explainSchedule':
    case 'explainCron':
    case 'explainPipeline':
    case 'describeRun':
    case 'explainRun':
    case 'tailRun':
    case 'simulate':
      return 'viewer';
    case 'define':
    case 'defineProcedure':
    case 'alter':
    case 'drop':
    case 'enable':
    case 'call':
    case 'runSchedule':
    case 'runPipeline':
    case 'backfill':
    case 'cancelRun':
    case 'cancelRuns':
    case 'retryRun':
    case 'retryDeadLetter':
    case 'dropDeadLetter':
    case 'pauseQueue':
      return 'operator';
    case 'pauseScheduler':
    case 'backup':
    case 'set':
    case 'reset':
      return 'admin';
    case 'passThrough':
      return asks.has(statement.firstWords[0] ?? '') && factsOf(sql).acts.length === 0 ? 'viewer' : 'admin';
    default:
      return statement satisfies never;
  }
}

const asks: ReadonlySet<string> = new Set([
  'SELECT',
  'WITH',
  'FROM',
  'VALUES',
  'TABLE',
  'DESCRIBE',
  'SUMMARIZE',
  'SHOW',
  'PIVOT',
  'UNPIVOT',
  'EXPLAIN',
]);

/** DuckDB tells of its transaction, which nobody has asked for. */
function inReadersWords(error: Diagnostic): Diagnostic {
  if (!/read-only mode|same definitions at the same moment/.test(error.message)) return error;
  return new Diagnostic('forbidden', 'this statement writes, and is only allowed to read', { span: error.span, cause: error });
}
