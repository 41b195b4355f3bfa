// The process that runs commands, for one scheduler. It is small, so that starting a program costs little, and it alone is busy
// with what commands write and with looking for processes. When the scheduler's process goes away, however that happens, it ends
// what runs and goes too.

import { systemClock } from '../../../scheduler/clock.ts';
import { Attempt, sweep } from './attempt.ts';
import { defaultPath } from './executable.ts';
import { Limits } from './limits.ts';
import type { Environment, News, Order, OutputLine } from './messages.ts';
import { Pipes } from './pipes.ts';
import { ProcessTable } from './processTable.ts';

const clock = systemClock;
const table = new ProcessTable(clock);
const pipes = new Pipes();
const attempts = new Map<number, Attempt>();
let environment: Environment = {};
let limits: Promise<Limits> = Limits.find('group', defaultPath);

process.on('message', (order: Order) => {
  switch (order.kind) {
    case 'begin':
      environment = order.environment;
      limits = Limits.find(order.enforcement, environment['PATH'] ?? defaultPath);
      return;
    case 'start':
      void start(order);
      return;
    case 'end':
      attempts.get(order.id)?.end();
      return;
    case 'sweep':
      void sweepAll(order);
      return;
    default:
      order satisfies never;
  }
});

// Whoever ends all processes of a service means the scheduler, which says what becomes of its commands.
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined);

process.on('disconnect', () => {
  for (const attempt of attempts.values()) attempt.end();
  if (attempts.size === 0) process.exit();
});

async function start({ id, command }: Extract<Order, { kind: 'start' }>): Promise<void> {
  const ship = (dropped: number, lines: readonly OutputLine[]): void => tellLines(id, dropped, lines);
  const attempt = new Attempt(command, { clock, table, pipes, environment, limits, ship });
  attempts.set(id, attempt);
  beat();
  const report = await attempt.run();
  attempts.delete(id);
  tell({ kind: 'ended', id, report });
  if (!process.connected && attempts.size === 0) process.exit();
}

async function sweepAll({ id, marks }: Extract<Order, { kind: 'sweep' }>): Promise<void> {
  await sweep(marks, sweepGraceMs, { table, clock, limits: await limits });
  tell({ kind: 'swept', id });
}

const sweepGraceMs = 1_000;

// What is told

const mostLinesOfAMessage = 250;
/** While so many messages are on their way, lines wait, and of a flood they are dropped. */
const mostMessages = 16;
let messages = 0;

function tell(news: News): void {
  if (!process.connected) return;
  messages += 1;
  process.send?.(news, undefined, undefined, () => {
    messages -= 1;
  });
}

function tellLines(id: number, dropped: number, lines: readonly OutputLine[]): void {
  tell({ kind: 'lines', id, dropped, lines: lines.slice(0, mostLinesOfAMessage) });
  for (let at = mostLinesOfAMessage; at < lines.length; at += mostLinesOfAMessage) {
    tell({ kind: 'lines', id, dropped: 0, lines: lines.slice(at, at + mostLinesOfAMessage) });
  }
}

// What is looked at, again and again while a command runs

const betweenBeatsMs = 50;
/** Looking at processes takes at most so much of this process's time. */
const mostShare = 0.1;
/** All the same it is done so often: memory is taken fast. */
const longestPauseMs = 250;
let isBeating = false;
let sampleAtMs = 0;

function beat(): void {
  if (isBeating || attempts.size === 0) return;
  isBeating = true;
  clock.after(betweenBeatsMs, () => {
    isBeating = false;
    const now = clock.monotonicMs();
    if (messages < mostMessages) for (const attempt of attempts.values()) attempt.look(now);
    if (now >= sampleAtMs) {
      // Its own time: on a busy machine everything takes long.
      const before = process.cpuUsage();
      for (const attempt of attempts.values()) attempt.sample();
      const { user, system } = process.cpuUsage(before);
      const pauseMs = (user + system) / 1000 / mostShare;
      sampleAtMs = now + Math.min(Math.max(pauseMs, betweenBeatsMs), longestPauseMs);
    }
    beat();
  });
}
