// What a task may use beside its own values: a log, the database, HTTP.

import { Diagnostic } from '../../core/diagnostic.ts';
import { Connection } from '../store/duckdb/connection.ts';
import { rememberTransaction } from '../store/duckdb/fence.ts';
import type { NativeDatabase } from '../store/duckdb/native.ts';
import { jsonOf } from '../value.ts';
import type { Http, Logger, LogLevel, Services, TaskLine, TaskRow } from './executor.ts';

export interface ServiceParts {
  readonly database: NativeDatabase;
  readonly signal: AbortSignal;
  log(line: TaskLine): void;
}

export interface OpenServices {
  readonly services: Services;
  /** With a transaction that is open, where the task has begun one. */
  transaction(): Promise<Connection | undefined>;
  close(): Promise<void>;
}

export function openServices({ database, signal, log }: ServiceParts): OpenServices {
  let own: Promise<Connection> | undefined;
  const connect = async (): Promise<Connection> => {
    const connection = new Connection(await database.connect());
    await connection.send(`BEGIN; ${rememberTransaction}`, 'open');
    return connection;
  };
  const rowsOf = async (
    connection: Connection,
    sql: string,
    values?: readonly unknown[] | Readonly<Record<string, unknown>>,
  ): Promise<TaskRow[]> => {
    const { columns, rows } = await connection.until(signal).table(sql, values);
    return rows.map((row) => Object.fromEntries(columns.map((column, at) => [column.name, jsonOf(row[at] ?? null, column.type)])));
  };
  return {
    services: {
      logger: loggerOf(log),
      database: {
        query: async (sql, values) => {
          const connection = new Connection(await database.connect());
          try {
            return await rowsOf(connection, sql, values);
          } finally {
            await connection.close();
          }
        },
        transaction: {
          query: async (sql, values) => {
            own ??= connect();
            return rowsOf(await own, sql, values);
          },
        },
      },
      http: noHttp,
    },
    transaction: async () => own,
    close: async () => {
      const connection = await own?.catch(() => undefined);
      await connection?.rollback();
      await connection?.close();
    },
  };
}

const noHttp: Http = {
  request: refuse,
  get: refuse,
  post: refuse,
};

async function refuse(): Promise<never> {
  throw new Diagnostic('unsupported', 'services.http is not there yet');
}

function loggerOf(log: (line: TaskLine) => void): Logger {
  const at =
    (level: LogLevel) =>
    (message: string, fields?: Readonly<Record<string, unknown>>): void =>
      log({ stream: 'log', level, text: fields === undefined ? message : `${message} ${JSON.stringify(fields)}` });
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}
