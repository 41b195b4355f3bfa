// Timers of one process: nothing is durable, nothing is kept, and a process that ends forgets what was due. They are measured where
// they can be: how late they are, and what they cost.

import { Cron } from 'croner';
import cron from 'node-cron';

const makers = {
  croner: (pattern, fire) => {
    const job = new Cron(pattern, { timezone: 'UTC' }, fire);
    return () => job.stop();
  },
  'node-cron': (pattern, fire) => {
    const job = cron.schedule(pattern, fire, { timezone: 'UTC' });
    return () => job.destroy();
  },
};

export async function open({ timer }) {
  const make = makers[timer];
  const ends = [];
  let fire = () => {};
  return {
    async work({ started }) {
      fire = started;
    },
    async later(count, instant) {
      const at = new Date(instant);
      const pattern = `${at.getUTCSeconds()} ${at.getUTCMinutes()} ${at.getUTCHours()} ${at.getUTCDate()} ${at.getUTCMonth() + 1} *`;
      for (let id = 0; id < count; id++) ends.push(make(pattern, () => fire(id)));
    },
    async register(count, { pattern }) {
      for (let id = 0; id < count; id++) ends.push(make(pattern, () => {}));
    },
    registered: async () => ends.length,
    async everySecond() {
      ends.push(
        make('* * * * * *', () => {
          const nominal = Math.round(Date.now() / 1000) * 1000;
          fire(`n${nominal}`, nominal);
        }),
      );
    },
    async rest() {},
    async clear() {},
    async close() {
      for (const end of ends.splice(0)) end();
    },
  };
}
