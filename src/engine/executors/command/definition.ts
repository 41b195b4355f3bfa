// What can be known to be wrong of a command before it runs: a parameter that it is not given, a key of config that it does not know.

import { Diagnostic } from '../../../core/diagnostic.ts';
import { parseDuration } from '../../../core/duration.ts';
import type { JsonValue } from '../../../core/jsonValue.ts';
import { suggest } from '../../../parser/suggest.ts';
import { runParameters } from '../../routine.ts';
import type { TaskTarget } from '../executor.ts';

/** `$name` is a parameter where it is all of an argument. */
export const wholeParameter = /^\$([A-Za-z_]\w*)$/;

const configKeys = ['cwd', 'env', 'grace'] as const;

/** A scheduler that stops waits as long. */
const longestGraceMs = 60_000;

/** Throws what is wrong, answers what is surprising. */
export function checkCommand({ call, params, config }: Pick<TaskTarget, 'call' | 'params' | 'config'>): readonly string[] {
  checkConfig(config);
  const names = Object.keys(params);
  if (typeof call === 'string') return shellWarnings(call, names);
  checkParameters(call, names);
  return [];
}

/** Of a list, what begins with $ and is no parameter would be an argument that nobody meant. */
export function checkParameters(call: readonly string[], names: readonly string[]): void {
  const known = [...names, ...runParameters];
  for (const element of call) {
    const name = wholeParameter.exec(element)?.[1];
    if (name === undefined || known.some((other) => other.toLowerCase() === name.toLowerCase())) continue;
    const near = suggest(name, known);
    throw at(
      ['call'],
      new Diagnostic('undefined_parameter', `$${name} is no parameter of this command`, {
        hint: `${near === undefined ? '' : `did you mean $${near}? `}known: ${known.map((other) => `$${other}`).join(', ')}; for the text itself write '$$${name}'`,
      }),
    );
  }
}

/** To a shell, `$day` is a variable of its own. */
export function shellWarnings(text: string, names: readonly string[]): readonly string[] {
  const used = names.filter((name) => /^\w+$/.test(name) && new RegExp(`\\$(?:${name}\\b|\\{${name}\\b)`).test(text));
  return used.map((name) => `$${name} is a variable of the shell here: the parameter is "$CUCKOO_PARAM_${variableName(name)}"`);
}

/** What stands behind `CUCKOO_PARAM_`. */
export function variableName(name: string): string {
  return name.toUpperCase().replaceAll(/[^A-Z0-9_]/g, '_');
}

function checkConfig(config: TaskTarget['config']): void {
  for (const key of Object.keys(config)) {
    if (configKeys.some((known) => known === key)) continue;
    const near = suggest(key, configKeys);
    throw at(
      ['config', key],
      new Diagnostic('unknown_key', `a command's config has no key '${key}'`, {
        hint: `${near === undefined ? '' : `did you mean ${near}? `}keys: ${configKeys.join(', ')}; what it is to know goes into params`,
      }),
    );
  }
  checkConfigValues(config);
}

/** A pipeline's config is for all of its steps, and may hold more. */
export function checkConfigValues({ cwd, env, grace }: TaskTarget['config']): void {
  if (cwd !== undefined && (typeof cwd !== 'string' || cwd.trim() === '')) throw wrong(['config', 'cwd'], 'cwd', "a folder: cwd: './jobs'");
  if (env !== undefined) checkVariables(env);
  if (grace !== undefined) checkGrace(grace);
}

function checkVariables(env: JsonValue): void {
  if (env === null || typeof env !== 'object' || Array.isArray(env))
    throw wrong(['config', 'env'], 'env', "an object: env: { NAME: 'value' }");
  for (const [name, value] of Object.entries(env)) {
    if (!/^[^=\0]+$/.test(name)) throw wrong(['config', 'env', name], `the name '${name}'`, 'a name without =');
    if (value !== null && typeof value === 'object')
      throw wrong(['config', 'env', name], `env.${name}`, 'one value, or null to take it away');
  }
}

function checkGrace(grace: JsonValue): void {
  const expected = 'a duration up to 1m: grace: 10s';
  if (typeof grace !== 'string') throw wrong(['config', 'grace'], 'grace', expected);
  try {
    if (parseDuration(grace) <= longestGraceMs) return;
  } catch {
    // It is none.
  }
  throw wrong(['config', 'grace'], 'grace', expected);
}

function wrong(path: readonly string[], what: string, expected: string): Diagnostic {
  return at(path, new Diagnostic('wrong_type', `${what} takes ${expected}`));
}

/** Where in the definition it stands. */
function at(path: readonly string[], diagnostic: Diagnostic): Diagnostic {
  return Object.assign(diagnostic, { path });
}
