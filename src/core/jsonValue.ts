// What JSON can hold, as a type: definitions are stored as it, parameters and results travel as it.

export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject;

export interface JsonObject {
  readonly [key: string]: JsonValue;
}
