// Every npm script runs `node scripts/npm-script.mjs NAME …`. First, --help is answered and wrong arguments are refused, which needs
// nothing but Node. Then the clone is set up, and main(values, words) of the file with that name is called (a suite's file is in
// suites/). It returns the exit code or throws an error of one line.
import { COMMANDS, commandOf } from './commands.mjs';
import { setUp, setUpModules } from './setup.mjs';
import { chooseSuite } from './suite.mjs';
import { readArguments, typed, usage } from './usage.mjs';

/** Prints the last line of every test run, for tests that could not begin. */
function couldNotBegin(name) {
  if (name === 'test' || name.startsWith('suite ')) process.stdout.write('0 passed, 1 failed\n');
  return 1;
}

function fileOf(name) {
  return name.startsWith('suite ') ? `./suites/${name.slice('suite '.length)}.mjs` : `./${name.replace(':', '-')}.mjs`;
}

async function main(name, argv) {
  const { help, values, words } = readArguments(name, argv);
  if (help) {
    process.stdout.write(usage(name));
    return 0;
  }
  if (name === 'suite') return await chooseSuite(words, main);
  const { root, setUp: what } = commandOf(name);
  if (root !== undefined && process.getuid() !== 0) throw new Error(root);
  if (!(what === 'modules' ? setUpModules() : setUp())) return couldNotBegin(name);
  if (name === 'setup') return 0;
  return await (await import(fileOf(name))).main(values, words);
}

const [name, ...argv] = process.argv.slice(2);
if (Object.hasOwn(COMMANDS, name)) {
  try {
    process.exitCode = await main(name, argv);
  } catch (error) {
    const suite = name === 'suite' && argv.length > 0 ? ` -- ${argv[0]}` : '';
    process.stderr.write(`${typed(name)}${suite}: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
} else {
  process.stderr.write(`run: no script "${name}" among ${Object.keys(COMMANDS).join(', ')}\n`);
  process.exitCode = 1;
}
