// What is packaged, as far as it can be checked without Docker, Prometheus and Grafana: that it names what there is.

import { execFile, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseCommand } from '../src/daemon/commands/commandLine.ts';
import { unitText } from '../src/daemon/commands/service.ts';
import { readDaemonConfig } from '../src/daemon/daemonConfig.ts';
import { createMetrics } from '../src/daemon/metrics/metrics.ts';
import { makeSeries } from '../src/daemon/metrics/series.ts';
import { openEngine } from '../src/engine/engine.ts';
import { systemClock } from '../src/scheduler/clock.ts';

const root = join(import.meta.dirname, '..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const folder = mkdtempSync(join(tmpdir(), 'cuckoo-packaging-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const poolSize = /UV_THREADPOOL_SIZE \?\?= '(\d+)'/.exec(read('bin/cuckoo.cjs'))?.[1];

describe('what is named is exposed', () => {
  const named = ['packaging/grafana/cuckoo.json', 'packaging/alerts.yml', 'docs/operations.md'];
  /** As /metrics tells it: a histogram is three series. */
  let exposed: ReadonlySet<string> = new Set();

  beforeAll(async () => {
    const engine = await openEngine(join(folder, 'named.duckdb'), { zone: 'UTC', poolSize: 16 });
    const metrics = createMetrics({ engine, clock: systemClock });
    try {
      const types = [...(await metrics.text()).matchAll(/^# TYPE (\S+) (\S+)$/gm)];
      exposed = new Set(
        types.flatMap(([, name = '', type]) =>
          type === 'histogram' ? [name, ...['bucket', 'sum', 'count'].map((part) => `${name}_${part}`)] : [name],
        ),
      );
    } finally {
      await metrics.close();
      await engine.close();
    }
  });

  for (const path of named) {
    test(path, () => {
      const names = [...read(path).matchAll(/\bcuckoo_[a-z0-9_]+/g)].map(([name]) => name);
      expect(names.length).toBeGreaterThan(10);
      expect(names.filter((name) => !exposed.has(name))).toEqual([]);
    });

    test(`${path}: by labels that the series have`, () => {
      const labels = new Map(
        makeSeries()
          .registry.getMetricsAsArray()
          .map((metric) => [metric.name, labelNamesOf(metric)]),
      );
      const selectors = [
        ...read(path)
          .replaceAll('\\"', '"')
          .matchAll(/\b(cuckoo_[a-z0-9_]+?)(?:_bucket)?\{([^}]*)\}/g),
      ];
      const unknown = selectors.flatMap(([selector, name = '', matchers = '']) =>
        [...matchers.matchAll(/([a-z_]+)(?:=~|!~|!=|=)"/g)]
          .filter(([, label = '']) => !labels.get(name)?.includes(label))
          .map(() => selector),
      );
      expect(selectors.length).toBeGreaterThan(1);
      expect(unknown).toEqual([]);
    });
  }

  test('and what is exposed is told in docs/operations.md, with its labels', () => {
    const text = read('docs/operations.md');
    const rows = text.split('\n').filter((line) => line.startsWith('| `cuckoo_'));
    for (const metric of makeSeries().registry.getMetricsAsArray()) {
      const row = rows.find((line) => line.split('|')[1]?.includes(`\`${metric.name}\``));
      expect(row, metric.name).toBeDefined();
      for (const label of labelNamesOf(metric)) expect(row?.split('|')[2], metric.name).toContain(`\`${label}\``);
    }
  });

  test('the rules in docs/operations.md are those of the file', () => {
    expect(/```yaml\n([\s\S]*?)```/.exec(read('docs/operations.md'))?.[1]).toBe(read('packaging/alerts.yml'));
  });

  function labelNamesOf(metric: object): readonly string[] {
    return (metric as { readonly labelNames?: readonly string[] }).labelNames ?? [];
  }
});

describe('the dashboard', () => {
  interface Panel {
    readonly id: number;
    readonly type: string;
    readonly title: string;
    readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
    readonly targets?: readonly { readonly expr: string }[];
  }
  const { panels } = JSON.parse(read('packaging/grafana/cuckoo.json')) as { readonly panels: readonly Panel[] };

  test('has panels with a question each, which do not overlap', () => {
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    for (const { type, title, targets = [] } of panels) if (type !== 'row') expect(targets.length, title).toBeGreaterThan(0);
    const overlapping = panels.flatMap((one, at) =>
      panels.slice(at + 1).flatMap((other) => (overlap(one.gridPos, other.gridPos) ? [`${one.title} and ${other.title}`] : [])),
    );
    expect(overlapping).toEqual([]);
  });

  test('has balanced expressions', () => {
    for (const { expr } of panels.flatMap(({ targets = [] }) => targets)) {
      const count = (bracket: string): number => expr.split(bracket).length - 1;
      for (const [open = '', close = ''] of ['()', '{}', '[]']) expect(count(open), expr).toBe(count(close));
    }
  });

  function overlap(a: Panel['gridPos'], b: Panel['gridPos']): boolean {
    return a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;
  }
});

describe('the units', () => {
  const program = '/usr/local/lib/node_modules/cuckoo-sql/bin/cuckoo.cjs';
  const units = [
    { path: 'packaging/systemd/system/cuckoo.service', file: '/var/lib/cuckoo/cuckoo.duckdb', isSystem: true, account: 'cuckoo' },
    { path: 'packaging/systemd/user/cuckoo.service', file: '/home/ada/cuckoo.duckdb', isSystem: false, account: undefined },
  ] as const;
  const verifier = 'systemd-analyze';
  const hasSystemd = spawnSync(verifier, ['--version']).status === 0;

  for (const { path, file, isSystem, account } of units) {
    test(`${path} is what \`cuckoo service install --print\` shows for these files`, () => {
      expect(read(path)).toBe(unitText({ node: '/usr/bin/node', program, file, flags: [], account }));
      expect(read(path)).toContain(`UV_THREADPOOL_SIZE=${poolSize}\n`);
    });

    // Not everywhere is systemd installed, and nothing else can tell.
    test.skipIf(!hasSystemd)(`${path} is a unit to systemd, with this machine's paths`, () => {
      const own = join(folder, isSystem ? 'system' : 'user');
      mkdirSync(own, { recursive: true });
      const unit = join(own, 'cuckoo.service');
      const jobs = join(own, 'cuckoo.duckdb');
      const parts = { node: process.execPath, program: join(root, 'bin/cuckoo.cjs'), file: jobs, flags: [] };
      writeFileSync(unit, unitText({ ...parts, account: isSystem ? 'root' : undefined }));
      const { status, stdout, stderr } = spawnSync(verifier, [...(isSystem ? [] : ['--user']), 'verify', unit], {
        encoding: 'utf8',
        env: { ...process.env, XDG_RUNTIME_DIR: own },
      });
      expect({ status, said: `${stdout}${stderr}` }).toEqual({ status: 0, said: '' });
    });
  }
});

describe('the image', () => {
  const instructions = read('packaging/Dockerfile')
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => ({ name: line.slice(0, line.indexOf(' ')), rest: line.slice(line.indexOf(' ') + 1) }));
  const all = (name: string): string[] => instructions.filter((one) => one.name === name).map(({ rest }) => rest);
  const copied = all('COPY').map((rest) => rest.split(' ').slice(0, -1));

  test('copies what there is, and the build may see it', () => {
    const allowed = read('packaging/Dockerfile.dockerignore').split('\n');
    const sources = copied.filter(([first]) => first?.startsWith('--from=') === false).flat();
    expect(sources.length).toBeGreaterThan(5);
    for (const source of sources) {
      expect(existsSync(join(root, source)), source).toBe(true);
      expect(allowed, source).toContain(`!${source}`);
    }
    expect(copied.filter(([first]) => first === '--from=build').map(([, source]) => source)).toEqual(['/src/node_modules', '/src/dist']);
  });

  test('runs scripts that package.json has, and none that need what it does not copy', () => {
    const { scripts, bin } = JSON.parse(read('package.json')) as { scripts: Record<string, string>; bin: Record<string, string> };
    const asked = all('RUN').flatMap((rest) => [...rest.matchAll(/npm run (\S+)/g)].map(([, script = '']) => script));
    expect(asked).toEqual(['build']);
    expect(scripts['build']).toBe('tsc -p tsconfig.build.json');
    expect(all('RUN').join('\n')).toContain(`/opt/cuckoo/${bin['cuckoo']} /usr/local/bin/cuckoo`);
    for (const rest of all('RUN').filter((one) => /npm (ci|prune)/.test(one))) expect(rest).toContain('--ignore-scripts');
  });

  test('has every file that a daemon loads at its place: what is published, and no more is needed', () => {
    const { files } = JSON.parse(read('package.json')) as { files: string[] };
    const final = copied.flat().map((path) => path.replace('/src/', ''));
    for (const file of files.filter((one) => !one.endsWith('.md'))) expect(final).toContain(file);
  });

  test('is nobody special, keeps its data, ends by SIGTERM, and has the pool in place', () => {
    expect(all('USER')).toEqual(['node']);
    expect(all('VOLUME')).toEqual(['/data']);
    expect(all('STOPSIGNAL')).toEqual(['SIGTERM']);
    const environment = all('ENV').join(' ');
    expect(environment).toContain(`UV_THREADPOOL_SIZE=${poolSize} `);
    expect(environment).toContain('CUCKOO_FILE=/data/');
    expect(environment).toContain('XDG_STATE_HOME=/data/');
    expect(all('FROM').every((image) => /^node:\d+-slim\b/.test(image))).toBe(true);
  });

  test('starts a daemon with a configuration that it accepts', () => {
    expect(all('ENTRYPOINT')).toEqual(['["cuckoo"]']);
    const environment = Object.fromEntries(all('ENV').flatMap((rest) => rest.split(/\s+/).map((pair) => pair.split('='))));
    expect(configOf(JSON.parse(all('CMD')[0] ?? '') as string[], environment)).toMatchObject({
      file: '/data/cuckoo.duckdb',
      listen: { host: '0.0.0.0', port: 8470 },
      behindProxy: true,
      logFormat: 'json',
    });
    expect(all('EXPOSE')).toEqual(['8470']);
  });

  test('so does the compose file, under the name that Prometheus asks for', () => {
    const command = /command: \[(.*)\]/.exec(read('packaging/compose.yaml'))?.[1] ?? '';
    const words = command.split(', ').map((word) => word.replaceAll(/["']/g, ''));
    expect(configOf(words, {})).toMatchObject({ listen: { host: '0.0.0.0', port: 8470 }, behindProxy: true, hostNames: ['cuckoo'] });
    expect(read('packaging/prometheus.yml')).toMatch(/targets: \[.cuckoo:8470.\]/);
    expect(read('packaging/compose.yaml')).toContain(`UV_THREADPOOL_SIZE: "${poolSize}"`);
  });

  test('the compose file mounts what there is', () => {
    const mounts = [...read('packaging/compose.yaml').matchAll(/- \.\/(\S+?):/g)].map(([, path = '']) => path);
    expect(mounts.length).toBeGreaterThan(4);
    const given = ['prometheus.token'];
    for (const path of mounts.filter((one) => !given.includes(one))) expect(existsSync(join(root, 'packaging', path)), path).toBe(true);
    expect(read('packaging/.gitignore')).toContain('prometheus.token');
  });

  test('its health check says whether /healthz answers', async () => {
    const check = /CMD (\[.*\])$/.exec(all('HEALTHCHECK')[0] ?? '')?.[1] ?? '';
    const [program, ...words] = JSON.parse(check) as string[];
    expect(program).toBe('node');
    let status = 200;
    const asked: (string | undefined)[] = [];
    const server = createServer((request, response) => {
      asked.push(request.url);
      response.writeHead(status).end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const port = String((server.address() as AddressInfo).port);
    const healthy = async (): Promise<boolean> => {
      const run = promisify(execFile)(
        process.execPath,
        words.map((word) => word.replace('8470', port)),
      );
      return run.then(
        () => true,
        () => false,
      );
    };
    try {
      expect(await healthy()).toBe(true);
      status = 500;
      expect(await healthy()).toBe(false);
      expect(asked).toEqual(['/healthz', '/healthz']);
    } finally {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
    expect(await healthy()).toBe(false);
  });

  function configOf(argv: readonly string[], environment: Readonly<Record<string, string>>): unknown {
    const asked = parseCommand(['node', 'cuckoo', ...argv]);
    if (asked.kind !== 'command') throw new Error(asked.text);
    return readDaemonConfig({ flags: asked.command.options.flags, environment: { HOME: folder, ...environment }, folder }).config;
  }
});

test('nothing that is packaged names a machine of ours or a registry', () => {
  const paths = readdirSync(join(root, 'packaging'), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  for (const { parentPath, name } of paths) {
    if (name === 'prometheus.token') continue;
    expect(readFileSync(join(parentPath, name), 'utf8'), name).not.toMatch(/\/work\/|\/root\/|registry\.|ghcr\.io|quay\.io/);
  }
});
