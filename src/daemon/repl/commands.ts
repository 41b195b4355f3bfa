// The shell's own commands. Each has one list of names; every name is taken behind `.` and behind `\`, so that hands trained
// by DuckDB's shell and by psql both find what they look for.

import { Diagnostic } from '../../core/diagnostic.ts';
import { suggest } from '../../parser/suggest.ts';
import { readMode } from '../cli.ts';
import type { FiresSetting } from '../fires.ts';
import { modes } from '../render/mode.ts';
import type { Outcome, Shell, TimerSetting } from '../shell.ts';

export interface ShellCommand {
  /** The first is the one that help shows; psql's short ones are in `short`. */
  readonly name: string;
  readonly short?: string;
  readonly aliases?: readonly string[];
  readonly argument: 'none' | 'optional' | 'required';
  /** What stands for the argument in help, and what Tab completes it with. */
  readonly takes?: 'PATTERN' | 'NAME' | 'TABLE' | 'MODE' | 'FILE' | 'on|off|auto' | 'on|off|failures' | 'COMMAND';
  readonly summary: string;
  run(shell: Shell, argument: string): Promise<Outcome>;
}

/** Carries out a line such as `.mode csv` or `\dt`; a Diagnostic's span lies in `line`. */
export async function runCommand(shell: Shell, line: string): Promise<Outcome> {
  const { command, argument } = readCommand(line);
  return command.run(shell, argument);
}

export function readCommand(line: string): { readonly command: ShellCommand; readonly argument: string } {
  const match = /^([.\\])(\S*?);?(?:\s+(.*?))?\s*;?\s*$/s.exec(line);
  const prefix = match?.[1] ?? '.';
  const name = match?.[2] ?? '';
  const command = findCommand(name);
  const span = { start: 0, end: name.length + 1 };
  if (command === undefined) {
    const near = suggest(
      name,
      shellCommands.map((known) => known.name),
    );
    const hint = `${near === undefined ? '' : `did you mean ${prefix}${near}? `}${prefix}help lists the commands`;
    throw new Diagnostic('syntax_error', `there is no command ${prefix}${name}`, { span, hint });
  }
  const argument = unquote(match?.[3] ?? '');
  if (argument === '' && command.argument === 'required') {
    throw new Diagnostic('missing_key', `${prefix}${name} needs ${article(command.takes)}`, { span, hint: usage(command, prefix) });
  }
  if (argument !== '' && command.argument === 'none') {
    throw new Diagnostic('syntax_error', `${prefix}${name} takes nothing more`, {
      span: { start: line.indexOf(argument, name.length + 1), end: line.trimEnd().length },
      hint: usage(command, prefix),
    });
  }
  return { command, argument };
}

export function findCommand(name: string): ShellCommand | undefined {
  const wanted = name.toLowerCase();
  return shellCommands.find((command) => command.name === wanted || command.short === wanted || (command.aliases ?? []).includes(wanted));
}

