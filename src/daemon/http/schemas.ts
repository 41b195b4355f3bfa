// What routes share in what they answer: the rows of the relations of schema `cron`, with their columns as they are called there.

import { z } from '@hono/zod-openapi';
import { problemSchema } from './problem.ts';

export const warningSchema = z.object({ message: z.string(), hint: z.string().optional() }).openapi('Warning');

/** What JSON can hold: it has been parsed already. */
export const anyJson = z.unknown().openapi({ description: 'any JSON' });

const instant = z.string().openapi({ format: 'date-time', example: '2026-11-21T02:00:00Z' });
const text = z.string().nullable();
const count = z.int().nullable();
const ms = z.number().nullable();
const at = instant.nullable();
const texts = z.array(z.string()).nullable();

export const states = ['pending', 'running', 'succeeded', 'failed', 'timed_out', 'cancelled', 'skipped', 'interrupted'] as const;

export const jobStatuses = ['disabled', 'running', 'retry_pending', 'failed_permanently', 'finished', 'scheduled'] as const;

export const jobSchema = z
  .object({
    name: z.string(),
    sched: text,
    timezone: text,
    exe: z.string(),
    call: text,
    params: z.looseObject({}).nullable(),
    config: z.looseObject({}).nullable(),
    enabled: z.boolean(),
    status: z.enum(jobStatuses).nullable(),
    next_run: at,
    last_run: at,
    last_state: text,
    running: count,
    retry_count: count,
    max_retries: count,
    consecutive_failures: count,
    queue: text,
    priority: text,
    overlap: text,
    catchup: text,
    after: texts,
    calendar: text,
    description: text,
    tags: texts,
    owner: text,
    source: text.openapi({ description: 'the file of the job directory that has made it' }),
    version: z.int(),
    created_at: instant,
    updated_at: instant,
    definition: z.string().openapi({ description: 'the statement that makes it' }),
  })
  .openapi('Job');

export const executionSchema = z
  .object({
    run_id: z.string(),
    schedule: text,
    exe: text,
    call: text,
    trigger: z.string(),
    scheduled_at: at,
    opened_at: instant,
    started_at: at,
    finished_at: at,
    state: z.enum(states),
    reason: text,
    attempt: z.int(),
    final: z.boolean(),
    fires: count,
    first_scheduled_at: at,
    queue: text,
    priority: text,
    params: anyJson,
    result: anyJson,
    rows_changed: count,
    error_code: text,
    error_message: text,
    error_detail: anyJson,
    guarantee: text,
    guarantee_reason: text,
    conflicts: count,
    lag_ms: ms,
    wait_ms: ms,
    duration_ms: ms,
    cpu_ms: ms,
    peak_memory: count,
    schedule_version: count,
    root_run_id: text,
    parent_run_id: text,
    retry_of: text,
    node: text,
    rows_by_statement: z.array(z.int()).nullable(),
    notes: texts,
    progress: ms,
    progress_message: text,
  })
  .openapi('Execution');

/** What every changing request says. */
export const carried = {
  sql: z.string().openapi({ description: 'the statement that was carried out', example: 'ENABLE SCHEDULE nightly' }),
  warnings: z.array(warningSchema),
};

export const outcomeSchema = z
  .object({
    ...carried,
    name: z.string(),
    outcome: z.string().openapi({ example: 'enabled' }),
  })
  .openapi('Outcome');

export const definitionOutcomeSchema = z
  .object({
    ...carried,
    name: z.string(),
    outcome: z.enum(['created', 'updated', 'unchanged']),
    changed: z.array(z.string()).openapi({ description: 'the keys that are different now' }),
    next_run: at,
    in_words: text,
  })
  .openapi('DefinitionOutcome');

export const runSchema = z
  .object({
    ...carried,
    run_id: z.string(),
    schedule: text,
    state: z.enum(states),
    reason: text,
    duration_ms: ms,
    rows_changed: count,
    result: anyJson,
    failure: z.union([problemSchema, z.null()]),
  })
  .openapi('Run');

export const fireSchema = z
  .object({
    schedule: z.string(),
    scheduled_at: instant,
    local_time: z.string(),
    zone: text,
    note: z.string(),
  })
  .openapi('Fire');

export const stepSchema = z
  .object({
    run_id: z.string(),
    step: z.string(),
    item: count.openapi({ description: 'of a for_each, from 0' }),
    kind: text,
    state: text,
    reason: text,
    attempt: count,
    started_at: at,
    finished_at: at,
    duration_ms: ms,
    rows_changed: count,
    result: anyJson,
    error_message: text,
  })
  .openapi('Step');

export const logLineSchema = z
  .object({ run_id: z.string(), step: text, logged_at: instant, stream: text, level: text, line: z.string() })
  .openapi('LogLine');

export const queueSchema = z
  .object({
    name: z.string(),
    definition: z.string(),
    weight: count,
    concurrency: count,
    paused: z.boolean(),
    pending: z.int(),
    active: z.int(),
    completed: z.int(),
    failed: z.int(),
    scheduled: z.int().openapi({ description: 'retries that wait for their time' }),
  })
  .openapi('Queue');

export const queueStatusSchema = z
  .object({
    queues: z.array(
      queueSchema.pick({ name: true, paused: true, pending: true, active: true, completed: true, failed: true, scheduled: true }),
    ),
    workers: z.object({ total: z.int(), active: z.int(), idle: z.int() }),
  })
  .openapi('QueueStatus');

export const calendarSchema = z.object({ name: z.string(), definition: z.string() }).openapi('Calendar');

const routine = {
  name: z.string(),
  language: text,
  parameters: anyJson,
  options: anyJson,
  version: z.int(),
  created_at: instant,
  updated_at: instant,
  definition: z.string(),
};

export const procedureSchema = z.object({ ...routine, body: text }).openapi('Procedure');
export const pipelineSchema = z.object({ ...routine, steps: anyJson }).openapi('Pipeline');
