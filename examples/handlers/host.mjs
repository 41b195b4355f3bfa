// A host that adds to what schedules may call: a function of this process, and a task type of its own.
//   node examples/handlers/host.mjs

import { once } from 'node:events';
import { createServer } from 'node:http';
import { open } from 'cuckoo-sql';

// Somebody to call.
const server = createServer((_, response) => response.end('{"pong":true}')).listen(0, '127.0.0.1');
await once(server, 'listening');

const db = await open(':memory:', {
  handlers: {
    // Trusted, and cheap: it runs right here.
    count_beats: async ({ services }) => (await services.database.query('SELECT count(*)::INTEGER AS beats FROM beat'))[0].beats,
  },
  executors: {
    // exe: http_request, call: 'https://..'
    http_request: {
      validate: ({ call }) => {
        if (!/^https?:/.test(String(call))) throw new Error('call is an address, such as https://example.org/');
      },
      execute: async ({ call, config, services }) => {
        const answer = await services.http.request(String(call), config);
        services.logger.info('answered', { status: answer.status });
        return answer.json ?? answer.text;
      },
    },
  },
});

await db.sql('CREATE TABLE beat AS SELECT range AS at_time FROM range(3)');
await db.sql("UPSERT SCHEDULE beats ( sched: every 1h, handler: 'count_beats' )");
const { state, result } = await db.jobs.run('beats');
console.log('beats:', state, result);

try {
  await db.sql("UPSERT SCHEDULE ping ( exe: http_request, call: 'example.org' )");
} catch (error) {
  console.log(error.message);
}
const { port } = server.address();
await db.sql(`UPSERT SCHEDULE ping ( exe: http_request, call: 'http://127.0.0.1:${port}/ping', config: { timeoutMs: 5000 } )`);
const ping = await db.jobs.run('ping');
console.log('ping:', ping.state, ping.result);

await db.close();
server.close();
server.closeAllConnections();
