// A real process with a scheduler, to be killed. It defines what is asked for on its first start, says "ready", and kills itself
// when the run of the schedule `killer` starts. On SIGTERM it disables what has a clock, waits until nothing is open, and says
// "quiet".

import { open } from '../../dist/index.js';

const [file, schedules, pipelines] = process.argv.slice(2);
const db = await open(file, { scheduler: true });
db.on('run:started', ({ run }) => {
  if (run.schedule === 'killer') process.kill(process.pid, 'SIGKILL');
});

const sql = async (text) => (await db.sql(text)).toArray();
const [[defined]] = await sql("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'hits'");
if (Number(defined) === 0) {
  await sql('CREATE TABLE hits (run_id VARCHAR, schedule VARCHAR, scheduled_at TIMESTAMPTZ, attempt BIGINT)');
  await sql('CREATE TABLE followed (run_id VARCHAR, parent_run_id VARCHAR, scheduled_at TIMESTAMPTZ)');
  await sql('CREATE TABLE step_hits (run_id VARCHAR, step VARCHAR, item BIGINT)');
  await sql('CREATE TABLE atomic_hits (run_id VARCHAR, part BIGINT)');
  await sql('SET cron.workers = 8');
  await sql('SET cron.retry_delay = 100ms');
  const insert = 'INSERT INTO hits SELECT $run_id, $schedule, $scheduled_at, $attempt';
  // Some take a while, and some of those longer than they may: their ends fall anywhere, into the commit too.
  const slow = `${insert} FROM (SELECT sum(i * 2) FROM range(3000000) t(i))`;
  await sql('BEGIN');
  for (let index = 0; index < Number(schedules); index++) {
    const catchup = ['none', 'latest', 'all'][index % 3];
    const overlap = ['skip', 'queue', 'allow', 'replace'][index % 4];
    const isSlow = index % 20 === 7;
    const timeout = isSlow ? `${4 + (index % 60)}ms` : 'none';
    await sql(`UPSERT SCHEDULE s${index} ( sched: every 1s, sql: '${isSlow ? slow : insert}', catchup: ${catchup}, overlap: ${overlap},
      timeout: ${timeout}, retry_jitter: false, retry_backoff: fixed )`);
  }
  await sql("UPSERT SCHEDULE child ( after: s0, sql: 'INSERT INTO followed SELECT $run_id, $parent_run_id, $scheduled_at' )");
  await sql("UPSERT SCHEDULE killer ( sql: 'SELECT 1', max_retries: 2, retry_delay: 100ms, retry_backoff: fixed )");
  if (pipelines === 'pipelines') await definePipelines();
  await sql('COMMIT');
  await sql('RUN SCHEDULE killer');
}
/** One whose steps are committed one by one, and one that is a transaction; some of their steps take a while. */
async function definePipelines() {
  const hit = (step, item) => `INSERT INTO step_hits SELECT $run_id, ''${step}'', ${item}`;
  const slow = 'SELECT sum(i * 2) FROM range(300000) t(i)';
  await sql(`UPSERT PIPELINE steps ( steps: [
    { name: find, sql: '${hit('find', 'NULL')}; SELECT i AS id FROM range(6) t(i)', as: items },
    { name: each, for_each: items, parallel: 2, sql: '${hit('each', '$id')}; ${slow}', args: { id: item.id } },
    { name: beside, sql: '${hit('beside', 'NULL')}; ${slow}', after: [] },
    { name: last, sql: '${hit('last', 'count(*)')} FROM items HAVING count(*) = 6', after: [each, beside] },
  ] )`);
  await sql(`UPSERT PIPELINE whole ( atomic: true, steps: [
    { name: first, sql: 'INSERT INTO atomic_hits SELECT $run_id, 1; SELECT 2 AS part', as: next },
    { name: then, for_each: next, sql: '${slow}; INSERT INTO atomic_hits SELECT $run_id, $part', args: { part: item.part } },
  ] )`);
  const retried = 'max_retries: 1000, retry_jitter: false, retry_backoff: fixed';
  await sql(`UPSERT SCHEDULE pipeline_steps ( sched: every 1s, exe: pipeline, call: steps, overlap: allow, ${retried} )`);
  await sql(`UPSERT SCHEDULE pipeline_whole ( sched: every 1s, exe: pipeline, call: whole, ${retried} )`);
}

process.stdout.write('ready\n');

process.on('SIGTERM', async () => {
  // The follower stays, so that each token ends in a run of which there is news.
  await sql(`DISABLE SCHEDULE killer, ${Array.from({ length: Number(schedules) }, (_, index) => `s${index}`).join(', ')}`);
  for (;;) {
    const news = new Promise((resolve) => {
      const stop = db.on('run:finished', () => {
        stop();
        resolve();
      });
    });
    const [[open]] = await sql('SELECT count(*) FROM cuckoo_ledger.open_run');
    const [[tokens]] = await sql('SELECT count(*) FROM cuckoo_ledger.token');
    if (Number(open) + Number(tokens) === 0) break;
    await news;
  }
  await db.close();
  process.stdout.write('quiet\n');
});
