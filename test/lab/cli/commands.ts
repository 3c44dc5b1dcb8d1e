// The commands of `npm run lab`, one entry each.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { PROGRAM_FOLDER } from '../contract.ts';
import { matrixReport } from '../demo/report.ts';
import type { Lab } from '../lab.ts';
import type { LabNode } from '../lab-node.ts';
import { answered } from '../matrix.ts';
import { subnetOf } from '../mesh.ts';
import { formatTable } from '../table.ts';

interface LabCommand {
  readonly path: readonly string[];
  readonly usage: string;
  /** The fewest and the most arguments. When `most` is absent, exactly `least` are allowed. */
  readonly least: number;
  readonly most?: number;
  /** Returns the exit code. */
  run(lab: Lab, args: readonly string[]): Promise<number>;
}

export const commands: readonly LabCommand[] = [
  { path: ['status'], usage: 'status', least: 0, run: showStatus },
  { path: ['ping'], usage: 'ping', least: 0, run: showMatrix },
  {
    path: ['exec'],
    usage: 'exec NODE|POD CMD…',
    least: 2,
    most: Number.POSITIVE_INFINITY,
    run: (lab, [where = '', ...argv]) => execIn(lab, where, argv),
  },
  { path: ['logs'], usage: 'logs NODE', least: 1, run: (lab, [node = '']) => showLog(lab.node(node)) },
  { path: ['pod', 'add'], usage: 'pod add NODE', least: 1, run: (lab, [node = '']) => addPod(lab.node(node)) },
  {
    path: ['pod', 'del'],
    usage: 'pod del NODE POD',
    least: 2,
    run: (lab, [node = '', pod = '']) => deletePod(lab.node(node), pod),
  },
  {
    path: ['agent', 'start'],
    usage: 'agent start|stop|kill NODE',
    least: 1,
    run: (lab, [node = '']) => startAgent(lab.node(node)),
  },
  {
    path: ['agent', 'stop'],
    usage: 'agent start|stop|kill NODE',
    least: 1,
    run: (lab, [node = '']) => endAgent(lab.node(node), 'stop'),
  },
  {
    path: ['agent', 'kill'],
    usage: 'agent start|stop|kill NODE',
    least: 1,
    run: (lab, [node = '']) => endAgent(lab.node(node), 'kill'),
  },
  { path: ['node', 'reboot'], usage: 'node reboot NODE', least: 1, run: (lab, [node = '']) => reboot(lab.node(node)) },
  { path: ['node', 'remove'], usage: 'node remove NODE', least: 1, run: (lab, [node = '']) => removeNode(lab, node) },
  { path: ['down'], usage: 'down', least: 0, run: down },
];

async function showStatus(lab: Lab): Promise<number> {
  const rows = await Promise.all(lab.nodes.map(statusRow));
  const header = ['node', 'underlay', 'subnet', 'agent', 'pods'];
  say(`lab ${lab.name}, process ${lab.pid}\n\n${formatTable([header, ...rows])}`);
  return 0;
}

async function statusRow(node: LabNode): Promise<string[]> {
  const { running, pid, exitCode, signal } = await node.agent.state();
  const agent = running ? `running (${pid})` : pid === undefined ? 'not started' : `ended (${signal ?? exitCode})`;
  const pods = node.pods.map(({ name, ip }) => `${name} ${ip}`).join(', ');
  return [node.name, node.address, subnetOf(node) ?? 'none yet', agent, pods || 'none'];
}

async function showMatrix(lab: Lab): Promise<number> {
  const pairs = await lab.matrix();
  say(`${matrixReport(lab.pods, pairs)}\n${answered(pairs).length} of ${pairs.length} pairs answered\n`);
  return answered(pairs).length === pairs.length ? 0 : 1;
}

async function showLog(node: LabNode): Promise<number> {
  const { running, pid } = await node.agent.state();
  if (!running && pid === undefined) throw new Error(`the agent of ${node.name} was not started since the node booted`);
  say(node.agent.log());
  return 0;
}

/** The command gets this terminal, so that a shell works. */
async function execIn(lab: Lab, where: string, argv: readonly string[]): Promise<number> {
  const pod = lab.pods.find(({ name }) => name === where);
  const node = pod?.node ?? lab.node(where);
  const inPod = pod === undefined ? [] : ['nsenter', `--net=${pod.netns}`, '--'];
  const found = ['sh', '-c', `PATH="$PATH:${PROGRAM_FOLDER}"; exec "$@"`, 'exec', ...inPod, ...argv];
  const nsenter = ['-t', `${node.pid}`, '-m', '-n', '-p', '-u', '-i', '--', ...found];
  const child = spawn('nsenter', nsenter, { stdio: 'inherit' });
  // Ctrl-C must reach only the command.
  process.on('SIGINT', () => undefined);
  const [code] = (await once(child, 'exit')) as [number | null];
  return code ?? 1;
}

async function addPod(node: LabNode): Promise<number> {
  const { name, ip, timings } = await node.addPod();
  say(`${name} on ${node.name} has ${ip}, attached in ${timings.addMs.toFixed(1)} ms\n`);
  return 0;
}

async function deletePod(node: LabNode, pod: string): Promise<number> {
  const { delMs } = await node.removePod(pod);
  say(`${pod} is detached, in ${delMs.toFixed(1)} ms\n`);
  return 0;
}

async function startAgent(node: LabNode): Promise<number> {
  await node.agent.start();
  const readyMs = await node.agent.ready();
  say(`the agent of ${node.name} is ready ${readyMs.toFixed(0)} ms after its start\n`);
  return 0;
}

async function endAgent(node: LabNode, how: 'stop' | 'kill'): Promise<number> {
  const { exitCode, signal } = how === 'stop' ? await node.agent.stop() : await node.agent.kill();
  const end = signal === null || signal === undefined ? `exit code ${exitCode ?? 'unknown'}` : signal;
  say(`the agent of ${node.name} ended: ${end}\n`);
  return 0;
}

async function reboot(node: LabNode): Promise<number> {
  await node.reboot();
  say(`${node.name} has booted\n`);
  return await startAgent(node);
}

async function removeNode(lab: Lab, name: string): Promise<number> {
  await lab.removeNode(name);
  say(`${name} is gone\n`);
  return 0;
}

async function down(lab: Lab): Promise<number> {
  await lab.down();
  say(`lab ${lab.name} is gone\n`);
  return 0;
}

function say(text: string): void {
  process.stdout.write(text);
}
