import { describe, expect, test } from 'vitest';
import { type JobFile, readJobFile } from '../../../src/daemon/watcher/jobFile.ts';
import { type LeavingFile, type Plan, planJobs } from '../../../src/daemon/watcher/plan.ts';
import type { Catalogued } from '../../../src/engine/jobFiles.ts';

const directory = '/srv/jobs';

function fileOf(path: string, content: unknown): JobFile {
  const text = typeof content === 'string' ? content : JSON.stringify(content);
  const file = readJobFile(path, text, { directory, executors: [] });
  return file ?? expect.unreachable();
}

const job = (name: string, sql = 'SELECT 1') => ({ job_id: name, schedule: '0 1 * * *', sql });
const leaving = (path: string): LeavingFile => ({ path, isLeaving: true });

/** As if the files had been carried out. */
function made(...files: readonly JobFile[]): Catalogued[] {
  return files.flatMap(({ path, definitions }) =>
    definitions.map(({ noun, name, kept, text, enabled }) => {
      return { noun, name, source: path, definition: kept ?? text, enabled: enabled ?? true, isAsMade: true };
    }),
  );
}

function byHand(name: string, noun: Catalogued['noun'] = 'schedule'): Catalogued {
  return { noun, name, source: null, definition: `UPSERT SCHEDULE ${name} ( .. )`, enabled: true, isAsMade: true };
}

function knownOf(...files: readonly JobFile[]): ReadonlyMap<string, { directory: string; hash: string }> {
  return new Map(files.map(({ path, hash }) => [path, { directory, hash }]));
}

interface Given {
  readonly files: readonly (JobFile | LeavingFile)[];
  readonly catalogue?: readonly Catalogued[];
  readonly known?: ReadonlyMap<string, { directory: string; hash: string }>;
}

function plan({ files, catalogue = [], known = new Map() }: Given): Plan {
  return planJobs({ files, catalogue, known, directory });
}

/** `a.json: define x, drop y` */
function told({ units }: Plan): string[] {
  return units.map(({ path, steps }) => {
    const words = steps.map((step) => (step.kind === 'define' ? `define ${step.definition.name}` : step.text));
    return `${path}: ${words.join(', ')}`;
  });
}

function states({ states: all }: Plan): string[] {
  return all.map(({ path, state, schedules, error }) => `${path} ${state} ${schedules}${error === null ? '' : ` ${error}`}`);
}

test('a new file defines what it holds', () => {
  const planned = plan({ files: [fileOf('a.json', [job('x'), job('y')])] });
  expect(told(planned)).toEqual(['a.json: define x, define y']);
  expect(states(planned)).toEqual(['a.json loaded 2']);
});

test('what is there already is not defined again', () => {
  const files = [
    fileOf('a.json', [job('x'), { ...job('y'), enabled: false }]),
    fileOf('b.sql', "CREATE PROCEDURE p() AS BEGIN SELECT 1; END; UPSERT SCHEDULE z LIKE x ( description: 'like x' );"),
  ];
  expect(told(plan({ files, catalogue: made(...files), known: knownOf(...files) }))).toEqual([]);
});

test('what differs is defined again: another text, another state that the file names, another text of what cannot be compared', () => {
  const before = [fileOf('a.json', [job('x'), { ...job('y'), enabled: false }]), fileOf('b.sql', 'UPSERT QUEUE slow ( weight: 1 )')];
  const known = knownOf(...before);
  const catalogue = made(...before);
  const now = [
    fileOf('a.json', [job('x', 'SELECT 2'), { ...job('y'), enabled: true }]),
    fileOf('b.sql', 'UPSERT QUEUE slow ( weight: 2 )'),
  ];
  expect(told(plan({ files: now, catalogue, known }))).toEqual(['a.json: define x, define y', 'b.sql: define slow']);
  const changedByHand = catalogue.map((object) => (object.name === 'slow' ? { ...object, isAsMade: false } : object));
  expect(told(plan({ files: before, catalogue: changedByHand, known }))).toEqual(['b.sql: define slow']);
  const disabledByHand = catalogue.map((object) => (object.name === 'x' ? { ...object, enabled: false } : object));
  expect(told(plan({ files: before, catalogue: disabledByHand, known }))).toEqual([]);
});

test('what a file does not hold any more is dropped, and what a deleted file has made: users before what they use', () => {
  const before = fileOf('a.json', [job('x'), job('y')]);
  const script = fileOf(
    'b.sql',
    'CREATE PROCEDURE p() AS BEGIN SELECT 1; END; CREATE CALENDAR c ( weekend: [sat] ); UPSERT SCHEDULE "s 1" ( call: p )',
  );
  const planned = plan({ files: [fileOf('a.json', job('x'))], catalogue: made(before, script), known: knownOf(before, script) });
  expect(told(planned)).toEqual(['a.json: DROP SCHEDULE y', 'b.sql: DROP SCHEDULE "s 1", DROP PROCEDURE p, DROP CALENDAR c']);
  expect(planned.gone).toEqual(['b.sql']);
});

