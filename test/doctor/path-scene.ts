// Two nodes with pods whose agents are gone, so that nothing repairs what a test breaks, and `flanneld doctor path` on them.

import { expect, onTestFinished } from 'vitest';
import type { Finding } from '../../flanneld/health/finding.ts';
import { type Lab, type LabOptions, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import type { LabPod } from '../lab/lab-pod.ts';
import { builtAgent } from '../lab/programs.ts';
import { commandOf, FLAGS_OF_LAB } from '../support/doctor.ts';
import type { BrokenHop } from './broken-hops.ts';

export interface PathReport {
  readonly exitCode: number | null;
  readonly findings: readonly Finding[];
  readonly hops: readonly { readonly name: string; readonly result: string; readonly answer: string }[];
}

export interface PathScene {
  readonly lab: Lab;
  readonly node: LabNode;
  readonly other: LabNode;
  /** A pod of `node`; the first one is called shop/web-1. */
  readonly pod: LabPod;
  readonly near: LabPod;
  /** A pod of `other`. */
  readonly far: LabPod;
}

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const NAME: readonly (readonly [string, string])[] = [
  ['IgnoreUnknown', '1'],
  ['K8S_POD_NAMESPACE', 'shop'],
  ['K8S_POD_NAME', 'web-1'],
];

export async function startPathScene(options: Pick<LabOptions, 'netConf'> = {}): Promise<PathScene> {
  const lab = await startLab({ nodes: 2, ...options });
  const [node, other] = [lab.node('node-1'), lab.node('node-2')];
  const pod = await node.addPod({ args: NAME });
  const near = await node.addPod();
  const far = await other.addPod();
  await lab.matrix();
  for (const each of lab.nodes) await each.agent.kill();
  return { lab, node, other, pod, near, far };
}

/** Runs the command with `--json`. */
export async function path(at: LabNode, ...words: readonly string[]): Promise<PathReport> {
  const { exitCode, stdout, stderr } = await pathText(at, ...words, '--json');
  if (!stdout.startsWith('{')) throw new Error(`doctor path ${words.join(' ')}: exit ${exitCode}: ${stderr}`);
  return { exitCode, ...JSON.parse(stdout) } as PathReport;
}

export async function pathText(at: LabNode, ...words: readonly string[]) {
  const argv = [builtAgent, 'doctor', 'path', ...words, ...FLAGS_OF_LAB];
  return await at.exec(argv, { env: { NODE_NAME: at.name, PATH } });
}

/** Expects that packets pass the whole path. */
export async function expectPasses(at: LabNode, ...words: readonly string[]): Promise<PathReport> {
  const report = await path(at, ...words);
  expect(report.findings).toEqual([]);
  expect(report.exitCode).toBe(0);
  return report;
}

/**
 * Breaks a hop between the pods, checks that the path stops there and names the cause, ends the fault as the finding says, and checks that
 * packets pass.
 */
export async function seeBrokenHop(scene: PathScene, { make, undo, hop, id, says }: BrokenHop): Promise<void> {
  const { node, pod, far } = scene;
  const sh = (script: string): Promise<string> => node.run(['sh', '-c', filled(script, scene)]);
  let isOver = false;
  onTestFinished(async () => {
    if (!isOver) await sh(undo || 'true').catch(() => undefined);
    if (!isOver) await repairByAgent(node);
  });
  await sh(make);
  const report = await path(node, pod.ip, far.ip);
  const [finding] = report.findings;
  const result = hop === 'mtu' ? 'limit' : 'stop';
  expect(report.hops.find((each) => each.result !== 'ok')).toMatchObject({ name: hop, result });
  expect(finding).toMatchObject({ id, node: node.name });
  expect(finding?.evidence).toContain(says);
  expect(report.exitCode).toBe(finding?.severity === 'error' ? 1 : 0);
  const command = finding === undefined ? undefined : commandOf(finding);
  if (undo === '') await repairByAgent(node);
  else await sh(command ?? undo ?? 'false');
  await expectPasses(node, pod.ip, far.ip);
  if (command !== undefined && undo !== undefined) await sh(undo);
  isOver = true;
}

async function repairByAgent(node: LabNode): Promise<void> {
  await node.agent.start();
  await node.agent.ready();
  await node.agent.kill();
}

function filled(script: string, { pod, far, other }: PathScene): string {
  const base = far.ip.replace(/\d+$/, '0');
  const interfaces = pod.result['interfaces'] as readonly { readonly name: string }[];
  const veth = interfaces.find(({ name }) => name.startsWith('veth'))?.name ?? '';
  const words: Readonly<Record<string, string>> = {
    ...{ POD: pod.ip, FAR: far.ip, SUBNET: `${base}/24`, BASE: base, PEER: other.address, VETH: veth },
  };
  return script.replace(/\b(POD|FAR|SUBNET|BASE|PEER|VETH)\b/g, (word) => words[word] ?? '');
}
