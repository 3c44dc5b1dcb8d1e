// `npm run lab -- …`: the commands by which a person uses a kept lab.

import { errorText } from '../../../lib/errors.ts';
import { attachLab, type Lab } from '../lab.ts';
import { keptLabs, reapLabs } from '../registry.ts';
import { commands } from './commands.ts';

/** Returns the exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  try {
    return await run(argv);
  } catch (error) {
    process.stderr.write(`npm run lab: ${errorText(error)}\n`);
    return 1;
  }
}

async function run(argv: readonly string[]): Promise<number> {
  const { name, words } = splitName(argv);
  const command = commands.find(({ path }) => path.every((word, index) => words[index] === word));
  if (command === undefined) throw new Error(`unknown command "${words.join(' ')}"; npm run lab -- help lists them`);
  const args = words.slice(command.path.length);
  const { least, most = least } = command;
  if (args.length < least || args.length > most) throw new Error(`usage: ${command.usage}`);
  if (process.getuid?.() !== 0) throw new Error('a lab is root’s: run it as root');
  const lab = await attachLab(name ?? (await onlyLab()));
  try {
    return await command.run(lab, args);
  } finally {
    lab.detach();
  }
}

function splitName(argv: readonly string[]): { name: string | undefined; words: readonly string[] } {
  const [first, second, ...rest] = argv;
  if (first !== '--name') return { name: undefined, words: argv };
  if (second === undefined) throw new Error('--name: which lab?');
  return { name: second, words: rest };
}

async function onlyLab(): Promise<Lab['name']> {
  await reapLabs();
  const names = keptLabs().map(({ name }) => name);
  const [only, ...more] = names;
  if (only === undefined) throw new Error('no lab is up; npm start -- --keep makes one');
  if (more.length > 0) throw new Error(`which lab? --name ${names.join(' or --name ')}`);
  return only;
}