describe('what was made by hand is never touched', () => {
  test('a file that defines it is refused as a whole', () => {
    const planned = plan({ files: [fileOf('a.json', [job('x'), job('y')])], catalogue: [byHand('Y')] });
    expect(told(planned)).toEqual([]);
    expect(states(planned)).toEqual([
      'a.json error 0 line 1, column 67: schedule y was made by hand, and no file changes it (rename it here, or give the name to the file: DROP SCHEDULE y;)',
    ]);
  });

  test('IF NOT EXISTS leaves it, and does not own it', () => {
    const script = "CREATE SCHEDULE IF NOT EXISTS x ( sql: 'SELECT 1' ); CREATE SCHEDULE IF NOT EXISTS y ( sql: 'SELECT 1' )";
    const file = fileOf('a.sql', script);
    const planned = plan({ files: [file], catalogue: [byHand('x')] });
    expect(told(planned)).toEqual(['a.sql: define y']);
    expect(states(planned)).toEqual(['a.sql loaded 1']);
  });

  test('nor anything that nobody of this directory has made', () => {
    const foreign = { ...byHand('x'), source: 'other.json' };
    const planned = plan({ files: [fileOf('a.json', job('y'))], catalogue: [byHand('z'), foreign] });
    expect(told(planned)).toEqual(['a.json: define y']);
    expect(planned.foreign).toBe(1);
  });
});

describe('two files with one name', () => {
  test('the first by path has it, whichever came first', () => {
    const [a, b] = [fileOf('a.json', job('x')), fileOf('b.json', [job('X', 'SELECT 2'), job('y')])];
    const catalogue = made(b);
    const planned = plan({ files: [b, a], catalogue, known: knownOf(b) });
    expect(told(planned)).toEqual(['a.json: define x']);
    expect(states(planned)).toEqual([
      'a.json loaded 1',
      'b.json error 2 line 1, column 12: schedule X is defined by a.json already (of two files the first by path has a name: rename one of them)',
    ]);
  });

  test('a file in error keeps its names', () => {
    const before = fileOf('a.json', job('x'));
    const planned = plan({
      files: [fileOf('a.json', '{"job_id'), fileOf('b.json', job('x', 'SELECT 2'))],
      catalogue: made(before),
      known: knownOf(before),
    });
    expect(told(planned)).toEqual([]);
    expect(states(planned)[1]).toMatch(/^b.json error 0 .* schedule x is defined by a.json already/);
  });

  test('a procedure and a pipeline of one name are two of one name', () => {
    const planned = plan({
      files: [
        fileOf('a.sql', 'CREATE PROCEDURE p() AS BEGIN SELECT 1; END'),
        fileOf('b.sql', "CREATE PIPELINE p ( steps: [ { name: a, sql: 'SELECT 1' } ] )"),
      ],
    });
    expect(told(planned)).toEqual(['a.sql: define p']);
  });
});

test('a schedule that moves to another file is defined there, and dropped nowhere', () => {
  const before = fileOf('a.json', [job('x'), job('y')]);
  const now = [fileOf('a.json', job('x')), fileOf('b.json', job('y'))];
  expect(told(plan({ files: now, catalogue: made(before), known: knownOf(before) }))).toEqual(['b.json: define y']);
});

test('a file that cannot be used keeps what it has made', () => {
  const before = fileOf('a.json', [job('x'), job('y')]);
  const planned = plan({ files: [fileOf('a.json', '{')], catalogue: made(before), known: knownOf(before) });
  expect(told(planned)).toEqual([]);
  expect(states(planned)).toEqual(['a.json error 2 line 1, column 2: the file ends where a key in double quotes is expected']);
});

test('a file that is missing for the moment keeps what it has made, unless another defines it', () => {
  const before = fileOf('a.json', [job('x'), job('y')]);
  const planned = plan({ files: [leaving('a.json'), fileOf('b.json', job('y'))], catalogue: made(before), known: knownOf(before) });
  expect(told(planned)).toEqual(['b.json: define y']);
  expect(planned.gone).toEqual([]);
});

test('a procedure that becomes a pipeline is dropped first', () => {
  const before = fileOf('a.sql', 'CREATE PROCEDURE p() AS BEGIN SELECT 1; END');
  const now = fileOf('a.sql', "CREATE PIPELINE p ( steps: [ { name: a, sql: 'SELECT 1' } ] )");
  expect(told(plan({ files: [now], catalogue: made(before), known: knownOf(before) }))).toEqual(['a.sql: DROP PROCEDURE p, define p']);
});

test('ten thousand files are planned at once', () => {
  const files = Array.from({ length: 10_000 }, (_, at) => fileOf(`j${at}.json`, job(`j${at}`)));
  expect(plan({ files }).units.length).toBe(10_000);
  expect(plan({ files, catalogue: made(...files), known: knownOf(...files) }).units.length).toBe(0);
});
