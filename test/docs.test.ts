// What is written runs: every ```sql fence of README.md and docs/, every file of examples/, and the ```js fences of
// docs/library.md, with the answers that are written behind them. `UPDATE_DOCS=1 npx vitest run test/docs.test.ts` writes the
// answers anew.

import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  DocumentDatabase,
  type Example,
  examplesOf,
  type Fence,
  fencesOf,
  manualColumns,
  masked,
  maskedIds,
  read,
  refreshed,
  root,
  runModule,
  runProcess,
  write,
} from './support/document.ts';

const updates = process.env['UPDATE_DOCS'] === '1';

function filesIn(folder: string, ending: string): string[] {
  const found = readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith(ending));
  return found.map((path) => `${folder}/${path}`).sort();
}

const manuals = ['README.md', ...filesIn('docs', '.md')];

/** The README's transcript is read from a pipe, which has no width. */
describe('every SQL example of the manuals answers what stands behind it', () => {
  for (const path of manuals.filter((path) => examplesOf(read(path), 'sql').length > 0)) {
    test(path, async () => {
      const markdown = read(path);
      const answers = await sqlAnswers(examplesOf(markdown, 'sql'), path === 'README.md' ? undefined : manualColumns, modulesOf(markdown));
      compare(path, markdown, answers, maskedIds);
    });
  }
});

interface Answer {
  readonly example: Example;
  readonly text: string;
}

/** What begins with `// jobs/name.mjs` is a module of that path. */
function modulesOf(markdown: string): { readonly path: string; readonly text: string }[] {
  return fencesOf(markdown).flatMap(({ language, text }) => {
    const path = language === 'js' ? /^\/\/ (\S+\.[cm]?js)\n/.exec(text)?.[1] : undefined;
    return path === undefined ? [] : [{ path, text }];
  });
}

async function sqlAnswers(
  examples: readonly Example[],
  columns?: number,
  modules: readonly { readonly path: string; readonly text: string }[] = [],
): Promise<Answer[]> {
  const database = new DocumentDatabase();
  try {
    for (const { path, text } of modules) {
      mkdirSync(join(database.folder, dirname(path)), { recursive: true });
      writeFileSync(join(database.folder, path), text);
    }
    await database.open(columns);
    const answers: Answer[] = [];
    for (const example of examples) {
      const { text, failed } = await database.answerTo(example.source.text);
      if (failed && example.answer === undefined) expect.unreachable(`line ${example.source.line}:\n${example.source.text}\n${text}`);
      answers.push({ example, text });
    }
    return answers;
  } finally {
    await database.remove();
  }
}

/** All answers at once: whoever has broken a document sees every place. */
function compare(path: string, markdown: string, answers: readonly Answer[], mask: (text: string) => string): void {
  const wrong = different(answers, mask);
  if (updates && wrong.length > 0) write(path, refreshed(markdown, wrong));
  else
    expect(wrong.map(({ source, text }) => told(source, mask(text)))).toEqual(
      wrong.map(({ source, fence }) => told(source, mask(fence.text))),
    );
}

function different(answers: readonly Answer[], mask: (text: string) => string): Held[] {
  const held = answers.flatMap(({ example: { source, answer }, text }) => (answer === undefined ? [] : [{ source, fence: answer, text }]));
  return held.filter(({ fence, text }) => mask(fence.text) !== mask(text));
}

function told(source: Fence, text: string): string {
  return `line ${source.line}\n${source.text}\n${text}`;
}

interface Held {
  readonly source: Fence;
  readonly fence: Fence;
  readonly text: string;
}

describe('the programs of docs/library.md print what stands behind them', () => {
  for (const language of ['js', 'ts'] as const) {
    test(language, async () => {
      const path = 'docs/library.md';
      const markdown = read(path);
      const examples = examplesOf(markdown, language);
      const fences = examples.map(({ source }) => source);
      const printed = await runModule(fences, language);
      const answers = examples.map((example, at) => ({ example, text: printed[at] ?? '' }));
      compare(path, markdown, answers, masked);
    });
  }
});

test('docs/relations.md lists every column of schema cron, with its type', async () => {
  const sections = read('docs/relations.md')
    .split(/^## cron\./m)
    .slice(1);
  const written = sections.flatMap((section) => {
    const relation = /^\w+/.exec(section)?.[0];
    return [...section.matchAll(/^\| `(\w+)` \| ([A-Z[\]]+) \|/gm)].map(([, column, type]) => `${relation} ${column} ${type}`);
  });
  const database = new DocumentDatabase();
  try {
    await database.open();
    const columns = await database.rows(`
      SELECT table_name || ' ' || column_name || ' ' || replace(data_type, 'TIMESTAMP WITH TIME ZONE', 'TIMESTAMPTZ')
      FROM information_schema.columns
      WHERE table_schema = 'cron' AND table_name <> 'dead_letters' AND NOT starts_with(table_name, 'cuckoo_')`);
    expect(written.sort()).toEqual(columns.map(String).sort());
  } finally {
    await database.remove();
  }
});

test('every link of a page leads to a file and a heading that are there', () => {
  const pages = [...manuals, 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'CHANGELOG.md'];
  const lost = pages.flatMap((page) => {
    const links = [...read(page).matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)/g)];
    return links.flatMap(([link, file = '', anchor]) => {
      const path = file === '' ? page : join(dirname(page), file);
      if (!existsSync(join(root, path))) return [`${page}: ${link}`];
      return anchor === undefined || anchorsOf(read(path)).includes(anchor) ? [] : [`${page}: ${link}`];
    });
  });
  expect(lost).toEqual([]);
});

