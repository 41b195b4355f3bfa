import { describe, expect, test } from 'vitest';
import type { Diagnostic } from '../../src/core/diagnostic.ts';
import { parse } from '../../src/parser/parse.ts';

function draw(text: string, { code, message, span, hint }: Diagnostic): string {
  const { start, end } = span!;
  const lineStart = text.lastIndexOf('\n', start - 1) + 1;
  const lineEnd = text.indexOf('\n', start) < 0 ? text.length : text.indexOf('\n', start);
  const carets = '^'.repeat(Math.max(1, Math.min(end, lineEnd) - start));
  return `${text.slice(lineStart, lineEnd)}\n${' '.repeat(start - lineStart)}${carets} ${code}: ${message}${hint === undefined ? '' : `\n-> ${hint}`}`;
}

/** Every mistake of a statement as the shell would draw it. */
function mistakes(text: string): string {
  return (parse(text).diagnostics ?? [])
    .map((diagnostic) => draw(text, diagnostic))
    .join('\n')
    .replaceAll('\0', '\u2400');
}

describe('a mistake names its place, the value, what is legal and the mend', () => {
  test('an unknown word after UPSERT', () =>
    expect(mistakes(`UPSERT SCHEDUL x ()`)).toMatchInlineSnapshot(`
    "UPSERT SCHEDUL x ()
           ^^^^^^^ syntax_error: expected SCHEDULE, PROCEDURE, PIPELINE, CALENDAR or QUEUE, found 'SCHEDUL'
    -> did you mean SCHEDULE?"
  `));
  test('an unknown word after LIST', () =>
    expect(mistakes(`LIST SCHEDULS`)).toMatchInlineSnapshot(`
    "LIST SCHEDULS
         ^^^^^^^^ syntax_error: expected SCHEDULES, PROCEDURES, PIPELINES, CALENDARS, QUEUES, RUNS, DEAD LETTERS, SETTINGS or SOURCES, found 'SCHEDULS'
    -> did you mean SCHEDULES?"
  `));
  test('a singular after LIST', () =>
    expect(mistakes(`LIST SCHEDULE`)).toMatchInlineSnapshot(`
      "LIST SCHEDULE
           ^^^^^^^^ syntax_error: expected SCHEDULES, PROCEDURES, PIPELINES, CALENDARS, QUEUES, RUNS, DEAD LETTERS, SETTINGS or SOURCES, found 'SCHEDULE'
      -> write LIST SCHEDULES, or DESCRIBE SCHEDULE name"
    `));
  test('an unknown word after RUN', () =>
    expect(mistakes(`RUN SCHEDUEL x`)).toMatchInlineSnapshot(`
    "RUN SCHEDUEL x
        ^^^^^^^^ syntax_error: expected SCHEDULE or PIPELINE, found 'SCHEDUEL'
    -> did you mean SCHEDULE?"
  `));
  test('a procedure is not run', () =>
    expect(mistakes(`RUN PROCEDURE p`)).toMatchInlineSnapshot(`
    "RUN PROCEDURE p
        ^^^^^^^^^ syntax_error: expected SCHEDULE or PIPELINE, found 'PROCEDURE'
    -> a procedure is called: CALL name(..)"
  `));
  test('an unknown key', () =>
    expect(mistakes(`UPSERT SCHEDULE x (sechd: '0 2 * * *')`)).toMatchInlineSnapshot(`
    "UPSERT SCHEDULE x (sechd: '0 2 * * *')
                       ^^^^^ unknown_key: a schedule has no key 'sechd'
    -> did you mean 'sched'?"
  `));
  test('a key that resembles none', () =>
    expect(mistakes(`UPSERT QUEUE q (colour: red)`)).toMatchInlineSnapshot(`
    "UPSERT QUEUE q (colour: red)
                    ^^^^^^ unknown_key: a queue has no key 'colour'
    -> a queue takes weight, concurrency, rate, description, tags"
  `));
  test('an unknown key of a step', () =>
    expect(mistakes(`UPSERT PIPELINE p (steps: [{ name: a, quert: 'SELECT 1' }])`)).toMatchInlineSnapshot(`
      "UPSERT PIPELINE p (steps: [{ name: a, quert: 'SELECT 1' }])
                                            ^^^^^ unknown_key: a step has no key 'quert'
      -> did you mean 'query'?"
    `));
  test('an unknown key of an object', () =>
    expect(mistakes(`UPSERT SCHEDULE x (keep: { succeded: 30d })`)).toMatchInlineSnapshot(`
    "UPSERT SCHEDULE x (keep: { succeded: 30d })
                               ^^^^^^^^ unknown_key: keep has no key 'succeded'
    -> did you mean 'succeeded'?"
  `));
  test('a key of another noun', () =>
    expect(mistakes(`UPSERT QUEUE q (sched: '@daily')`)).toMatchInlineSnapshot(`
    "UPSERT QUEUE q (sched: '@daily')
                    ^^^^^ unknown_key: a queue has no key 'sched'
    -> a queue takes weight, concurrency, rate, description, tags"
  `));
  test('a duplicate key', () =>
    expect(mistakes(`UPSERT SCHEDULE x (sched: '@daily', sql: 'SELECT 1', SCHED: '@hourly')`)).toMatchInlineSnapshot(`
      "UPSERT SCHEDULE x (sched: '@daily', sql: 'SELECT 1', SCHED: '@hourly')
                                                           ^^^^^ duplicate_key: the key 'SCHED' stands here twice
      -> each key stands once"
    `));
  test('a duplicate key by its alias', () =>
    expect(mistakes(`UPSERT SCHEDULE x (sched: '@daily', cron: '@hourly')`)).toMatchInlineSnapshot(`
      "UPSERT SCHEDULE x (sched: '@daily', cron: '@hourly')
                                          ^^^^ duplicate_key: the key 'cron' stands here twice (as 'sched')
      -> each key stands once"
    `));
  test('a bare number for a duration', () =>
    expect(mistakes(`UPSERT SCHEDULE x (timeout: 60)`)).toMatchInlineSnapshot(`
    "UPSERT SCHEDULE x (timeout: 60)
                                ^^ wrong_type: timeout takes a duration such as 60s, or none, not the number '60'
    -> give it a unit: timeout: 60s"
  `));
  test('a bare number for a duration in quotes', () =>
    expect(mistakes(`UPSERT SCHEDULE x (timeout: '60')`)).toMatchInlineSnapshot(`
    "UPSERT SCHEDULE x (timeout: '60')
                                 ^^ invalid_value: '60' is not a duration
    -> give it a unit: 60s"
  `));
  test('a duration of several words', () =>
    expect(mistakes(`UPSERT SCHEDULE x (timeout: 30 seconds)`)).toMatchInlineSnapshot(`
    "UPSERT SCHEDULE x (timeout: 30 seconds)
                                   ^^^^^^^ syntax_error: expected ',' or ')', found 'seconds'
    -> several words stand in quotes: '30 seconds'"
  `));
  test('an unknown unit of time', () =>
    expect(mistakes(`UPSERT SCHEDULE x (retry_delay: '30 secnds')`)).toMatchInlineSnapshot(`
    "UPSERT SCHEDULE x (retry_delay: '30 secnds')
                                     ^^^^^^^^^ invalid_value: 'secnds' is not a unit of time
    -> units: milliseconds, seconds, minutes, hours, days, weeks, years"
  `));
  test('units out of order', () =>
    expect(mistakes(`UPSERT SCHEDULE x (retry_delay: 30s1h)`)).toMatchInlineSnapshot(`
    "UPSERT SCHEDULE x (retry_delay: 30s1h)
                                    ^^^^^ invalid_value: '30s1h' names its units out of order
    -> units fall, each once: y w d h m s ms, as in 1h30m"
  `));
  test('none where a length is needed', () =>
    expect(mistakes(`UPSERT SCHEDULE x (jitter: none)`)).toMatchInlineSnapshot(`
    "UPSERT SCHEDULE x (jitter: none)
                               ^^^^ wrong_type: jitter takes a duration such as 60s, not the word 'none'
    -> jitter needs a length, such as 60s"
  `));
  test('a bare cron', () =>
    expect(mistakes(`UPSERT SCHEDULE x (sched: 0 2 * * *, sql: 'SELECT 1')`)).toMatchInlineSnapshot(`
    "UPSERT SCHEDULE x (sched: 0 2 * * *, sql: 'SELECT 1')
                              ^^^^^^^^^ wrong_type: a cron is written in quotes
    -> write '0 2 * * *'"
  `));
  test('a bare cron with steps and lists', () =>
    expect(mistakes(`UPSERT SCHEDULE x (sched: */5 9,17 1-7 JAN,JUL +MON, sql: 'SELECT 1')`)).toMatchInlineSnapshot(`
      "UPSERT SCHEDULE x (sched: */5 9,17 1-7 JAN,JUL +MON, sql: 'SELECT 1')
                                ^^^^^^^^^^^^^^^^^^^^^^^^^ wrong_type: a cron is written in quotes
      -> write '*/5 9,17 1-7 JAN,JUL +MON'"
    `));
  test('a bare cron after EXPLAIN', () =>
    expect(mistakes(`EXPLAIN CRON 0 2 * * MON`)).toMatchInlineSnapshot(`
    "EXPLAIN CRON 0 2 * * MON
                 ^^^^^^^^^^^ wrong_type: a cron is written in quotes
    -> write '0 2 * * MON'"
  `));
  test('a duration for a cadence', () =>
    expect(mistakes(`UPSERT SCHEDULE x (sched: 5m)`)).toMatchInlineSnapshot(`
    "UPSERT SCHEDULE x (sched: 5m)
                              ^^ wrong_type: sched takes a cadence, such as '0 2 * * *' or every 30m, not the duration 5m
    -> write every 5m"
  `));
  test('a number of retries', () =>
    expect(mistakes(`UPSERT SCHEDULE x (retry: 3)`)).toMatchInlineSnapshot(`
    "UPSERT SCHEDULE x (retry: 3)
                              ^ wrong_type: retry takes a phrase such as 3 times with exponential_backoff, not the number '3'
    -> write 3 times"
  `));
  test('a missing comma after a phrase', () =>
    expect(mistakes(`UPSERT SCHEDULE x (sched: every 5m sql: 'SELECT 1')`)).toMatchInlineSnapshot(`
      "UPSERT SCHEDULE x (sched: every 5m sql: 'SELECT 1')
                                         ^^^ syntax_error: missing comma before 'sql'
      -> write , sql: .."
    `));
  test('a missing comma after a value', () =>
    expect(mistakes(`UPSERT SCHEDULE x (sql: 'SELECT 1' timeout: 5m)`)).toMatchInlineSnapshot(`
    "UPSERT SCHEDULE x (sql: 'SELECT 1' timeout: 5m)
                                       ^^^^^^^ syntax_error: missing comma before 'timeout'
    -> write , timeout: .."
  `));
  test('a missing colon', () =>
    expect(mistakes(`UPSERT SCHEDULE x (sched '@daily')`)).toMatchInlineSnapshot(`
    "UPSERT SCHEDULE x (sched '@daily')
                             ^^^^^^^^ syntax_error: expected ':' after 'sched', found '@daily'
    -> write sched: and its value"
  `));
  test('an equals sign for a colon', () =>
    expect(mistakes(`UPSERT SCHEDULE x (sched = '@daily')`)).toMatchInlineSnapshot(`
    "UPSERT SCHEDULE x (sched = '@daily')
                             ^ syntax_error: expected ':' after 'sched', found '='
    -> keys take a colon: sched: .."
  `));
  test('two commas', () =>
    expect(mistakes(`UPSERT SCHEDULE x (sched: '@daily',, sql: 'SELECT 1')`)).toMatchInlineSnapshot(`
    "UPSERT SCHEDULE x (sched: '@daily',, sql: 'SELECT 1')
                                       ^ syntax_error: expected a key or ')', found ','
    -> one comma between two keys is enough"
  `));
  test('a wrong enumerated word', () =>
    expect(mistakes(`UPSERT SCHEDULE x (overlap: skp)`)).toMatchInlineSnapshot(`
    "UPSERT SCHEDULE x (overlap: skp)
                                ^^^ invalid_value: overlap cannot be 'skp'
    -> did you mean skip? it takes skip, queue, allow or replace"
  `));
  test('a wrong enumerated word unlike any', () =>
    expect(mistakes(`UPSERT SCHEDULE x (catchup: tomorrow)`)).toMatchInlineSnapshot(`
    "UPSERT SCHEDULE x (catchup: tomorrow)
                                ^^^^^^^^ invalid_value: catchup cannot be 'tomorrow'
    -> it takes none, latest or all"
  `));
  test('text for a boolean', () =>
    expect(mistakes(`UPSERT SCHEDULE x (enabled: 'yes')`)).toMatchInlineSnapshot(`
    "UPSERT SCHEDULE x (enabled: 'yes')
                                ^^^^^ wrong_type: enabled takes true or false, not the text 'yes'
    -> write true, without quotes"
  `));
  test('text for a number', () =>
    expect(mistakes(`UPSERT SCHEDULE x (max_runs: '3')`)).toMatchInlineSnapshot(`
    "UPSERT SCHEDULE x (max_runs: '3')
                                 ^^^ wrong_type: max_runs takes a whole number of at least 1, not the text '3'
    -> write it without quotes: 3"
  `));
  test('a number out of range', () =>
    expect(mistakes(`UPSERT SCHEDULE x (priority: 9)`)).toMatchInlineSnapshot(`
    "UPSERT SCHEDULE x (priority: 9)
                                 ^ invalid_value: priority cannot be '9'
    -> it takes a whole number from 1 to 5"
  `));
  test('a fraction for a whole number', () =>
    expect(mistakes(`UPSERT SCHEDULE x (max_retries: 1.5)`)).toMatchInlineSnapshot(`
    "UPSERT SCHEDULE x (max_retries: 1.5)
                                    ^^^ wrong_type: max_retries takes a whole number of at least 0, not the number '1.5'"
  `));
  test('a number for a size', () =>
    expect(mistakes(`UPSERT SCHEDULE x (resources: { memory: 512 })`)).toMatchInlineSnapshot(`
    "UPSERT SCHEDULE x (resources: { memory: 512 })
                                            ^^^ wrong_type: memory takes a size such as 512MB, not the number '512'
    -> give it a unit: 512MB"
  `));
  test('a word for text', () =>
    expect(mistakes(`UPSERT SCHEDULE x (description: nightly)`)).toMatchInlineSnapshot(`
    "UPSERT SCHEDULE x (description: nightly)
                                    ^^^^^^^ wrong_type: description takes text in quotes, such as 'nightly load', not the word 'nightly'
    -> put it in quotes: 'nightly'"
  `));
  test('a list for a word', () =>
    expect(mistakes(`UPSERT SCHEDULE x (queue: [a])`)).toMatchInlineSnapshot(`
    "UPSERT SCHEDULE x (queue: [a])
                              ^^^ wrong_type: queue takes a name, not a list"
  `));
  test('a text with a slash and no quotes', () =>
    expect(mistakes(`UPSERT SCHEDULE x (timezone: Europe/Berlin)`)).toMatchInlineSnapshot(`
    "UPSERT SCHEDULE x (timezone: Europe/Berlin)
                                       ^ syntax_error: expected ',' or ')', found '/'
    -> text that is not a plain word stands in quotes"
  `));
  test('an unknown function', () =>
    expect(mistakes(`UPSERT SCHEDULE x (params: { a: enf('X') })`)).toMatchInlineSnapshot(`
    "UPSERT SCHEDULE x (params: { a: enf('X') })
                                    ^^^ unknown_function: there is no function 'enf' here
    -> did you mean env(..)?"
  `));
  test('a function in the wrong place', () =>
    expect(mistakes(`UPSERT SCHEDULE x (on_fail: skip('x'))`)).toMatchInlineSnapshot(`
    "UPSERT SCHEDULE x (on_fail: skip('x'))
                                ^^^^^^^^^ invalid_value: on_fail cannot be 'skip'
    -> it takes emit('..'), notify('..') or call('..')"
  `));
  test('an unknown action', () =>
    expect(mistakes(`UPSERT SCHEDULE x (on_fail: emti('x'))`)).toMatchInlineSnapshot(`
    "UPSERT SCHEDULE x (on_fail: emti('x'))
                                ^^^^ unknown_function: there is no function 'emti' here
    -> did you mean emit(..)?"
  `));
  test('a parameter in a definition', () =>
    expect(mistakes(`UPSERT SCHEDULE x (max_runs: $1)`)).toMatchInlineSnapshot(`
    "UPSERT SCHEDULE x (max_runs: $1)
                                 ^^ syntax_error: expected a value, found $1
    -> a definition holds constants; parameters belong into its SQL texts"
  `));
  test('an impossible date', () =>
    expect(mistakes(`UPSERT SCHEDULE x (starts: 2027-02-30)`)).toMatchInlineSnapshot(`
    "UPSERT SCHEDULE x (starts: 2027-02-30)
                               ^^^^^^^^^^ invalid_value: '2027-02-30' is not a date or an instant
    -> write 2027-09-20T02:00:00Z"
  `));
  test('an impossible time', () =>
    expect(mistakes(`UPSERT SCHEDULE x (params: { a: 25:00 })`)).toMatchInlineSnapshot(`
    "UPSERT SCHEDULE x (params: { a: 25:00 })
                                    ^^^^^ invalid_value: '25:00' is not a time of day
    -> times run from 00:00 to 23:59:59"
  `));
  test('a malformed number', () =>
    expect(mistakes(`UPSERT SCHEDULE x (max_runs: 3times)`)).toMatchInlineSnapshot(`
    "UPSERT SCHEDULE x (max_runs: 3times)
                                 ^^^^^^ syntax_error: '3times' is neither a number nor a duration nor an instant
    -> durations are written 30s, 1h30m, 2d; text stands in quotes"
  `));
  test('an object in round brackets', () =>
    expect(mistakes(`UPSERT SCHEDULE x (keep: (failed: 1y))`)).toMatchInlineSnapshot(`
    "UPSERT SCHEDULE x (keep: (failed: 1y))
                             ^ syntax_error: expected a value, found '('
    -> objects inside a definition are written { key: value }"
  `));
  test('a definition in braces', () =>
    expect(mistakes(`UPSERT SCHEDULE x { sched: '@daily' }`)).toMatchInlineSnapshot(`
    "UPSERT SCHEDULE x { sched: '@daily' }
                      ^ syntax_error: expected LIKE or '(', found '{'
    -> a definition stands in round brackets: ( key: value, .. )"
  `));
  test('a name in single quotes', () =>
    expect(mistakes(`UPSERT SCHEDULE 'x' ()`)).toMatchInlineSnapshot(`
    "UPSERT SCHEDULE 'x' ()
                    ^^^ syntax_error: expected the name of the schedule, found 'x'
    -> names stand plain or in double quotes: "x""
  `));
  test('a dotted name', () =>
    expect(mistakes(`UPSERT SCHEDULE main.x ()`)).toMatchInlineSnapshot(`
    "UPSERT SCHEDULE main.x ()
                    ^^^^^^ invalid_name: expected the name of the schedule, found a dotted one
    -> names of Cuckoo stand alone, without a schema; one that holds a dot is written in double quotes"
  `));
  test('an empty name', () =>
    expect(mistakes(`UPSERT SCHEDULE "" ()`)).toMatchInlineSnapshot(`
    "UPSERT SCHEDULE "" ()
                    ^^ invalid_name: a name is empty
    -> give it at least one character"
  `));
  test('no name', () =>
    expect(mistakes(`UPSERT SCHEDULE (sched: '@daily')`)).toMatchInlineSnapshot(`
    "UPSERT SCHEDULE (sched: '@daily')
                    ^ syntax_error: expected the name of the schedule, found '('"
  `));
  test('IF NOT EXISTS with UPSERT', () =>
    expect(mistakes(`UPSERT SCHEDULE IF NOT EXISTS x ()`)).toMatchInlineSnapshot(`
    "UPSERT SCHEDULE IF NOT EXISTS x ()
                    ^^^^^^^^^^^^^ syntax_error: UPSERT takes no IF NOT EXISTS
    -> it makes the schedule or changes it; to leave one alone write CREATE"
  `));
  test('an unterminated string', () =>
    expect(mistakes(`UPSERT SCHEDULE x (sql: 'SELECT 1)`)).toMatchInlineSnapshot(`
    "UPSERT SCHEDULE x (sql: 'SELECT 1)
                            ^^^^^^^^^^ unterminated: this string is never closed
    -> close it with '"
  `));
  test('an unterminated double quote', () =>
    expect(mistakes(`DROP SCHEDULE "x`)).toMatchInlineSnapshot(`
    "DROP SCHEDULE "x
                  ^^ unterminated: this double quote is never closed
    -> close it with ""
  `));
  test('an unterminated dollar quote', () =>
    expect(mistakes(`UPSERT SCHEDULE x (sql: $q$ SELECT 1 $$)`)).toMatchInlineSnapshot(`
    "UPSERT SCHEDULE x (sql: $q$ SELECT 1 $$)
                            ^^^^^^^^^^^^^^^^ unterminated: this dollar quote is never closed
    -> close it with $q$"
  `));
  test('an unterminated comment', () =>
    expect(mistakes(`LIST RUNS /* all`)).toMatchInlineSnapshot(`
    "LIST RUNS /* all
              ^^^^^^ unterminated: this comment is never closed
    -> close it with */"
  `));
  test('an unterminated bracket', () =>
    expect(mistakes(`UPSERT SCHEDULE x (params: { a: [1, 2`)).toMatchInlineSnapshot(`
    "UPSERT SCHEDULE x (params: { a: [1, 2
                                    ^ unterminated: this '[' is never closed
    -> close it with ']'"
  `));
  test('an unterminated definition', () =>
    expect(mistakes(`UPSERT SCHEDULE x (sched: '@daily'`)).toMatchInlineSnapshot(`
    "UPSERT SCHEDULE x (sched: '@daily'
                      ^ unterminated: this '(' is never closed
    -> close it with ')'"
  `));
  test('an unterminated body', () =>
    expect(mistakes(`UPSERT PROCEDURE p() AS BEGIN SELECT 1;`)).toMatchInlineSnapshot(`
    "UPSERT PROCEDURE p() AS BEGIN SELECT 1;
                            ^^^^^ unterminated: this BEGIN is never closed
    -> close it with END, after the ; of the last statement"
  `));
  test('an END without a semicolon before it', () =>
    expect(mistakes(`UPSERT PROCEDURE p() AS BEGIN SELECT 1 END`)).toMatchInlineSnapshot(`
      "UPSERT PROCEDURE p() AS BEGIN SELECT 1 END
                              ^^^^^ unterminated: this BEGIN is never closed
      -> put a ; before the END"
    `));
  test('an unterminated brace', () =>
    expect(mistakes(`UPSERT PROCEDURE p() AS { SELECT 1;`)).toMatchInlineSnapshot(`
    "UPSERT PROCEDURE p() AS { SELECT 1;
                            ^ unterminated: this '{' is never closed
    -> close it with '}'"
  `));
  test('an unterminated string inside a body', () =>
    expect(mistakes(`UPSERT PROCEDURE p() AS $$ SELECT 'a; $$`)).toMatchInlineSnapshot(`
    "UPSERT PROCEDURE p() AS $$ SELECT 'a; $$
                                      ^^^ unterminated: this string is never closed
    -> close it inside the body"
  `));
  test('an empty body', () =>
    expect(mistakes(`UPSERT PROCEDURE p() AS BEGIN -- nothing\nEND`)).toMatchInlineSnapshot(`
    "UPSERT PROCEDURE p() AS BEGIN -- nothing
                            ^^^^^^^^^^^^^^^^ syntax_error: the body is empty
    -> a procedure does at least one thing"
  `));
  test('no parameters', () =>
    expect(mistakes(`UPSERT PROCEDURE p AS BEGIN SELECT 1; END`)).toMatchInlineSnapshot(`
    "UPSERT PROCEDURE p AS BEGIN SELECT 1; END
                       ^^ syntax_error: expected '(', found 'AS'
    -> a procedure has its parameters in brackets, () if there are none"
  `));
  test('a parameter without a type', () =>
    expect(mistakes(`UPSERT PROCEDURE p(day) AS { SELECT 1 }`)).toMatchInlineSnapshot(`
    "UPSERT PROCEDURE p(day) AS { SELECT 1 }
                          ^ syntax_error: expected the type of 'day', found ')'
    -> write day INTEGER, or another type of DuckDB"
  `));
  test('a parameter twice', () =>
    expect(mistakes(`UPSERT PROCEDURE p(day DATE, DAY DATE) AS { SELECT 1 }`)).toMatchInlineSnapshot(`
    "UPSERT PROCEDURE p(day DATE, DAY DATE) AS { SELECT 1 }
                                 ^^^ duplicate_key: the parameter 'DAY' stands here twice
    -> rename one of them"
  `));
  test('an unknown language', () =>
    expect(mistakes(`UPSERT PROCEDURE p() LANGUAGE js AS './a.js'`)).toMatchInlineSnapshot(`
    "UPSERT PROCEDURE p() LANGUAGE js AS './a.js'
                                  ^^ invalid_value: there is no language 'js'
    -> did you mean javascript?"
  `));
  test('a list without its language', () =>
    expect(mistakes(`UPSERT PROCEDURE p() AS ['ls']`)).toMatchInlineSnapshot(`
    "UPSERT PROCEDURE p() AS ['ls']
                            ^ syntax_error: expected BEGIN, '{' or $$, found '['
    -> a list is a command: write LANGUAGE command before AS"
  `));
  test('code for a path', () =>
    expect(mistakes(`UPSERT PROCEDURE p() LANGUAGE javascript AS { return 1 }`)).toMatchInlineSnapshot(`
    "UPSERT PROCEDURE p() LANGUAGE javascript AS { return 1 }
                                                ^ syntax_error: expected the path of a module, such as './jobs/sync.js', found '{'
    -> the code stands in a file of its own"
  `));
  test('no AS', () =>
    expect(mistakes(`UPSERT PROCEDURE p() BEGIN SELECT 1; END`)).toMatchInlineSnapshot(`
    "UPSERT PROCEDURE p() BEGIN SELECT 1; END
                         ^^^^^ syntax_error: expected AS, '(' or LANGUAGE, found 'BEGIN'
    -> the body follows AS"
  `));
  test('an option twice', () =>
    expect(mistakes(`RUN SCHEDULE x AWAIT DRY RUN AWAIT`)).toMatchInlineSnapshot(`
    "RUN SCHEDULE x AWAIT DRY RUN AWAIT
                                 ^^^^^ syntax_error: expected WITH, ALONE or the end of the statement, found 'AWAIT'
    -> AWAIT stands once"
  `));
  test('an unknown option', () =>
    expect(mistakes(`RUN SCHEDULE x AWIAT`)).toMatchInlineSnapshot(`
    "RUN SCHEDULE x AWIAT
                   ^^^^^ syntax_error: expected WITH, AWAIT, DRY RUN, ALONE or the end of the statement, found 'AWIAT'
    -> did you mean AWAIT?"
  `));
  test('ALONE for a pipeline', () =>
    expect(mistakes(`RUN PIPELINE p ALONE`)).toMatchInlineSnapshot(`
    "RUN PIPELINE p ALONE
                   ^^^^^ syntax_error: expected WITH, AWAIT, DRY RUN or the end of the statement, found 'ALONE'"
  `));
  test('half an option', () =>
    expect(mistakes(`BACKFILL SCHEDULE x FROM '2027-01-01' TO '2027-02-01' ONLY`)).toMatchInlineSnapshot(`
    "BACKFILL SCHEDULE x FROM '2027-01-01' TO '2027-02-01' ONLY
                                                              ^ syntax_error: expected MISSING, found the end of the statement"
  `));
  test('a backfill without an end', () =>
    expect(mistakes(`BACKFILL SCHEDULE x FROM '2027-01-01'`)).toMatchInlineSnapshot(`
    "BACKFILL SCHEDULE x FROM '2027-01-01'
                                         ^ syntax_error: expected TO, found the end of the statement"
  `));
  test('nobody side by side', () =>
    expect(mistakes(`BACKFILL SCHEDULE x FROM '2027-01-01' TO '2027-02-01' PARALLEL 0`)).toMatchInlineSnapshot(`
      "BACKFILL SCHEDULE x FROM '2027-01-01' TO '2027-02-01' PARALLEL 0
                                                                     ^ invalid_value: '0' is not a number of runs side by side
      -> write a whole number of at least 1"
    `));
  test('an id without quotes', () =>
    expect(mistakes(`CANCEL RUN 0199abcd`)).toMatchInlineSnapshot(`
      "CANCEL RUN 0199abcd
                 ^^^^^^^^ syntax_error: expected the id of a run in quotes, found '0199abcd'
      -> put it in quotes: '0199abcd'"
    `));
  test('the parts of a tail out of order', () =>
    expect(mistakes(`LIST RUNS LIMIT 10 WHERE true`)).toMatchInlineSnapshot(`
    "LIST RUNS LIMIT 10 WHERE true
                       ^^^^^ syntax_error: expected the end of the statement, found 'WHERE'
    -> the order is WHERE, ORDER BY, LIMIT, OFFSET, each once"
  `));
  test('a condition that is missing', () =>
    expect(mistakes(`CANCEL RUNS WHERE`)).toMatchInlineSnapshot(`
    "CANCEL RUNS WHERE
                     ^ syntax_error: expected a condition, found the end of the statement"
  `));
  test('a queue is not disabled', () =>
    expect(mistakes(`DISABLE QUEUE q`)).toMatchInlineSnapshot(`
    "DISABLE QUEUE q
            ^^^^^ syntax_error: expected SCHEDULE, found 'QUEUE'
    -> write PAUSE QUEUE"
  `));
  test('the scheduler is not enabled', () =>
    expect(mistakes(`ENABLE SCHEDULER`)).toMatchInlineSnapshot(`
      "ENABLE SCHEDULER
             ^^^^^^^^^ syntax_error: expected SCHEDULE, found 'SCHEDULER'
      -> write RESUME SCHEDULER"
    `));
  test('SHOW for DESCRIBE', () =>
    expect(mistakes(`SHOW SCHEDULE nightly`)).toMatchInlineSnapshot(`
      "SHOW SCHEDULE nightly
           ^^^^^^^^ syntax_error: expected CREATE, SCHEDULES, PROCEDURES, PIPELINES, CALENDARS, QUEUES, RUNS, DEAD LETTERS, SETTINGS or SOURCES, found 'SCHEDULE'
      -> write DESCRIBE SCHEDULE or SHOW CREATE SCHEDULE"
    `));
  test('a scope for a setting', () =>
    expect(mistakes(`SET GLOBAL cron.workers = 4`)).toMatchInlineSnapshot(`
    "SET GLOBAL cron.workers = 4
        ^^^^^^ syntax_error: GLOBAL has no meaning for a setting of Cuckoo
    -> these settings belong to the file: write SET cron.name = .."
  `));
  test('a setting without a value', () =>
    expect(mistakes(`SET cron.workers`)).toMatchInlineSnapshot(`
    "SET cron.workers
                    ^ syntax_error: expected '=' or TO, found the end of the statement"
  `));
  test('more than one statement', () =>
    expect(mistakes(`LIST RUNS; LIST RUNS`)).toMatchInlineSnapshot(`
    "LIST RUNS; LIST RUNS
               ^^^^ syntax_error: a second statement follows
    -> give one statement at a time"
  `));
  test('words at the end', () =>
    expect(mistakes(`DROP SCHEDULE a b`)).toMatchInlineSnapshot(`
    "DROP SCHEDULE a b
                    ^ syntax_error: expected ',' or the end of the statement, found 'b'"
  `));
  test('an ALTER that changes nothing', () =>
    expect(mistakes(`ALTER SCHEDULE x SET ()`)).toMatchInlineSnapshot(`
    "ALTER SCHEDULE x SET ()
                         ^^ missing_key: this ALTER changes nothing
    -> name the keys to change"
  `));
  test('several mistakes at once', () =>
    expect(mistakes(`UPSERT SCHEDULE x (sechd: '@daily', timeout: 60, overlap: skp, enabled: 'yes')`)).toMatchInlineSnapshot(`
      "UPSERT SCHEDULE x (sechd: '@daily', timeout: 60, overlap: skp, enabled: 'yes')
                         ^^^^^ unknown_key: a schedule has no key 'sechd'
      -> did you mean 'sched'?
      UPSERT SCHEDULE x (sechd: '@daily', timeout: 60, overlap: skp, enabled: 'yes')
                                                   ^^ wrong_type: timeout takes a duration such as 60s, or none, not the number '60'
      -> give it a unit: timeout: 60s
      UPSERT SCHEDULE x (sechd: '@daily', timeout: 60, overlap: skp, enabled: 'yes')
                                                                ^^^ invalid_value: overlap cannot be 'skp'
      -> did you mean skip? it takes skip, queue, allow or replace
      UPSERT SCHEDULE x (sechd: '@daily', timeout: 60, overlap: skp, enabled: 'yes')
                                                                              ^^^^^ wrong_type: enabled takes true or false, not the text 'yes'
      -> write true, without quotes"
    `));
  test('a NUL character', () =>
    expect(mistakes(`SELECT 'a\0b'`)).toMatchInlineSnapshot(`
    "SELECT 'a␀b'
             ^ invalid_encoding: the statement holds a NUL character
    -> remove it: DuckDB would stop reading there"
  `));
  test('an escaped NUL character', () =>
    expect(mistakes(`UPSERT SCHEDULE x (description: E'a\\0b')`)).toMatchInlineSnapshot(`
    "UPSERT SCHEDULE x (description: E'a\\0b')
                                    ^^^^^^^ invalid_encoding: a string holds a NUL character
    -> text in DuckDB has no NUL characters"
  `));
});

