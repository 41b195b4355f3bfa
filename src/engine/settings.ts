// The settings `cron.<name>`: what they may be, what they are until someone says otherwise.
//
// A value is kept as one text. Of the alerts' thresholds 0 and `none` mean never, and are kept as `none`.

import { Diagnostic, type Span } from '../core/diagnostic.ts';
import { parseDuration } from '../core/duration.ts';
import { parseSize } from '../core/size.ts';
import type { Value } from '../parser/ast.ts';
import { suggest } from '../parser/suggest.ts';
import { validateZone } from '../scheduler/cadence/cadence.ts';
import type { AlertThresholds } from '../scheduler/ports.ts';
import type { Action } from '../scheduler/schedule.ts';
import { actionsOf, parseActions, printActions } from './actionText.ts';
import { inside, textOf } from './bind/fields.ts';

/** Values are kept as the text that a person would write. `timezone` is replaced by the machine's zone when a file is made. */
export const settingDefaults = {
  timezone: 'UTC',
  workers: '4',
  cpu: 'none',
  memory: 'none',
  check_interval: '30s',
  late_within: '60s',
  max_retries: '3',
  retry_delay: '60s',
  timeout: '5m',
  catchup: 'latest',
  log_lines: '10000',
  result_rows: '100',
  alert_failures: '3',
  alert_backlog: '1000',
  alert_slowness: '2',
  alert_busy: '5m',
  on_fail: 'none',
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

  /** Of commands and handlers that name none; null: no limit. */
  get taskTimeoutMs(): number | null {
    const text = this.text('timeout');
    return text === 'none' ? null : parseDuration(text);
  }

  /** Percent of one core, of all runs together; null: no limit. */
  get budgetCpu(): number | null {
    const text = this.text('cpu');
    return text === 'none' ? null : Number(text);
  }

  get budgetMemoryBytes(): number | null {
    const text = this.text('memory');
    return text === 'none' ? null : parseSize(text);
  }

  get alerts(): AlertThresholds {
    const number = (name: 'alert_failures' | 'alert_backlog' | 'alert_slowness'): number => {
      const text = this.text(name);
      return text === 'none' ? 0 : Number(text);
    };
    const busy = this.text('alert_busy');
    return {
      failures: number('alert_failures'),
      backlog: number('alert_backlog'),
      slowness: number('alert_slowness'),
      busyMs: busy === 'none' ? 0 : parseDuration(busy),
    };
  }

  /** For schedules without actions of their own, and for alerts of the whole scheduler. */
  get onFail(): readonly Action[] {
    return parseActions(this.text('on_fail'), 'cron.on_fail');
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

/** The canonical text of what stands behind `SET cron.name =`, or a Diagnostic at its place. */
export function settingValue(name: SettingName, value: Value): string {
  // Actions may stand there as they stand in a definition, without quotes.
  if (name === 'on_fail' && (value.kind === 'call' || value.kind === 'list')) return printActions(actionsOf(value, 'cron.on_fail'));
  const text = textOf(value, `cron.${name}`);
  if (name === 'on_fail') return inside(value, () => printActions(parseActions(text, 'cron.on_fail')));
  return settingText(name, text, value.span);
}

/** The same of a text that stands in no statement: in the environment, or in a file of settings. */
export function settingTextOf(name: SettingName, text: string, refuse: (legal: string) => Error): string {
  try {
    if (name === 'on_fail') return printActions(parseActions(text, 'cron.on_fail'));
    return settingText(name, text, { start: 0, end: text.length });
  } catch (error) {
    throw error instanceof Diagnostic ? refuse(error.hint ?? error.message) : error;
  }
}

function settingText(name: Exclude<SettingName, 'on_fail'>, text: string, span: Span): string {
  const refuse = (hint: string): Diagnostic => new Diagnostic('invalid_value', `cron.${name} cannot be '${text}'`, { span, hint });
  const whole = (least: number, most: number, also = ''): string => {
    const value = Number(text);
    if (text.trim() === '' || !Number.isSafeInteger(value) || value < least || value > most) {
      throw refuse(`a whole number from ${least} to ${most}${also}`);
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
  const size = (): number => {
    try {
      return parseSize(text);
    } catch (error) {
      throw error instanceof Diagnostic ? refuse(`${error.hint}; none: no limit`) : error;
    }
  };
  const isNever = text.trim() === '0' || text.trim().toLowerCase() === 'none';
  switch (name) {
    case 'timezone':
      try {
        return validateZone(text);
      } catch (error) {
        throw error instanceof Diagnostic ? error.at(span) : error;
      }
    case 'workers':
      return whole(1, 1000);
    case 'cpu': {
      const percent = Number(text.replace(/%$/, ''));
      if (isNever) return 'none';
      if (text.trim() === '' || !(percent >= 1 && percent <= 1_000_000))
        throw refuse('percent of one core, from 1: 200 is two cores; none: no limit');
      return String(percent);
    }
    case 'memory': {
      if (isNever) return 'none';
      const bytes = size();
      if (bytes < 1_000_000) throw refuse('at least 1MB; none: no limit');
      return text.trim();
    }
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
    case 'alert_failures':
    case 'alert_backlog':
      return isNever ? 'none' : whole(1, 1_000_000_000, '; 0 or none: never');
    case 'alert_slowness': {
      const times = Number(text);
      if (isNever) return 'none';
      if (text.trim() === '' || !(times > 1 && times <= 1000))
        throw refuse('a number above 1 and up to 1000, such as 2 or 1.5; 0 or none: never');
      return String(times);
    }
    case 'alert_busy':
      return isNever ? 'none' : duration(1000, 366 * 86_400_000, 'from 1s to 366d; 0 or none: never');
    case 'catchup': {
      const folded = text.toLowerCase();
      if (folded !== 'none' && folded !== 'latest' && folded !== 'all') throw refuse('legal: none, latest, all');
      return folded;
    }
    default:
      return name satisfies never;
  }
}
