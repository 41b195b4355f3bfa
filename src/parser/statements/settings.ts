// SET cron.x, RESET cron.x and BACKUP TO.

import { Diagnostic } from '../../core/diagnostic.ts';
import type { Statement } from '../ast.ts';
import { type Cursor, spanOf } from '../cursor.ts';
import { readFreeValue, readString } from '../values.ts';

/** SET cron.name = value, or TO value; with DEFAULT it is a RESET. */
export function readSet(cursor: Cursor): Statement {
  const { start } = cursor.take();
  refuseScope(cursor);
  const name = readSettingName(cursor);
  if (!cursor.acceptSymbol('=') && !cursor.accept('TO')) throw cursor.expected(["'='", 'TO']);
  const value = readFreeValue(cursor);
  const span = cursor.spanFrom(start);
  cursor.finish();
  if (value.kind === 'word' && value.text.toUpperCase() === 'DEFAULT') return { kind: 'reset', name, span };
  return { kind: 'set', name, value, span };
}

/** RESET cron.name */
export function readReset(cursor: Cursor): Statement {
  const { start } = cursor.take();
  refuseScope(cursor);
  const name = readSettingName(cursor);
  const span = cursor.spanFrom(start);
  cursor.finish();
  return { kind: 'reset', name, span };
}

/** BACKUP TO 'path' */
export function readBackup(cursor: Cursor): Statement {
  const { start } = cursor.take();
  cursor.expect('TO');
  const path = readString(cursor, 'the path of a file in quotes');
  const span = cursor.spanFrom(start);
  cursor.finish();
  return { kind: 'backup', path, span };
}

function readSettingName(cursor: Cursor) {
  cursor.take();
  cursor.take();
  return cursor.name('the name of a setting');
}

function refuseScope(cursor: Cursor): void {
  const scope = cursor.keyword();
  if (scope !== 'GLOBAL' && scope !== 'SESSION' && scope !== 'LOCAL') return;
  throw new Diagnostic('syntax_error', `${scope} has no meaning for a setting of Cuckoo`, {
    span: spanOf(cursor.token),
    hint: 'these settings belong to the file: write SET cron.name = ..',
  });
}
