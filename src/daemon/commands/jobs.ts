// list_jobs, run_job, ..: each is a statement, carried out where the file is: by the daemon that holds it, or here. People read tables and
// sentences, programs JSON with the columns of the relation that the statement answers.

import { Diagnostic } from '../../core/diagnostic.ts';
import type { Result } from '../../engine/result.ts';
import { systemClock } from '../../scheduler/clock.ts';
import { failedRun, logLines, runSentence, sentence } from '../answer.ts';
import type { Config } from '../config.ts';
import { type ExitCode, exitCodes } from '../exit.ts';
import { Output } from '../output.ts';
import { openPlace, type Place } from '../place.ts';
import { render } from '../render/render.ts';
import type { Sink } from '../render/sink.ts';
import { folded, oneLine } from '../render/terminalText.ts';
import type { AskedCommand } from './commandLine.ts';

type JobCommand = 'status' | 'list_jobs' | 'job_status' | 'enable_job' | 'disable_job' | 'run_job' | 'history' | 'logs' | 'cancel';

export async function runJobCommand(asked: AskedCommand & { readonly name: JobCommand }, config: Config): Promise<ExitCode> {
  const { options } = asked;
  const { environment, poolSize } = config;
  const place = await openPlace(options.file ?? config.file, { environment, poolSize });
  const session = await place.session();
  const interrupt = (): void => {
    session.interrupt().catch(() => {
      // It has ended by itself.
    });
  };
  process.once('SIGINT', interrupt);
  try {
    const text = statementOf(asked, place);
    const zone = await session.zone();
    const result = await session.execute(text);
    const output = new Output(process.stdout, 'standard output');
    const sink: Sink = {
      write: (chunk) => output.write(chunk),
      columns: output.columns,
      color: options.color && config.color && process.stdout.isTTY,
    };
    await present(result, sink, { zone, json: options.json === true, asked: asked.name });
    for (const { message, hint } of result.warnings)
      process.stderr.write(`warning: ${message}${hint === undefined ? '' : `\n   hint: ${hint}`}\n`);
    await output.flush();
    if (result.failure === undefined) return exitCodes.done;
    if (asked.name === 'run_job') return exitCodes.jobFailed;
    throw result.failure;
  } finally {
    process.off('SIGINT', interrupt);
    await session.close();
    await place.close();
  }
}

function statementOf({ name, operands: [operand = ''], options }: AskedCommand & { readonly name: JobCommand }, place: Place): string {
  switch (name) {
    case 'status':
      return statusQuery(place);
    case 'list_jobs':
      return 'SELECT name, sched, timezone, status, next_run, last_run, last_state FROM cron.schedules ORDER BY name';
    case 'job_status':
      return `DESCRIBE SCHEDULE ${identifier(operand)}`;
    case 'enable_job':
      return `ENABLE SCHEDULE ${identifier(operand)}`;
    case 'disable_job':
      return `DISABLE SCHEDULE ${identifier(operand)}`;
    case 'run_job':
      return `RUN SCHEDULE ${identifier(operand)}${parametersOf(options.param ?? [])}${options.wait === true ? ' AWAIT' : ''}`;
    case 'history':
      return `SELECT run_id, scheduled_at, state, reason, attempt, duration_ms, rows_changed FROM cron.runs
        WHERE schedule = ${literal(operand)} ORDER BY run_id DESC LIMIT ${options.limit ?? 20}`;
    case 'logs':
      // What is there, or that and all that comes.
      return options.follow === true
        ? `TAIL RUN ${literal(operand)}`
        : `SELECT logged_at, step, stream, level, line FROM cron.run_logs
            WHERE run_id = (SELECT min(run_id) FROM cron.runs WHERE starts_with(run_id, ${literal(operand)})) ORDER BY logged_at`;
    case 'cancel':
      return `CANCEL RUN ${literal(operand)}`;
    default:
      return name satisfies never;
  }
}

function statusQuery(place: Place): string {
  const daemon = place.kind === 'daemon' ? place.daemon : undefined;
  const held =
    daemon === undefined
      ? 'no daemon: opened by this command'
      : `daemon, process ${daemon.pid}${daemon.since === undefined ? '' : ` since ${daemon.since}`}`;
  return `SELECT ${literal(place.path)} AS file, ${literal(held)} AS held_by, ${daemon?.url === undefined ? 'NULL::VARCHAR' : literal(daemon.url)} AS url,
    cuckoo_health()::JSON->>'$.mode' AS scheduler,
    (SELECT count(*) FROM cron.schedules) AS schedules, (SELECT count(*) FROM cron.schedules WHERE NOT enabled) AS disabled,
    (SELECT count(*) FROM cron.runs WHERE state = 'running') AS running, (SELECT count(*) FROM cron.runs WHERE state = 'pending') AS pending,
    (SELECT count(*) FROM cron.dead_letters) AS dead_letters, (SELECT min(next_run) FROM cron.schedules) AS next_run,
    (SELECT list(schedule || ': ' || condition ORDER BY schedule) FROM cron.schedule_health) AS troubles`;
}

interface Shown {
  readonly zone: string;
  readonly json: boolean;
  readonly asked: JobCommand;
}

async function present(result: Result, sink: Sink, { zone, json, asked }: Shown): Promise<void> {
  if (json) return render(result, asked === 'logs' ? 'jsonlines' : 'json', sink, { zone });
  const { columns } = result;
  const tell = (text: string): Promise<void> => sink.write(`${folded(oneLine(text), { columns: sink.columns, indent: '   ' })}\n`);
  if (asked === 'logs') {
    for await (const row of result) await sink.write(logLines([row], { zone, color: sink.color === true, width: sink.columns }));
    return;
  }
  switch (result.form) {
    case 'runs':
      for (const row of await result.toArray()) {
        await tell(runSentence(columns, row));
        const runId = failedRun(columns, row)?.runId;
        if (runId !== undefined) await sink.write(`   cuckoo logs ${runId}\n`);
      }
      return;
    case 'outcomes':
      for (const row of await result.toArray()) await tell(sentence(columns, row, { now: systemClock.now(), zone }));
      return;
    default:
      return render(result, asked === 'status' ? 'line' : 'duckbox', sink, { zone });
  }
}

/** `--param day=2026-11-20`: numbers and truth are what they look like, all else is text. */
function parametersOf(given: readonly string[]): string {
  if (given.length === 0) return '';
  const entries = given.map((text) => {
    const at = text.indexOf('=');
    if (at < 1) throw new Diagnostic('usage', `--param ${text} gives no value`, { hint: '--param day=2026-11-20' });
    const value = text.slice(at + 1);
    const isPlain = /^(?:-?\d{1,15}(?:\.\d+)?|true|false|null)$/.test(value);
    return `${identifier(text.slice(0, at))}: ${isPlain ? value : literal(value)}`;
  });
  return ` WITH ( ${entries.join(', ')} )`;
}

function identifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
