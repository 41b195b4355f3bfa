// `resources` of commands, kept by control groups where this machine has them, and by watching without them.

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { ControlGroup, ControlGroups } from '../../../src/engine/executors/command/controlGroup.ts';
import type { Enforcement } from '../../../src/engine/executors/command/messages.ts';
import { TestCommands } from '../../support/commandTask.ts';

const folder = mkdtempSync(join(tmpdir(), 'cuckoo-limits-'));
const groups = await ControlGroups.find();
const all = new Map<Enforcement, TestCommands>();

afterAll(async () => {
  for (const commands of all.values()) await commands.close();
  rmSync(folder, { recursive: true, force: true });
});

function by(enforcement: Enforcement): TestCommands {
  const commands = all.get(enforcement) ?? new TestCommands(folder, enforcement);
  all.set(enforcement, commands);
  return commands;
}

const megabyte = 1_000_000;
/** Takes so many bytes, in pieces, and holds them. */
const taking = (bytes: number): string[] => [
  process.execPath,
  '-e',
  `const held = []; for (let at = 0; at < ${bytes / megabyte}; at += 1) held.push(Buffer.alloc(${megabyte}, 1)); setTimeout(() => console.log(held.length), 1000)`,
];
/** Counts for a second, and says how much of the processor it had. */
const counting = [
  process.execPath,
  '-e',
  'const end = Date.now() + 1000; while (Date.now() < end); const { user, system } = process.cpuUsage(); console.log(Math.round((user + system) / 1000))',
];

describe.runIf(groups?.limits('memory') === true && groups.limits('cpu'))('with control groups', () => {
  test('memory beyond the limit ends the command, and the run says why', async () => {
    const end = await by('cgroup').run(taking(400 * megabyte), { resources: { memoryBytes: 200 * megabyte } });
    expect(end.error).toMatchObject({
      code: 'out_of_memory',
      message: 'it was ended, because it needed more than the 200 MB of memory that it is allowed',
    });
    expect(end.notes).toEqual([]);
    expect(end.peakMemoryBytes).toBeGreaterThan(150 * megabyte);
  });

  test('a command that outlives a child of its that took too much has succeeded, with a note', async () => {
    const call = ['sh', '-c', '"$@" || echo survived', 'sh', ...taking(400 * megabyte)];
    const end = await by('cgroup').run(call, { resources: { memoryBytes: 200 * megabyte } });
    // Version 2 ends the whole group.
    if (end.error === null) {
      expect(end).toMatchObject({
        result: { last_line: 'survived' },
        notes: [expect.stringMatching(/^a process of it was ended, because/)],
      });
    } else expect(end.error.code).toBe('out_of_memory');
  });

  test('a share of the processor is not exceeded, and what was taken is counted to the end', async () => {
    const end = await by('cgroup').run(counting, { resources: { cpu: 20 } });
    expect(end).toMatchObject({ error: null, notes: [] });
    expect(end.cpuMs).toBeLessThan(600);
    expect(end.cpuMs).toBeGreaterThan(50);
  });

  test('a command of a moment is measured too', async () => {
    const end = await by('cgroup').run(['true']);
    expect(end.cpuMs).toBeGreaterThan(0);
    expect(end.peakMemoryBytes).toBeGreaterThan(0);
  });

  test('no group stays behind, and those of a scheduler that died are taken away by the next', async () => {
    const made = groups?.make({});
    const door = made?.doors[0] ?? '';
    const parent = join(door, '../..');
    made?.close();
    const end = await by('cgroup').run(['cat', '/proc/self/cgroup']);
    expect(end.error).toBeNull();
    const own = /cuckoo-\d+-\d+/.exec(by('cgroup').texts.join(' '))?.[0] ?? expect.unreachable('it was in no group');
    expect(readdirSync(parent)).not.toContain(own);
    const dead = deadPid();
    mkdirSync(join(parent, `cuckoo-${dead}-1`));
    expect(await ControlGroups.find()).toBeDefined();
    expect(readdirSync(parent)).not.toContain(`cuckoo-${dead}-1`);
  });
});

