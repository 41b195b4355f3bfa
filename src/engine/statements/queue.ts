// UPSERT, CREATE, ALTER, DROP, DESCRIBE, SHOW CREATE, PAUSE and RESUME of queues.

import { Diagnostic } from '../../core/diagnostic.ts';
import { formatDuration } from '../../core/duration.ts';
import { nameKey } from '../../core/name.ts';
import type {
  AlterStatement,
  DefineStatement,
  DescribeStatement,
  DropStatement,
  Name,
  ObjectValue,
  PauseQueueStatement,
} from '../../parser/ast.ts';
import { bindQueue } from '../bind/queue.ts';
import type { Result } from '../result.ts';
import type { StoredQueue } from '../store/duckdb/catalogue.ts';
import { answer, outcome, type StatementContext, text, texts } from './context.ts';
import { alreadyExists, canonical, changedKeys, definitionText, doesNotExist, overlay, stillUsed, storedDefinition } from './definition.ts';
import { description, propertiesOf } from './description.ts';
import { storedDefinitionAt } from './storedDefinition.ts';

const columns = [text('name'), text('outcome'), texts('changed'), texts('warnings')];

/** Where schedules go that name no queue. */
const everyonesQueue = 'default';

export async function defineQueue(statement: DefineStatement, context: StatementContext): Promise<Result> {
  const existing = await context.catalogue.queue(statement.name.text);
  const tag = `${statement.verb.toUpperCase()} QUEUE`;
  if (existing !== undefined && statement.verb === 'create') {
    if (!statement.ifNotExists) throw alreadyExists('queue', statement.name);
    return answer({ tag, columns, rows: [[existing.name, 'unchanged', [], []]] });
  }
  return putDefinition(statement.name, statement.definition, existing, tag, context);
}

export async function alterQueue(statement: AlterStatement, context: StatementContext): Promise<Result> {
  const existing = await findQueue(statement.name, context);
  const definition = overlay(storedDefinitionAt(existing.definition, statement.name.span, context), statement.changes);
  return putDefinition({ ...statement.name, text: existing.name }, definition, existing, 'ALTER QUEUE', context);
}

async function putDefinition(
  name: Name,
  definition: ObjectValue,
  existing: StoredQueue | undefined,
  tag: string,
  context: StatementContext,
): Promise<Result> {
  const queue = bindQueue(definition);
  const entries = canonical(definition);
  const changed = existing === undefined ? [] : changedKeys(storedDefinition(existing.definition, context), entries);
  if (existing !== undefined && existing.name !== name.text) changed.unshift('name');
  if (existing !== undefined && changed.length === 0) return answer({ tag, columns, rows: [[existing.name, 'unchanged', [], []]] });
  // Whether it is paused is no part of the definition: applying one again must not set a paused queue going.
  const paused = existing?.paused ?? false;
  const stored = { name: name.text, paused, definition: definitionText('queue', name, entries), ...queue };
  await context.defining(() => context.catalogue.putQueue(stored, context.now));
  return answer({ tag, columns, rows: [[stored.name, existing === undefined ? 'created' : 'updated', changed, []]] });
}

export async function dropQueues(statement: DropStatement, context: StatementContext): Promise<Result> {
  const going = new Map<string, StoredQueue>();
  for (const name of statement.names) {
    const stored = await context.catalogue.queue(name.text);
    if (stored === undefined) {
      if (statement.ifExists) continue;
      throw await missing(name, context);
    }
    if (nameKey(stored.name) === everyonesQueue) {
      throw new Diagnostic('in_use', `queue ${stored.name} cannot be dropped: schedules that name no queue run in it`, {
        span: name.span,
        hint: `PAUSE QUEUE ${stored.name}; stops it, ALTER QUEUE ${stored.name} SET ( concurrency: 1 ); slows it down`,
      });
    }
    const users = await context.catalogue.usersOf('queue', stored.name);
    if (users.length > 0) throw stillUsed('queue', stored.name, users, name.span);
    const [waiting] = await context.connection.all<{ count: number }>(context.sql.openRunsIn, { key: nameKey(stored.name) });
    if ((waiting?.count ?? 0) > 0) {
      throw new Diagnostic(
        'in_use',
        `queue ${stored.name} cannot be dropped: ${waiting?.count === 1 ? '1 run waits' : `${waiting?.count} runs wait`} in it`,
        {
          span: name.span,
          hint: `RESUME QUEUE ${stored.name}; lets them run, CANCEL RUNS WHERE queue = '${stored.name}'; ends them`,
        },
      );
    }
    going.set(nameKey(stored.name), stored);
  }
  await context.defining(async () => {
    for (const stored of going.values()) await context.catalogue.dropQueue(stored.name);
  });
  return outcome(
    'DROP QUEUE',
    statement.names.map((name) => [name.text, going.has(nameKey(name.text)) ? 'dropped' : 'absent']),
  );
}

/** A paused queue keeps its runs, and the pause is durable. */
export async function pauseQueue(statement: PauseQueueStatement, context: StatementContext): Promise<Result> {
  const stored = await findQueue(statement.name, context);
  const { paused } = statement;
  if (stored.paused !== paused) await context.defining(() => context.catalogue.pauseQueue(stored.name, paused, context.now));
  const what = stored.paused === paused ? 'unchanged' : paused ? 'paused' : 'resumed';
  return outcome(`${paused ? 'PAUSE' : 'RESUME'} QUEUE`, [[stored.name, what]]);
}

export async function showCreateQueue(name: Name, context: StatementContext): Promise<string> {
  const stored = await findQueue(name, context);
  const span = name.span;
  return definitionText('queue', { text: stored.name, quoted: false, span }, storedDefinition(stored.definition, context));
}

export async function describeQueue(statement: DescribeStatement, context: StatementContext): Promise<Result> {
  const stored = await findQueue(statement.name, context);
  const [row] = await context.connection.all(`SELECT * FROM ${context.sql.cron}.queues WHERE name = $name`, { name: stored.name });
  const { rate } = bindQueue(storedDefinition(stored.definition, context));
  const users = await context.catalogue.usersOf('queue', stored.name);
  return description([
    ...(await propertiesOf(row ?? {}, context)),
    ...(rate === null ? [] : [['rate', `${rate.count} per ${formatDuration(rate.perMs)}`] as const]),
    ['used_by', users.join(', ') || 'no schedule'],
  ]);
}

async function findQueue(name: Name, context: StatementContext): Promise<StoredQueue> {
  const stored = await context.catalogue.queue(name.text);
  if (stored === undefined) throw await missing(name, context);
  return stored;
}

async function missing(name: Name, context: StatementContext): Promise<Diagnostic> {
  return doesNotExist('queue', name.text, name.span, await context.catalogue.queueNames());
}
