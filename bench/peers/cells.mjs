// Which cells there are: system, setting, measure; and what becomes of their results: tables that name the best, figures, ratios.

const sizes = {
  quick: {
    rounds: 1,
    seconds: 0.3,
    probe: 50,
    most: 2000,
    late: 200,
    schedules: 500,
    idleSeconds: 2,
    minutes: 1,
    minuteJobs: 200,
    keptRuns: 300,
  },
  plain: {
    rounds: 3,
    seconds: 1,
    probe: 100,
    most: 20_000,
    late: 1000,
    schedules: 10_000,
    idleSeconds: 6,
    minutes: 2,
    minuteJobs: 1000,
    keptRuns: 3000,
  },
  full: {
    rounds: 5,
    seconds: 10,
    probe: 500,
    most: 200_000,
    late: 1000,
    schedules: 10_000,
    idleSeconds: 60,
    minutes: 5,
    minuteJobs: 1000,
    keptRuns: 20_000,
  },
};

/** pg-boss makes a table for each queue, and needs a queue for each schedule. */
const pgBossSchedules = 100;

const keptBytes = 'bytes of a kept run (Redis: memory; the others: files)';

export function cellsOf({ size, servers }) {
  const { rounds, seconds, probe, most, late, schedules, idleSeconds, minutes, minuteJobs, keptRuns } = sizes[size];
  const cuckoo = { system: 'Cuckoo', durability: 'durable', asked: { module: 'cuckoo', threads: 40 } };
  const everysec = { system: 'BullMQ, Redis everysec', durability: 'relaxed', asked: { module: 'bullmq', server: servers.everysec } };
  const always = { system: 'BullMQ, Redis always', durability: 'durable', asked: { module: 'bullmq', server: servers.always } };
  const graphile = { system: 'graphile-worker', durability: 'durable', asked: { module: 'graphile', server: servers.postgres } };
  const batched = { ...graphile, system: 'graphile-worker, batched', asked: { ...graphile.asked, batched: true } };
  const pgBossDefault = { system: 'pg-boss, default', durability: 'durable', asked: { module: 'pgboss', server: servers.postgres } };
  const pgBoss = { ...pgBossDefault, system: 'pg-boss, tuned', asked: { ...pgBossDefault.asked, tuned: true } };
  const croner = { system: 'croner', durability: 'in memory', asked: { module: 'timers', timer: 'croner' } };
  const nodeCron = { system: 'node-cron', durability: 'in memory', asked: { module: 'timers', timer: 'node-cron' } };
  const pgCron = { system: 'pg_cron, default', durability: 'durable', asked: { module: 'pg_cron', server: servers.postgres } };
  const pgCronTuned = { ...pgCron, system: 'pg_cron, background workers', asked: { ...pgCron.asked, server: servers.postgresTuned } };

  const cells = [];
  const add = (table, row, who, asked, more = {}) =>
    cells.push({
      table,
      row,
      rounds,
      ...who,
      name: `${table}: ${row}: ${who.system}`,
      results: [],
      ...more,
      asked: { ...who.asked, ...asked },
    });

  for (const concurrency of [1, 8, 32]) {
    for (const who of [cuckoo, everysec, always, graphile, batched, pgBoss]) {
      add('noop', `concurrency ${concurrency}`, who, { measure: 'burn', kind: 'noop', concurrency, seconds, probe, most });
    }
    for (const who of [cuckoo, graphile, batched, pgBoss]) {
      add('sql', `concurrency ${concurrency}`, who, { measure: 'burn', kind: 'sql', concurrency, seconds, probe, most });
    }
  }
  for (const concurrency of [256, 1000]) {
    const enough = Math.max(probe, 2 * concurrency);
    for (const who of [cuckoo, everysec, always]) {
      add('noop', `concurrency ${concurrency}`, who, { measure: 'burn', kind: 'noop', concurrency, seconds, probe: enough, most });
    }
  }
  // What one has who sets nothing: of BullMQ and graphile-worker it is concurrency 1, above. pg-boss takes one job every two seconds then,
  // so that two jobs must do.
  const untouched = { measure: 'burn', kind: 'noop', concurrency: 4, seconds, probe, most, threads: 4 };
  add('noop', 'default settings', { ...cuckoo, system: 'Cuckoo (4 workers, 4 threads)' }, untouched);
  add('noop', 'default settings', pgBossDefault, { ...untouched, concurrency: 1, seconds: 0, probe: 2 }, { rounds: 1 });

  for (const who of [everysec, always]) {
    add('history', 'concurrency 32, nothing kept', who, {
      measure: 'burn',
      kind: 'noop',
      concurrency: 32,
      seconds,
      probe,
      most,
      keep: false,
    });
  }

  for (const who of [cuckoo, everysec, always, pgBoss]) {
    add(
      'bytes',
      keptBytes,
      who,
      { measure: 'burn', kind: 'noop', concurrency: who === pgBoss ? 8 : 256, seconds: 0, probe: keptRuns },
      { rounds: 1 },
    );
  }

  for (const [who, concurrency] of [
    [cuckoo, 32],
    [everysec, 32],
    [always, 32],
    [graphile, 8],
    [batched, 8],
    [pgBoss, 8],
    [croner, 1],
    [nodeCron, 1],
  ]) {
    add('late', `${late} due in one instant`, who, { measure: 'late', count: late, concurrency });
  }
  // What takes a thousand at once, does so here.
  for (const who of [cuckoo, everysec, always]) {
    const wide = { ...who, system: `${who.system} (1,000 at once)` };
    add('late', `${late} due in one instant`, wide, { measure: 'late', count: late, concurrency: 1000 });
  }
  add(
    'late',
    `${late} due in one instant`,
    { ...cuckoo, system: 'Cuckoo (4 workers, 4 threads)' },
    { measure: 'late', count: late, threads: 4, workers: 4 },
  );

  const once = { rounds: size === 'full' ? 3 : 1 };
  // Each day, and half a day from now.
  const pattern = `30 ${(new Date().getUTCHours() + 12) % 24} * * *`;
  const asked = { measure: 'register', count: schedules, idleSeconds, pattern };
  add('register', `${schedules} schedules`, { ...cuckoo, system: 'Cuckoo, one transaction' }, { ...asked, together: true }, once);
  const some = Math.min(500, schedules);
  add(
    'register',
    `${schedules} schedules`,
    { ...cuckoo, system: `Cuckoo, ${some} one by one` },
    { ...asked, count: some, idleSeconds: 0 },
    once,
  );
  for (const who of [everysec, always, graphile, croner, nodeCron, pgCron]) add('register', `${schedules} schedules`, who, asked, once);
  for (const who of [pgBossDefault, pgBoss]) {
    const fewer = { ...who, system: `${who.system}, ${pgBossSchedules} only` };
    add('register', `${schedules} schedules`, fewer, { ...asked, count: pgBossSchedules }, once);
  }

  for (const who of [cuckoo, everysec, always, graphile, pgBoss, croner, nodeCron]) {
    add('kill', 'a fire each second', who, { measure: 'second', fresh: true, concurrency: 4 }, { rounds: Math.min(rounds, 2) });
  }
  for (const who of [pgCron, pgCronTuned]) {
    add('minute', `${minuteJobs} jobs due on one minute`, who, { measure: 'minute', count: minuteJobs }, { rounds: minutes, minute: true });
  }
  return cells;
}

