// The armed schedules: which is due next, and when. A million of them live here, so a slot is no object but one place in two
// typed arrays that are a binary heap at the same time (12 bytes), and a third says by id where in the heap a schedule stands
// (4 bytes an id; ids are small, given out in order and never reused).
//
// The order is (due, id), which is the order in which decisions are made and written: how far a tick has come can so be said
// with one instant and one id.

import { Diagnostic } from '../core/diagnostic.ts';
import type { Instant } from '../core/instant.ts';

export class Slots {
  #size = 0;
  /** The heap. The children of place p are 2p + 1 and 2p + 2. */
  #dues = new Float64Array(16);
  #ids = new Int32Array(16);
  /** By id, one more than its place in the heap; 0: not armed. */
  #places = new Int32Array(16);

  /** How many are armed. */
  get size(): number {
    return this.#size;
  }

  /** Infinity: nothing is armed. */
  get earliestDue(): number {
    return this.#size === 0 ? Number.POSITIVE_INFINITY : at(this.#dues, 0);
  }

  /** 0: nothing is armed. */
  get earliestId(): number {
    return this.#size === 0 ? 0 : at(this.#ids, 0);
  }

  /** Infinity: not armed. */
  dueAt(scheduleId: number): number {
    const place = this.#places[scheduleId] ?? 0;
    return place === 0 ? Number.POSITIVE_INFINITY : at(this.#dues, place - 1);
  }

  /** Arming again moves; Infinity disarms. */
  arm(scheduleId: number, dueAt: Instant): void {
    // Anything that is no instant would break the order for all others.
    if (!(dueAt < Number.POSITIVE_INFINITY)) {
      this.disarm(scheduleId);
      return;
    }
    if (scheduleId >= this.#places.length || scheduleId < 1 || !Number.isInteger(scheduleId)) this.#makeRoomForId(scheduleId);
    const place = at(this.#places, scheduleId) - 1;
    if (place >= 0) {
      this.#settle(place, dueAt, scheduleId);
      return;
    }
    if (this.#size === this.#ids.length) this.#makeRoom();
    this.#size += 1;
    this.#rise(this.#size - 1, dueAt, scheduleId);
  }

  disarm(scheduleId: number): void {
    const place = (this.#places[scheduleId] ?? 0) - 1;
    if (place < 0) return;
    this.#places[scheduleId] = 0;
    this.#size -= 1;
    if (place === this.#size) return;
    this.#settle(place, at(this.#dues, this.#size), at(this.#ids, this.#size));
  }

  clear(): void {
    this.#size = 0;
    this.#places.fill(0);
  }

  /** Puts what belongs into a free place, or something earlier or later, where the order wants it. */
  #settle(place: number, due: Instant, id: number): void {
    const parent = (place - 1) >> 1;
    if (place > 0 && this.#isBefore(due, id, parent)) this.#rise(place, due, id);
    else this.#sink(place, due, id);
  }

  #rise(from: number, due: Instant, id: number): void {
    let place = from;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (!this.#isBefore(due, id, parent)) break;
      this.#put(place, at(this.#dues, parent), at(this.#ids, parent));
      place = parent;
    }
    this.#put(place, due, id);
  }

  #sink(from: number, due: Instant, id: number): void {
    let place = from;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= this.#size) break;
      if (child + 1 < this.#size && this.#isBefore(at(this.#dues, child + 1), at(this.#ids, child + 1), child)) child += 1;
      if (this.#isBefore(due, id, child)) break;
      this.#put(place, at(this.#dues, child), at(this.#ids, child));
      place = child;
    }
    this.#put(place, due, id);
  }

  #put(place: number, due: Instant, id: number): void {
    this.#dues[place] = due;
    this.#ids[place] = id;
    this.#places[id] = place + 1;
  }

  #isBefore(due: Instant, id: number, place: number): boolean {
    const other = at(this.#dues, place);
    return due < other || (due === other && id < at(this.#ids, place));
  }

  #makeRoom(): void {
    const dues = new Float64Array(this.#ids.length * 2);
    const ids = new Int32Array(dues.length);
    dues.set(this.#dues);
    ids.set(this.#ids);
    this.#dues = dues;
    this.#ids = ids;
  }

  #makeRoomForId(scheduleId: number): void {
    // What lies outside a typed array is lost without a word, and with it the schedule.
    if (!Number.isInteger(scheduleId) || scheduleId < 1 || scheduleId > largestId) {
      throw new Diagnostic('out_of_range', `${scheduleId} is no id of a schedule`, {
        hint: `ids are whole numbers from 1 to ${largestId}`,
      });
    }
    const places = new Int32Array(Math.min(Math.max(this.#places.length * 2, scheduleId + 1), largestId + 1));
    places.set(this.#places);
    this.#places = places;
  }
}

/** A quarter of a gigabyte of places. */
export const largestId = 2 ** 26;

/** A place that is known to exist. */
const at = (array: Float64Array | Int32Array, place: number): number => array[place] as number;
