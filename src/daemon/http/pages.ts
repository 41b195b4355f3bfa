// Lists come in pages: each says where the next one begins, by what the last row is called and not by its number, so that rows that
// come and go in between neither repeat others nor hide them.

import { z } from '@hono/zod-openapi';
import { Diagnostic } from '../../core/diagnostic.ts';
import type { JsonObject } from '../../core/jsonValue.ts';
import { Refusal } from './problem.ts';

export const mostOnPage = 500;

export function limitOf(usual: number, most = mostOnPage) {
  return z.coerce.number().int().min(1).max(most).default(usual).openapi({
    type: 'integer',
    minimum: 1,
    maximum: most,
    default: usual,
    description: 'so many at most',
  });
}

/** Of a page's query. */
export const cursorIn = z.string().max(2000).optional().openapi({ description: '`next_cursor` of the page before' });

export const nextCursor = z.string().nullable().openapi({ description: 'for the next page; null on the last' });

export interface Page {
  readonly rows: readonly JsonObject[];
  readonly next_cursor: string | null;
}

/** Of one row more than the page has; `keys` are the columns that say where it stands. */
export function pageOf(rows: readonly JsonObject[], limit: number, keys: readonly string[]): Page {
  const kept = rows.slice(0, limit);
  const last = kept.at(-1);
  if (rows.length <= limit || last === undefined) return { rows: kept, next_cursor: null };
  return { rows: kept, next_cursor: Buffer.from(JSON.stringify(keys.map((key) => last[key]))).toString('base64url') };
}

/** What `pageOf` has made: so many texts. */
export function placeIn(cursor: string | undefined, count: number): readonly string[] | undefined {
  if (cursor === undefined) return undefined;
  try {
    const place: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
    if (Array.isArray(place) && place.length === count && place.every((part) => typeof part === 'string')) return place as string[];
  } catch {
    // It is none of ours.
  }
  throw new Refusal(new Diagnostic('invalid_value', 'the cursor is none of this list', { hint: 'next_cursor of the page before' }), {
    status: 400,
  });
}

/** An instant in ISO form; a day is its beginning in UTC. */
export const instantIn = z
  .string()
  .refine((text) => instantText(text) !== undefined, { error: 'an instant such as 2026-11-20T02:00:00Z' })
  .transform((text) => instantText(text) ?? '')
  .openapi({ type: 'string', format: 'date-time' });

function instantText(text: string): string | undefined {
  if (!/^[12]\d{3}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?)?$/i.test(text)) return undefined;
  const hasZone = text.length === 10 || /(?:Z|[+-]\d\d:?\d\d)$/i.test(text.slice(10));
  const at = Date.parse(hasZone ? text : `${text}Z`);
  return Number.isNaN(at) ? undefined : new Date(at).toISOString();
}

/** `true` and `false`, as a query says them. */
export const flagIn = z
  .enum(['true', 'false'])
  .transform((word) => word === 'true')
  .openapi({ type: 'string', enum: ['true', 'false'] });

/** Conditions that all hold, with their values beside them. */
export class Conditions {
  readonly values: Record<string, string | number | boolean> = {};
  readonly #texts: string[] = [];

  add(text: string, values: Readonly<Record<string, string | number | boolean>> = {}): this {
    this.#texts.push(`(${text})`);
    Object.assign(this.values, values);
    return this;
  }

  /** With a blank in front; nothing where there is no condition. */
  get where(): string {
    return this.#texts.length === 0 ? '' : ` WHERE ${this.#texts.join(' AND ')}`;
  }
}
