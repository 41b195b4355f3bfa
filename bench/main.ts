// `npm run bench [-- NAME ..] [--full] [-- ARGUMENTS]`: each benchmark is a file here that exports `run`, and has a process of its own, so
// that no one's memory or compiled code is in another's figures. Without a name, all of them, in this order. Closes with one plain line.

import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setup as build } from '../test/support/build.ts';
import { type Benchmark, keep, measure, printed, type Report, resultsFolder, verdict } from './report.ts';

const all = ['parser', 'cadence', 'coldStart', 'sql', 'handlers', 'loop', 'ledger', 'history', 'memory', 'hostile', 'daemon', 'scale'];
/** Known by name only: parts of the story that need long, and no budget of DESIGN. */
const more = ['catchup', 'jobDirectory'];

const words = process.argv.slice(2);
const full = words.includes('--full');
const here = words.includes('--here');
const args = words.filter((word) => !word.startsWith('--') && !isName(word));
const names = words.filter(isName);

if (here) {
  const [name = ''] = names;
  const { run } = (await import(`./${name}.ts`)) as { run: Benchmark };
  const report = await measure(name, run, { full, args });
  keep(report);
  console.log(printed(report));
} else if (words.some((word) => /^[a-zA-Z-]/.test(word) && word !== '--full' && !isName(word))) {
  console.error(`usage: npm run bench [-- NAME ..] [-- --full], where NAME is one of ${[...all, ...more].join(', ')}`);
  process.exitCode = 2;
} else {
  build();
  const reports: Report[] = [];
  const broken: string[] = [];
  for (const name of names.length > 0 ? names : full ? [...all, ...more] : all) {
    const path = join(resultsFolder, `${name}.json`);
    rmSync(path, { force: true });
    const command = [...process.execArgv, import.meta.filename, name, '--here', ...(full ? ['--full'] : []), ...args];
    const { status } = spawnSync(process.execPath, command, { stdio: 'inherit' });
    if (status === 0) reports.push(JSON.parse(readFileSync(path, 'utf8')) as Report);
    else broken.push(name);
  }
  const verdicts = reports.flatMap(({ figures }) => figures.map(verdict)).filter((each) => each !== null);
  const met = verdicts.filter((each) => each === 'met').length;
  if (broken.length > 0) console.log(`not measured, because they failed: ${broken.join(', ')}`);
  console.log(`budgets: ${met} met, ${verdicts.length - met} missed`);
  if (broken.length > 0 || verdicts.includes('missed')) process.exitCode = 1;
}

function isName(word: string): boolean {
  return all.includes(word) || more.includes(word);
}