/** Without settings they take one job after another. */
const defaultIsOne = ['BullMQ, Redis everysec', 'BullMQ, Redis always', 'graphile-worker'];

const titles = {
  noop: [
    'No-op runs a second: jobs that were there before, worked off by one process',
    'counted are durable completions; CPU of client and server for each',
  ],
  sql: [
    'Runs of one SQL statement a second, in the way that is natural for each',
    'pg_cron knows minutes: 1,000 jobs on one, from the first start to the last end',
  ],
  history: ['Cost of kept history', 'graphile-worker keeps none; Cuckoo, pg-boss and pg_cron always keep it'],
  late: [
    'Lateness when many are due in one instant: from it to the start of the handler',
    'one-shot jobs of the queues, schedules of the others; pg_cron on a minute',
  ],
  register: [
    'Registering schedules, a second',
    'graphile-worker and the timers keep definitions in the process; CPU of client and server for each',
  ],
  idle: ['Doing nothing, with these schedules: percent of one core', 'client and server together; counted in hundredths of a second'],
  kill: [
    'From the start after SIGKILL to the first correct fire',
    'a schedule of each second; graphile-worker and pg-boss know minutes, and have one-shot jobs of each second here; pg_cron is the server itself and knows minutes: not measured',
  ],
};

/** One block for each row and durability, which are never mixed; its best stands first, and is named. */
export function tablesOf(cells) {
  const entries = cells.flatMap(entriesOf);
  return Object.entries(titles).map(([table, [title, note]]) => {
    const blocks = new Map();
    for (const entry of entries.filter((each) => each.table === table)) {
      const key = `${entry.row}|${entry.durability}`;
      if (!blocks.has(key)) blocks.set(key, { row: entry.row, durability: entry.durability, entries: [] });
      blocks.get(key).entries.push(entry);
    }
    return { table, title, note, blocks: [...blocks.values()].map(ranked) };
  });
}

