import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import type { Notice } from '../../../src/daemon/notice.ts';
import { type Completion, Editor, type EditorOptions, type Entered } from '../../../src/daemon/repl/editor.ts';
import { openHistory } from '../../../src/daemon/repl/history.ts';
import { Keys, Screen } from './screen.ts';

const up = '\x1b[A';
const down = '\x1b[B';
const right = '\x1b[C';
const left = '\x1b[D';
const altLeft = '\x1b[1;3D';
const altRight = '\x1b[1;3C';
const home = '\x1b[H';
const end = '\x1b[F';
const enter = '\r';
const altEnter = '\x1b\r';
const backspace = '\x7f';
const control = (letter: string): string => String.fromCharCode(letter.toUpperCase().charCodeAt(0) - 64);

class Bench {
  readonly screen: Screen;
  readonly keys = new Keys();
  readonly history = openHistory(undefined);
  readonly editor: Editor;
  completion: Completion | undefined;
  interrupts = 0;
  suspended: string[] = [];
  entered: Promise<Entered> | undefined;

  constructor({ columns = 40, rows = 12, options = {} }: { columns?: number; rows?: number; options?: Partial<EditorOptions> } = {}) {
    this.screen = new Screen(columns, rows);
    this.editor = new Editor({
      keyboard: this.keys,
      terminal: this.screen,
      history: this.history,
      prompt: (_text, line) => (line === 0 ? '> ' : '. '),
      isComplete: (text) => text.trimEnd().endsWith(';'),
      complete: () => Promise.resolve(this.completion),
      onInterrupt: () => {
        this.interrupts++;
      },
      color: false,
      ...options,
    });
    this.editor.open();
  }

  read(): void {
    this.entered = this.editor.read();
  }

  async type(...keys: string[]): Promise<void> {
    for (const key of keys) {
      this.keys.write(key);
      await settled();
    }
  }

  async answer(): Promise<Entered> {
    return this.entered ?? Promise.reject(new Error('nothing is being read'));
  }
}

// The stream hands on its data, and the editor paints, in microtasks and one turn of the loop.
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
}

let bench: Bench;
afterEach(() => bench.editor.close());

function start(options: ConstructorParameters<typeof Bench>[0] = {}): Bench {
  bench = new Bench(options);
  bench.read();
  return bench;
}

describe('typing', () => {
  it('hands out a statement when Enter completes it, and leaves it on the screen', async () => {
    const { screen } = start();
    await bench.type('SELECT 1', enter, 'FROM t;', enter);
    expect(await bench.answer()).toEqual({ kind: 'text', text: 'SELECT 1\nFROM t;' });
    expect(screen.text).toBe('> SELECT 1\n. FROM t;');
    expect(screen.cursor).toEqual({ line: 2, column: 0 });
  });

  it('begins a new line with Alt-Enter although the statement is complete', async () => {
    start();
    await bench.type('SELECT 1;', altEnter, 'SELECT 2;', enter);
    expect(await bench.answer()).toEqual({ kind: 'text', text: 'SELECT 1;\nSELECT 2;' });
  });

  it('edits any line of the buffer', async () => {
    const { screen } = start();
    await bench.type('SELECT 1', enter, 'FROM t;', up, end, ', 2');
    expect(screen.text).toBe('> SELECT 1, 2\n. FROM t;');
    expect(screen.cursor).toEqual({ line: 0, column: 13 });
    await bench.type(enter);
    expect(await bench.answer()).toMatchObject({ text: 'SELECT 1, 2\nFROM t;' });
    expect(screen.cursor).toEqual({ line: 2, column: 0 });
  });

  it('keeps the column when it goes up and down over a short line', async () => {
    start();
    await bench.type('SELECT 123456', enter, 'x', enter, 'FROM table1', up, up, '_');
    await bench.type(altEnter);
    expect(bench.screen.text).toBe('> SELECT 1234_\n. 56\n. x\n. FROM table1');
  });

  it('shows control characters and tabs without letting them move the cursor', async () => {
    const { screen } = start();
    await bench.type('\x1b[200~a\tb\x07c\x1b[201~');
    expect(screen.text).toBe('> a b^Gc');
    expect(screen.cursor.column).toBe(8);
  });

  it('throws the text away with Ctrl-C and says what it was', async () => {
    const { screen } = start();
    await bench.type('SELECT', control('c'));
    expect(await bench.answer()).toEqual({ kind: 'abandoned', text: 'SELECT' });
    expect(screen.text).toBe('> SELECT^C');
  });

  it('ends with Ctrl-D on an empty buffer and deletes to the right otherwise', async () => {
    start();
    await bench.type('ab', home, control('d'));
    expect(bench.screen.text).toBe('> b');
    await bench.type(control('d'), control('d'));
    expect(await bench.answer()).toEqual({ kind: 'end' });
  });

  it('ends when the terminal goes away', async () => {
    start();
    bench.keys.end();
    expect(await bench.answer()).toEqual({ kind: 'end' });
  });
});