describe('what is meant is said beside what is wrong', () => {
  const cases: readonly (readonly [text: string, at: string, message: string, hint: string])[] = [
    ['ALTER SCHEDULE IF EXISTS x SET (enabled: true)', 'IF EXISTS', 'ALTER takes no IF EXISTS', 'only DROP takes it'],
    ['DISABLE SCHEDULE IF EXISTS x', 'IF EXISTS', 'DISABLE takes no IF EXISTS', 'leave IF EXISTS out'],
    ['PAUSE QUEUE IF EXISTS q', 'IF EXISTS', 'PAUSE takes no IF EXISTS', 'leave IF EXISTS out'],
    ['DROP SCHEDULE a, IF EXISTS b', 'IF', 'expected the name of a schedule', 'IF EXISTS stands first: DROP SCHEDULE IF EXISTS a, b'],
    ['ALTER SCHEDULE a RENAME TO b', 'RENAME', 'expected SET', 'UPSERT SCHEDULE new_name LIKE a (), then DROP SCHEDULE a'],
    ['ALTER QUEUE a RENAME TO b', 'RENAME', 'expected SET', 'SHOW CREATE QUEUE a'],
    ['LIST SCHEDULES WHERE (1=1', '(', "this '(' is never closed", "close it with ')'"],
    ['LIST RUNS ORDER BY f([1, 2', '[', "this '[' is never closed", "close it with ']'"],
    ['UPSERT SCHEDULE x (params: { a: 1.5h })', '1.5h', "'1.5h' is neither", 'write 1h30m'],
    ['UPSERT SCHEDULE x (timeout: 1.5h)', '1.5h', "'1.5h' is not a duration", 'write 1h30m'],
    ['UPSERT SCHEDULE x (timeout: 5min)', '5min', "'5min' is not a duration", 'did you mean 5m?'],
    ["UPSERT SCHEDULE x (timeout: '2hrs')", '2hrs', "'2hrs' is not a duration", 'did you mean 2h?'],
    ['UPSERT SCHEDULE x (timeout: 3x)', '3x', "'3x' is not a duration", 'durations are written 30s'],
    ['UPSERT SCHEDULE x (resources: { memory: 512XB })', '512XB', "'512XB' is not a size", '512MB'],
    ['UPSERT PROCEDURE p(n INTEGER = 3) AS BEGIN SELECT 1; END', '=', 'expected DEFAULT', 'n INTEGER DEFAULT 3'],
    ['UPSERT PROCEDURE p() (atomc: true) AS BEGIN SELECT 1; END', 'atomc', 'the option list of a procedure has no key', "'atomic'"],
    ["BACKFILL SCHEDULE s FROM 'x' TO '2027-01-01'", "'x'", "'x' is not an instant", "write '2027-09-20 02:00'"],
    ["BACKFILL SCHEDULE s FROM '2027-01-02' TO 2027-01-01", '2027-01-01', "TO '2027-01-01' is before FROM", 'earlier'],
    ['BACKFILL SCHEDULE s FROM yesterday TO 2027-01-01', 'yesterday', 'expected an instant', "write '2027-09-20 02:00'"],
    ["SIMULATE SCHEDULES FROM 2027-02-30 TO '2027-13-01 00:00'", '2027-02-30', "'2027-02-30' is not a date", 'write 2027'],
  ];
  for (const [text, at, message, hint] of cases) {
    test(text, () => {
      const [first] = parse(text).diagnostics ?? [];
      expect(first?.message).toContain(message);
      expect(first?.hint).toContain(hint);
      expect(text.slice(first?.span?.start, first?.span?.end)).toBe(at);
    });
  }

  test('a setting takes DEFAULT for what RESET does', () =>
    expect(parse('SET cron.workers = DEFAULT').statement).toMatchObject({ kind: 'reset', name: { text: 'workers' } }));
  test('a stretch of one day, or between offsets, is nobody’s mistake', () => {
    expect(mistakes("BACKFILL SCHEDULE s FROM '2027-01-01' TO 2027-01-01")).toBe('');
    expect(mistakes("BACKFILL SCHEDULE s FROM '2027-01-01T02:00:00+09:00' TO '2027-01-01T01:00:00Z'")).toBe('');
    expect(mistakes("SIMULATE SCHEDULES FROM '2027-01-01  02:00:00.123456 UTC' TO '2027-01-01 03:00:00+00'")).toBe('');
  });
});
