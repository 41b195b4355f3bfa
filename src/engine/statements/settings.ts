// SET cron.x, RESET cron.x, BACKUP TO.

import { randomUUID } from 'node:crypto';
import { existsSync, renameSync, rmSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { Diagnostic } from '../../core/diagnostic.ts';
import type { BackupStatement, ResetStatement, SetStatement } from '../../parser/ast.ts';
import { parseActions } from '../actionText.ts';
import { checkAction } from '../bind/action.ts';
import type { Result, Warning } from '../result.ts';
import { type SettingName, settingName, settingValue } from '../settings.ts';
import { identifier, literal } from '../store/duckdb/literal.ts';
import { answer, type StatementContext, text } from './context.ts';
import { rebindZone } from './schedule.ts';

export async function setSetting(statement: SetStatement, context: StatementContext): Promise<Result> {
  const name = settingName(statement.name.text, statement.name.span);
  const value = settingValue(name, statement.value);
  const warnings: Warning[] = [];
  return change('SET', name, context, warnings, async () => {
    const actions = name === 'on_fail' ? parseActions(value, 'cron.on_fail') : [];
    for (const action of actions) await checkAction(action, 'cron.on_fail', statement.value.span, context.catalogue, warnings);
    await context.catalogue.setSetting(name, value, context.now);
  });
}

export async function resetSetting(statement: ResetStatement, context: StatementContext): Promise<Result> {
  const name = settingName(statement.name.text, statement.name.span);
  return change('RESET', name, context, [], () => context.catalogue.resetSetting(name));
}

async function change(
  tag: string,
  name: SettingName,
  context: StatementContext,
  warnings: Warning[],
  write: () => Promise<void>,
): Promise<Result> {
  await context.defining(async () => {
    const before = (await context.catalogue.settings()).text(name);
    await write();
    const after = (await context.catalogue.settings()).text(name);
    if (name !== 'timezone' || before === after) return;
    // A schedule that names no zone lives in this one: it is bound anew, and counts from now.
    const moved = await rebindZone(context);
    if (moved.length > 0) {
      warnings.push({
        message: `${moved.length} schedule${moved.length === 1 ? '' : 's'} without a timezone now follow${moved.length === 1 ? 's' : ''} ${after}: ${moved.slice(0, 5).join(', ')}`,
      });
    }
  });
  const value = (await context.catalogue.settings()).text(name);
  return answer({ tag, columns: [text('name'), text('value')], rows: [[name, value]], warnings, form: 'settings' });
}

/** A consistent copy while everything runs, through DuckDB itself: nobody opens the file a second time. */
export async function backup(statement: BackupStatement, context: StatementContext): Promise<Result> {
  const path = resolve(statement.path.text);
  const { span } = statement.path;
  if (path.length === 0 || statement.path.text.trim() === '') throw new Diagnostic('invalid_value', 'the path is empty', { span });
  if (existsSync(path)) {
    throw new Diagnostic('duplicate_object', `${statement.path.text} exists already`, {
      span,
      hint: 'choose a new name, or remove the file first',
    });
  }
  if (!existsSync(dirname(path))) {
    throw new Diagnostic('file_not_found', `the folder ${dirname(path)} does not exist`, { span, hint: 'create it first' });
  }
  const unfinished = `${path}.unfinished`;
  rmSync(unfinished, { force: true });
  const alias = `cuckoo_backup_${randomUUID().slice(0, 8)}`;
  try {
    await context.connection.native.run(`ATTACH ${literal(unfinished)} AS ${identifier(alias)}`);
    try {
      await context.connection.native.run(`COPY FROM DATABASE ${identifier(context.database)} TO ${identifier(alias)}`);
    } finally {
      await context.connection.native.run(`DETACH ${identifier(alias)}`);
    }
    renameSync(unfinished, path);
  } catch (error) {
    for (const left of [unfinished, `${unfinished}.wal`]) rmSync(left, { force: true });
    throw error instanceof Diagnostic && error.span !== undefined ? error.at(span) : error;
  }
  return answer({ tag: 'BACKUP', columns: [text('path')], rows: [[path]], form: 'text' });
}
