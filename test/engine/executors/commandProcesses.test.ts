// Whatever a command starts ends with it: on real processes, with each way of finding them.

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Enforcement } from '../../../src/engine/executors/command/messages.ts';
import { isAlive, runId, TestCommands } from '../../support/commandTask.ts';

const folder = mkdtempSync(join(tmpdir(), 'cuckoo-processes-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let commands: TestCommands;

function on(enforcement: Enforcement): void {
  beforeAll(() => {
    commands = new TestCommands(folder, enforcement);
  });
  afterEach(() => {
    commands.lines.length = 0;
  });
  afterAll(() => commands.close());
}

/** The numbers that the command has said, once there are so many. */
async function pids(count: number): Promise<number[]> {
  await commands.line(/^all$/);
  const numbers = commands.texts.filter((text) => /^\d+$/.test(text)).map(Number);
  expect(numbers).toHaveLength(count);
  expect(numbers.every(isAlive)).toBe(true);
  return numbers;
}

/** A child, a child in a session of its own, and one whose parent has gone away: each says its number. */
function sayingAll(then: string): string {
  const member = (name: string): string => `sh -c 'echo $$; : > ${folder}/${name}; exec sleep 1000'`;
  return `rm -f ${folder}/said-*
    ${member('said-1')} &
    setsid ${member('said-2')} &
    (setsid ${member('said-3')} &)
    until [ -e ${folder}/said-1 ] && [ -e ${folder}/said-2 ] && [ -e ${folder}/said-3 ]; do sleep 0.02; done
    echo all
    ${then}`;
}

async function stopped(call: string, count: number, config: Record<string, string> = {}) {
  const stop = new AbortController();
  const end = commands.run(call, { signal: stop.signal, config });
  const members = await pids(count);
  stop.abort();
  return { end: await end, members };
}

for (const enforcement of ['cgroup', 'tree'] as const) {
  describe(`found by ${enforcement}`, () => {
    on(enforcement);

    test('told to end, all end: children, those with a session of their own, and those whose parent has gone', async () => {
      const { end, members } = await stopped(sayingAll('sleep 1000'), 3);
      expect(members.filter(isAlive)).toEqual([]);
      expect(end.error).toMatchObject({ code: 'run_failed', message: 'ended by SIGTERM', detail: { signal: 'SIGTERM' } });
      expect(end.notes).toEqual([]);
    });

    test('what a command leaves behind is ended, and said on the run', async () => {
      const end = commands.run(sayingAll('exit 0'));
      await commands.line(/^all$/);
      const members = commands.texts.filter((text) => /^\d+$/.test(text)).map(Number);
      expect(await end).toMatchObject({
        error: null,
        notes: ['3 processes were still running when it ended, and were ended'],
      });
      expect(members).toHaveLength(3);
      expect(members.filter(isAlive)).toEqual([]);
    });

    test('whoever ignores SIGTERM is killed when the grace is over', async () => {
      const call = `trap '' TERM; sh -c 'trap "" TERM; echo $$; echo all; while :; do sleep 0.1; done'`;
      const began = performance.now();
      const { end, members } = await stopped(call, 1, { grace: '300ms' });
      expect(members.filter(isAlive)).toEqual([]);
      expect(performance.now() - began).toBeGreaterThan(300);
      expect(end.error).toMatchObject({ message: 'ended by SIGKILL' });
      expect(end.notes).toMatchObject([expect.stringMatching(/^SIGKILL: \d+ processes did not end within 0.3 s after SIGTERM$/)]);
    });

    test('told to end in its first moments it ends, whether it had begun or not', async () => {
      const ends = Array.from({ length: 60 }, async (_, at) => {
        const stop = new AbortController();
        const end = commands.run(['sleep', '1000'], { signal: stop.signal });
        await new Promise((resolve) => setTimeout(resolve, at % 12));
        stop.abort();
        return end;
      });
      for (const end of await Promise.all(ends)) expect(end.result).toEqual({ exit_code: null, last_line: null });
      expect(marked()).toEqual([]);
    });

    test('five hundred children end with their parent', async () => {
      const stop = new AbortController();
      const end = commands.run('for i in $(seq 500); do sleep 1000 & echo $!; done; echo all; wait', { signal: stop.signal });
      const members = await pids(500);
      stop.abort();
      await end;
      expect(members.filter(isAlive)).toEqual([]);
    });

    test('one that is stopped is ended too', async () => {
      const { members } = await stopped("sh -c 'echo $$; echo all; kill -STOP $$; sleep 1000' & wait", 1);
      expect(members.filter(isAlive)).toEqual([]);
    });

    test('what reads the last of its output may end by itself', async () => {
      const file = join(folder, 'copy.txt');
      const end = await commands.run(['bash', '-c', `exec > >(sleep 0.05; cat > ${file}); echo written`]);
      expect(end).toMatchObject({ error: null, notes: [] });
      expect(readFileSync(file, 'utf8')).toBe('written\n');
    });

    test('before a retry, what the attempt before has left is ended', async () => {
      const others = new TestCommands(folder, enforcement);
      try {
        const stop = new AbortController();
        const first = others.run('echo $$; echo all; sleep 1000', { runId: 'before', signal: stop.signal });
        await others.line(/^all$/);
        const pid = Number(others.texts[0]);
        const end = await commands.run(['true'], { runId, retryOf: 'before', attempt: 2 });
        expect(end.notes).toEqual([expect.stringMatching(/^2 processes of the attempt before were still running, and ended$/)]);
        expect(isAlive(pid)).toBe(false);
        expect((await first).error).toMatchObject({ message: 'ended by SIGTERM' });
      } finally {
        await others.close();
      }
    });
  });
}

describe('without /proc and control groups', () => {
  on('group');

  test('the process group is ended, on SIGTERM and on SIGKILL', async () => {
    const { end, members } = await stopped("sh -c 'echo $$; exec sleep 1000' & echo all; wait", 1);
    expect(members.filter(isAlive)).toEqual([]);
    expect(end).toMatchObject({ error: { message: 'ended by SIGTERM' }, cpuMs: null, peakMemoryBytes: null });
    const deaf = await commands.run("trap '' TERM; sleep 1000 & exit 3", { config: { grace: '100ms' } });
    expect(deaf).toMatchObject({
      error: { message: 'exit code 3' },
      notes: ['its process group was still running when it ended, and was ended', expect.stringMatching(/^SIGKILL: 1 process did not/)],
    });
  });
});

describe('a command', () => {
  on('cgroup');

  test('that is stopped before it has begun does not begin', async () => {
    const file = join(folder, 'begun');
    const end = await commands.run(['touch', file], { signal: AbortSignal.abort() });
    expect(end.result).toEqual({ exit_code: null, last_line: null });
    expect(readdirSync(folder)).not.toContain('begun');
  });

  test('reads nothing, may close its output early, and may open it by its name', async () => {
    expect(await commands.run('cat; echo read')).toMatchObject({ result: { exit_code: 0, last_line: 'read' } });
    expect(await commands.run('exec >&- 2>&-; sleep 0.05; exit 7')).toMatchObject({ error: { message: 'exit code 7' } });
    expect(await commands.run('echo by name > /dev/stdout; echo error > /dev/stderr')).toMatchObject({ error: null });
    expect(commands.lines.slice(-2)).toEqual([
      { stream: 'stdout', level: 'info', text: 'by name' },
      { stream: 'stderr', level: 'warn', text: 'error' },
    ]);
  });

  test('that ends by a signal says which', async () => {
    expect(await commands.run('kill -SEGV $$')).toMatchObject({
      result: { exit_code: null },
      error: { code: 'run_failed', message: 'ended by SIGSEGV', detail: { exit_code: null, signal: 'SIGSEGV' } },
    });
  });

  test('a hundred times leaves no process, no descriptor and no control group behind', async () => {
    const runner = await runnerPid();
    await Promise.all(Array.from({ length: 20 }, () => commands.run('sleep 0.01 & echo x')));
    const before = descriptors(runner);
    for (let round = 0; round < 5; round += 1) {
      await Promise.all(Array.from({ length: 20 }, () => commands.run('setsid sleep 1000 & echo x')));
    }
    // Pipes are made sixteen at a time.
    expect(descriptors(runner)).toBeLessThan(before + 2 * 16 + 4);
    expect(marked()).toEqual([]);
  }, 60_000);
});

/** The process that starts commands. */
async function runnerPid(): Promise<number> {
  const end = await commands.run('echo $PPID');
  return Number((end.result as { last_line: string }).last_line);
}

function descriptors(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

/** Processes that carry the mark of a command of these tests. */
function marked(): string[] {
  return readdirSync('/proc').filter((name) => {
    try {
      return /^\d+$/.test(name) && readFileSync(`/proc/${name}/environ`, 'latin1').includes(`${runId}.`);
    } catch {
      return false;
    }
  });
}

test('when the process that starts commands is killed, they are ended, and their runs say so', async () => {
  commands = new TestCommands(folder);
  try {
    const lost = commands.run('echo $PPID; setsid sleep 1000 & echo $!; echo all; wait');
    lost.catch(() => undefined);
    const [runner = 0, child = 0] = await pids(2);
    process.kill(runner, 'SIGKILL');
    await expect(lost).rejects.toMatchObject({ code: 'run_failed', message: 'the process that runs commands has ended (SIGKILL)' });
    expect(isAlive(child)).toBe(false);
    expect(await commands.run(['echo', 'again'])).toMatchObject({ result: { exit_code: 0, last_line: 'again' } });
  } finally {
    await commands.close();
  }
});
