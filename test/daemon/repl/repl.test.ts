// The interactive shell on a real engine; only the terminal is one that tests can read.

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { Fires } from '../../../src/daemon/fires.ts';
import { Output } from '../../../src/daemon/output.ts';
import { openHistory } from '../../../src/daemon/repl/history.ts';
import { Repl } from '../../../src/daemon/repl/repl.ts';
import { Shell } from '../../../src/daemon/shell.ts';
import { type Engine, openEngine } from '../../../src/engine/engine.ts';
import type { Session } from '../../../src/engine/session.ts';
import { systemClock } from '../../../src/scheduler/clock.ts';
import { Events } from '../../../src/scheduler/events.ts';
import type { FinishedRun } from '../../../src/scheduler/run.ts';
import { Keys, Screen } from './screen.ts';

const control = (letter: string): string => String.fromCharCode(letter.toUpperCase().charCodeAt(0) - 64);

class Terminal {
  readonly folder = mkdtempSync(join(tmpdir(), 'cuckoo-repl-'));
  readonly screen = new Screen(100, 40);
  readonly keys = new Keys();
  readonly left: Promise<void>;
  readonly shell: Shell;
  readonly repl: Repl;
  readonly events = new Events();
  readonly fires: Fires;
  readonly #engine: Engine;
  readonly #session: Session;

  static async open({ canEdit = true }: { canEdit?: boolean } = {}): Promise<Terminal> {
    const engine = await openEngine(':memory:', { zone: 'Europe/Berlin' });
    return new Terminal(engine, await engine.session({ actor: 'test', admin: true }), canEdit);
  }

  private constructor(engine: Engine, session: Session, canEdit: boolean) {
    this.#engine = engine;
    this.#session = session;
    this.shell = new Shell({
      place: engine,
      session,
      output: new Output(this.screen, 'standard output'),
      errors: this.screen,
      clock: systemClock,
      mode: 'csv',
      color: { output: false, errors: false },
      interactive: true,
      onRuns: (runIds) => this.fires.answered(runIds),
    });
    this.shell.timer = 'off';
    this.repl = new Repl({
      shell: this.shell,
      keyboard: this.keys,
      terminal: this.screen,
      history: openHistory(join(this.folder, 'history')),
      color: false,
      canEdit,
      suspend: undefined,
      onPrompt: () => this.fires.flush(),
    });
    this.fires = new Fires({
      events: this.events,
      clock: systemClock,
      setting: () => this.shell.fires,
      zone: () => this.shell.zone,
      color: false,
      ready: () => this.repl.canTell,
      tell: (notices) => this.repl.tell(notices),
    });
    this.left = this.repl.run();
  }

  /** Types, and waits until the screen ends with `shown`. */
  async type(keys: string, shown: string | RegExp): Promise<void> {
    this.keys.write(keys);
    await this.shows(shown);
  }

  async shows(shown: string | RegExp): Promise<void> {
    const matches = (): boolean => (typeof shown === 'string' ? this.screen.text.endsWith(shown.trimEnd()) : shown.test(this.screen.text));
    await new Promise<void>((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`the screen does not show ${shown}:\n${this.screen.text}`)), 10_000);
      const look = (): void => {
        if (!matches()) return;
        clearTimeout(late);
        this.screen.off('written', look);
        resolve();
      };
      this.screen.on('written', look);
      look();
    });
  }

  /** A run of the scheduler ends. */
  finish(schedule: string, more: Partial<FinishedRun> = {}): void {
    const target = { scheduleId: 1, exe: 'sql', call: 'SELECT 1' } as const;
    const run = {
      runId: schedule,
      schedule,
      ...target,
      trigger: 'cron',
      attempt: 1,
      state: 'succeeded',
      reason: null,
      final: true,
    } as const;
    this.events.emit('run:finished', { ...run, scheduledAt: 0, result: null, rowsChanged: null, durationMs: 3, ...more });
  }

  async close(): Promise<void> {
    this.fires.close();
    this.repl.leave();
    this.repl.interrupt();
    await this.left;
    await this.#session.close();
    await this.#engine.close();
    rmSync(this.folder, { recursive: true });
  }
}

let terminal: Terminal;
afterEach(() => terminal.close());

