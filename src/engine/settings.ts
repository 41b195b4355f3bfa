// The settings `cron.<name>`: what they may be, what they are until someone says otherwise.

import { Diagnostic, type Span } from '../core/diagnostic.ts';
import { parseDuration } from '../core/duration.ts';
import { suggest } from '../parser/suggest.ts';
import { validateZone } from '../scheduler/cadence/cadence.ts';

/** Values are kept as the text that a person would write. `timezone` is replaced by the machine's zone when a file is made. */
export const settingDefaults = {
  timezone: 'UTC',
  workers: '4',
  check_interval: '30s',
  late_within: '60s',
  max_retries: '3',
  retry_delay: '60s',
  timeout: '5m',
  catchup: 'latest',
  log_lines: '10000',
  result_rows: '100',
} as const;

export type SettingName = keyof typeof settingDefaults;

/** The settings in force, read once for each statement or tick that needs them. */
export class Settings {
  readonly #values: ReadonlyMap<string, string>;

  constructor(values: ReadonlyMap<string, string>) {
    this.#values = values;
  }

  text(name: SettingName): string {
    return this.#values.get(name) ?? settingDefaults[name];
  }

  number(name: 'workers' | 'max_retries' | 'log_lines' | 'result_rows'): number {
    return Number(this.text(name));
  }

  durationMs(name: 'check_interval' | 'late_within' | 'retry_delay'): number {
    return parseDuration(this.text(name));
  }
}

export function settingName(name: string, span: Span): SettingName {
  const folded = name.toLowerCase();
  if (folded in settingDefaults) return folded as SettingName;
  const names = Object.keys(settingDefaults);
  const near = suggest(folded, names);
  throw new Diagnostic('invalid_value', `there is no setting cron.${name}`, {
    span,
    hint: `${near === undefined ? '' : `did you mean cron.${near}? `}settings: ${names.join(', ')}`,
  });
}

/** The canonical text of a legal value, or a Diagnostic at `span`. */
export function settingValue(name: SettingName, text: string, span: Span): string {
  const refuse = (hint: string): Diagnostic => new Diagnostic('invalid_value', `cron.${name} cannot be '${text}'`, { span, hint });
  const whole = (least: number, most: number): string => {
    const value = Number(text);
    if (text.trim() === '' || !Number.isSafeInteger(value) || value < least || value > most) {
      throw refuse(`a whole number from ${least} to ${most}`);
    }
    return String(value);
  };
  const duration = (leastMs: number, mostMs: number, range: string): string => {
    let ms: number;
    try {
      ms = parseDuration(text);
    } catch (error) {
      throw error instanceof Diagnostic ? error.at(span) : error;
    }
    if (ms < leastMs || ms > mostMs) throw refuse(range);
    return text;
  };
  switch (name) {
    case 'timezone':
      try {
        return validateZone(text);
      } catch (error) {
        throw error instanceof Diagnostic ? error.at(span) : error;
      }
    case 'workers':
      return whole(1, 1000);
    case 'check_interval':
      return duration(1000, 30_000, 'from 1s to 30s');
    case 'late_within':
      return duration(1000, 86_400_000, 'from 1s to 1d');
    case 'retry_delay':
      return duration(0, 366 * 86_400_000, 'at most 366d');
    case 'timeout':
      return text.toLowerCase() === 'none' ? 'none' : duration(1, 366 * 86_400_000, 'from 1ms to 366d, or none');
    case 'max_retries':
      return whole(0, 1000);
    case 'log_lines':
      return whole(0, 10_000_000);
    case 'result_rows':
      return whole(0, 1_000_000);
    case 'catchup': {
      const folded = text.toLowerCase();
      if (folded !== 'none' && folded !== 'latest' && folded !== 'all') throw refuse('legal: none, latest, all');
      return folded;
    }
    default:
      return name satisfies never;
  }
}
