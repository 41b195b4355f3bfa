// The sessions of a test's database, served on a socket of its own or on a port.

import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { getRequestListener } from '@hono/node-server';
import { Diagnostic } from '../../../src/core/diagnostic.ts';
import type { DaemonAddress } from '../../../src/daemon/wire/daemonClient.ts';
import { RemoteSession, type RemoteSessionOptions } from '../../../src/daemon/wire/remoteSession.ts';
import { type SessionDoor, sessionRoutes } from '../../../src/daemon/wire/sessionRoutes.ts';
import { systemClock } from '../../../src/scheduler/clock.ts';
import { type TestDatabase, test as withDatabase } from '../../support/database.ts';

export const token = 'a'.repeat(32);

export class Door {
  readonly socketPath: string;
  readonly sessions: SessionDoor;
  readonly #server: Server;
  readonly #opened: RemoteSession[] = [];
  port = 0;

  constructor(db: TestDatabase) {
    this.socketPath = join(db.folder, 'door.sock');
    this.sessions = sessionRoutes({
      engine: db.engine,
      clock: systemClock,
      actor: (context, said) => {
        const asked = context.req.header('authorization');
        if (asked !== undefined && asked !== `Bearer ${token}`) throw new Diagnostic('forbidden', 'that token is none of ours');
        return { actor: said, admin: true };
      },
    });
    this.#server = createServer(getRequestListener(this.sessions.routes.fetch));
  }

  async open(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(this.socketPath, resolve));
  }

  /** The same on a port of this machine. */
  async listen(): Promise<DaemonAddress> {
    const other = createServer((request, response) => this.#server.emit('request', request, response));
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    this.#server.on('close', () => {
      other.closeAllConnections();
      other.close();
    });
    this.port = (other.address() as AddressInfo).port;
    return { url: `http://127.0.0.1:${this.port}/`, token };
  }

  async session(options: RemoteSessionOptions = {}, address: DaemonAddress = { socketPath: this.socketPath }): Promise<RemoteSession> {
    const session = await RemoteSession.open(address, options);
    this.#opened.push(session);
    return session;
  }

  /** As when the process is killed: nobody hears a word. */
  cut(): void {
    this.#server.closeAllConnections();
  }

  async close(): Promise<void> {
    for (const session of this.#opened) await session.close();
    await this.sessions.close('the test is over');
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

export const test = withDatabase.extend<{ door: Door }>({
  door: async ({ db }, use) => {
    const door = new Door(db);
    await door.open();
    try {
      await use(door);
    } finally {
      await door.close();
    }
  },
});