describe('a conversation', () => {
  it('runs statements of several lines and goes on', async () => {
    terminal = await Terminal.open();
    await terminal.type('SELECT 1 AS a,\r', '     ->');
    await terminal.type('2 AS b;\r', 'a,b\n1,2\ncuckoo>');
  });

  it('shows what a line is inside of, and the state of the transaction', async () => {
    terminal = await Terminal.open();
    await terminal.type('BEGIN;\r', 'cuckoo*>');
    await terminal.type("SELECT 'a\r", "cuckoo*> SELECT 'a\n      '>");
    await terminal.type("b' AS x;\r", 'cuckoo*>');
    await terminal.type("SELECT 'x'::INTEGER;\r", 'cuckoo!>');
    await terminal.type('ROLLBACK;\r', 'cuckoo>');
    await terminal.type('UPSERT PROCEDURE p() AS BEGIN\r', ' BEGIN>');
  });

  it('says a mistake with its place and goes on; what stood behind it is not run', async () => {
    terminal = await Terminal.open();
    await terminal.type('SELEC 1; SELECT 2; SELECT 3;\r', 'the 2 statements behind it were not run\ncuckoo>');
    expect(terminal.screen.text).toContain('^^^^^');
  });

  it('tells a definition as a sentence in the modes for people', async () => {
    terminal = await Terminal.open();
    await terminal.type('.mode duckbox\r', '.mode duckbox\ncuckoo>');
    await terminal.type(
      "UPSERT SCHEDULE x ( sched: '0 2 * * *', sql: 'SELECT 1' );\r",
      /x: created; next run .* 02:00 CES?T \(in .*\); at 02:00 every day/,
    );
    await terminal.type('CREATE TABLE t (a INTEGER);\r', 'CREATE TABLE\ncuckoo>');
    await terminal.type('INSERT INTO t VALUES (1), (2);\r', 'INSERT: 2 rows\ncuckoo>');
  });

  it('shows instants in the zone of the session, also when that changes', async () => {
    terminal = await Terminal.open();
    const ask = "SELECT TIMESTAMPTZ '2026-07-01 12:00:00+00' AS at;\r";
    await terminal.type("SET TimeZone = 'Asia/Tokyo';\r", 'cuckoo>');
    await terminal.type(ask, '2026-07-01 21:00:00+09\ncuckoo>');
    await terminal.type("SET TimeZone = 'UTC';\r", 'cuckoo>');
    await terminal.type(ask, '2026-07-01 12:00:00+00\ncuckoo>');
  });

  it('keeps each statement in the history, and a secret out of its file', async () => {
    terminal = await Terminal.open();
    await terminal.type("SELECT 1 AS a; SELECT 'my password' AS b;\r", 'cuckoo>');
    await terminal.type('.timer off\r', '.timer off\ncuckoo>');
    const kept = readFileSync(join(terminal.folder, 'history'), 'utf8');
    expect(kept).toBe('"SELECT 1 AS a;"\n".timer off"\n');
    await terminal.type('\x1b[A\x1b[A', "cuckoo> SELECT 'my password' AS b;");
  });

  it('ends with Ctrl-D, with .quit, and with the bare word', async () => {
    terminal = await Terminal.open();
    terminal.keys.write(control('d'));
    await terminal.left;
    await terminal.close();
    terminal = await Terminal.open();
    terminal.keys.write('\\q\r');
    await terminal.left;
    await terminal.close();
    terminal = await Terminal.open();
    await terminal.type('help\r', /Ctrl-D leaves\.\ncuckoo>/);
    terminal.keys.write('exit\r');
    await terminal.left;
  });

  it('says that a transaction was open when it ends', async () => {
    terminal = await Terminal.open();
    await terminal.type('BEGIN;\r', 'cuckoo*>');
    terminal.keys.write(control('d'));
    await terminal.left;
    expect(terminal.screen.text).toContain('rolled back');
  });
});

describe('Ctrl-C', () => {
  it('cancels the query and not the shell', async () => {
    terminal = await Terminal.open();
    await terminal.type('SELECT count(*) FROM range(100000000000) a, range(1000) b;\r', 'range(1000) b;');
    await terminal.type(control('c'), 'cuckoo>');
    expect(terminal.screen.text).toContain('cancelled');
    await terminal.type('SELECT 7 AS seven;\r', 'seven\n7\ncuckoo>');
  });

  it('cancels a file that is being read, all of it', async () => {
    terminal = await Terminal.open();
    const path = join(terminal.folder, 'long.sql');
    writeFileSync(path, 'SELECT count(*) FROM range(100000000000) a, range(1000) b;\nSELECT 8 AS eight;\n');
    await terminal.type(`.read ${path}\r`, 'long.sql');
    await terminal.type(control('c'), 'cuckoo>');
    expect(terminal.screen.text).not.toContain('eight');
  });

  it('explains how to leave when it is pressed twice on an empty line', async () => {
    terminal = await Terminal.open();
    await terminal.type(control('c'), 'cuckoo> ^C\ncuckoo>');
    await terminal.type(control('c'), 'To leave, press Ctrl-D or type .quit\ncuckoo>');
  });
});

