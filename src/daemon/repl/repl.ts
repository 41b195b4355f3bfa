// The interactive shell: prompt, statement, answer, again.

import { type OpenConstruct, Splitter, split } from '../../parser/split.ts';
import { readPieces } from '../input.ts';
import type { Notice } from '../notice.ts';
import type { Outcome, Shell } from '../shell.ts';
import { Completer, type CompletionSource } from './completion.ts';
import { Editor, type Keyboard } from './editor.ts';
import { highlight } from './highlight.ts';
import type { History } from './history.ts';
import { LineReader } from './lineReader.ts';
import type { Terminal } from './painter.ts';

interface ReplOptions {
  readonly shell: Shell;
  readonly keyboard: Keyboard;
  readonly terminal: Terminal;
  readonly history: History;
  readonly color: boolean;
  /** The terminal moves its cursor; else it is read line by line. */
  readonly canEdit: boolean;
  /** Stops the process group, as Ctrl-Z does outside of raw mode. */
  readonly suspend: (() => void) | undefined;
  /** The prompt is there again: what was kept from `tell` while a statement ran has its place now. */
  readonly onPrompt?: () => void;
}

export class Repl {
  readonly #options: ReplOptions;
  readonly #reader: Editor | LineReader;
  readonly #continuations = new Continuations();
  #completion: Promise<unknown> = Promise.resolve();
  /** Ctrl-C on an empty line, so often in a row. */
  #idleInterrupts = 0;
  #left = false;

  constructor(options: ReplOptions) {
    this.#options = options;
    const { keyboard, terminal, history, color, suspend, onPrompt } = options;
    const prompt = (text: string, line: number): string => this.#prompt(text, line);
    if (!options.canEdit) {
      this.#reader = new LineReader({
        input: keyboard,
        output: terminal,
        prompt,
        isComplete,
        ...(onPrompt === undefined ? {} : { onPrompt }),
      });
      return;
    }
    const completer = new Completer(sourceOf(options.shell));
    this.#reader = new Editor({
      keyboard,
      terminal,
      history,
      color,
      prompt,
      isComplete,
      complete: (text, cursor) => {
        const answer = completer.complete(text, cursor);
        this.#completion = answer.catch(() => undefined);
        return answer;
      },
      onInterrupt: () => this.interrupt(),
      ...(color ? { highlight } : {}),
      ...(suspend === undefined ? {} : { suspend }),
    });
  }

  /** Whether a line can be told right now: over what is being typed, or when there is no prompt any more. */
  get canTell(): boolean {
    return this.#left || (this.#reader instanceof Editor && this.#reader.isReading);
  }

  tell(notices: readonly Notice[]): void {
    const { terminal } = this.#options;
    if (this.#reader instanceof Editor && this.#reader.isReading) this.#reader.tell(notices);
    else for (const notice of notices) terminal.write(`${notice.line(notice.count, terminal.columns)}\n`);
  }

  /** Resolves when the user leaves. */
  async run(): Promise<void> {
    const { shell, terminal } = this.#options;
    this.#reader.open();
    try {
      for (;;) {
        const reading = this.#reader.read();
        if (this.#reader instanceof Editor) this.#options.onPrompt?.();
        const entered = await reading;
        if (entered.kind === 'end') return;
        if (entered.kind === 'abandoned') {
          if (entered.text.trim() === '') this.#explainLeaving();
          continue;
        }
        this.#idleInterrupts = 0;
        // Completion asks the same session; it must have its answer before the next statement.
        await this.#completion;
        if ((await this.#runText(entered.text)) === 'quit') return;
      }
    } finally {
      this.#reader.close();
      this.#left = true;
      if (shell.session.transaction !== 'none') terminal.write('The open transaction was rolled back.\n');
    }
  }

  /** Ends run() as Ctrl-D does. */
  leave(): void {
    this.#reader.end();
  }

  /** Gives the terminal back at once, whatever is going on. */
  close(): void {
    this.#reader.close();
  }

  interrupt(): void {
    if (this.#reader instanceof LineReader) this.#reader.abandon();
    this.#options.shell.interrupt().catch(() => {
      // The statement has ended by itself in the meantime.
    });
  }

  async #runText(text: string): Promise<Outcome> {
    const { shell, history } = this.#options;
    const pieces = readPieces(bareCommand(text) ?? text);
    for (const piece of pieces) history.add(piece.kind === 'statement' ? `${piece.text};` : piece.text);
    for (const [index, piece] of pieces.entries()) {
      const outcome = await shell.run(piece);
      if (outcome === 'quit') return outcome;
      if (outcome === 'failed') {
        const left = pieces.length - index - 1;
        if (left > 0) shell.warn(left === 1 ? 'the statement behind it was not run' : `the ${left} statements behind it were not run`);
        return outcome;
      }
    }
    return 'done';
  }

  #explainLeaving(): void {
    this.#idleInterrupts++;
    if (this.#idleInterrupts >= 2) this.#options.terminal.write('To leave, press Ctrl-D or type .quit\n');
  }

  #prompt(text: string, line: number): string {
    const { shell, color } = this.#options;
    const mark = { none: '', open: '*', aborted: '!' }[shell.session.transaction];
    const first = `cuckoo${shell.kind === 'daemon' ? '@daemon' : ''}${mark}> `;
    const shown = line === 0 ? first : `${this.#continuations.mark(text, line)}> `.padStart(first.length);
    return color ? `\x1b[2m${shown}\x1b[0m` : shown;
  }
}