/** As GitHub names headings. */
function anchorsOf(markdown: string): string[] {
  const headings = [...markdown.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => heading);
  return headings.map((heading) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  );
}

describe('every file of examples/ runs on a fresh database', () => {
  for (const path of filesIn('examples', '.sql')) {
    test(path, async () => {
      const database = new DocumentDatabase();
      try {
        await database.open();
        // What an example of a folder of its own needs lies beside the database.
        if (dirname(path) !== 'examples') cpSync(join(root, dirname(path)), database.folder, { recursive: true });
        const { text, failed } = await database.answerTo(read(path));
        expect(failed, text).toBe(false);
      } finally {
        await database.remove();
      }
    });
  }
});

test('examples/host.mjs runs what falls due, and ends with Ctrl-C', async () => {
  const host = await runProcess(process.execPath, [join(root, 'examples/host.mjs')], { folder: root, interruptAt: 'heartbeat: succeeded' });
  expect(host.stderr).toBe('');
  expect(host.stdout).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d[02468]\.000Z heartbeat: succeeded\n/);
  expect(host.code).toBe(0);
});

test('examples/handlers/host.mjs calls its own function and its own executor', async () => {
  const host = await runProcess(process.execPath, [join(root, 'examples/handlers/host.mjs')], { folder: root });
  expect(host).toEqual({
    code: 0,
    stdout: 'beats: succeeded 3\nhttp_request: call is an address, such as https://example.org/\nping: succeeded { pong: true }\n',
    stderr: '',
  });
});

describe("the README's transcript", () => {
  test('shows examples/first.sql as it is', () => {
    const [first] = examplesOf(read('README.md'), 'sql');
    expect(first?.source.text).toBe(read('examples/first.sql'));
  });

  test('is what `npm start < examples/first.sql` prints, the second time too', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'cuckoo-docs-'));
    try {
      const [first] = examplesOf(read('README.md'), 'sql');
      const start = () =>
        runProcess('npm', ['start', '--prefix', root], {
          folder,
          input: read('examples/first.sql'),
          environment: { CUCKOO_FILE: join(folder, 'cuckoo.duckdb'), npm_config_update_notifier: 'false' },
        });
      const once = await start();
      expect(once.stderr).toBe('');
      expect(masked(withoutNpm(once.stdout))).toBe(masked(first?.answer?.text ?? ''));
      expect(once.code).toBe(0);
      const again = await start();
      expect(masked(withoutNpm(again.stdout))).toBe(masked(first?.answer?.text ?? '').replaceAll(': created', ': unchanged'));
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

/** npm says first what it starts. */
function withoutNpm(output: string): string {
  return output.replace(/^\n(?:> .*\n)+\n/, '');
}

describe('a document', () => {
  test('is cut into fences, and only a text fence right behind an example is its answer', () => {
    const markdown = '```sql\nSELECT 1;\n```\n\n```text\n1\n```\n\n```sql\nSELECT 2;\n```\n\nwords\n\n```text\n2\n```\n';
    expect(fencesOf(markdown).map(({ language, line }) => [language, line])).toEqual([
      ['sql', 2],
      ['text', 6],
      ['sql', 10],
      ['text', 16],
    ]);
    expect(examplesOf(markdown, 'sql').map(({ answer }) => answer?.text)).toEqual(['1\n', undefined]);
  });

  test('that is wrong does not go through', async () => {
    const answers = await sqlAnswers(examplesOf('```sql\nSELECT 1 AS one;\n```\n\n```text\ntwo\n```\n', 'sql'));
    expect(different(answers, maskedIds)).toMatchObject([{ fence: { text: 'two\n' }, text: expect.stringContaining('one') }]);
    await expect(sqlAnswers(examplesOf('```sql\nSELEC 1;\n```\n', 'sql'))).rejects.toThrow(/SELEC/);
  });

  test('is refreshed in the place of each answer and nowhere else', () => {
    const markdown = '```sql\nSELECT 1;\n```\n\n```text\none\n```\n\n```text\nstays\n```\n';
    const fence = examplesOf(markdown, 'sql')[0]?.answer;
    expect(refreshed(markdown, fence === undefined ? [] : [{ fence, text: 'eins\nzwei\n' }])).toBe(
      markdown.replace('one\n', 'eins\nzwei\n'),
    );
  });
});