describe('a run that did not succeed', () => {
  it('is a sentence with what leads on, and the shell goes on; a file that is read stops', async () => {
    terminal = await Terminal.open();
    terminal.shell.mode = 'duckbox';
    await terminal.type("UPSERT SCHEDULE bad ( sql: 'SELECT nope', max_retries: 0 );\r", 'bad: created; by hand\ncuckoo>');
    await terminal.type(
      "RUN SCHEDULE bad; SELECT 'behind' AS x;\r",
      /bad: failed; in .*\n(?: {3}.*\n)* {3}hint: EXPLAIN RUN '[0-9a-f-]{36}'; tells more\n┌[\s\S]*behind/,
    );
    const path = join(terminal.folder, 'run.sql');
    writeFileSync(path, "RUN SCHEDULE bad;\nSELECT 'ne' || 'ver';\n");
    await terminal.type(`.read ${path}\r`, /error\[run_failed\] bad: failed[\s\S]*hint: .*\ncuckoo> *$/);
    expect(terminal.screen.text).not.toContain('never');
  });
});

describe('commands', () => {
  it('list what there is', async () => {
    terminal = await Terminal.open();
    await terminal.type('CREATE TABLE t (a INTEGER); CREATE VIEW v AS SELECT 1 AS x; CREATE TEMP TABLE tmp (b INTEGER);\r', 'cuckoo>');
    await terminal.type('.tables\r', 'name,kind,columns,rows\nt,table,1,0\ntmp,table,1,0\nv,view,1,\ncuckoo>');
    await terminal.type('\\dt t*\r', 'name,kind,columns,rows\nt,table,1,0\ntmp,table,1,0\ncuckoo>');
    await terminal.type('.schema t\r', 'CREATE TABLE t(a INTEGER);\ncuckoo>');
    await terminal.type('\\d nothing\r', /there is no table or view 'nothing'/);
  });

  it('work on schedules, whatever their names are', async () => {
    terminal = await Terminal.open();
    const names = ['daily', 'It\'s "odd"'];
    for (const name of names) {
      await terminal.type(`UPSERT SCHEDULE "${name.replaceAll('"', '""')}" ( sched: '@daily', sql: 'SELECT 1' );\r`, 'cuckoo>');
    }
    await terminal.type('.list_jobs\r', /\nname,sched,timezone,[\s\S]*\ndaily,@daily,.*,scheduled,/);
    await terminal.type('.disable_job daily\r', 'cuckoo>');
    await terminal.type('.list_jobs dai\r', /daily,@daily,.*,disabled,/);
    await terminal.type('\\enable_job "daily"\r', 'cuckoo>');
    await terminal.type(`.disable_job ${names[1]}\r`, 'cuckoo>');
    await terminal.type(`.job_status ${names[1]}\r`, /It's ""odd""/);
    await terminal.type('.job_status nobody\r', /nobody/);
    expect(terminal.screen.text).not.toContain('internal');
  });

  it('set the mode and the timer, and refuse what there is not', async () => {
    terminal = await Terminal.open();
    await terminal.type('.mode json\r', '.mode json\ncuckoo>');
    await terminal.type('.mode\r', 'mode: json\ncuckoo>');
    await terminal.type('.mode jsn\r', /did you mean json\?/);
    await terminal.type('\\timing on\r', '\\timing on\ncuckoo>');
    await terminal.type('SELECT 1 AS a;\r', /Time: [\d.]+ ms\ncuckoo>/);
    await terminal.type('.timer maybe\r', /on \| off \| auto/);
    await terminal.type('.tabels\r', /did you mean \.tables\?/);
    await terminal.type('.quit now\r', /takes nothing more/);
    await terminal.type('.read\r', /\.read needs a file/);
    await terminal.type('.help tim\r', /there is no command 'tim'/);
    await terminal.type('\\?\r', /\.list_jobs \[PATTERN\]/);
  });

  it('write results into files', async () => {
    terminal = await Terminal.open();
    const path = join(terminal.folder, 'out.csv');
    await terminal.type(`.once ${path}\r`, 'cuckoo>');
    await terminal.type('SELECT 1 AS a;\r', 'SELECT 1 AS a;\ncuckoo>');
    expect(readFileSync(path, 'utf8')).toBe('a\n1\n');
    await terminal.type(`.output ${join(terminal.folder, 'no', 'folder')}\r`, /cannot write/);
    expect(existsSync(join(terminal.folder, 'no'))).toBe(false);
  });
});

describe('Tab', () => {
  it('completes tables, schedules and our words from the database', async () => {
    terminal = await Terminal.open();
    await terminal.type("CREATE TABLE products (id INTEGER); UPSERT SCHEDULE nightly ( sched: '@daily', sql: 'SELECT 1' );\r", 'cuckoo>');
    await terminal.type('FROM prod\t', 'cuckoo> FROM products');
    await terminal.type(control('u'), 'cuckoo>');
    await terminal.type('drop schedule ni\t', 'cuckoo> drop schedule nightly');
    await terminal.type(`${control('u')}explain sch\t`, 'cuckoo> explain schedule');
  });

  it('does nothing in an aborted transaction but complete our words', async () => {
    terminal = await Terminal.open();
    await terminal.type("BEGIN; SELECT 'x'::INTEGER;\r", 'cuckoo!>');
    await terminal.type('ups\t', 'cuckoo!> upsert');
    await terminal.type(`${control('u')}ROLLBACK;\r`, 'cuckoo>');
  });
});

describe('runs of the scheduler', () => {
  it('are told over what is being typed', async () => {
    terminal = await Terminal.open();
    await terminal.type('SELECT 1,\r2 AS', '     -> 2 AS');
    terminal.finish('heartbeat');
    await terminal.shows(/^\d\d:\d\d:\d\d heartbeat succeeded in 3 ms\ncuckoo> SELECT 1,\n {5}-> 2 AS$/);
    await terminal.type(' two;\r', '1,two\n1,2\ncuckoo>');
  });

  it('that end while a statement runs are told after its answer', async () => {
    terminal = await Terminal.open();
    await terminal.type('SELECT count(*) FROM range(100000000000) a, range(1000) b;\r', 'range(1000) b;');
    for (let time = 0; time < 3; time++) terminal.finish('heartbeat');
    terminal.finish('load', { state: 'failed', reason: 'no' });
    expect(terminal.screen.text).not.toContain('heartbeat');
    await terminal.type(control('c'), 'cuckoo>');
    expect(terminal.screen.text).toMatch(
      /cancelled[^\n]*\n[^\n]* heartbeat succeeded in 3 ms {2}×3\n[^\n]* load failed after 3 ms: no\ncuckoo>$/,
    );
  });

  it('that a statement has answered itself are not told again', async () => {
    terminal = await Terminal.open();
    terminal.shell.mode = 'duckbox';
    await terminal.type("UPSERT SCHEDULE x ( sql: 'SELECT 1' );\r", 'x: created; by hand\ncuckoo>');
    await terminal.type('RUN SCHEDULE x;\r', /x: succeeded in .*\ncuckoo>$/);
    const [[runId] = []] = await terminal.shell.texts('SELECT run_id FROM cron.runs');
    terminal.finish('x', { runId: String(runId) });
    terminal.finish('y');
    await terminal.shows(/y succeeded in 3 ms\ncuckoo>$/);
    expect(terminal.screen.text).not.toContain('x succeeded');
  });

  it('go to the screen, also where results go to a file', async () => {
    terminal = await Terminal.open();
    const path = join(terminal.folder, 'out.csv');
    await terminal.type(`.output ${path}\r`, 'cuckoo>');
    terminal.finish('heartbeat');
    await terminal.type('SELECT 1 AS a;\r', /heartbeat succeeded in 3 ms\ncuckoo> SELECT 1 AS a;\ncuckoo>$/);
    await terminal.type('.output\r', /\.output\ncuckoo>$/);
    expect(readFileSync(path, 'utf8')).toBe('a\n1\n');
  });

  it('are told between two lines where the terminal edits them itself', async () => {
    terminal = await Terminal.open({ canEdit: false });
    await terminal.shows('cuckoo>');
    terminal.finish('heartbeat');
    expect(terminal.screen.text).toBe('cuckoo>');
    await terminal.type('SELECT 1 AS a\n', /^cuckoo> \d\d:\d\d:\d\d heartbeat succeeded in 3 ms\n {5}->$/);
    await terminal.type(';\n', /\n {5}-> a\n1\ncuckoo>$/);
  });

  it('are as loud as .fires says', async () => {
    terminal = await Terminal.open();
    await terminal.type('.fires\r', 'fires: on\ncuckoo>');
    await terminal.type('.fires fai\t', '.fires failures');
    await terminal.type('\r', '.fires failures\ncuckoo>');
    terminal.finish('good');
    terminal.finish('bad', { state: 'failed', reason: 'no' });
    await terminal.shows(/bad failed after 3 ms: no\ncuckoo>$/);
    expect(terminal.screen.text).not.toContain('good');
    await terminal.type('.fires never\r', /on \| off \| failures/);
  });

  it('that end while the shell waits for them to leave are told line by line', async () => {
    terminal = await Terminal.open();
    await terminal.type('', 'cuckoo>');
    terminal.keys.write(control('d'));
    await terminal.left;
    terminal.finish('last');
    expect(terminal.screen.text).toMatch(/^cuckoo>\n\d\d:\d\d:\d\d last succeeded in 3 ms$/);
  });
});
