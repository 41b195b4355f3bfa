// BullMQ on Redis. A job is complete when the server has answered the script that moves it to the completed ones: `completed` is told then.

import { Queue, Worker } from 'bullmq';
import Redis from 'ioredis';

export async function open({ server, keep = true, fresh = true }) {
  const connection = { host: '127.0.0.1', port: server.port };
  const queue = new Queue('bench', { connection });
  queue.on('error', () => {});
  await queue.waitUntilReady();
  if (fresh) await queue.obliterate({ force: true });
  const client = new Redis(connection);
  client.on('error', () => {});
  let worker;
  let completed = 0;

  const chunks = (count, size) => Array.from({ length: Math.ceil(count / size) }, (_, at) => [at * size, Math.min(count, (at + 1) * size)]);
  const add = async (count, options = {}) => {
    for (const [from, to] of chunks(count, 1000)) {
      const jobs = Array.from({ length: to - from }, (_, at) => ({ name: 'noop', data: { id: from + at }, opts: options }));
      await queue.addBulk(jobs);
    }
  };

  return {
    enqueue: (count) => add(count),
    async work({ concurrency, started }) {
      completed = 0;
      const handler = async (job) => {
        started(job.id, nominalOf(job));
        return null;
      };
      worker = new Worker('bench', handler, {
        connection,
        concurrency,
        autorun: false,
        ...(keep ? {} : { removeOnComplete: { count: 0 } }),
      });
      worker.on('error', () => {});
      worker.on('completed', () => completed++);
      await worker.waitUntilReady();
      worker.run().catch(() => {});
    },
    completed: () => completed,
    async kept() {
      return keep ? queue.getCompletedCount() : undefined;
    },
    async bytes() {
      return Number(/used_memory:(\d+)/.exec(await client.info('memory'))?.[1]);
    },
    async rest() {
      await worker?.close();
      worker = undefined;
    },
    async clear() {
      await queue.obliterate({ force: true });
    },
    later: (count, instant) => add(count, { delay: Math.max(0, instant - Date.now()) }),
    async register(count, { pattern }) {
      for (const [from, to] of chunks(count, 100)) {
        const each = Array.from({ length: to - from }, (_, at) => from + at);
        await Promise.all(each.map((at) => queue.upsertJobScheduler(`s${at}`, { pattern, tz: 'UTC' }, { name: 'noop' })));
      }
    },
    registered: () => queue.getJobSchedulersCount(),
    everySecond: () => queue.upsertJobScheduler('second', { pattern: '* * * * * *', tz: 'UTC' }, { name: 'noop' }),
    async close() {
      await worker?.close(true);
      await queue.close();
      client.disconnect();
    },
  };
}

/** A job of a scheduler has its instant at the end of its id. */
function nominalOf({ id }) {
  return String(id).startsWith('repeat:') ? Number(String(id).split(':').at(-1)) : undefined;
}
