// What every npm script is: `node scripts/run.mjs NAME …`. --help is answered and wrong arguments are refused first, with nothing
// but Node; then the clone is set up, and main(values, words) of the file of that name (test:soak is test-soak.mjs) is called with what
// was asked for. It returns the exit code, or throws what is wrong in one line.
import { COMMANDS } from './commands.mjs';
import { setUp } from './setup.mjs';
import { readArguments, typed, usage } from './usage.mjs';

/** Tests that could not begin end with the line that every run of tests ends with. */
function couldNotBegin(name) {
  if (COMMANDS[name].passes === 'vitest' || name === 'test:image') process.stdout.write('0 passed, 1 failed\n');
  return 1;
}

async function main(name, argv) {
  const { help, values, words } = readArguments(name, argv);
  if (help) {
    process.stdout.write(usage(name));
    return 0;
  }
  const { root } = COMMANDS[name];
  if (root !== undefined && process.getuid() !== 0) throw new Error(root);
  if (!setUp()) return couldNotBegin(name);
  if (name === 'setup') return 0;
  return await (await import(`./${name.replace(':', '-')}.mjs`)).main(values, words);
}

const [name, ...argv] = process.argv.slice(2);
if (Object.hasOwn(COMMANDS, name)) {
  try {
    process.exitCode = await main(name, argv);
  } catch (error) {
    process.stderr.write(`${typed(name)}: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
} else {
  process.stderr.write(`run: no script "${name}" among ${Object.keys(COMMANDS).join(', ')}\n`);
  process.exitCode = 1;
}
