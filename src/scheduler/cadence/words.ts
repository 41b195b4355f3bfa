// Calendar words: `business days at 18:00`, `month end at 23:00`, `last business day of month at 17:30`. They read the
// schedule's calendar; without one, Saturday and Sunday are free and nothing else is.

export type WordsDay =
  | { readonly kind: 'business days' }
  | { readonly kind: 'day'; readonly which: number }
  | { readonly kind: 'business day'; readonly which: number }
  | { readonly kind: 'weekday'; readonly weekday: number; readonly which: number };

export interface WordsCadence {
  readonly kind: 'words';
  readonly version: 1;
  readonly text: string;
  /** `which`: 1..5 from the start of the period, 0 for the last. */
  readonly day: WordsDay;
  readonly period: 'month' | 'quarter' | 'year';
  readonly secondOfDay: number;
}