function ranked({ row, durability, entries }) {
  const sorted = entries.toSorted((a, b) => {
    if (a.incorrect !== undefined || b.incorrect !== undefined)
      return Number(a.incorrect !== undefined) - Number(b.incorrect !== undefined);
    return a.better === 'more' ? b.value - a.value : a.value - b.value;
  });
  const best = sorted[0]?.incorrect === undefined ? (sorted[0]?.system ?? 'nobody') : 'nobody';
  return { row, durability, best, entries: sorted.map(({ table: _, row: __, ...entry }) => ({ ...entry, text: textOf(entry) })) };
}

function textOf({ value, noise, unit, cpuUs, incorrect, note }) {
  if (incorrect !== undefined) return `incorrect: ${incorrect}`;
  const cpu = cpuUs === undefined ? '' : `  ${shown(cpuUs)} us of CPU each`;
  return `${shown(value).padStart(9)} ${unit.padEnd(4)} ${(noise === undefined ? '' : `+-${shown(noise)}`).padEnd(9)}${cpu}${note === undefined ? '' : `  ${note}`}`;
}

function entriesOf(cell) {
  const { table, row, system, durability, results } = cell;
  if (results.length === 0) return [];
  const incorrect = results.find((each) => each.incorrect !== undefined)?.incorrect;
  const entry = (where, values, unit, better, more = {}) => {
    const known = values.filter((value) => Number.isFinite(value));
    return { system, durability, ...where, unit, better, ...(incorrect === undefined ? median(known) : { incorrect }), ...more };
  };
  const of = (key) => results.map((each) => each[key]);
  const cpu = incorrect === undefined ? { cpuUs: median(of('cpuUs')).value } : {};
  switch (table) {
    case 'noop':
    case 'sql': {
      const own = entry({ table, row }, of('rate'), '/s', 'more', cpu);
      if (table === 'noop' && row === 'concurrency 1' && defaultIsOne.includes(system)) {
        return [own, entry({ table, row: 'default settings' }, of('rate'), '/s', 'more', cpu)];
      }
      if (table !== 'noop' || row !== 'concurrency 32') return [own];
      return [own, entry({ table: 'history', row: 'concurrency 32, kept' }, of('rate'), '/s', 'more', cpu)];
    }
    case 'bytes':
      return [entry({ table: 'history', row }, of('bytesEach'), 'B', 'less')];
    case 'history':
      return [entry({ table, row }, of('rate'), '/s', 'more', cpu)];
    case 'late':
      return ['p50', 'p99', 'most'].map((key) => entry({ table, row: `${row}, ${key}` }, of(key), 'ms', 'less', key === 'p50' ? cpu : {}));
    case 'minute':
      return [
        entry({ table: 'history', row: keptBytes }, of('bytesEach'), 'B', 'less'),
        entry({ table: 'sql', row: 'pg_cron, on a minute' }, of('rate'), '/s', 'more', cpu),
        ...['p50', 'p99', 'most'].map((key) => entry({ table: 'late', row: `${row}, ${key}` }, of(key), 'ms', 'less')),
      ];
    case 'register': {
      const own = entry({ table, row }, of('rate'), '/s', 'more', cpu);
      const idle = results.flatMap((each) => each.idle ?? []);
      return idle.length === 0 ? [own] : [own, entry({ table: 'idle', row }, idle, '%', 'less')];
    }
    case 'kill':
      return [entry({ table, row }, of('ms'), 'ms', 'less', lostNote(of('lost')))];
    default:
      throw new Error(`no table ${table}`);
  }
}