describe('the keys of a line editor', () => {
  const cases: readonly (readonly [name: string, keys: readonly string[], text: string])[] = [
    ['Ctrl-A and Ctrl-E', ['b', control('a'), 'a', control('e'), 'c'], 'abc'],
    ['Home and End', ['b', home, 'a', end, 'c'], 'abc'],
    ['Left and Right', ['ac', left, 'b', right, 'd'], 'abcd'],
    ['Ctrl-K cuts to the end', ['abc', left, left, control('k')], 'a'],
    ['Ctrl-U cuts to the start', ['abc', left, control('u')], 'c'],
    ['Ctrl-W cuts a word back, blanks after it too', ['one two.three  ', control('w')], 'one'],
    ['Alt-Backspace stops at punctuation', ['one two.three', '\x1b\x7f'], 'one two.'],
    ['Alt-D cuts a word to the right', ['one two', home, '\x1bd'], ' two'],
    ['Alt-Left goes by words', ['one two', altLeft, '_'], 'one _two'],
    ['Alt-Right goes by words', ['one two', home, altRight, '_'], 'one_ two'],
    ['Alt-B and Alt-F', ['one two', '\x1bb', '\x1bb', '\x1bf', '_'], 'one_ two'],
    ['Backspace', ['abc', backspace], 'ab'],
    ['Ctrl-Y yanks what Ctrl-U cut', ['abc', control('u'), 'x', control('y')], 'xabc'],
    ['cuts in a row are yanked together', ['one two three', control('w'), control('w'), control('y'), '!'], 'one two three!'],
    ['Ctrl-T exchanges two characters', ['ab', control('t')], 'ba'],
    ['Ctrl-_ takes a word back', ['one two', '\x1f'], 'one'],
    ['an unknown sequence types nothing', ['a', '\x1b[99~', '\x1bOP', 'b'], 'ab'],
  ];
  it.each(cases)('%s', async (_name, keys, text) => {
    start();
    await bench.type(...keys);
    expect(bench.screen.text).toBe(`> ${text}`);
  });

  it('Home goes to the start of its line first and of the whole text second', async () => {
    start();
    await bench.type('one', enter, 'two', home);
    expect(bench.screen.cursor).toEqual({ line: 1, column: 2 });
    await bench.type(home);
    expect(bench.screen.cursor).toEqual({ line: 0, column: 2 });
  });

  it('Ctrl-L clears the screen and keeps the text', async () => {
    const { screen } = start();
    await bench.type('abc', control('l'));
    expect(screen.window).toBe('> abc');
    expect(screen.cursor).toEqual({ line: 0, column: 5 });
  });
});

