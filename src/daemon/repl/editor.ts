// The line editor: keys in, a statement out. The whole buffer is edited, not its last line. It owns the terminal's raw
// mode from open() to close(), also while a query runs, so that Ctrl-C reaches us as a key and never as a signal that
// ends the process; keys that arrive then are kept for the next read, as a terminal's type-ahead is.
//
// Built on the keypress events of node:readline, not on its Interface: that one edits a single line, knows no bracketed
// paste, and redraws nothing but its own prompt.

import { emitKeypressEvents } from 'node:readline';
import type { Readable } from 'node:stream';
import type { Notice } from '../notice.ts';
import type { Buffer, Cut } from './buffer.ts';
import * as edit from './buffer.ts';
import type { History } from './history.ts';
import { type Layout, layout, offsetAt, type Style, truncate, visibleWidth } from './layout.ts';
import { type Frame, type FrameRow, Painter, type Terminal } from './painter.ts';

export interface Keyboard extends Readable {
  setRawMode?(raw: boolean): unknown;
}

export type Entered =
  | { readonly kind: 'text'; readonly text: string }
  /** Ctrl-C: the text was thrown away. */
  | { readonly kind: 'abandoned'; readonly text: string }
  /** Ctrl-D on an empty buffer, or the terminal has gone. */
  | { readonly kind: 'end' };

export interface Completion {
  /** The range of the text that a candidate replaces. */
  readonly start: number;
  readonly end: number;
  readonly candidates: readonly string[];
}

export interface EditorOptions {
  readonly keyboard: Keyboard;
  readonly terminal: Terminal;
  readonly history: History;
  /** What stands in front of a line, given the whole text: the first line is 0. */
  readonly prompt: (text: string, line: number) => string;
  /** Whether Enter runs the text; else it begins a new line. */
  readonly isComplete: (text: string) => boolean;
  readonly complete: (text: string, cursor: number) => Promise<Completion | undefined>;
  readonly highlight?: (text: string) => readonly Style[];
  /** Ctrl-C while nothing is being read. */
  readonly onInterrupt: () => void;
  /** Stops this process until the user's shell continues it (Ctrl-Z); absent where the system knows no such thing. */
  readonly suspend?: () => void;
  readonly color: boolean;
}

interface Key {
  readonly name?: string;
  readonly sequence: string;
  readonly ctrl: boolean;
  readonly meta: boolean;
  readonly shift: boolean;
}

interface Menu extends Completion {
  /** The buffer as it was before a candidate was tried. */
  readonly original: Buffer;
  readonly selected: number;
}

interface Search {
  readonly query: string;
  /** The index of the entry on show; the history's length while there is none. */
  readonly index: number;
  readonly found: boolean;
  readonly original: Buffer;
}

/** A line over the prompt that may be written anew. */
interface Told {
  readonly notice: Notice;
  readonly count: number;
}

const menuRows = 5;
/** Of what is told while one types, so many lines are kept up to date; older ones stay as they are. */
const mostTold = 8;
const mostUndone = 200;

export class Editor {
  readonly #options: EditorOptions;
  readonly #painter: Painter;
  #answer: ((entered: Entered) => void) | undefined;
  #waiting: Key[] = [];
  #ended = false;
  #opened = false;

  #buffer: Buffer = edit.emptyBuffer;
  #undo: Buffer[] = [];
  #yank = '';
  #lastCommand = '';
  /** What was typed before the history was walked, and where in the history we are; its length is "nowhere". */
  #draft = '';
  #historyIndex = 0;
  /** The column that Up and Down try to keep. */
  #wantedColumn: number | undefined;
  #paste: string[] | undefined;
  #menu: Menu | undefined;
  #search: Search | undefined;
  #completing = 0;
  #painting = false;
  #told: readonly Told[] = [];

  constructor(options: EditorOptions) {
    this.#options = options;
    this.#painter = new Painter(options.terminal);
  }

