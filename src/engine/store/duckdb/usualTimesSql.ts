// How long runs usually take, said once: health, alerts, SIMULATE and EXPLAIN RUN mean the same by it (docs/relations.md).

/** Fewer successes than these are no habit, by which a run could be called slow. */
const fewestOfAHabit = 5;

export interface UsualTimesOf {
  readonly ledger: string;
  /** A condition on `schedule_id`. */
  readonly which: string;
  /** So many successes there must be; one is enough for whoever merely wants a likely time. */
  readonly fewest?: number;
}

/** `schedule_id, usual_ms`: the median of the last 20 successes of each schedule. */
export const usualTimesSql = ({ ledger, which, fewest = fewestOfAHabit }: UsualTimesOf): string => `
  SELECT schedule_id, list_median(durations)::DOUBLE AS usual_ms FROM (
    SELECT schedule_id, max_by(epoch_ms(finished_at) - epoch_ms(started_at), finished_at, 20) AS durations
    FROM ${ledger}.closed WHERE state = 'succeeded' AND started_at IS NOT NULL AND ${which} GROUP BY schedule_id
  ) WHERE len(durations) >= ${fewest}`;
