// Files that definitions are read from: which files there are and how each fares is what cron.sources shows, also when nobody reads
// them any more.

export const migration000006 = `
-- \`directory\`: which one the path is relative to. \`hash\`: of the text that was carried out last; NULL where none was.
CREATE TABLE cuckoo_ledger.job_file (
  path VARCHAR PRIMARY KEY,
  directory VARCHAR NOT NULL,
  kind VARCHAR NOT NULL,
  state VARCHAR NOT NULL,
  error VARCHAR,
  hash VARCHAR,
  read_at TIMESTAMPTZ NOT NULL
);

-- What files have made beside schedules, whose rows say it themselves. created_at tells an object from another that took its name
-- later; updated_at tells whether it is still as the file made it.
CREATE TABLE cuckoo_ledger.job_file_object (
  noun VARCHAR NOT NULL,
  name_key VARCHAR NOT NULL,
  path VARCHAR NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  updated_at TIMESTAMPTZ NOT NULL
);
`;