describe('wide and joined characters', () => {
  it('steps over a character that is made of many code units in one go', async () => {
    const { screen } = start();
    await bench.type('a👩‍👩‍👧b', left, left);
    expect(screen.cursor.column).toBe(3);
    await bench.type('é日本', left);
    expect(screen.text).toBe('> aé日本👩‍👩‍👧b');
    expect(screen.cursor.column).toBe(6);
    await bench.type(backspace, backspace);
    expect(screen.text).toBe('> a本👩‍👩‍👧b');
  });

  it('breaks a row before a wide character that has half a column left', async () => {
    const { screen } = start({ columns: 6 });
    await bench.type('abc日');
    expect(screen.text).toBe('> abc\n日');
    expect(screen.cursor).toEqual({ line: 1, column: 2 });
  });
});

describe('lines longer than the terminal', () => {
  it('wrap, and the cursor goes to a row of its own behind a full one', async () => {
    const { screen } = start({ columns: 10 });
    await bench.type('12345678');
    expect(screen.text).toBe('> 12345678');
    expect(screen.cursor).toEqual({ line: 1, column: 0 });
    await bench.type('9');
    expect(screen.text).toBe('> 12345678\n9');
    await bench.type(backspace, backspace);
    expect(screen.text).toBe('> 1234567');
    expect(screen.cursor).toEqual({ line: 0, column: 9 });
  });

  it('are edited in the middle of their rows', async () => {
    const { screen } = start({ columns: 10 });
    await bench.type('1234567890', up, '_');
    expect(screen.text).toBe('> _12345678\n90'.replace('8\n', '\n8'));
    expect(screen.cursor).toEqual({ line: 0, column: 3 });
  });

  it('are painted anew when the terminal is resized', async () => {
    const { screen } = start({ columns: 20 });
    await bench.type('1234567890 abcdef', left);
    screen.resize(10);
    await settled();
    expect(screen.text).toBe('> 12345678\n90 abcdef');
    expect(screen.cursor).toEqual({ line: 1, column: 8 });
    screen.resize(40);
    await settled();
    expect(screen.text).toBe('> 1234567890 abcdef');
    await bench.type('!');
    expect(screen.text).toBe('> 1234567890 abcde!f');
  });

  it('show the part around the cursor where they are higher than the terminal, and all of it when done', async () => {
    const { screen } = start({ rows: 4 });
    const lines = ['a', 'b', 'c', 'd', 'e', 'f;'];
    await bench.type(`\x1b[200~${lines.join('\n')}\x1b[201~`);
    expect(screen.window).toBe('. c\n. d\n. e\n. f;');
    await bench.type(up, up, up, up);
    expect(screen.window).toBe('. b\n. c\n. d\n. e');
    expect(screen.cursor.column).toBe(3);
    await bench.type(enter);
    expect(screen.text.endsWith('> a\n. b\n. c\n. d\n. e\n. f;')).toBe(true);
  });
});

describe('pasting', () => {
  it('takes line breaks as text and runs nothing before Enter', async () => {
    start();
    await bench.type('\x1b[200~SELECT 1;\r\nSELECT 2;\r\x1b[201~');
    expect(bench.screen.text).toBe('> SELECT 1;\n. SELECT 2;\n.');
    await bench.type(enter);
    expect(await bench.answer()).toEqual({ kind: 'text', text: 'SELECT 1;\nSELECT 2;\n' });
  });

  it('keeps what comes behind a first statement for the next read, in a terminal without bracketed paste', async () => {
    start();
    await bench.type(`SELECT 1;${enter}SELECT 2;${enter}SELECT`);
    expect(await bench.answer()).toMatchObject({ text: 'SELECT 1;' });
    bench.read();
    expect(await bench.answer()).toMatchObject({ text: 'SELECT 2;' });
    bench.read();
    await settled();
    expect(bench.screen.text).toBe('> SELECT 1;\n> SELECT 2;\n> SELECT');
  });

  it('paints once for a chunk of keys', async () => {
    start();
    await settled();
    const before = bench.screen.raw.split('\x1b[?25l').length;
    await bench.type('x'.repeat(500));
    expect(bench.screen.raw.split('\x1b[?25l').length).toBe(before + 1);
  });
});