function lostNote(counts) {
  const most = Math.max(...counts.filter((count) => Number.isFinite(count)), 0);
  return most === 0 ? {} : { note: `up to ${most} of the fires in between never came` };
}

/** What is incorrect has no figure: it stands in the tables, and in a list of its own. */
export function figuresOf(cells) {
  const correct = cells.flatMap(entriesOf).filter(({ incorrect }) => incorrect === undefined);
  return correct.map(({ table, row, system, durability, value, noise, unit, cpuUs, note }) => {
    const beside = cpuUs === undefined ? note : `${shown(cpuUs)} us of CPU each`;
    const figure = {
      what: `${row}: ${system}`,
      group: `${titles[table][0]} (${durability})`,
      value,
      unit,
      ...(noise === undefined ? {} : { noise }),
    };
    return beside === undefined ? figure : { ...figure, note: beside };
  });
}

/** The budgets: each at its best of the settings measured; and, without a budget, at the same concurrency. */
export function ratiosOf(cells) {
  const entries = cells.flatMap(entriesOf).filter(({ value }) => Number.isFinite(value));
  const rates = (table, system) =>
    entries.filter((each) => each.table === table && each.system === system && each.row !== 'default settings');
  const best = (found) => found.toSorted((a, b) => b.value - a.value)[0];
  const group = 'Cuckoo beside its peers';
  const ratio = (what, a, b, more = {}) => {
    if (a === undefined || b === undefined) return [];
    const value = a.value / b.value;
    return [{ what, value, unit: 'x', noise: value * ((a.noise ?? 0) / a.value + (b.noise ?? 0) / b.value), group, ...more }];
  };
  const noteOf = (a, b) => (a === undefined || b === undefined ? {} : { note: `${a.row} beside ${b.row}` });
  const against = (table, system, what, atLeast) => {
    const ours = rates(table, 'Cuckoo');
    const theirs = rates(table, system);
    const [a, b] = [best(ours), best(theirs)];
    const same = ours.flatMap((own) =>
      ratio(
        `${what}, ${own.row}`,
        own,
        theirs.find(({ row }) => row === own.row),
      ),
    );
    return [...ratio(`${what}, each at its best`, a, b, { budget: { atLeast }, ...noteOf(a, b) }), ...same];
  };
  const ours = best(rates('sql', 'Cuckoo'));
  const theirs = best([...rates('sql', 'pg_cron, default'), ...rates('sql', 'pg_cron, background workers')]);
  return [
    ...against('noop', 'BullMQ, Redis everysec', 'no-op runs: Cuckoo (durable) : BullMQ everysec (relaxed)', 3),
    ...against('noop', 'graphile-worker', 'no-op runs: Cuckoo : graphile-worker unbatched', 10),
    ...ratio('SQL runs: Cuckoo : pg_cron', ours, theirs, { budget: { atLeast: 2 }, note: `${ours?.row} beside ${theirs?.system}` }),
  ];
}

export function shown(value) {
  const digits = Math.abs(value) >= 100 || Number.isInteger(value) ? 0 : Math.abs(value) >= 10 ? 1 : Math.abs(value) >= 1 ? 2 : 3;
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

function median(values) {
  const sorted = Float64Array.from(values).sort();
  const at = (share) => sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)];
  // Of one round nobody knows how much it varies.
  return values.length < 2 ? { value: at(0.5) } : { value: at(0.5), noise: (at(0.75) - at(0.25)) / 2 };
}
