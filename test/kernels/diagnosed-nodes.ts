// Two nodes with a backend that some kernels lack, for tests of what the doctor and the probes report about them.

import { execFileSync } from 'node:child_process';
import { expect, onTestFinished, test } from 'vitest';
import { expectPasses } from '../doctor/path-scene.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { waitUntil } from '../lab/processes.ts';
import { allPodsReach, statusReport } from '../lab/support/status.ts';
import { doctor, expectHealthy, FLAGS_OF_LAB } from '../support/doctor.ts';

/** With few nodes, the agents report a fault after about ten seconds. */
export const PROBED_MS = 40_000;

/** Drops packets that match `match` between both nodes, in both directions, in the switch. Stops with the test. */
export function dropBetween(lab: Lab, one: LabNode, two: LabNode, match: string): () => void {
  const nft = (input: string): Buffer =>
    execFileSync('nsenter', [`--net=/proc/${lab.pid}/ns/net`, 'nft', '-f', '-'], { input: `${input}\n` });
  const drop = (from: LabNode, to: LabNode): string =>
    `    ether type ip ip saddr ${from.address} ip daddr ${to.address} ${match} drop\n`;
  nft(
    `table bridge fault {\n  chain forward {\n    type filter hook forward priority 0\n${drop(one, two)}${drop(two, one)}  }\n}`,
  );
  const end = (): void => void nft('table bridge fault\ndelete table bridge fault');
  onTestFinished(end);
  return end;
}

export async function backAgain(node: LabNode): Promise<void> {
  if ((await node.agent.state()).running) return;
  await node.agent.start();
  await node.agent.ready();
}

export async function startNodes(Backend: { readonly Type: string }): Promise<Lab> {
  const lab = await startLab({ nodes: 2, netConf: { Network: '10.244.0.0/16', Backend } });
  for (const node of lab.nodes) await node.addPod();
  await allPodsReach(lab);
  return lab;
}

/** The tests of healthy nodes, which are the same for each backend. */
export function healthyNodes(nodes: () => { lab: Lab; one: LabNode; two: LabNode }): void {
  test('finds no error on healthy nodes, and without an agent only that it is missing', async () => {
    const { lab, one } = nodes();
    for (const node of lab.nodes) await expectHealthy(node);
    await one.agent.kill();
    onTestFinished(() => backAgain(one));
    const { findings } = await doctor(one, FLAGS_OF_LAB);
    expect(findings.filter(({ severity }) => severity === 'error').map(({ id }) => id)).toEqual(['agent-not-running']);
  });

  test('follows a packet from a pod to a pod of the other node', async () => {
    const { one, two } = nodes();
    const report = await expectPasses(one, one.pods[0]?.ip ?? '', two.pods[0]?.ip ?? '');
    expect(report.hops.map(({ name }) => name)).toEqual(expect.arrayContaining(['device', 'underlay', 'mtu']));
  });

  test('lets the agents probe each other', async () => {
    const { lab } = nodes();
    for (const node of lab.nodes) {
      const isReachable = async (): Promise<boolean> => (await statusReport(node)).probes?.states.reachable === 1;
      await waitUntil(isReachable, PROBED_MS, `the peer of ${node.name} reachable`);
    }
  });
}
