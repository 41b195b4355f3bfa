-- JavaScript as schedules. In this folder: npx cuckoo < handlers.sql

CREATE TABLE IF NOT EXISTS product (id INTEGER, name VARCHAR, quantity INTEGER);
INSERT INTO product SELECT range, 'product ' || range, range % 7 FROM range(40);
CREATE TABLE IF NOT EXISTS reorder (product INTEGER, amount INTEGER, run_id VARCHAR);

-- A module: its default export runs in a thread. What it writes by database.transaction commits with the run, or not at all.
UPSERT SCHEDULE restock (
  sched: every 30m,
  handler: './jobs/restock.mjs',
  params: { floor: 2 },
  config: { amount: 50 },
  timeout: 1m
);

-- Another export of the same module, as a procedure with typed parameters.
UPSERT PROCEDURE stock_of(product INTEGER, at DATE DEFAULT current_date) LANGUAGE javascript AS './jobs/restock.mjs#stockOf';
UPSERT SCHEDULE look ( call: stock_of, params: { product: 3 } );

-- Work that may take any memory, or crash, has a process of its own.
UPSERT SCHEDULE primes (
  handler: './jobs/primes.cjs',
  params: { below: 200000 },
  isolation: process,
  resources: { memory: 256MB, nice: 10 },
  max_retries: 0
);

RUN SCHEDULE restock, look, primes;

SELECT schedule, state, result FROM cron.runs ORDER BY run_id;
SELECT r.schedule, l.level, l.line FROM cron.run_logs l JOIN cron.runs r USING (run_id) ORDER BY l.logged_at;
SELECT count(*) AS reordered, sum(amount) AS pieces FROM reorder;
