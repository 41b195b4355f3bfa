import { homedir } from 'node:os';
import { describe, expect, it } from 'vitest';
import { readConfig } from '../../src/daemon/config.ts';

describe('the environment', () => {
  it('says nothing: the file in this folder, colours, history and what was run under the home folder', () => {
    expect(readConfig({ HOME: '/home/ada' })).toEqual({
      file: './cuckoo.duckdb',
      color: true,
      canEdit: true,
      historyPath: '/home/ada/.local/state/cuckoo/history',
      trustPath: '/home/ada/.local/state/cuckoo/trust',
      stateFolder: '/home/ada/.local/state/cuckoo',
      poolSize: 4,
      environment: { HOME: '/home/ada' },
    });
    expect(readConfig({}).historyPath).toBe(`${homedir()}/.local/state/cuckoo/history`);
  });

  it('moves both by XDG_STATE_HOME where that is absolute', () => {
    expect(readConfig({ HOME: '/h', XDG_STATE_HOME: '/state' }).historyPath).toBe('/state/cuckoo/history');
    expect(readConfig({ HOME: '/h', XDG_STATE_HOME: '/state' }).trustPath).toBe('/state/cuckoo/trust');
    expect(readConfig({ HOME: '/h', XDG_STATE_HOME: 'state' }).historyPath).toBe('/h/.local/state/cuckoo/history');
  });

  it('takes colours away by NO_COLOR unless that is empty, and by a dumb terminal', () => {
    expect(readConfig({ NO_COLOR: '0' }).color).toBe(false);
    expect(readConfig({ NO_COLOR: '' }).color).toBe(true);
    expect(readConfig({ TERM: 'dumb' })).toMatchObject({ color: false, canEdit: false });
  });

  it('names the file by CUCKOO_FILE', () => {
    expect(readConfig({ CUCKOO_FILE: '/data/jobs.duckdb' }).file).toBe('/data/jobs.duckdb');
    expect(readConfig({ CUCKOO_FILE: '' }).file).toBe('./cuckoo.duckdb');
  });
});
