// The least that a daemon is: it owns the file, asks a shell for it where one has it, runs what falls due, and serves sessions. It
// says so on standard output, and ends with its standard input.

import { getRequestListener } from '@hono/node-server';
import { askToHandOver } from '../../src/daemon/handover.ts';
import { claimFile } from '../../src/daemon/lock.ts';
import { type SessionDoor, sessionRoutes } from '../../src/daemon/wire/sessionRoutes.ts';
import { type Engine, openEngine } from '../../src/engine/engine.ts';
import { systemClock } from '../../src/scheduler/clock.ts';

const [file = '', ...words] = process.argv.slice(2);
const say = (line: string): void => void process.stdout.write(`${line}\n`);
const clock = systemClock;
let door: SessionDoor | undefined;

const open = (): Promise<Engine> =>
  openEngine(file, {
    clock,
    environment: {},
    claim: (path) =>
      claimFile(path, {
        kind: 'daemon',
        onRequest: (request, response) => {
          if (door === undefined) response.writeHead(503).end();
          else void getRequestListener(door.routes.fetch)(request, response);
        },
      }),
  });

async function opened(): Promise<Engine | undefined> {
  try {
    return await open();
  } catch (error) {
    say(`cannot open: ${error instanceof Error ? error.message : String(error)}`);
  }
  const answer = await askToHandOver(file, { clock, pid: process.pid });
  say(`asked: ${typeof answer === 'string' ? answer : answer.refused}`);
  if (answer !== 'released') return undefined;
  // One that takes the file and is never heard of again.
  return words.includes('--vanish') ? undefined : open();
}

const engine = await opened();
if (engine === undefined) process.exitCode = 4;
else {
  door = sessionRoutes({ engine, clock, actor: (_, said) => ({ actor: said, admin: true }) });
  await engine.scheduler.start();
  say('serves');
  process.stdin.resume();
  await new Promise((ended) => process.stdin.on('end', ended));
  await door.close('the daemon stops');
  await engine.close();
}
