// cuckoo doctor: what usually is wrong, looked at in one go. Each line says what was found and, where it is not well, what to do.

import { existsSync, realpathSync, statfsSync, statSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';
import { dirname, resolve } from 'node:path';
import { Diagnostic } from '../../core/diagnostic.ts';
import { systemClock } from '../../scheduler/clock.ts';
import { Access } from '../access.ts';
import type { Config } from '../config.ts';
import { readDaemonConfig } from '../daemonConfig.ts';
import { type ExitCode, exitCodes } from '../exit.ts';
import { whoHolds } from '../lock.ts';
import { openPlace } from '../place.ts';
import { cuckooVersion, duckdbVersion } from '../version.ts';
import type { AskedCommand } from './commandLine.ts';

interface Finding {
  readonly check: string;
  readonly state: 'good' | 'note' | 'bad';
  readonly detail: string;
}

const leastFreeBytes = 64 << 20;

export async function examine({ options }: AskedCommand, config: Config): Promise<ExitCode> {
  const file = options.file ?? config.file;
  const findings: Finding[] = [];
  const look = async (
    check: string,
    work: () => Finding['detail'] | Omit<Finding, 'check'> | Promise<Finding['detail'] | Omit<Finding, 'check'>>,
  ): Promise<void> => {
    try {
      const found = await work();
      findings.push(typeof found === 'string' ? { check, state: 'good', detail: found } : { check, ...found });
    } catch (error) {
      const hint = error instanceof Diagnostic && error.hint !== undefined ? `; ${error.hint}` : '';
      findings.push({ check, state: 'bad', detail: `${error instanceof Error ? error.message : String(error)}${hint}` });
    }
  };
  await look('versions', () => `cuckoo ${cuckooVersion}, DuckDB ${duckdbVersion}, Node ${process.versions.node}`);
  await look(
    'machine',
    () => `${availableParallelism()} cores, ${Math.round(totalmem() / 2 ** 30)} GB of memory, ${config.poolSize} threads for native calls`,
  );
  await look('time zone', () => zoneFinding());
  await look('configuration', () => {
    readDaemonConfig({ flags: {}, environment: config.environment, folder: process.cwd() });
    return 'is read';
  });
  await look('tokens', () => {
    if (config.stateFolder === undefined) return { state: 'bad', detail: 'no folder for them: set XDG_STATE_HOME' };
    if (!existsSync(resolve(config.stateFolder, 'token')))
      return { state: 'note', detail: 'none yet: the first start of a daemon makes one' };
    return `${Access.open({ folder: config.stateFolder, clock: systemClock }).list().length} beside the admin's in ${config.stateFolder}`;
  });
  await look('file', () => {
    if (!existsSync(file)) return { state: 'note', detail: `${file} does not exist yet` };
    const { size } = statSync(file);
    return `${realpathSync(file)}, ${(size / 2 ** 20).toFixed(1)} MB`;
  });
  await look('disk', () => {
    const { bavail, bsize } = statfsSync(existsSync(file) ? file : dirname(resolve(file)));
    const free = bavail * bsize;
    const detail = `${(free / 2 ** 30).toFixed(1)} GB free`;
    return free < leastFreeBytes ? { state: 'bad', detail: `${detail}: below 64 MB nothing is opened` } : detail;
  });
  await look('holder', async () => {
    const holder = existsSync(file) ? await whoHolds(realpathSync(file), systemClock) : undefined;
    if (holder === undefined)
      return { state: 'note', detail: 'nobody holds the file: nothing is scheduled now; cuckoo daemon, or cuckoo service install' };
    const detail = `a ${holder.kind ?? 'process'}, process ${holder.pid ?? 'unknown'}${holder.url === undefined ? '' : `, at ${holder.url}`}`;
    return holder.version === undefined || holder.version === cuckooVersion
      ? detail
      : { state: 'note', detail: `${detail}, of version ${holder.version}` };
  });
  if (existsSync(file)) {
    await look('schedules', async () => {
      const place = await openPlace(file, { environment: config.environment, poolSize: config.poolSize });
      const session = await place.session();
      try {
        const rows = await (
          await session.execute('SELECT schedule, condition, detail FROM cron.schedule_health ORDER BY schedule')
        ).toArray();
        if (rows.length === 0) return 'nothing is late, stuck, failing or absent';
        const told = rows.slice(0, 10).map((row) => `${row[0]}: ${row[1]}, ${row[2]}`);
        return { state: 'bad', detail: `${told.join('\n')}${rows.length > 10 ? `\nand ${rows.length - 10} more` : ''}` };
      } finally {
        await session.close();
        await place.close();
      }
    });
  }
  show(findings, options.json === true);
  return findings.some(({ state }) => state === 'bad') ? exitCodes.failed : exitCodes.done;
}

/** Node and the system may know different rules for the same zone. */
function zoneFinding(): string {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  return `${zone}, zone data ${process.versions['tz'] ?? 'unknown'}`;
}

function show(findings: readonly Finding[], json: boolean): void {
  const { stdout } = process;
  if (json) {
    stdout.write(`${JSON.stringify(findings)}\n`);
    return;
  }
  const signs = { good: 'ok  ', note: 'note', bad: 'BAD ' } as const;
  const width = Math.max(...findings.map(({ check }) => check.length));
  for (const { check, state, detail } of findings) {
    const [first = '', ...more] = detail.split('\n');
    stdout.write(`${signs[state]}  ${check.padEnd(width)}  ${first}\n`);
    for (const line of more) stdout.write(`${' '.repeat(width + 8)}${line}\n`);
  }
}