describe('while nothing is read', () => {
  it('Ctrl-C interrupts and drops what was typed ahead', async () => {
    start();
    await bench.type('SELECT 1;', enter);
    await bench.answer();
    await bench.type('DROP', control('c'), 'kept');
    expect(bench.interrupts).toBe(1);
    bench.read();
    await settled();
    expect(bench.screen.text).toBe('> SELECT 1;\n> kept');
  });
});

describe('history', () => {
  function withHistory(...entries: string[]): Bench {
    bench = new Bench();
    for (const entry of entries) bench.history.add(entry);
    bench.read();
    return bench;
  }

  it('walks back and forth and comes back to what was being typed', async () => {
    const { screen } = withHistory('one;', 'two;');
    await bench.type('draft', up);
    expect(screen.text).toBe('> two;');
    await bench.type(up, up);
    expect(screen.text).toBe('> one;');
    await bench.type(down, down);
    expect(screen.text).toBe('> draft');
    await bench.type(down);
    expect(screen.text).toBe('> draft');
  });

  it('passes over an entry of many lines with one key each way back', async () => {
    const { screen } = withHistory('one;', 'SELECT\n1\n;');
    await bench.type(up);
    expect(screen.text).toBe('> SELECT\n. 1\n. ;');
    expect(screen.cursor).toEqual({ line: 0, column: 8 });
    await bench.type(up);
    expect(screen.text).toBe('> one;');
    await bench.type(down);
    expect(screen.text).toBe('> SELECT\n. 1\n. ;');
    expect(screen.cursor).toEqual({ line: 2, column: 3 });
  });

  it('finds by Ctrl-R, older ones by more of it, and runs by Enter', async () => {
    const { screen } = withHistory('SELECT 1;', 'DROP TABLE t;', 'SELECT 2;');
    await bench.type(control('r'), 'sel');
    expect(screen.text.split('\n')[0]).toBe('> SELECT 2;');
    expect(screen.cursor).toEqual({ line: 0, column: 2 });
    await bench.type(control('r'));
    expect(screen.text.split('\n')[0]).toBe('> SELECT 1;');
    await bench.type(control('r'));
    expect(screen.text).toContain('nothing older');
    await bench.type(enter);
    expect(await bench.answer()).toMatchObject({ text: 'SELECT 1;' });
    expect(screen.text).toBe('> SELECT 1;');
  });

  it('leaves a search by Escape or Ctrl-C with what was there before', async () => {
    const { screen } = withHistory('SELECT 1;');
    await bench.type('draft', control('r'), 'sel', control('c'));
    expect(screen.text).toBe('> draft');
    await bench.type(control('r'), 'sel', control('g'), '!');
    expect(screen.text).toBe('> draft!');
  });

  it('lets a found entry be edited', async () => {
    withHistory('SELECT 1;', 'x;');
    await bench.type(control('r'), '1', '\t', '4');
    expect(bench.screen.text).toBe('> SELECT 41;');
  });
});

