// `npm start`: set-up, build, then the demonstration on a lab of several nodes (test/lab/demo). Arguments are read
// first, so that a wrong one costs nothing.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bundleLab } from './lab-bundle.mjs';
import { endInOrder } from './owner.mjs';
import { createProgress } from './progress.mjs';
import { setUp } from './setup.mjs';

const repository = dirname(dirname(fileURLToPath(import.meta.url)));
const USAGE = `npm start -- [--nodes N] [--pods N] [--keep] [--name NAME]
  --nodes N     how many nodes (3)
  --pods N      pods on each node (2)
  --keep        leave the lab up for npm run lab
  --name NAME   name of a kept lab (lab)
`;
const MAX_NODES = 100;
const MAX_PODS = 200;

/** The process that runs now, and how to remove the lab once there may be one. */
let child;
let endLabs;

try {
  const options = readArguments(process.argv.slice(2));
  if (options === undefined) process.stdout.write(USAGE);
  else await start(options);
} catch (error) {
  const text = error instanceof Error ? error.message : String(error);
  process.stderr.write(`npm start: ${text}\n`);
  process.exitCode = 1;
}

async function start(options) {
  if (!setUp()) throw new Error('set-up is incomplete');
  endInOrder(async () => {
    child?.kill('SIGTERM');
    await endLabs?.();
  });
  const progress = createProgress();
  process.stdout.write(`weft: ${options.nodes} nodes, ${options.pods} pods on each\n\n`);
  await progress.step('build', build);
  const demo = await import(join(await bundleLab(), 'demo.mjs'));
  endLabs = demo.endLabs;
  process.exitCode = await demo.runDemo(options, progress);
}

async function build() {
  child = spawn(process.execPath, [join(repository, 'scripts/build.mjs')], {
    cwd: repository,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (said += text));
  const [code] = await once(child, 'close');
  child = undefined;
  if (code !== 0) throw new Error(`build failed\n${said.trimEnd()}`);
  return 'dist/flanneld, dist/cni/flannel';
}

/** Undefined when only help is wanted. Throws what is wrong in one line. */
function readArguments(argv) {
  const values = parse(argv);
  if (values.help) return undefined;
  if (process.getuid() !== 0) throw new Error('a lab makes network namespaces: run it as root');
  if (!/^[a-z0-9][a-z0-9-]{0,40}$/.test(values.name)) {
    throw new Error(`--name: expected small letters, digits and dashes, got "${values.name}"`);
  }
  const nodes = wholeNumber('--nodes', values.nodes, 1, MAX_NODES);
  const pods = wholeNumber('--pods', values.pods, 0, MAX_PODS);
  return { nodes, pods, keep: values.keep, name: values.name };
}

function parse(argv) {
  try {
    const options = {
      nodes: { type: 'string', default: '3' },
      pods: { type: 'string', default: '2' },
      keep: { type: 'boolean', default: false },
      name: { type: 'string', default: 'lab' },
      help: { type: 'boolean', short: 'h', default: false },
    };
    return parseArgs({ args: argv, options }).values;
  } catch (error) {
    // Node explains at length; its first line says what is wrong.
    throw new Error(`${error.message.split('\n')[0]} (--help lists the options)`);
  }
}

function wholeNumber(flag, text, least, most) {
  const number = /^\d{1,4}$/.test(text) ? Number(text) : Number.NaN;
  if (number >= least && number <= most) return number;
  throw new Error(`${flag}: expected a whole number from ${least} to ${most}, got "${text}"`);
}
