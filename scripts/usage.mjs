// The command line of an npm script, read by its entry in commands.mjs.
import { parseArgs } from 'node:util';
import { commandOf } from './commands.mjs';

const WIDTH = 112;

/** The command as a user types it: `npm start`, `npm run lab`, `npm run suite -- soak`. */
export function typed(name) {
  if (name.startsWith('suite ')) return `npm run suite -- ${name.slice('suite '.length)}`;
  return name === 'start' || name === 'test' ? `npm ${name}` : `npm run ${name}`;
}

/** The text of --help. */
export function usage(name) {
  const { does, note, words, options = {}, commands = {} } = commandOf(name);
  const taken = [...(Object.keys(options).length > 0 ? ['[options]'] : []), ...(words === undefined ? [] : [words])];
  const rows = Object.entries(options).map(([option, about]) => [
    `--${option}${about.value === undefined ? '' : ` ${about.value}`}`,
    about.default ? `${about.says} (${about.default})` : about.says,
  ]);
  const lists = [Object.entries(commands), [...rows, ['--help', 'this text']]].filter((list) => list.length > 0);
  const lines = lists.map((list) => {
    const width = Math.max(...list.map(([left]) => left.length));
    return list.map(([left, says]) => `  ${left.padEnd(width)}  ${says}`).join('\n');
  });
  const dashes = name.startsWith('suite ') ? [] : ['--'];
  const head = [typed(name), ...(taken.length > 0 ? [...dashes, ...taken] : [])].join(' ');
  return `${[head, ...[does, note].filter(Boolean).map(wrap), ...lines].join('\n\n')}\n`;
}

function wrap(text) {
  const lines = [''];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== '' && last.length + 1 + word.length > WIDTH) lines.push(word);
    else lines[lines.length - 1] = last === '' ? word : `${last} ${word}`;
  }
  return lines.join('\n');
}

/**
 * Parses the arguments. Returns `help`, or the `values` and `words` for the script. Throws an Error of one line that names the option,
 * the value and what is allowed.
 */
export function readArguments(name, argv) {
  const command = commandOf(name);
  if (wantsHelp(command, argv)) return { help: true };
  if (command.passes !== undefined) return { help: false, values: {}, words: argv };
  const { values, positionals } = parse(command, argv);
  for (const [option, { check }] of Object.entries(command.options ?? {})) {
    for (const value of [values[option] ?? []].flat()) {
      const expected = check?.(value);
      if (expected !== undefined) throw new Error(`--${option}: expected ${expected}, got "${value}"`);
    }
  }
  return { help: false, values, words: positionals };
}

/** Whether --help is for us. A command that is run in a lab may have a --help of its own. */
function wantsHelp({ passes, options = {} }, argv) {
  const end = argv.indexOf('--');
  const before = end === -1 ? argv : argv.slice(0, end);
  const isHelp = (word) => word === '--help' || word === '-h';
  if (passes !== 'words') return before.some(isHelp);
  const first = Object.keys(options).some((name) => argv[0] === `--${name}`) ? argv[2] : argv[0];
  return first === undefined || first === 'help' || isHelp(first);
}

function parse({ options = {}, words }, argv) {
  const known = Object.entries(options).map(([option, about]) => {
    const { type, multiple = false, default: initial } = about;
    return [option, { type, multiple, ...(initial === undefined ? {} : { default: initial }) }];
  });
  try {
    return parseArgs({ args: argv, allowPositionals: words !== undefined, options: Object.fromEntries(known) });
  } catch (error) {
    // Node's message is long. Its first line or sentence says what is wrong.
    throw new Error(`${error.message.split(/\n|\. /)[0]} (--help lists the options)`);
  }
}
