import { describe, expect, it } from 'vitest';
import { Diagnostic } from '../../src/core/diagnostic.ts';
import { type CommandLine, parseCommandLine } from '../../src/daemon/cli.ts';

function read(...words: string[]): CommandLine {
  const asked = parseCommandLine(['node', 'cuckoo', ...words]);
  if (asked.kind !== 'run') throw new Error(asked.text);
  return asked.commandLine;
}

function refused(...words: string[]): Diagnostic {
  try {
    parseCommandLine(['node', 'cuckoo', ...words]);
  } catch (error) {
    if (error instanceof Diagnostic) return error;
    throw error;
  }
  throw new Error('it was accepted');
}

describe('the command line', () => {
  it('may be empty', () => {
    expect(read()).toEqual({ file: undefined, inputs: [], format: undefined, color: true, readOnly: false, scheduler: true });
  });

  it('keeps -c, -f and - in the order in which they were given', () => {
    expect(read('-c', 'SELECT 1', '-f', 'a.sql', 'jobs.duckdb', '--command=SELECT 2', '-f', '-')).toMatchObject({
      file: 'jobs.duckdb',
      inputs: [
        { kind: 'text', text: 'SELECT 1' },
        { kind: 'file', path: 'a.sql' },
        { kind: 'text', text: 'SELECT 2' },
        { kind: 'standard input' },
      ],
    });
  });

  it('takes options behind the file, and a statement that begins with a dash', () => {
    expect(read('x.duckdb', '--format', 'CSV', '--no-color', '--readonly')).toMatchObject({ format: 'csv', color: false, readOnly: true });
    expect(read('-c', '-- nothing')).toMatchObject({ inputs: [{ text: '-- nothing' }] });
  });

  it('takes the scheduler away', () => {
    expect(read('--no-scheduler', 'x.duckdb')).toMatchObject({ scheduler: false, file: 'x.duckdb' });
  });

  it('says versions and help on their own', () => {
    const version = parseCommandLine(['node', 'cuckoo', '--version']);
    expect(version).toMatchObject({ kind: 'print', text: expect.stringMatching(/^cuckoo \d+\.\d+\.\d+ \(DuckDB \d+\.\d+\.\d+\)\n$/) });
    const help = parseCommandLine(['node', 'cuckoo', '--help']);
    expect(help).toMatchObject({ kind: 'print', text: expect.stringContaining('Exit codes:') });
  });

  it.each([
    [['--formt', 'csv'], "unknown option '--formt'", 'did you mean --format?'],
    [['--format', 'jsn'], "there is no mode 'jsn'", 'did you mean json?'],
    [['--format'], "option '--format <mode>' argument missing", 'cuckoo --help'],
    [['-c'], "option '-c, --command <sql>' argument missing", 'cuckoo --help'],
    [['a.duckdb', 'b.duckdb'], 'too many arguments', 'cuckoo --help'],
    [['-f', ''], 'the path is empty', 'cuckoo --help'],
    [[''], 'FILE is empty', 'cuckoo.duckdb'],
  ])('refuses %j and says what to do', (words, message, hint) => {
    const diagnostic = refused(...words);
    expect(diagnostic.code).toBe('usage');
    expect(diagnostic.message).toContain(message);
    expect(diagnostic.hint).toContain(hint);
  });
});