  open(): void {
    if (this.#opened) return;
    this.#opened = true;
    const { keyboard, terminal } = this.#options;
    emitKeypressEvents(keyboard);
    keyboard.on('keypress', this.#onKeypress);
    keyboard.on('end', this.#onEnd);
    keyboard.on('error', this.#onEnd);
    terminal.on('resize', this.#onResize);
    this.#takeTerminal();
    keyboard.resume();
  }

  /** Gives the terminal back as it was. Safe to call twice, and from an exit handler. */
  close(): void {
    if (!this.#opened) return;
    this.#opened = false;
    const { keyboard, terminal } = this.#options;
    keyboard.off('keypress', this.#onKeypress);
    keyboard.off('end', this.#onEnd);
    keyboard.off('error', this.#onEnd);
    terminal.off('resize', this.#onResize);
    this.#giveTerminalBack();
    keyboard.pause();
  }

  read(): Promise<Entered> {
    if (this.#ended) return Promise.resolve({ kind: 'end' });
    this.#buffer = edit.emptyBuffer;
    this.#undo = [];
    this.#draft = '';
    this.#historyIndex = this.#options.history.entries.length;
    this.#wantedColumn = undefined;
    this.#painter.forget();
    return new Promise((resolve) => {
      this.#answer = resolve;
      this.#paintSoon();
      const waiting = this.#waiting;
      this.#waiting = [];
      for (const key of waiting) this.#take(key);
    });
  }

  /** This read and every later one end: the user is gone. */
  end(): void {
    this.#ended = true;
    this.#settle({ kind: 'end' });
  }

  /** Somebody may be typing: what is told now belongs over the prompt. */
  get isReading(): boolean {
    return this.#answer !== undefined && this.#opened;
  }

  /** Writes lines over what is being typed. One that says the same as a line still in view takes its place and counts up. */
  tell(notices: readonly Notice[]): void {
    let told = [...this.#told];
    let first = told.length;
    for (const notice of notices) {
      const same = notice.key === undefined ? -1 : told.findIndex((line) => line.notice.key === notice.key);
      if (same === -1) told.push({ notice, count: notice.count });
      else {
        told[same] = { notice, count: (told[same]?.count ?? 0) + notice.count };
        first = Math.min(first, same);
      }
    }
    let replacing = this.#told.length - first;
    if (!this.#painter.canReplace(replacing)) {
      // They have scrolled away, or something else was written since.
      told = notices.map((notice) => ({ notice, count: notice.count }));
      first = 0;
      replacing = 0;
    }
    const columns = this.#painter.columns - 1;
    const rows = told.slice(first).map(({ notice, count }) => {
      const text = notice.line(count, columns);
      return { text, width: visibleWidth(text) };
    });
    this.#painter.paintBelow({ rows, replacing }, this.#frame());
    this.#told = told.slice(-mostTold);
  }

  // ---- Keys ----

  readonly #onKeypress = (character: string | undefined, key: Partial<Key> | undefined): void => {
    this.#take({
      ...(key?.name === undefined ? {} : { name: key.name }),
      sequence: key?.sequence ?? character ?? '',
      ctrl: key?.ctrl ?? false,
      meta: key?.meta ?? false,
      shift: key?.shift ?? false,
    });
  };

  readonly #onEnd = (): void => this.end();

  readonly #onResize = (): void => {
    if (this.#answer === undefined) return;
    this.#painter.resized();
    this.#paint();
  };

  #take(key: Key): void {
    if (this.#paste === undefined && commandName(key) === 'C-z') {
      this.#suspend();
      return;
    }
    if (this.#answer === undefined) {
      if (this.#paste === undefined && commandName(key) === 'C-c') {
        // The terminal's own habit: what was typed ahead goes with the query it was typed behind.
        this.#waiting = [];
        this.#options.onInterrupt();
      } else this.#waiting.push(key);
      return;
    }
    if (key.name === 'paste-start') this.#paste = [];
    else if (key.name === 'paste-end') this.#endPaste();
    else if (this.#paste !== undefined) this.#paste.push(key.sequence);
    else {
      this.#press(key);
      this.#paintSoon();
    }
  }

  #endPaste(): void {
    const pasted = (this.#paste ?? []).join('').replace(/\r\n?/g, '\n');
    this.#paste = undefined;
    if (pasted === '') return;
    this.#closeMenu();
    if (this.#search !== undefined) {
      this.#searchFor(this.#search.query + pasted.replace(/\s+/g, ' '));
    } else {
      this.#change(edit.insert(this.#buffer, pasted), 'paste');
    }
    this.#paintSoon();
  }

  #press(key: Key): void {
    const name = commandName(key);
    if (this.#search !== undefined && this.#pressInSearch(name, key)) return;
    if (this.#menu !== undefined && this.#pressInMenu(name)) return;
    const typed = printable(key);
    if (typed !== undefined) {
      this.#change(edit.insert(this.#buffer, typed), /\w/.test(typed) ? 'type' : 'type a break');
      return;
    }
    const command = commands[name];
    if (command === undefined) return;
    if (!verticalKeys.has(name)) this.#wantedColumn = undefined;
    command(this);
    this.#lastCommand = name;
  }

  /** @internal The commands below are functions of the editor; these are the verbs they are made of. */
  move(to: (buffer: Buffer) => Buffer): void {
    this.#buffer = to(this.#buffer);
  }

  change(to: (buffer: Buffer) => Buffer): void {
    this.#change(to(this.#buffer), '');
  }

  cut(to: (buffer: Buffer) => Cut, direction: 'before' | 'behind'): void {
    const { buffer, cut } = to(this.#buffer);
    // Cuts made one after another are yanked together.
    const chained = cutKeys.has(this.#lastCommand);
    this.#yank = chained ? (direction === 'before' ? cut + this.#yank : this.#yank + cut) : cut;
    this.#change(buffer, '');
  }

  yank(): void {
    this.#change(edit.insert(this.#buffer, this.#yank), '');
  }

  undo(): void {
    const before = this.#undo.pop();
    if (before !== undefined) this.#buffer = before;
  }

  enter(): void {
    const { text } = this.#buffer;
    if (text.trim() === '' || this.#options.isComplete(text)) this.#settle({ kind: 'text', text });
    else this.newLine();
  }

  newLine(): void {
    this.#change(edit.insert(this.#buffer, '\n'), '');
  }

  abandon(): void {
    const { text } = this.#buffer;
    this.#finishFrame('^C');
    this.#settle({ kind: 'abandoned', text });
  }

  endOrDelete(): void {
    if (this.#buffer.text === '') this.#settle({ kind: 'end' });
    else this.change(edit.deleteRight);
  }

  clearScreen(): void {
    this.#painter.clearScreen();
  }

  /** Up and Down walk the rows of the buffer first, and the history from its first and last row. */
  vertical(direction: -1 | 1): void {
    const placed = this.#layout();
    const row = placed.rows[placed.cursorRow + direction];
    if (row === undefined) {
      this.walkHistory(direction);
      return;
    }
    this.#wantedColumn ??= placed.cursorColumn;
    this.#buffer = { ...this.#buffer, cursor: offsetAt(row, this.#buffer.text, this.#wantedColumn) };
  }

  walkHistory(direction: -1 | 1): void {
    const { entries } = this.#options.history;
    const index = this.#historyIndex + direction;
    if (index < 0 || index > entries.length) return;
    if (this.#historyIndex === entries.length) this.#draft = this.#buffer.text;
    this.#historyIndex = index;
    const text = entries[index] ?? this.#draft;
    // Walking back, the cursor waits in the first line, so that the next Up goes on and does not climb through it.
    const buffer = edit.withText(text);
    this.#replaceAll(direction === -1 ? { text, cursor: edit.lineEnd({ text, cursor: 0 }) } : buffer);
    this.#wantedColumn = undefined;
  }

  // ---- Changes ----

  #change(next: Buffer, kind: string): void {
    // A word typed without a pause is one step of undo.
    if (!(kind === 'type' && this.#lastCommand === 'type')) {
      this.#undo.push(this.#buffer);
      if (this.#undo.length > mostUndone) this.#undo.shift();
    }
    this.#lastCommand = kind;
    this.#buffer = next;
    this.#wantedColumn = undefined;
  }

  #replaceAll(next: Buffer): void {
    this.#undo = [];
    this.#buffer = next;
  }

  // ---- Completion ----

  completeOrIndent(): void {
    const { text, cursor } = this.#buffer;
    const line = text.slice(edit.lineStart(this.#buffer), cursor);
    if (line.trim() === '' && text.trim() !== '') {
      this.change((buffer) => edit.insert(buffer, '  '));
      return;
    }
    const asked = ++this.#completing;
    const original = this.#buffer;
    this.#options.complete(text, cursor).then(
      (completion) => {
        // An answer that comes after more keys is an answer to a question nobody asks any more.
        if (asked !== this.#completing || original !== this.#buffer || this.#answer === undefined || completion === undefined) return;
        this.#offer(completion, original);
        this.#paintSoon();
      },
      // Completion is a courtesy: what cannot be completed is typed by hand.
      () => {},
    );
  }

  #offer(completion: Completion, original: Buffer): void {
    const { start, end, candidates } = completion;
    const [first] = candidates;
    if (first === undefined) return;
    if (candidates.length === 1) {
      this.#change(edit.replace(original, start, end, first), '');
      return;
    }
    const typed = original.text.slice(start, end);
    const prefix = commonPrefix(candidates);
    if (prefix.length > typed.length) this.#change(edit.replace(original, start, end, prefix), '');
    const before = this.#buffer;
    this.#menu = { start, end: before.cursor, candidates, original: before, selected: -1 };
  }

  #pressInMenu(name: string): boolean {
    const menu = this.#menu;
    if (menu === undefined) return false;
    if (name === 'tab' || name === 'S-tab' || (menu.selected >= 0 && (name === 'down' || name === 'up'))) {
      const step = name === 'tab' || name === 'down' ? 1 : -1;
      const count = menu.candidates.length;
      const selected = menu.selected === -1 && step === -1 ? count - 1 : (menu.selected + step + count) % count;
      this.#menu = { ...menu, selected };
      this.#buffer = edit.replace(menu.original, menu.start, menu.end, menu.candidates[selected] ?? '');
      return true;
    }
    const chosen = menu.selected >= 0;
    if (name === 'escape' || name === 'C-g') {
      this.#buffer = menu.original;
      this.#menu = undefined;
      return true;
    }
    this.#closeMenu();
    // Enter takes the candidate that is lit; with none lit it is Enter.
    return name === 'return' && chosen;
  }

  #closeMenu(): void {
    if (this.#menu !== undefined && this.#menu.selected >= 0) this.#undo.push(this.#menu.original);
    this.#menu = undefined;
  }

  // ---- Search ----

  search(): void {
    const original = this.#search?.original ?? this.#buffer;
    this.#search = { query: '', index: this.#options.history.entries.length, found: true, original };
    this.#buffer = original;
  }

  #pressInSearch(name: string, key: Key): boolean {
    const search = this.#search;
    if (search === undefined) return false;
    const typed = printable(key);
    if (typed !== undefined) {
      this.#searchFor(search.query + typed);
      return true;
    }
    switch (name) {
      case 'C-r':
        this.#findEntry(search.index - 1, -1, this.#buffer.text);
        return true;
      case 'C-s':
        this.#findEntry(search.index + 1, 1, this.#buffer.text);
        return true;
      case 'backspace':
        this.#searchFor(search.query.slice(0, -1));
        return true;
      case 'C-g':
      case 'C-c':
      case 'escape':
        this.#search = undefined;
        this.#buffer = search.original;
        return true;
      default:
        // Every other key takes what was found and then does what it always does; Tab and the arrows only take it.
        this.#search = undefined;
        if (search.index < this.#options.history.entries.length) this.#historyIndex = search.index;
        return name === 'tab';
    }
  }

  #searchFor(query: string): void {
    const search = this.#search;
    if (search === undefined) return;
    const { entries } = this.#options.history;
    this.#search = { ...search, query };
    // A longer query goes on from the entry on show, a shorter one starts anew.
    const narrower = query.length > search.query.length && search.index < entries.length;
    if (query === '') this.search();
    else this.#findEntry(narrower ? search.index : entries.length - 1, -1);
  }

  #findEntry(from: number, step: -1 | 1, passOver?: string): void {
    const search = this.#search;
    if (search === undefined || search.query === '') return;
    const { entries } = this.#options.history;
    const wanted = search.query.toLowerCase();
    for (let index = from; index >= 0 && index < entries.length; index += step) {
      const entry = entries[index] ?? '';
      const at = entry.toLowerCase().indexOf(wanted);
      if (at === -1 || entry === passOver) continue;
      this.#search = { ...search, index, found: true };
      this.#buffer = { text: entry, cursor: at };
      return;
    }
    this.#search = { ...search, found: false };
  }

  // ---- Painting ----

  #paintSoon(): void {
    // All keys of one chunk are handled before one painting: a paste into a terminal without bracketed paste stays quick.
    if (this.#painting) return;
    this.#painting = true;
    queueMicrotask(() => {
      this.#painting = false;
      if (this.#answer !== undefined && this.#opened) this.#paint();
    });
  }

  #layout(): Layout {
    const { text, cursor } = this.#buffer;
    const { prompt, highlight } = this.#options;
    return layout({
      text,
      cursor,
      columns: this.#painter.columns,
      prompt: (line) => prompt(text, line),
      ...(highlight === undefined ? {} : { styles: highlight(text) }),
    });
  }

  #paint(): void {
    this.#painter.paint(this.#frame());
  }

  #frame(): Frame {
    return { ...this.#layout(), footer: this.#footer() };
  }

  #finishFrame(mark = ''): void {
    this.#menu = undefined;
    this.#search = undefined;
    const placed = this.#layout();
    const last = placed.rows.at(-1);
    const frame: Frame = {
      ...placed,
      rows: last === undefined || mark === '' ? placed.rows : [...placed.rows.slice(0, -1), { ...last, text: last.text + mark }],
      footer: [],
    };
    this.#painter.finish(frame);
  }

  #footer(): FrameRow[] {
    const { columns } = this.#painter;
    if (this.#search !== undefined) {
      const { query, found } = this.#search;
      const text = `history: ${query}_${found ? '' : '  nothing older holds that'}   (Enter runs, Tab edits, Ctrl-R older, Esc back)`;
      return [this.#dim(truncate(text, columns - 1))];
    }
    if (this.#menu !== undefined) return this.#menuFooter(this.#menu, columns);
    return [];
  }

  #menuFooter({ candidates, selected }: Menu, columns: number): FrameRow[] {
    const shown = candidates.map((candidate) => truncate(candidate.replace(/\s+/g, ' '), Math.min(columns - 1, 48)));
    const cell = Math.max(...shown.map(visibleWidth)) + 2;
    const perRow = Math.max(1, Math.floor((columns - 1) / cell));
    const total = Math.ceil(shown.length / perRow);
    const selectedRow = Math.floor(Math.max(selected, 0) / perRow);
    const first = Math.min(Math.max(selectedRow - menuRows + 1, 0), Math.max(total - menuRows, 0));
    const rows: FrameRow[] = [];
    for (let row = first; row < Math.min(first + menuRows, total); row++) {
      let text = '';
      let width = 0;
      for (let index = row * perRow; index < Math.min((row + 1) * perRow, shown.length); index++) {
        const label = shown[index] ?? '';
        const padding = ' '.repeat(cell - visibleWidth(label));
        text += index === selected ? `\x1b[7m${label}\x1b[0m${padding}` : label + padding;
        width += cell;
      }
      rows.push({ text, width });
    }
    const hidden = shown.length - Math.min(total, menuRows) * perRow;
    if (hidden > 0) rows.push(this.#dim(truncate(`.. ${hidden} more`, columns - 1)));
    return rows;
  }

  #dim(text: string): FrameRow {
    return { text: this.#options.color ? `\x1b[2m${text}\x1b[0m` : text, width: visibleWidth(text) };
  }

  // ---- The terminal ----

  #settle(entered: Entered): void {
    const answer = this.#answer;
    if (answer === undefined) return;
    if (entered.kind !== 'abandoned' && this.#opened) this.#finishFrame();
    this.#answer = undefined;
    this.#lastCommand = '';
    this.#completing++;
    answer(entered);
  }

  #takeTerminal(): void {
    this.#options.keyboard.setRawMode?.(true);
    this.#options.terminal.write('\x1b[?2004h');
  }

  #giveTerminalBack(): void {
    this.#options.terminal.write('\x1b[?2004l');
    this.#options.keyboard.setRawMode?.(false);
  }

  #suspend(): void {
    const { suspend } = this.#options;
    if (suspend === undefined) return;
    if (this.#answer !== undefined) this.#finishFrame();
    this.#giveTerminalBack();
    suspend();
    // Execution goes on here when the process is continued.
    this.#takeTerminal();
    this.#paintSoon();
  }
}

type Command = (editor: Editor) => void;

/** Every key that does something, by one name: C- is Ctrl, M- is Alt, S- is Shift. */
const commands: Readonly<Record<string, Command>> = {
  return: (editor) => editor.enter(),
  enter: (editor) => editor.enter(),
  'M-return': (editor) => editor.newLine(),
  'M-enter': (editor) => editor.newLine(),
  'C-c': (editor) => editor.abandon(),
  'C-d': (editor) => editor.endOrDelete(),
  'C-l': (editor) => editor.clearScreen(),
  'C-r': (editor) => editor.search(),
  tab: (editor) => editor.completeOrIndent(),
  left: (editor) => editor.move(edit.left),
  'C-b': (editor) => editor.move(edit.left),
  right: (editor) => editor.move(edit.right),
  'C-f': (editor) => editor.move(edit.right),
  'M-left': (editor) => editor.move(edit.wordLeft),
  'C-left': (editor) => editor.move(edit.wordLeft),
  'M-b': (editor) => editor.move(edit.wordLeft),
  'M-right': (editor) => editor.move(edit.wordRight),
  'C-right': (editor) => editor.move(edit.wordRight),
  'M-f': (editor) => editor.move(edit.wordRight),
  home: (editor) => editor.move(edit.home),
  'C-a': (editor) => editor.move(edit.home),
  end: (editor) => editor.move(edit.end),
  'C-e': (editor) => editor.move(edit.end),
  'C-home': (editor) => editor.move((buffer) => ({ ...buffer, cursor: 0 })),
  'C-end': (editor) => editor.move((buffer) => ({ ...buffer, cursor: buffer.text.length })),
  'M-<': (editor) => editor.move((buffer) => ({ ...buffer, cursor: 0 })),
  'M->': (editor) => editor.move((buffer) => ({ ...buffer, cursor: buffer.text.length })),
  up: (editor) => editor.vertical(-1),
  down: (editor) => editor.vertical(1),
  'C-p': (editor) => editor.walkHistory(-1),
  'C-n': (editor) => editor.walkHistory(1),
  pageup: (editor) => editor.walkHistory(-1),
  pagedown: (editor) => editor.walkHistory(1),
  backspace: (editor) => editor.change(edit.deleteLeft),
  'C-h': (editor) => editor.change(edit.deleteLeft),
  delete: (editor) => editor.change(edit.deleteRight),
  'C-t': (editor) => editor.change(edit.transpose),
  'C-k': (editor) => editor.cut(edit.cutToLineEnd, 'behind'),
  'C-u': (editor) => editor.cut(edit.cutToLineStart, 'before'),
  'C-w': (editor) => editor.cut(edit.cutBlankWordLeft, 'before'),
  'M-backspace': (editor) => editor.cut(edit.cutWordLeft, 'before'),
  'M-d': (editor) => editor.cut(edit.cutWordRight, 'behind'),
  'M-delete': (editor) => editor.cut(edit.cutWordRight, 'behind'),
  'C-y': (editor) => editor.yank(),
  'C-_': (editor) => editor.undo(),
};

const cutKeys: ReadonlySet<string> = new Set(['C-k', 'C-u', 'C-w', 'M-backspace', 'M-d', 'M-delete']);
const verticalKeys: ReadonlySet<string> = new Set(['up', 'down']);

function commandName(key: Key): string {
  if (key.sequence === '\x1f') return 'C-_';
  // Node flags a lone Escape as Alt with nothing.
  if (key.name === 'escape') return 'escape';
  const name = key.name ?? (key.meta ? key.sequence.slice(1) : key.sequence);
  return `${key.ctrl ? 'C-' : ''}${key.meta ? 'M-' : ''}${key.shift && name === 'tab' ? 'S-' : ''}${name}`;
}

/** The text that a key types, if it types any. */
function printable(key: Key): string | undefined {
  if (key.ctrl || key.meta) return undefined;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is told apart here.
  return /^[^\x00-\x1f\x7f]+$/.test(key.sequence) ? key.sequence : undefined;
}

function commonPrefix(candidates: readonly string[]): string {
  let prefix = candidates[0] ?? '';
  for (const candidate of candidates) {
    let length = 0;
    while (length < prefix.length && prefix[length]?.toLowerCase() === candidate[length]?.toLowerCase()) length++;
    prefix = prefix.slice(0, length);
  }
  return prefix;
}