describe('completion', () => {
  it('puts the only candidate in', async () => {
    start();
    bench.completion = { start: 0, end: 3, candidates: ['UPSERT '] };
    await bench.type('ups', '\t');
    expect(bench.screen.text).toBe('> UPSERT');
    expect(bench.screen.cursor.column).toBe(9);
  });

  it('goes as far as all candidates agree, shows them, and walks them with Tab', async () => {
    const { screen } = start();
    bench.completion = { start: 5, end: 6, candidates: ['table_one', 'table_two'] };
    await bench.type('FROM t', '\t');
    expect(screen.text).toBe('> FROM table_\ntable_one  table_two');
    expect(screen.cursor).toEqual({ line: 0, column: 13 });
    await bench.type('\t');
    expect(screen.text.split('\n')[0]).toBe('> FROM table_one');
    await bench.type('\t');
    expect(screen.text.split('\n')[0]).toBe('> FROM table_two');
    await bench.type('\x1b[Z');
    expect(screen.text.split('\n')[0]).toBe('> FROM table_one');
    await bench.type(';');
    expect(screen.text).toBe('> FROM table_one;');
  });

  it('takes the lit candidate by Enter without running anything', async () => {
    start();
    bench.completion = { start: 0, end: 1, candidates: ['ab', 'ac'] };
    await bench.type('a', '\t', '\t', enter);
    expect(bench.screen.text).toBe('> ab');
    await bench.type(';', enter);
    expect(await bench.answer()).toMatchObject({ text: 'ab;' });
  });

  it('takes everything back by Escape', async () => {
    const { screen } = start();
    bench.completion = { start: 0, end: 1, candidates: ['ab', 'ac'] };
    await bench.type('a', '\t', '\t');
    expect(screen.text.split('\n')[0]).toBe('> ab');
    const painted = once(screen, 'written');
    await bench.type('\x1b');
    // Node waits half a second before it believes that no sequence follows.
    await painted;
    expect(screen.text).toBe('> a');
  });

  it('forgets an answer that comes after another key', async () => {
    let answer: (completion: Completion) => void = () => {};
    start({ options: { complete: () => new Promise((resolve) => (answer = resolve)) } });
    await bench.type('a', '\t', 'b');
    answer({ start: 0, end: 1, candidates: ['abc'] });
    await settled();
    expect(bench.screen.text).toBe('> ab');
  });

  it('shows five rows of many candidates and says how many more there are', async () => {
    const { screen } = start({ columns: 20 });
    bench.completion = { start: 0, end: 0, candidates: Array.from({ length: 40 }, (_, index) => `name_${index}`) };
    await bench.type('x', '\t');
    expect(screen.text.split('\n')).toHaveLength(7);
    expect(screen.text).toContain('more');
  });

  it('indents at the start of a further line', async () => {
    start();
    await bench.type('SELECT', enter, '\t', '1');
    expect(bench.screen.text).toBe('> SELECT\n.   1');
  });
});

describe('the terminal', () => {
  it('is given back as it was, also when closed twice', () => {
    start();
    expect(bench.keys.isRaw).toBe(true);
    bench.editor.close();
    bench.editor.close();
    expect(bench.keys.isRaw).toBe(false);
    expect(bench.screen.raw.endsWith('\x1b[?2004l')).toBe(true);
    expect(bench.keys.listenerCount('keypress')).toBe(0);
  });

  it('is given back while the process is stopped by Ctrl-Z and taken again afterwards', async () => {
    const modes: boolean[] = [];
    start({ options: { suspend: () => modes.push(bench.keys.isRaw) } });
    await bench.type('SELECT', control('z'), ' 1');
    expect(modes).toEqual([false]);
    expect(bench.keys.isRaw).toBe(true);
    expect(bench.screen.text).toBe('> SELECT\n> SELECT 1');
  });
});