test('version 2 of control groups is spoken too', () => {
  const group = mkdtempSync(join(folder, 'v2-'));
  for (const file of ['memory.max', 'memory.swap.max', 'memory.oom.group', 'cpu.max', 'cgroup.kill']) writeFileSync(join(group, file), '');
  writeFileSync(join(group, 'cgroup.procs'), '12\n13\n');
  writeFileSync(join(group, 'cpu.stat'), 'usage_usec 1500\nuser_usec 1000\n');
  writeFileSync(join(group, 'memory.peak'), '4096\n');
  writeFileSync(join(group, 'memory.events'), 'low 0\noom 1\noom_kill 2\noom_group_kill 1\n');
  const left: string[] = [];
  const unified = new ControlGroup([{ version: 2, folder: group, controllers: new Set(['memory', 'cpu']) }], (path) => left.push(path));
  unified.limitMemory(1_000);
  unified.limitCpu(150);
  unified.kill();
  const written = (name: string): string => readFileSync(join(group, name), 'utf8');
  expect(['memory.max', 'memory.swap.max', 'memory.oom.group', 'cpu.max', 'cgroup.kill'].map(written)).toEqual([
    '1000',
    '0',
    '1',
    '150000 100000',
    '1',
  ]);
  expect(unified).toMatchObject({ measuresAll: true, cpuMs: 1.5, peakMemoryBytes: 4096, killedForMemory: 2 });
  expect(unified.members()).toEqual([12, 13]);
  unified.close();
  expect(left).toEqual([group]);
});

describe('without control groups', () => {
  test('memory of all its processes together is watched, and who takes too much is ended', async () => {
    const half = taking(150 * megabyte)
      .map((word) => `'${word}'`)
      .join(' ');
    const call = `setsid ${half} & ${half} & wait; echo never`;
    const end = await by('tree').run(call, { resources: { memoryBytes: 250 * megabyte } });
    expect(end.error).toMatchObject({
      code: 'out_of_memory',
      message: expect.stringMatching(/^it was ended, because it took \d+ MB of the 250 MB of memory that it is allowed$/),
    });
    expect(by('tree').texts).not.toContain('never');
  });

  test('what it takes within its limit is no matter, and is measured', async () => {
    const end = await by('tree').run(taking(100 * megabyte), { resources: { memoryBytes: 400 * megabyte } });
    expect(end).toMatchObject({ error: null, notes: [], result: { last_line: '100' } });
    expect(end.peakMemoryBytes).toBeGreaterThan(100 * megabyte);
    expect(end.peakMemoryBytes).toBeLessThan(400 * megabyte);
    expect(end.cpuMs).toBeGreaterThan(0);
  });

  test('a share of the processor cannot be enforced, and the run says so', async () => {
    const end = await by('tree').run(['true'], { resources: { cpu: 50 } });
    expect(end).toMatchObject({ error: null, notes: ['cpu: 50 is not enforced: no control group for it can be made here'] });
  });

  test('on a system that shows no processes neither is, and the run says so', async () => {
    const end = await by('group').run(['true'], { resources: { cpu: 50, memoryBytes: megabyte } });
    expect(end).toMatchObject({
      error: null,
      cpuMs: null,
      peakMemoryBytes: null,
      notes: [
        'cpu: 50 is not enforced: no control group for it can be made here',
        'memory is not enforced: processes cannot be watched on this system',
      ],
    });
  });
});

describe('nice and io', () => {
  test('are those of the command and of all that it starts', async () => {
    const commands = by('tree');
    await commands.run('nice; sh -c nice; ionice', { resources: { nice: 7, io: 'idle' } });
    expect(commands.texts.slice(-3)).toEqual(['7', '7', 'idle']);
    await commands.run('ionice', { resources: { io: 'best_effort' } });
    expect(commands.texts.at(-1)).toMatch(/^best-effort/);
  });

  test('where nothing is said commands give way to the scheduler, and nice: 0 takes that back', async () => {
    const commands = by('tree');
    await commands.run('sleep 0.2; sh -c nice');
    await commands.run('sleep 0.2; nice', { resources: { nice: 0 } });
    expect(commands.texts.slice(-2)).toEqual(['5', '0']);
  });
});

function deadPid(): number {
  const highest = Number(readFileSync('/proc/sys/kernel/pid_max', 'utf8'));
  for (let pid = highest - 1; ; pid -= 1) {
    try {
      process.kill(pid, 0);
    } catch {
      return pid;
    }
  }
}
