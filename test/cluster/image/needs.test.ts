// Shows what each thing that weft.yml gives the agent is needed for. Each is taken away in turn, on a node of its own, and the test finds
// out what then fails. The table is kept in manifests/NEEDS.md; `npm run suite -- image --update` writes it.

import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { FastPathStatus } from '../../../flanneld/health/status/report.ts';
import { errorText } from '../../../lib/errors.ts';
import type { LabNode } from '../../lab/lab-node.ts';
import type { LabPod } from '../../lab/lab-pod.ts';
import { waitUntil } from '../../lab/processes.ts';
import type { CriPod } from '../containerd/pod.ts';
import { type Container, manifests, type PodSpec } from '../manifests/documents.ts';
import { fastPathLosses, type Loss, losses } from './losses.ts';
import { agentPod } from './manifest.ts';
import { NodePod } from './node-pod.ts';
import { Site } from './site.ts';

const INTRODUCTION = `# What the agent's rights are for

Each thing that the DaemonSet of weft.yml gives the agent, taken away alone, and the first thing that then does not work, in the
agent's or the runtime's words. Made by \`npm run suite -- image --update\`, which \`npm run suite -- image\` compares with what it finds:
the image under containerd on a node that has nothing of Weft yet.

NET_RAW is not among them. Probes of other nodes name every fault without it (README.md, "Probes of other nodes"), and a program that
has it can forge packets on the node's network.
`;
const FAST_PATH = `## The fast path

What the component fast-path adds, taken away alone, and what then becomes of the fast path, in the words of \`flanneld status\`. Packets go
the classic way where it is off; nothing else changes. On this kernel conntrack is built in: where it is a module, an agent cannot load the
programs itself (\`it takes CAP_SYS_ADMIN, or programs that flanneld load-fast-path has loaded\`), so that the container that loads them, its
SYS_ADMIN and the bpffs are needed.
`;
const ROW_MS = 150_000;
const READY_MS = 60_000;
/** A reason for being unready counts as the cause when it has stayed the same for this long. */
const STUCK_MS = 3000;
/** How long to wait when no reason is given. */
const SILENT_MS = 10_000;
const NOT_YET = /(not done yet|not known yet)$/;

let site: Site;
let peer: CriPod;
const rows: string[] = [];
const fastRows: string[] = [];

beforeAll(async () => {
  site = await Site.start(1);
  const node = site.node(1);
  const pod = await NodePod.start(site.containerd(node), agentPod, site.cluster);
  await pod.ready();
  await waitUntil(async () => (await site.containerd(node).network()).ready, READY_MS, 'the runtime’s network');
  peer = await site.addPod(node, 'peer');
}, 300_000);
afterAll(() => site?.down());

/** Returns the first thing that does not work when such a pod runs on a new node, and undefined when everything works. */
async function failure(node: LabNode, spec: PodSpec): Promise<string | undefined> {
  const containerd = site.containerd(node);
  let pod: NodePod;
  try {
    pod = await NodePod.start(containerd, spec, site.cluster);
  } catch (error) {
    // Remove the number and name of gRPC's status, which come before the runtime's words.
    return `does not start: ${errorText(error).replace(/^\d+ [A-Z_]+: /, '')}`;
  }
  const reason = await unreadiness(pod);
  if (reason !== undefined) return reason;
  await waitUntil(async () => (await containerd.network()).ready, READY_MS, 'the runtime’s network');
  await (await site.addPod(node, `pod-of-${node.name}`)).ping(peer.ip);
  return await gcFailure(node, pod);
}

/** Returns why the pod does not become ready, and undefined when it becomes ready. */
async function unreadiness(pod: NodePod): Promise<string | undefined> {
  let reasons: string[] = [];
  let sinceMs = performance.now();
  const isSettled = async (): Promise<boolean> => {
    if (!(await pod.isRunning())) return true;
    const { status, text } = await pod.readiness();
    const now = text.split('\n').filter((line) => line.startsWith('[-] '));
    if (now.join() !== reasons.join()) sinceMs = performance.now();
    reasons = now;
    const patienceMs = now.some((line) => !NOT_YET.test(line)) ? STUCK_MS : SILENT_MS;
    return status === 200 || (now.length > 0 && performance.now() - sinceMs > patienceMs);
  };
  await waitUntil(isSettled, READY_MS, 'ready, stuck or ended');
  if (!(await pod.isRunning())) return `ends with ${(await pod.state()).exitCode}: ${lastProblem(pod)}`;
  if (reasons.length === 0) return undefined;
  const reason = reasons.find((line) => !NOT_YET.test(line))?.slice(4);
  return `does not become ready: ${reason ?? lastProblem(pod)}`;
}

