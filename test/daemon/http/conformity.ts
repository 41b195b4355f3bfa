// Whether an answer is what the document says. Its schemas are JSON Schema, which zod reads.

import { z } from 'zod';

interface Media {
  readonly schema?: object;
}

export interface Operation {
  readonly operationId: string;
  readonly security?: readonly object[];
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly required: boolean; readonly schema: Schema }[];
  readonly requestBody?: { readonly required: boolean; readonly content: Readonly<Record<string, { readonly schema: Schema }>> };
  readonly responses: Readonly<Record<string, { readonly content?: Readonly<Record<string, Media>> }>>;
}

/** As much of JSON Schema as requests are made of. */
export interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly format?: string;
  readonly minimum?: number;
  readonly maximum?: number;
}

export interface OpenApi {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

export class Conformity {
  readonly document: OpenApi;
  readonly #schemas = new Map<string, z.ZodType>();

  constructor(document: OpenApi) {
    this.document = document;
  }

  /** undefined: it is as the document says. */
  mistake(
    method: string,
    path: string,
    answer: { readonly status: number; readonly type: string; readonly json: unknown },
  ): string | undefined {
    const { status, type, json } = answer;
    const found = this.#operation(method, path);
    const response = found?.operation.responses[String(status)] ?? found?.operation.responses['default'];
    if (found !== undefined && response === undefined) return `${method} ${found.path} has no answer ${status}`;
    if (response?.content === undefined && status < 400) return undefined;
    const content = response?.content ?? { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } };
    const media = content[type];
    if (media === undefined)
      return `${method} ${path} answers ${status} in ${type}, and the document says ${Object.keys(content).join(', ')}`;
    if (!type.includes('json') || type.includes('ndjson')) return undefined;
    const result = this.#schema(media.schema ?? {}).safeParse(json);
    return result.success ? undefined : `${method} ${path} ${status}: ${result.error.message}`;
  }

  #operation(method: string, path: string): { readonly path: string; readonly operation: Operation } | undefined {
    const given = path.split('?')[0]?.split('/') ?? [];
    const matching = Object.keys(this.document.paths).filter((pattern) => {
      const parts = pattern.split('/');
      return parts.length === given.length && parts.every((part, at) => part.startsWith('{') || part === given[at]);
    });
    const wanted = (method === 'HEAD' ? 'GET' : method).toLowerCase();
    const found = matching.find((pattern) => this.document.paths[pattern]?.[wanted] !== undefined);
    const operation = found === undefined ? undefined : this.document.paths[found]?.[wanted];
    return found === undefined || operation === undefined ? undefined : { path: found, operation };
  }

  #schema(schema: object): z.ZodType {
    const key = JSON.stringify(schema);
    const known = this.#schemas.get(key);
    if (known !== undefined) return known;
    const whole = { ...schema, $defs: this.document.components.schemas };
    const made = z.fromJSONSchema(JSON.parse(JSON.stringify(whole).replaceAll('#/components/schemas/', '#/$defs/')));
    this.#schemas.set(key, made);
    return made;
  }
}
