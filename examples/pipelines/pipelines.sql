-- A graph, and one thing done to many items. In this folder: npx cuckoo < pipelines.sql

CREATE OR REPLACE TABLE source AS SELECT i AS id, 'https://example.org/' || i AS address, i % 4 AS shop FROM range(1, 13) t(i);
CREATE OR REPLACE TABLE price (id BIGINT, shop BIGINT, cents INTEGER, fetched_at TIMESTAMPTZ);
CREATE OR REPLACE TABLE report (shop BIGINT, cheapest INTEGER);

-- What is done to one item: a transaction of its own, and done once, whatever happens beside it.
UPSERT PROCEDURE fetch_price(id BIGINT, shop BIGINT) AS
BEGIN
  INSERT INTO price SELECT $id, $shop, 100 + hash($id) % 900, now();
END;

UPSERT PIPELINE prices (
  params: { shop: null },
  steps: [
    -- What is to be done, kept for the steps behind it.
    { name: find,   query: $$ SELECT id, shop FROM source WHERE $shop IS NULL OR shop = $shop ORDER BY id $$, as: items, on_empty: skip('nothing to fetch') },
    -- Beside it, at once.
    { name: clean,  sql: $$ DELETE FROM price WHERE fetched_at < now() - INTERVAL 30 DAYS $$, after: [] },
    { name: fetch,  for_each: items, parallel: 4, call: fetch_price, args: { id: item.id, shop: item.shop }, retry: 2 times, timeout: 30s, after: [find] },
    { name: check,  expect: $$ FROM items ANTI JOIN price USING (id) $$, message: 'prices are missing', after: [fetch, clean] },
    -- Two that wait for the same, side by side.
    { name: report, sql: $$ DELETE FROM report; INSERT INTO report SELECT shop, min(cents) FROM price GROUP BY shop $$ },
    { name: export, command: ['./export.sh', '$month'], args: { month: sql('strftime($scheduled_at, ''%Y-%m'')') }, after: [check] },
    { name: total,  query: $$ SELECT count(*) AS prices, count(DISTINCT shop) AS shops FROM price $$, after: [report, export] }
  ]
);
EXPLAIN PIPELINE prices;

RUN PIPELINE prices WITH ( shop: 1 );
SELECT step, item, state, rows_changed FROM cron.step_runs ORDER BY finished_at, step, item;
SELECT step, line FROM cron.run_logs;

-- All or nothing: both rows, or neither.
UPSERT PIPELINE move (
  atomic: true,
  params: { id: 1, shop: 2 },
  steps: [
    { name: take, sql: $$ DELETE FROM price WHERE id = $id $$ },
    { name: give, sql: $$ INSERT INTO price VALUES ($id, $shop, 500, now()); UPDATE source SET shop = $shop WHERE id = $id $$ },
    { name: sane, expect: $$ SELECT id, count(*) FROM price GROUP BY id HAVING count(*) > 1 $$, message: 'two prices of one product' }
  ]
);
RUN PIPELINE move DRY RUN;
RUN PIPELINE move WITH ( shop: 3 );

UPSERT SCHEDULE hourly_prices ( sched: every 1h, exe: pipeline, call: prices );
UPSERT SCHEDULE tidy ( sched: @daily, exe: 'prices.clean' );
RUN SCHEDULE hourly_prices, tidy;
SELECT coalesce(schedule, call) AS name, state, result FROM cron.runs ORDER BY opened_at, run_id;
