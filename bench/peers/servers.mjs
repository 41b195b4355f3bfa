// The servers of the peers, each its own, on loopback and a free port, all below one temporary folder. What is started here is ended here:
// `stop` is called at the end, after an error and after ctrl-c; run.sh looks once more at the process ids that are left in the folder.

import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import Redis from 'ioredis';
import pg from 'pg';

const binaries = '/usr/lib/postgresql/15/bin';

/** PostgreSQL does not run as root: its own account, which Debian's package has made, then. */
const account = process.getuid() === 0 ? { uid: idOf('-u'), gid: idOf('-g') } : {};

export const settings = {
  redis: "appendonly yes, save '', appendfsync everysec (relaxed) or always (durable)",
  postgresql: 'fsync on, synchronous_commit on, autovacuum on, shared_buffers a quarter of the memory (2 GB at most), max_connections 200',
  pgCron: {
    default: 'cron.use_background_workers off (one connection for each run), cron.max_running_jobs 32, cron.log_run on',
    tuned: 'cron.use_background_workers on, max_worker_processes 40, cron.max_running_jobs 32, cron.log_run on',
  },
};

/** To be stopped also while it starts. */
export class Servers {
  #folder;
  #started = [];

  constructor(folder) {
    this.#folder = folder;
  }

  async start() {
    const [folder, started] = [this.#folder, this.#started];
    chmodSync(folder, 0o755);
    return {
      everysec: await startRedis(folder, 'everysec', started),
      always: await startRedis(folder, 'always', started),
      postgres: await startPostgres(folder, 'postgres', ['cron.use_background_workers = off'], started),
      postgresTuned: await startPostgres(folder, 'postgresTuned', ['cron.use_background_workers = on'], started),
    };
  }

  async stop() {
    for (const stop of this.#started.splice(0).reverse()) await stop();
  }
}

/** Processor time of these processes, all that came of them, and what of that has ended, in seconds. Counted in hundredths. */
export function cpuSeconds(roots) {
  const processes = new Map();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      processes.set(Number(name), { parent: Number(fields[1]), ticks: fields.slice(11, 15).reduce((sum, each) => sum + Number(each), 0) });
    } catch {
      // It has ended since it was listed; its parent has its time.
    }
  }
  let ticks = 0;
  for (const [id, each] of processes) {
    let above = id;
    while (above !== undefined && above > 1 && !roots.includes(above)) above = processes.get(above)?.parent;
    if (roots.includes(above)) ticks += each.ticks;
  }
  return ticks / 100;
}

async function startRedis(folder, fsync, started) {
  const port = await freePort();
  const place = join(folder, `redis-${fsync}`);
  mkdirSync(place);
  const options = {
    port,
    bind: '127.0.0.1',
    dir: place,
    appendonly: 'yes',
    appendfsync: fsync,
    save: '',
    'maxmemory-policy': 'noeviction',
  };
  const words = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const child = startProcess(folder, `redis-${fsync}`, 'redis-server', words, { stop: 'SIGTERM' }, started);
  await until(async () => {
    const client = new Redis({ port, host: '127.0.0.1', lazyConnect: true, retryStrategy: () => null });
    client.on('error', () => {});
    try {
      await client.connect();
      return (await client.ping()) === 'PONG';
    } finally {
      client.disconnect();
    }
  }, 'redis-server');
  return { kind: 'redis', port, pid: child.pid, folder: place };
}

async function startPostgres(folder, name, more, started) {
  const port = await freePort();
  const place = join(folder, name);
  mkdirSync(place);
  if (account.uid !== undefined) chownSync(place, account.uid, account.gid);
  const data = join(place, 'data');
  const quiet = { ...account, cwd: place, stdio: ['ignore', 'ignore', 'inherit'] };
  execFileSync(join(binaries, 'initdb'), ['-D', data, '-U', 'postgres', '-A', 'trust', '--no-locale', '-E', 'UTF8'], quiet);
  const lines = [
    "listen_addresses = '127.0.0.1'",
    `port = ${port}`,
    `unix_socket_directories = '${place}'`,
    'fsync = on',
    'synchronous_commit = on',
    'autovacuum = on',
    `shared_buffers = '${Math.min(2048, Math.floor(totalmem() / 2 ** 22))}MB'`,
    'max_connections = 200',
    'max_worker_processes = 40',
    "shared_preload_libraries = 'pg_cron'",
    "cron.database_name = 'postgres'",
    'cron.max_running_jobs = 32',
    `cron.host = '127.0.0.1'`,
    'log_min_messages = fatal',
    ...more,
  ];
  writeFileSync(join(data, 'postgresql.auto.conf'), `${lines.join('\n')}\n`);
  const child = startProcess(folder, name, join(binaries, 'postgres'), ['-D', data], { ...account, cwd: place, stop: 'SIGINT' }, started);
  const server = { kind: 'postgres', port, pid: child.pid, folder: data };
  await until(() => withClient(server, (client) => client.query('CREATE EXTENSION IF NOT EXISTS pg_cron')), 'postgres');
  return server;
}

/** In a group of its own, so that ctrl-c reaches it through `stop` alone, when nobody asks it any more. */
function startProcess(folder, name, command, words, { stop, ...options }, started) {
  const child = spawn(command, words, { ...options, stdio: 'ignore', detached: true });
  const note = join(folder, `${name}.pid`);
  child.on('error', () => {});
  writeFileSync(note, String(child.pid));
  started.push(async () => {
    const isThere = () => child.exitCode === null && child.signalCode === null;
    if (isThere()) {
      child.kill(stop);
      const late = setTimeout(() => child.kill('SIGKILL'), 20_000);
      await new Promise((resolve) => child.once('exit', resolve));
      clearTimeout(late);
    }
    rmSync(note, { force: true });
  });
  return child;
}

export async function withClient({ port }, work) {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' });
  client.on('error', () => {});
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end().catch(() => {});
  }
}

async function until(holds, what) {
  const end = performance.now() + 20_000;
  for (;;) {
    const held = await holds().catch(() => false);
    if (held) return;
    if (performance.now() > end) throw new Error(`${what} does not answer`);
    await sleep(50);
  }
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

function idOf(which) {
  return Number(execFileSync('id', [which, 'postgres'], { encoding: 'utf8' }));
}
