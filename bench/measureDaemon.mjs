// See daemon.ts: the clients, in a process of their own. Each has one connection, and asks again as soon as it has its answer.

import { Agent, request } from 'node:http';

const { url, tokens, clients, seconds, beating, byHand } = JSON.parse(process.argv[2] ?? '{}');
const { hostname, port } = new URL(url);
const until = performance.now() + seconds * 1000;
const took = {};
const errors = new Map();
const accepted = [];
let refused = 0;

/** How often each is asked for, and what. A client polls what a page of a dashboard shows, and now and then starts something. */
const asks = [
  { name: 'GET /jobs', weight: 3, path: () => '/api/v1/jobs?limit=50' },
  { name: 'GET /jobs/{name}', weight: 4, path: () => `/api/v1/jobs/beat_${any(beating)}` },
  { name: 'GET /executions', weight: 4, path: () => '/api/v1/executions?limit=50' },
  { name: 'GET /executions/{id}', weight: 2, path: () => `/api/v1/executions/${accepted.at(-1) ?? ''}`, if: () => accepted.length > 0 },
  { name: 'GET /jobs/{name}/upcoming', weight: 1, path: () => `/api/v1/jobs/beat_${any(beating)}/upcoming` },
  { name: 'GET /queues/status', weight: 3, path: () => '/api/v1/queues/status' },
  { name: 'GET /healthz', weight: 2, path: () => '/healthz' },
  { name: 'POST /jobs/{name}/run', weight: 1, method: 'POST', path: () => `/api/v1/jobs/hand_${any(byHand)}/run` },
];
const choices = asks.flatMap((ask) => Array.from({ length: ask.weight }, () => ask));

await Promise.all(Array.from({ length: clients }, (_, at) => client(tokens[at % tokens.length])));
const answered = {};
for (const [name, times] of Object.entries(took)) {
  times.sort((a, b) => a - b);
  const at = (share) => times[Math.min(times.length - 1, Math.floor(times.length * share))];
  answered[name] = { count: times.length, p50: at(0.5), p99: at(0.99) };
}
console.log(JSON.stringify({ answered, refused, errors: [...errors].map(([what, count]) => `${count} x ${what}`), accepted }));

async function client(token) {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  await sleep(any(1000));
  while (performance.now() < until) {
    const ask = choices[any(choices.length)];
    if (ask.if?.() === false) continue;
    const began = performance.now();
    try {
      const { status, body, retryAfter } = await send(agent, token, ask);
      if (status === 429) {
        refused += 1;
        if (retryAfter === undefined) fail('429 without Retry-After');
        await sleep(Number(retryAfter ?? 1) * 1000);
      } else if (status === 200 || status === 202) {
        took[ask.name] ??= [];
        took[ask.name].push(performance.now() - began);
        if (ask.method === 'POST') accepted.push(JSON.parse(body).run_id);
      } else fail(`${ask.name}: ${status} ${body}`);
    } catch (error) {
      fail(`${ask.name}: ${error.code ?? error.message}`);
      await sleep(100);
    }
  }
  agent.destroy();
}

function send(agent, token, { method = 'GET', path }) {
  return new Promise((resolve, reject) => {
    const headers = { Authorization: `Bearer ${token}` };
    const asked = request({ agent, hostname, port, method, path: path(), headers }, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () =>
        resolve({ status: response.statusCode, body: Buffer.concat(chunks).toString(), retryAfter: response.headers['retry-after'] }),
      );
    });
    asked.on('error', reject);
    asked.end();
  });
}

function fail(what) {
  errors.set(what, (errors.get(what) ?? 0) + 1);
}

function any(count) {
  return Math.floor(Math.random() * count);
}

function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