describe('a line that is told', () => {
  const line = (text: string, key?: string): Notice => ({
    ...(key === undefined ? {} : { key }),
    count: 1,
    line: (count, columns) => `${text}${count > 1 ? ` x${count}` : ''}`.slice(0, columns),
  });

  it('stands over the prompt, and what is being typed goes on as if nothing had been', async () => {
    const { screen, editor } = start();
    await bench.type('SELECT 1,', enter, '2');
    editor.tell([line('one'), line('two')]);
    expect(screen.text).toBe('one\ntwo\n> SELECT 1,\n. 2');
    await bench.type(left, '1', up, home, 'x');
    expect(screen.text).toBe('one\ntwo\n> xSELECT 1,\n. 12');
    expect(screen.cursor).toEqual({ line: 2, column: 3 });
    await bench.type(end, down, end, ';', enter);
    expect(await bench.answer()).toEqual({ kind: 'text', text: 'xSELECT 1,\n12;' });
    expect(screen.text).toBe('one\ntwo\n> xSELECT 1,\n. 12;');
  });

  it('takes the place of one that said the same, and counts', async () => {
    const { screen, editor } = start();
    await bench.type('SELECT');
    editor.tell([line('a at 1', 'a')]);
    editor.tell([line('b at 1', 'b')]);
    editor.tell([line('a at 2', 'a')]);
    editor.tell([line('a at 3', 'a'), line('c'), line('c')]);
    expect(screen.text).toBe('a at 3 x3\nb at 1\nc\nc\n> SELECT');
    await bench.type('ED');
    editor.tell([line('b at 4', 'b')]);
    expect(screen.text).toBe('a at 3 x3\nb at 4 x2\nc\nc\n> SELECTED');
    expect(screen.cursor).toEqual({ line: 4, column: 10 });
  });

  it('begins anew under what was entered since', async () => {
    const { screen, editor } = start();
    editor.tell([line('a at 1', 'a')]);
    await bench.type('SELECT 1;', enter);
    bench.read();
    editor.tell([line('a at 2', 'a')]);
    expect(screen.text).toBe('a at 1\n> SELECT 1;\na at 2\n>');
  });

  it('never writes over what has left the screen', async () => {
    const { screen, editor } = start({ rows: 6 });
    editor.tell([line('a at 1', 'a')]);
    for (let at = 1; at <= 4; at++) editor.tell([line(`line ${at}`)]);
    expect(screen.window).toBe('a at 1\nline 1\nline 2\nline 3\nline 4\n>');
    editor.tell([line('a at 2', 'a')]);
    expect(screen.window).toBe('a at 2 x2\nline 1\nline 2\nline 3\nline 4\n>');
    await bench.type('SELECT', altEnter);
    await bench.type(backspace);
    editor.tell([line('a at 3', 'a')]);
    expect(screen.text).toBe('a at 2 x2\nline 1\nline 2\nline 3\nline 4\na at 3\n> SELECT');
  });

  it('leaves a menu and a search open', async () => {
    const { screen, editor, history } = start({ columns: 60 });
    history.add('SELECT 5;');
    bench.completion = { start: 0, end: 1, candidates: ['alpha', 'beta'] };
    await bench.type('a', '\t', '\t');
    editor.tell([line('one')]);
    expect(screen.text).toBe('one\n> alpha\nalpha  beta');
    await bench.type('\t');
    expect(screen.text).toBe('one\n> beta\nalpha  beta');
    await bench.type('\x07', control('u'), control('r'), '5');
    editor.tell([line('two')]);
    expect(screen.text).toMatch(/^one\ntwo\n> SELECT 5;\nhistory: 5_/);
    await bench.type(enter);
    expect(await bench.answer()).toEqual({ kind: 'text', text: 'SELECT 5;' });
  });

  it('stands right also over rows that fill the terminal, and over more of them than it has', async () => {
    const { screen, editor } = start({ columns: 10, rows: 5 });
    await bench.type('東京東京;;');
    editor.tell([line('one', 'a')]);
    expect(screen.window).toBe('one\n> 東京東京\n;;');
    await bench.type(altEnter, '1', altEnter, '2', altEnter, '3', altEnter, '4');
    editor.tell([line('two', 'a')]);
    expect(screen.window).toBe(';;\n. 1\n. 2\n. 3\n. 4');
    expect(screen.text).toContain('two\n;;');
    await bench.type('5;', enter);
    expect(screen.text).toMatch(/> 東京東京\n;;\n\. 1\n\. 2\n\. 3\n\. 45;$/);
  });

  it('keeps its distance after the terminal has changed its width', async () => {
    const { screen, editor } = start({ columns: 20 });
    await bench.type('SELECT 123456');
    editor.tell([line('a at 1, a long line', 'a')]);
    screen.resize(12);
    editor.tell([line('a at 2', 'a')]);
    expect(screen.text).toBe('a at 1, a lo\nng line\na at 2\n> SELECT 123\n456');
  });
});
