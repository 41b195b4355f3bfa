// A job directory on a real folder and a real database. What is told to the log is what tests wait for: nothing sleeps.

import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test as base } from 'vitest';
import { type JobDirectory, type Source, startJobDirectory } from '../../../src/daemon/watcher/jobDirectory.ts';
import { TestDatabase } from '../../support/database.ts';

interface Line {
  readonly level: 'info' | 'warn' | 'error';
  readonly message: string;
}

export class Watched {
  readonly database = new TestDatabase();
  readonly directory = join(this.database.folder, 'jobs');
  readonly lines: Line[] = [];
  #jobs: JobDirectory | undefined;
  #wake: () => void = () => {};

  async open(): Promise<void> {
    mkdirSync(this.directory, { recursive: true });
    await this.database.open();
  }

  async start(directory = this.directory): Promise<JobDirectory> {
    const { engine, clock } = this.database;
    const write = (level: Line['level']) => (_fields: object, message: string) => {
      this.lines.push({ level, message });
      this.#wake();
    };
    const logger = { info: write('info'), warn: write('warn'), error: write('error') };
    this.#jobs = await startJobDirectory({ engine, directory, logger, clock });
    // On a busy machine the start may have been content before everything was carried out.
    await this.#jobs.reload();
    return this.#jobs;
  }

  get jobs(): JobDirectory {
    if (this.#jobs === undefined) throw new Error('the job directory has not been started');
    return this.#jobs;
  }

  /** Ends it, and opens the database again, as a new process would. */
  async reopen(): Promise<void> {
    await this.#jobs?.close();
    this.#jobs = undefined;
    await this.database.reopen();
  }

  write(path: string, content: unknown): void {
    const full = join(this.directory, path);
    mkdirSync(dirname(full), { recursive: true });
    writeFileSync(full, typeof content === 'string' || content instanceof Uint8Array ? content : JSON.stringify(content, undefined, 2));
  }

  /** In the way of good editors: beside it, and then over it. */
  replace(path: string, content: unknown): void {
    this.write(`.${path}.tmp`, content);
    renameSync(join(this.directory, `.${path}.tmp`), join(this.directory, path));
  }

  link(path: string, target: string): void {
    symlinkSync(target, join(this.directory, path));
  }

  move(from: string, to: string): void {
    renameSync(join(this.directory, from), join(this.directory, to));
  }

  remove(path: string): void {
    rmSync(join(this.directory, path), { recursive: true, force: true });
  }

  /** Waits until a line of the log, told from now on, holds `text`. */
  async told(text: string | RegExp, act: () => unknown = () => {}): Promise<void> {
    const from = this.lines.length;
    await act();
    await this.until(() =>
      this.lines.slice(from).some(({ message }) => (typeof text === 'string' ? message.includes(text) : text.test(message))),
    );
  }

  /** Asked after each line of the log. */
  async until(holds: () => boolean): Promise<void> {
    while (!holds()) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  messages(level: Line['level']): string[] {
    return this.lines.filter((line) => line.level === level).map((line) => line.message);
  }

  /** `name from source` */
  async schedules(): Promise<string[]> {
    const rows = await this.database.rows('SELECT name, source FROM cron.schedules ORDER BY name');
    return rows.map((row) => `${row['name']} from ${row['source'] ?? 'nowhere'}`);
  }

  source(path: string): Source | undefined {
    return this.jobs.sources().find((source) => source.path === path);
  }

  async close(): Promise<void> {
    await this.#jobs?.close();
    await this.database.remove();
  }
}

export const test = base.extend<{ watched: Watched }>({
  // biome-ignore lint/correctness/noEmptyPattern: vitest wants the pattern
  watched: async ({}, use) => {
    const watched = new Watched();
    try {
      await watched.open();
      await use(watched);
    } finally {
      await watched.close();
    }
  },
});

export const job = (name: string, sql = 'SELECT 1') => ({ job_id: name, schedule: '0 1 * * *', task: { type: 'sql', sql } });