/** Long texts are pasted, and nobody asks of each of their lines what it stands in. */
const longestExplained = 20_000;

/** What each line of a text stands in; kept for the text asked last, because every line of it is asked at every key. */
class Continuations {
  #text = '';
  #marks: string[] = [];

  mark(text: string, line: number): string {
    if (text.length > longestExplained) return '-';
    if (text !== this.#text) {
      this.#text = text;
      const splitter = new Splitter();
      this.#marks = text.split('\n').map((before) => {
        splitter.push(`${before}\n`);
        const { open } = splitter;
        return open === undefined ? '-' : openMarks[open.construct];
      });
    }
    return this.#marks[line - 1] ?? '-';
  }
}

/** What the lines above broke off in, said in front of the next one. */
const openMarks: Readonly<Record<OpenConstruct, string>> = {
  string: "'",
  'quoted name': '"',
  'dollar quote': '$$',
  comment: '/*',
  'BEGIN block': 'BEGIN',
  braces: '{',
  statement: '-',
};

/** `exit`, `quit` and `help` alone mean what they say: nobody should have to ask how to leave. */
function bareCommand(text: string): string | undefined {
  const word = /^\s*(exit|quit|help)\s*;?\s*$/i.exec(text)?.[1];
  return word === undefined ? undefined : `.${word.toLowerCase()}`;
}

/** A command of the shell ends with its line, a statement with its `;`. */
export function isComplete(text: string): boolean {
  if (bareCommand(text) !== undefined) return true;
  const pieces = readPieces(text);
  const last = pieces.at(-1);
  return last?.terminated ?? split(text).open === undefined;
}

function sourceOf(shell: Shell): CompletionSource {
  return {
    async names(noun) {
      if (shell.session.transaction === 'aborted') return [];
      const rows = await shell.texts(`SELECT name FROM cron.${noun}s ORDER BY name LIMIT 1000`);
      return rows.flatMap(([name]) => (name === null || name === undefined ? [] : [name]));
    },
    async duckdb(statement) {
      if (shell.session.transaction === 'aborted') return [];
      const rows = await shell.texts(
        `SELECT suggestion, suggestion_start, suggestion_type, suggestion_score FROM sql_auto_complete('${statement.replaceAll("'", "''")}')`,
      );
      // DuckDB counts bytes.
      const bytes = Buffer.from(statement);
      return rows.map(([text, start, kind, score]) => ({
        text: text ?? '',
        start: bytes.toString('utf8', 0, Number(start)).length,
        kind: kind ?? '',
        score: Number(score),
      }));
    },
  };
}
