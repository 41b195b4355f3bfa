// `npm run bench -- NAME [arguments]`: every file here that exports `run` is a benchmark of that name.

const [name = '', ...args] = process.argv.slice(2);
if (!/^[a-z][A-Za-z]*$/.test(name)) {
  console.error('usage: npm run bench -- NAME, where NAME is a file in bench/, such as cadence');
  process.exitCode = 2;
} else {
  const { run } = (await import(`./${name}.ts`)) as { run: (args: readonly string[]) => void | Promise<void> };
  await run(args);
}
