// The long crash test: npm run test:crash -- [rounds [pipelines]]

import { crashRounds } from './rounds.ts';

const rounds = Number(process.argv[2] ?? 200);
const pipelines = process.argv[3] === 'pipelines';
const report = await crashRounds({ rounds, schedules: pipelines ? 4 : 200, pipelines, random: Math.random });
process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
if (Object.values(report.damage).some((count) => count !== 0)) process.exitCode = 1;
