// `npm start`: build, then the demonstration on a lab of several nodes (test/lab/demo).
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleLab } from './lab-bundle.mjs';
import { endInOrder } from './owner.mjs';
import { createProgress } from './progress.mjs';

const repository = dirname(dirname(fileURLToPath(import.meta.url)));

/** The child process that runs now. */
let child;
/** The demonstration's function that removes the lab, once there may be one. */
let endLabs = async () => 'nothing is left';
let progress;

export async function main(values) {
  const unlessInterrupted = endInOrder(async () => {
    progress?.stop();
    child?.kill('SIGTERM');
    return await endLabs();
  });
  progress = createProgress(unlessInterrupted);
  return await unlessInterrupted(demonstrate(values));
}

async function demonstrate(values) {
  const options = { ...values, nodes: Number(values.nodes), pods: Number(values.pods), keep: values.keep === true };
  const [nodes, pods] = [counted(options.nodes, 'node'), counted(options.pods, 'pod')];
  const each = options.nodes === 1 ? '' : ' on each';
  process.stdout.write(`weft: ${nodes}, ${pods}${each}${options.keep ? '' : '; Ctrl-C removes them'}\n\n`);
  await progress.step('build', build);
  const demo = await import(join(await bundleLab(), 'demo.mjs'));
  endLabs = demo.endLabs;
  return await demo.runDemo(options, progress);
}

function counted(number, noun) {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
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
