// Colours for the text that is being edited. They are a reading aid and no grammar: a word that is a keyword somewhere is
// coloured everywhere.

import { tokenAt } from '../../parser/lexer.ts';
import type { Style } from './layout.ts';

const colours = { keyword: '\x1b[1;34m', text: '\x1b[32m', comment: '\x1b[2m', command: '\x1b[1;34m' } as const;

/** Longer texts are pasted and not read on the prompt: they stay plain, so that each key stays quick. */
const longest = 20_000;

export function highlight(text: string): readonly Style[] {
  if (text.length > longest) return [];
  const command = /^\s*[.\\][A-Za-z?]\w*/.exec(text);
  if (command !== null) return [{ start: 0, end: command[0].length, escape: colours.command }];
  const styles: Style[] = [];
  let at = 0;
  for (;;) {
    const token = tokenAt(text, at);
    // What the lexer passes over is blank space and comments.
    const between = token.kind === 'end' ? text.length : token.start;
    if (text.slice(at, between).trim() !== '') styles.push({ start: at, end: between, escape: colours.comment });
    if (token.kind === 'end') return styles;
    if (token.kind === 'string' || token.kind === 'escapeString' || token.kind === 'dollarString') {
      styles.push({ start: token.start, end: token.end, escape: colours.text });
    } else if (token.kind === 'word' && keywords.has(text.slice(token.start, token.end).toUpperCase())) {
      styles.push({ start: token.start, end: token.end, escape: colours.keyword });
    }
    at = token.end;
  }
}

const keywords: ReadonlySet<string> = new Set(
  `
  ALL ALTER AND ANALYZE ANY AS ASC ASOF ATTACH AWAIT BACKFILL BACKUP BEGIN BETWEEN BY CALENDAR CALL CANCEL CASE CAST CHECKPOINT
  COLUMN COMMIT COPY CREATE CROSS DEFAULT DELETE DESC DESCRIBE DETACH DISABLE DISTINCT DROP ELSE ENABLE END EXCEPT EXCLUDE EXISTS
  EXPLAIN EXPORT FALSE FILTER FOREIGN FROM FULL FUNCTION GROUP HAVING IF ILIKE IMPORT IN INDEX INNER INSERT INSTALL INTERSECT INTO
  IS JOIN KEY LANGUAGE LEFT LIKE LIMIT LIST LOAD MACRO MERGE NATURAL NOT NULL OFFSET ON OR ORDER OUTER OVER PARTITION PAUSE PIPELINE
  PIVOT PRAGMA PRIMARY PROCEDURE QUALIFY QUEUE RECURSIVE REFERENCES REPLACE RESUME RETRY RETURNING RIGHT ROLLBACK RUN RUNS SAMPLE
  SCHEDULE SCHEDULER SCHEDULES SCHEMA SELECT SEMI SEQUENCE SET SHOW SIMULATE SUMMARIZE TABLE TAIL TEMP TEMPORARY THEN TO TRANSACTION
  TRUE TRUNCATE TYPE UNION UNIQUE UNPIVOT UPDATE UPSERT USE USING VACUUM VALUES VIEW WHEN WHERE WINDOW WITH
  `
    .trim()
    .split(/\s+/),
);
