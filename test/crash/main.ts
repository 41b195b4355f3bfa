// The long crash test: npm run test:crash -- [rounds]

import { crashRounds } from './rounds.ts';

const rounds = Number(process.argv[2] ?? 200);
const report = await crashRounds({ rounds, schedules: 200, random: Math.random });
process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
if (Object.values(report.damage).some((count) => count !== 0)) process.exitCode = 1;
