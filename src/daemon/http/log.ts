// The lines of an execution as events: those that are there and those that come, until it has ended. TAIL RUN does the work.

import { Diagnostic } from '../../core/diagnostic.ts';
import type { Result } from '../../engine/result.ts';
import { nowhere } from '../../parser/make.ts';
import { goneSignal, pour } from './pour.ts';
import { problemOf } from './problem.ts';
import type { Desk, RouteRequest } from './route.ts';
import { eventStreamHeaders, eventText, heartbeat } from './sse.ts';
import { rowReader, textIn, textOf } from './statements.ts';

type FollowRequest = Pick<RouteRequest<unknown, { readonly step?: string | undefined }, unknown>, 'caller' | 'context' | 'query'>;

export async function followLog(desk: Desk, { caller, context, query }: FollowRequest, runId: string): Promise<Response> {
  const { statements, parts, limits, draining } = desk;
  const session = await statements.session(caller);
  const stop = (): void => {
    session.interrupt().catch(() => undefined);
  };
  const over = AbortSignal.any([goneSignal(context), draining]);
  over.addEventListener('abort', stop, { once: true });
  try {
    over.throwIfAborted();
    const sql = textOf({ kind: 'tailRun', run: textIn(runId), span: nowhere });
    const events = eventsOf(await session.execute(sql), { after: context.env.incoming.headers['last-event-id'], step: query.step });
    const chunks = ended(events, async () => {
      const [run] = await statements.read('LIST RUNS WHERE run_id = $run LIMIT 1', { run: runId });
      return eventText({ event: 'end', data: run ?? null });
    });
    return await pour(context, { headers: eventStreamHeaders, chunks, clock: parts.clock, stallMs: limits.stallMs, heartbeat });
  } finally {
    over.removeEventListener('abort', stop);
    await session.close();
  }
}

/** The moment of a line is its id: whoever comes again has what came after. */
async function* eventsOf(
  result: Result,
  { after, step }: { readonly after: string | string[] | undefined; readonly step: string | undefined },
): AsyncGenerator<string, void, undefined> {
  const read = rowReader(result.columns);
  for await (const rows of result.chunks()) {
    let text = '';
    for (const row of rows) {
      const line = read(row);
      const id = String(line['logged_at']);
      if (typeof after === 'string' && Date.parse(id) <= Date.parse(after) && id <= after) continue;
      if (step !== undefined && line['step'] !== step) continue;
      text += eventText({ id, event: 'line', data: line });
    }
    if (text !== '') yield text;
  }
}

async function* ended(
  events: AsyncGenerator<string, void, undefined>,
  last: () => Promise<string>,
): AsyncGenerator<string, void, undefined> {
  try {
    yield* events;
    yield await last();
  } catch (error) {
    // Mostly that the daemon leaves.
    if (error instanceof Diagnostic) yield eventText({ event: 'error', data: { ...problemOf(error) } as never });
  }
}