/** Returns the problem that the agent has logged last. */
function lastProblem(pod: NodePod): string {
  const problems = pod.log().split('\n');
  const last = problems.findLast((line) => /"level":"(error|warn)"/.test(line)) ?? '{}';
  const { msg, err } = JSON.parse(last) as { readonly msg?: string; readonly err?: string };
  return `${msg}: ${err}`;
}

/** Returns why garbage collection cannot tell dead pods from live ones, and undefined when it can. */
async function gcFailure(node: LabNode, pod: NodePod): Promise<string | undefined> {
  // The pod is made by the lab's own runtime, whose cache contains each pod's namespace. Debian's containerd does not store it yet.
  const [dead, alive] = [await node.addPod(), await node.addPod()];
  // The namespace disappears without a DEL, as after a crash.
  await node.run(['sh', '-c', 'umount "$1" && rm "$1"', 'sh', dead.netns]);
  const link = async (): Promise<boolean> => (await alive.ping([dead.ip]))[0]?.failure === undefined;
  await waitUntil(async () => !(await link()), READY_MS, 'the end of the namespace');
  const { said } = await pod.exec('/opt/weft/flanneld', 'gc', '--dry-run');
  const lineOf = ({ ip }: LabPod): string | undefined => said.split('\n').find((line) => line.includes(` ${ip} of `));
  if (lineOf(alive)?.startsWith('kept') === true && lineOf(dead)?.startsWith('would free') === true) return undefined;
  const line = lineOf(dead) ?? said;
  return `frees nothing that a dead pod holds: ${line.replace(/^kept address \S+ of \S+ \S+: /, '')}`;
}

/** Makes a text fit for a table cell, without the parts that differ in every run. */
function cell(text: string): string {
  return text
    .replace(/\b[0-9a-f]{64}\b/g, '…')
    .replace(/\bcni-[0-9a-f-]{36}\b/g, 'cni-…')
    .replace(/\bnode-\d+\b/g, 'NODE')
    .replaceAll('|', '\\|')
    .replaceAll('\n', ' ');
}

const nothing: Loss = { name: 'nothing', pod: agentPod };

test.for([nothing, ...losses])('without $name', { timeout: ROW_MS }, async ({ name, pod }) => {
  const [node] = await site.addNodes(1);
  if (node === undefined) throw new Error('no node');
  const found = await failure(node, pod);
  await site.removeNode(node);
  if (name === nothing.name) expect(found).toBeUndefined();
  else expect(found).toBeDefined();
  rows.push(`| ${name} | ${cell(found ?? 'ready, pods reach each other, what a dead pod held is freed')} |`);
});

/** The agent's report of its fast path, and the output of the container that loads the programs before it. */
async function fastPath(node: LabNode, spec: PodSpec): Promise<string> {
  await node.run(['mount', '-t', 'bpf', 'bpf', '/sys/fs/bpf']);
  const pod = await NodePod.start(site.containerd(node), spec, site.cluster);
  const [loader] = spec.initContainers ?? [];
  let loaded = '';
  if (loader !== undefined) {
    expect(await pod.ended()).toBe(0);
    loaded = `${pod.log().trim()}; `;
    await pod.startContainer(spec.containers[0] as Container);
  }
  await pod.ready();
  await waitUntil(async () => (await site.containerd(node).network()).ready, READY_MS, 'the runtime’s network');
  await (await site.addPod(node, `pod-of-${node.name}`)).ping(peer.ip);
  let said = '';
  const isSettled = async (): Promise<boolean> => {
    const { said: text } = await pod.exec('/opt/weft/flanneld', 'status', '--json');
    const { on, reason, isWaiting } = (JSON.parse(text) as { fastPath: FastPathStatus }).fastPath;
    said = on ? 'on' : `off: ${reason}`;
    return isWaiting !== true;
  };
  await waitUntil(isSettled, READY_MS, 'the fast path');
  return `${loaded}${said}`;
}

test.for(fastPathLosses)('the fast path without $name', { timeout: ROW_MS }, async ({ name, pod }) => {
  const [node] = await site.addNodes(1);
  if (node === undefined) throw new Error('no node');
  const found = await fastPath(node, pod);
  await site.removeNode(node);
  if (name === 'nothing') expect(found).toBe('fast path loaded: programs are in /sys/fs/bpf/weft; on');
  if (name === 'capability BPF') expect(found).toMatch(/off: this node has no fast path: .*CAP_BPF/);
  fastRows.push(`| ${name} | ${cell(found)} |`);
});

test('manifests/NEEDS.md has the results of this run', async () => {
  const tables = [
    `${INTRODUCTION}\n| without | the agent |\n|---|---|\n${rows.join('\n')}\n`,
    `${FAST_PATH}\n| without | the fast path |\n|---|---|\n${fastRows.join('\n')}\n`,
  ];
  await expect(tables.join('\n')).toMatchFileSnapshot(join(manifests, 'NEEDS.md'));
});