export const shellCommands: readonly ShellCommand[] = [
  {
    name: 'help',
    short: '?',
    aliases: ['h'],
    argument: 'optional',
    takes: 'COMMAND',
    summary: 'this list, or what one command does',
    async run(shell, argument) {
      await shell.say(helpText(argument));
      return 'done';
    },
  },
  {
    name: 'tables',
    short: 'dt',
    argument: 'optional',
    takes: 'PATTERN',
    summary: 'tables and views; % and * stand for anything',
    async run(shell, argument) {
      await shell.show(tablesStatement(argument));
      return 'done';
    },
  },
  {
    name: 'schema',
    short: 'd',
    argument: 'optional',
    takes: 'TABLE',
    summary: 'the statements that made the tables, or one',
    async run(shell, argument) {
      const rows = await shell.texts(schemaStatement(argument));
      if (rows.length === 0 && argument !== '') {
        throw new Diagnostic('undefined_table', `there is no table or view '${argument}'`, { hint: '.tables lists them' });
      }
      if (rows.length === 0) await shell.say('There are no tables yet.\n');
      await shell.say(rows.map(([sql]) => `${(sql ?? '').trim().replace(/;?$/, ';')}\n`).join(''));
      return 'done';
    },
  },
  {
    name: 'list_jobs',
    argument: 'optional',
    takes: 'PATTERN',
    summary: 'the schedules, their next run and last state',
    async run(shell, argument) {
      await shell.show(jobsStatement(argument));
      return 'done';
    },
  },
  {
    name: 'job_status',
    argument: 'required',
    takes: 'NAME',
    summary: 'all about one schedule, and its last runs',
    async run(shell, argument) {
      await shell.show(`DESCRIBE SCHEDULE ${quoteName(argument)}`);
      await shell.show(lastRunsStatement(argument));
      return 'done';
    },
  },
  {
    name: 'enable_job',
    argument: 'required',
    takes: 'NAME',
    summary: 'ENABLE SCHEDULE NAME',
    async run(shell, argument) {
      await shell.show(`ENABLE SCHEDULE ${quoteName(argument)}`);
      return 'done';
    },
  },
  {
    name: 'disable_job',
    argument: 'required',
    takes: 'NAME',
    summary: 'DISABLE SCHEDULE NAME',
    async run(shell, argument) {
      await shell.show(`DISABLE SCHEDULE ${quoteName(argument)}`);
      return 'done';
    },
  },
  {
    name: 'mode',
    argument: 'optional',
    takes: 'MODE',
    summary: 'how results are shown; the modes stand below',
    async run(shell, argument) {
      if (argument === '') await shell.say(`mode: ${shell.mode}\n`);
      else shell.mode = readMode(argument);
      return 'done';
    },
  },
  {
    name: 'timer',
    short: 'timing',
    argument: 'optional',
    takes: 'on|off|auto',
    summary: 'tells how long it took; auto: from 100 ms on',
    async run(shell, argument) {
      if (argument === '') await shell.say(`timer: ${shell.timer}\n`);
      else shell.timer = readTimer(argument);
      return 'done';
    },
  },
  {
    name: 'fires',
    argument: 'optional',
    takes: 'on|off|failures',
    summary: 'which runs are told while you work',
    async run(shell, argument) {
      if (argument === '') await shell.say(`fires: ${shell.fires}\n`);
      else shell.fires = readFires(argument);
      return 'done';
    },
  },
  {
    name: 'read',
    short: 'i',
    argument: 'required',
    takes: 'FILE',
    summary: 'runs a file, up to its first error',
    async run(shell, argument) {
      return shell.readFile(argument);
    },
  },
  {
    name: 'output',
    short: 'o',
    argument: 'optional',
    takes: 'FILE',
    summary: 'results go to a file; without one, to the screen',
    async run(shell, argument) {
      await shell.redirect(argument === '' || argument === 'stdout' ? undefined : argument);
      return 'done';
    },
  },
  {
    name: 'once',
    argument: 'required',
    takes: 'FILE',
    summary: 'the next result goes to a file',
    async run(shell, argument) {
      await shell.redirectOnce(argument);
      return 'done';
    },
  },
  {
    name: 'quit',
    short: 'q',
    aliases: ['exit'],
    argument: 'none',
    summary: 'leaves; so does Ctrl-D',
    run: () => Promise.resolve('quit'),
  },
];

function helpText(argument: string): string {
  if (argument !== '') {
    const command = findCommand(argument.replace(/^[.\\]/, ''));
    if (command === undefined) throw new Diagnostic('undefined_object', `there is no command '${argument}'`, { hint: '.help lists them' });
    return `${usage(command, '.')}\n`;
  }
  const rows = shellCommands.map((command) => {
    const names = `.${command.name}${command.takes === undefined ? '' : ` ${placeholder(command)}`}`;
    return [names, command.short === undefined ? '' : `\\${command.short}`, command.summary] as const;
  });
  const width = Math.max(...rows.map(([names]) => names.length));
  const lines = rows.map(([names, short, summary]) => `${names.padEnd(width)}  ${short.padEnd(9)}${summary}`);
  return `${lines.join('\n')}

Modes: ${modes.join(', ')}.

A statement ends with ; and may have many lines. All of DuckDB's SQL, and:
  UPSERT SCHEDULE name ( sched: '0 2 * * *', sql: 'DELETE FROM ..' );
  UPSERT PROCEDURE name(day DATE) AS BEGIN .. END;   CALL name(..);
  LIST SCHEDULES;   EXPLAIN SCHEDULE name NEXT 5;
  LIST RUNS WHERE state = 'failed' LIMIT 10;

Tab completes, Ctrl-R searches the history, Alt-Enter begins a new line,
Ctrl-C cancels, Ctrl-D leaves.
`;
}

