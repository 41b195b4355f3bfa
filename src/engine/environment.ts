// `env('NAME')` inside of a list or an object of params and config: stored by its name, as `{ "$env": "NAME" }`, and read only
// when the value is used, so that no secret stands in the file or in a history.

import { Diagnostic } from '../core/diagnostic.ts';
import type { JsonObject, JsonValue } from '../core/jsonValue.ts';

/** A key that a person cannot write in an object of their own. */
export const environmentKey = '$env';

export type Environment = Readonly<Record<string, string | undefined>>;

export function environmentReference(name: string): JsonObject {
  return { [environmentKey]: name };
}

export function holdsEnvironment(value: JsonValue): boolean {
  if (value === null || typeof value !== 'object') return false;
  return environmentKey in value || Object.values(value).some(holdsEnvironment);
}

/** The names of the variables that a value holds. */
export function environmentNames(value: JsonValue): string[] {
  const names: string[] = [];
  replaced(value, (name) => {
    names.push(name);
    return name;
  });
  return names;
}

/** The value with what the environment holds; `wantedBy` is named where a variable is missing. */
export function withEnvironment(value: JsonValue, environment: Environment, wantedBy: string): JsonValue {
  return replaced(value, (name) => environmentValue(name, environment, wantedBy));
}

/** As people see it: `env('NAME')`. */
export function withEnvironmentNames(value: JsonValue): JsonValue {
  return replaced(value, (name) => `env('${name}')`);
}

export function environmentValue(name: string, environment: Environment, wantedBy: string): string {
  const value = environment[name];
  if (value !== undefined) return value;
  throw new Diagnostic('undefined_parameter', `the environment variable ${name} is not set`, { hint: `it is wanted for ${wantedBy}` });
}

function replaced(value: JsonValue, read: (name: string) => string): JsonValue {
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return value.map((item: JsonValue) => replaced(item, read));
  const object = value as JsonObject;
  const name = object[environmentKey];
  if (typeof name === 'string') return read(name);
  return Object.fromEntries(Object.entries(object).map(([key, inner]) => [key, replaced(inner, read)]));
}
