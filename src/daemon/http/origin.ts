// Whether a request may come from a web page. A page that the user has open in a browser can send requests to this machine: by its own
// address (then the browser says where the page is from), or by a name of the page's that suddenly means this machine (then the Host
// is that name). Neither gets anything, whatever else it brings along.

import { isIP } from 'node:net';
import { Diagnostic } from '../../core/diagnostic.ts';
import { Refusal } from './problem.ts';

export interface Asked {
  /** The Host header. */
  readonly host: string | undefined;
  readonly origin: string | undefined;
  /** Sec-Fetch-Site. */
  readonly site: string | undefined;
  /** The address that the connection has come in at. */
  readonly localAddress: string | undefined;
}

/** Throws a Refusal. `names`: those under which this machine may be asked for, besides its own. */
export function mustBeOurs({ host, origin, site, localAddress }: Asked, names: ReadonlySet<string>): void {
  const asked = hostNameOf(host);
  if (asked === undefined || !isOurs(asked, localAddress, names)) {
    throw foreign(
      `this is not ${asked ?? 'a host without a name'}`,
      'ask by the address that it listens on, or start the daemon with that name: --host-name',
    );
  }
  if (site !== undefined && site !== 'same-origin' && site !== 'none') throw fromElsewhere();
  if (origin === undefined) return;
  const from = URL.canParse(origin) ? new URL(origin) : undefined;
  const isSame = from !== undefined && (from.host === host?.toLowerCase() || names.has(from.hostname));
  if (!isSame) throw fromElsewhere();
}

/** Without its port: that may be another one in front of a container or a proxy. */
function hostNameOf(host: string | undefined): string | undefined {
  const [, bracketed, name] = /^(?:\[([0-9a-f:.]+)\]|([^:[\]/\\@?#\s]+))(?::\d{1,5})?$/i.exec(host ?? '') ?? [];
  return (bracketed ?? name)?.toLowerCase().replace(/\.$/, '');
}

function isOurs(name: string, localAddress: string | undefined, names: ReadonlySet<string>): boolean {
  if (name === 'localhost' || name.endsWith('.localhost') || name === '::1' || names.has(name)) return true;
  if (isIP(name) === 0) return false;
  return name.startsWith('127.') || name === localAddress?.replace(/^::ffff:/, '');
}

function fromElsewhere(): Refusal {
  return foreign('the request comes from a web page of another origin', 'no page but its own may ask this daemon');
}

function foreign(message: string, hint: string): Refusal {
  return new Refusal(new Diagnostic('forbidden', message, { hint }), { status: 403 });
}