function usage(command: ShellCommand, prefix: string): string {
  const argument = command.takes === undefined ? '' : ` ${placeholder(command)}`;
  const short = command.short === undefined ? '' : ` (or \\${command.short})`;
  return `${prefix}${command.name}${argument}${short}: ${command.summary}`;
}

function placeholder(command: ShellCommand): string {
  return command.argument === 'optional' ? `[${command.takes}]` : `${command.takes}`;
}

function article(takes: ShellCommand['takes']): string {
  return takes === 'NAME' ? 'the name of a schedule' : takes === 'FILE' ? 'a file' : 'an argument';
}

function readTimer(word: string): TimerSetting {
  const wanted = word.toLowerCase();
  if (wanted === 'on' || wanted === 'off' || wanted === 'auto') return wanted;
  throw new Diagnostic('usage', `'${word}' is neither on, off nor auto`, { hint: '.timer on | off | auto' });
}

function readFires(word: string): FiresSetting {
  const wanted = word.toLowerCase();
  if (wanted === 'on' || wanted === 'off' || wanted === 'failures') return wanted;
  throw new Diagnostic('usage', `'${word}' is neither on, off nor failures`, { hint: '.fires on | off | failures' });
}

/** A name or a path may stand in quotes of either kind, doubled inside. */
function unquote(argument: string): string {
  const quote = argument[0];
  if ((quote !== "'" && quote !== '"') || argument.length < 2 || !argument.endsWith(quote)) return argument;
  return argument.slice(1, -1).replaceAll(quote + quote, quote);
}

function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

function quoteText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** `*` and `?` of the file system besides SQL's own; without either, the text may stand anywhere in the name. */
function pattern(argument: string): string {
  const sql = argument.replaceAll('*', '%').replaceAll('?', '_');
  return quoteText(sql.includes('%') || sql.includes('_') ? sql : `%${sql}%`);
}

// Our own schemas are not the user's tables: they are listed when they are asked for by name.
function tablesStatement(argument: string): string {
  const where = argument === '' ? "schema_name NOT IN ('cron', 'cuckoo_ledger', 'cuckoo_work')" : `name ILIKE ${pattern(argument)}`;
  return `SELECT name, kind, columns, "rows" FROM (
  SELECT ${qualified('table_name')} AS name, schema_name, 'table' AS kind, column_count AS columns, estimated_size AS "rows"
  FROM duckdb_tables() WHERE NOT internal
  UNION ALL
  SELECT ${qualified('view_name')}, schema_name, 'view', column_count, NULL
  FROM duckdb_views() WHERE NOT internal
) WHERE ${where} ORDER BY ALL`;
}

function qualified(column: string): string {
  return `CASE WHEN temporary THEN '' WHEN database_name <> current_database() THEN database_name || '.' ELSE '' END
    || CASE WHEN schema_name = 'main' THEN '' ELSE schema_name || '.' END || ${column}`;
}

function schemaStatement(argument: string): string {
  const ours = "schema_name NOT IN ('cron', 'cuckoo_ledger', 'cuckoo_work')";
  const where = (name: string): string =>
    argument === ''
      ? ours
      : `lower(${name}) = lower(${quoteText(argument)}) OR lower(schema_name || '.' || ${name}) = lower(${quoteText(argument)})`;
  return `SELECT sql FROM (
  SELECT 1 AS step, schema_name, table_name AS name, sql FROM duckdb_tables() WHERE NOT internal AND (${where('table_name')})
  UNION ALL
  SELECT 2, schema_name, view_name, sql FROM duckdb_views() WHERE NOT internal AND (${where('view_name')})
  UNION ALL
  SELECT 3, schema_name, index_name, sql FROM duckdb_indexes() WHERE sql IS NOT NULL AND (${where('table_name')})
) ORDER BY step, schema_name, name`;
}

function jobsStatement(argument: string): string {
  return argument === '' ? 'LIST SCHEDULES' : `LIST SCHEDULES LIKE ${pattern(argument)}`;
}

function lastRunsStatement(name: string): string {
  return `LIST RUNS WHERE lower(schedule) = lower(${quoteText(name)}) LIMIT 5`;
}
