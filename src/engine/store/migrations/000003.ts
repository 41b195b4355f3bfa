// When calendars were read last. A table of its own: a reading that finds the same days must not write those days again, and
// does not make another calendar of this one.

export const migration000003 = `
-- Of calendars whose days come from somewhere else. failing_since and problem are NULL where the newest reading was good; read_at
-- is the last that was.
CREATE TABLE cuckoo_ledger.calendar_reading (
  name_key VARCHAR PRIMARY KEY,
  read_at TIMESTAMPTZ NOT NULL,
  failing_since TIMESTAMPTZ,
  problem VARCHAR
);
`;
