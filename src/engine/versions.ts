// Schedules by version, as runs were opened with them. A version never changes, so one that was read is read for good; and what runs
// ask for in the same turn is one question. (Of 10,000 schedules due at one instant each asked by itself, on a connection of its own:
// twenty seconds.)

import type { Clock } from '../scheduler/clock.ts';
import type { Schedule } from '../scheduler/schedule.ts';

export interface ScheduleVersion {
  readonly scheduleId: number;
  readonly version: number;
}

/** As many are kept as wait in memory, at most: a kilobyte each. */
const mostKept = 20_000;

interface Asked extends ScheduleVersion {
  resolve(schedule: Schedule | undefined): void;
  reject(error: unknown): void;
}

export class Versions {
  readonly #clock: Pick<Clock, 'yieldTurn'>;
  readonly #read: (versions: readonly ScheduleVersion[]) => Promise<ReadonlyMap<string, Schedule>>;
  readonly #known = new Map<string, Promise<Schedule | undefined>>();
  #asked: Asked[] = [];

  /** `read` answers by `versionKey`. */
  constructor(clock: Pick<Clock, 'yieldTurn'>, read: (versions: readonly ScheduleVersion[]) => Promise<ReadonlyMap<string, Schedule>>) {
    this.#clock = clock;
    this.#read = read;
  }

  /** undefined: it is not in the file any more. */
  of(wanted: ScheduleVersion): Promise<Schedule | undefined> {
    const key = versionKey(wanted);
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const asked = new Promise<Schedule | undefined>((resolve, reject) => {
      this.#asked.push({ ...wanted, resolve, reject });
    });
    if (this.#asked.length === 1) void this.#ask();
    this.#known.set(key, asked);
    const forget = (): void => {
      if (this.#known.get(key) === asked) this.#known.delete(key);
    };
    asked.then((found) => {
      if (found === undefined) forget();
    }, forget);
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= mostKept) break;
      this.#known.delete(oldest);
    }
    return asked;
  }

  async #ask(): Promise<void> {
    await this.#clock.yieldTurn();
    const asked = this.#asked;
    this.#asked = [];
    try {
      const found = await this.#read(asked);
      for (const each of asked) each.resolve(found.get(versionKey(each)));
    } catch (error) {
      for (const each of asked) each.reject(error);
    }
  }
}

export const versionKey = ({ scheduleId, version }: ScheduleVersion): string => `${scheduleId}.${version}`;
