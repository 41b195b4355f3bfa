// What the peers on PostgreSQL share.

import pg from 'pg';

/** An idle client whose server is gone must not end the process. */
export function lastingPool({ port }, size = 10) {
  const pool = new pg.Pool({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres', max: size });
  pool.on('error', () => {});
  pool.on('connect', (client) => client.on('error', () => {}));
  return pool;
}
