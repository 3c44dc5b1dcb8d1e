// A cluster moves from vxlan to WireGuard node by node (`Backend.MoveTo`), while flows run: no packet between pods is lost, two nodes that
// both can do so use WireGuard, and all others use vxlan as before.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Finding } from '../../flanneld/health/finding.ts';
import type { StatusReport } from '../../flanneld/health/status/report.ts';
import { type Flow, startFlow } from '../faults/probe/flow.ts';
import { LEASE_FOLDER, NET_CONF_FILE, SUBNET_FILE } from '../lab/contract.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { waitUntil } from '../lab/processes.ts';
import { builtAgent } from '../lab/programs.ts';
import { readLeaseText } from '../lab/support/leases.ts';
import { allPodsReach } from '../lab/support/status.ts';
import { reportOf } from '../probes/probed-lab.ts';
import { needs } from '../support/needs.ts';
import { hasLinkKind } from './has-link-kind.ts';

const LOOK_MS = 20_000;
const RATE_HZ = 20;

const hasWireguard = hasLinkKind('wireguard');
beforeEach(() => needs.machine(hasWireguard, 'WireGuard in the kernel'));

const PSK = Buffer.alloc(32, 5).toString('base64');
const FORMER = { Type: 'vxlan' };
const NEXT = { Type: 'wireguard', PSK };
const MOVING = { ...FORMER, MoveTo: NEXT };

/** Starts the node's agent again with another Backend section, as a DaemonSet does node by node. */
async function restartWith(node: LabNode, Backend: object): Promise<void> {
  node.writeFile(NET_CONF_FILE, JSON.stringify({ Network: '10.244.0.0/16', Backend }));
  await node.agent.stop();
  await node.agent.start();
  await node.agent.ready();
}

/** The agent's report; undefined while the agent is too busy to answer. */
async function answerOf(node: LabNode): Promise<StatusReport | undefined> {
  return await reportOf(node).catch(() => undefined);
}

async function untilAnswer(node: LabNode): Promise<StatusReport> {
  let answer: StatusReport | undefined;
  const answers = async (): Promise<boolean> => {
    answer = await answerOf(node);
    return answer !== undefined;
  };
  await waitUntil(answers, LOOK_MS, `an answer of ${node.name}`);
  return answer as StatusReport;
}

/** Waits until the node has programmed all peers, and so many of them encrypted. */
async function untilEncrypted(node: LabNode, peers: number): Promise<void> {
  const isSo = async (): Promise<boolean> => {
    const counts = (await answerOf(node))?.overlays[0]?.peers;
    // A peer whose routes are just being changed does not count as programmed, and so not as encrypted, while the former route still leads.
    return counts !== undefined && counts.encrypted === peers && counts.programmed === counts.wanted;
  };
  await waitUntil(isSo, LOOK_MS, `${peers} encrypted peers of ${node.name}`);
}

function podOf(node: LabNode): NonNullable<LabNode['pods'][number]> {
  const [pod] = node.pods;
  if (pod === undefined) throw new Error(`${node.name} has no pod`);
  return pod;
}

/** The device by which a node sends to a peer's pod. */
async function deviceTo(node: LabNode, peer: LabNode): Promise<string | undefined> {
  return /dev (\S+)/.exec(await node.run(['ip', 'route', 'get', podOf(peer).ip]))?.[1];
}

/** The errors that the doctor finds. */
async function errorsOf(node: LabNode): Promise<string[]> {
  const argv = [builtAgent, 'doctor', '--json', `--net-config-path=${NET_CONF_FILE}`, `--subnet-file=${SUBNET_FILE}`];
  const { stdout } = await node.exec([...argv, `--subnet-dir=${LEASE_FOLDER}`]);
  const { findings } = JSON.parse(stdout) as { readonly findings: readonly Finding[] };
  return findings.filter(({ severity }) => severity === 'error').map(({ id, cause }) => `${id}: ${cause}`);
}

async function flow(from: LabNode, to: LabNode): Promise<Flow> {
  const started = await startFlow(podOf(from), podOf(to), { rateHz: RATE_HZ });
  await started.begin();
  return started;
}

describe('three nodes that move', () => {
  let lab: Lab;
  let one: LabNode;
  let two: LabNode;
  let three: LabNode;
  let flows: Flow[] = [];
  beforeAll(async () => {
    if (!hasWireguard) return;
    lab = await startLab({ nodes: 3, netConf: { Network: '10.244.0.0/16', Backend: FORMER } });
    for (const node of lab.nodes) await node.addPod();
    [one, two, three] = [lab.node('node-1'), lab.node('node-2'), lab.node('node-3')];
    flows = [await flow(one, two), await flow(two, one), await flow(one, three), await flow(three, two)];
  });
  afterAll(() => lab?.down());

  test('two that can do both talk encrypted, and the third by vxlan', async () => {
    await restartWith(one, MOVING);
    await untilEncrypted(one, 0);
    expect(await deviceTo(one, two)).toBe('flannel.1');
    await restartWith(two, MOVING);
    await untilEncrypted(one, 1);
    await untilEncrypted(two, 1);
    expect([await deviceTo(one, two), await deviceTo(two, one)]).toEqual(['flannel-wg', 'flannel-wg']);
    expect([await deviceTo(one, three), await deviceTo(three, one)]).toEqual(['flannel.1', 'flannel.1']);
    await allPodsReach(lab);
  });

  test('new pods get the smaller MTU, and the lease stays one of vxlan', async () => {
    expect(one.readFile(SUBNET_FILE)).toContain('FLANNEL_MTU=1420\n');
    expect(await one.run(['ip', 'link', 'show', 'flannel.1'])).toContain('mtu 1450');
    const lease = JSON.parse(readLeaseText(lab, one.name));
    expect(lease).toMatchObject({ BackendType: 'vxlan', MoveData: { Type: 'wireguard', Port: 51_820 } });
  });

  test('a route of the move that somebody removes comes back', async () => {
    const destination =
      (await one.run(['ip', 'route', 'show', 'dev', 'flannel-wg', 'proto', '139'])).split(' ')[0] ?? '';
    await one.run(['ip', 'route', 'del', destination, 'dev', 'flannel-wg']);
    const isThere = async (): Promise<boolean> =>
      (await one.run(['ip', 'route', 'show', 'dev', 'flannel-wg'])).includes(destination);
    await waitUntil(isThere, LOOK_MS, 'the route');
  });

  test('and neither the agent nor the doctor takes that for a fault', async () => {
    const { ready, findings } = await untilAnswer(one);
    const errors = findings.filter(({ severity }) => severity === 'error');
    expect({ ready, errors }).toEqual({ ready: true, errors: [] });
    expect(await errorsOf(one)).toEqual([]);
  });

  test('the third follows', async () => {
    await restartWith(three, MOVING);
    for (const node of lab.nodes) await untilEncrypted(node, 2);
    expect([await deviceTo(one, three), await deviceTo(three, two)]).toEqual(['flannel-wg', 'flannel-wg']);
  });

  test('the third goes back to vxlan, its key is taken back, and it follows again', async () => {
    await restartWith(three, FORMER);
    await untilEncrypted(one, 1);
    expect([await deviceTo(one, three), await deviceTo(three, one)]).toEqual(['flannel.1', 'flannel.1']);
    expect(readLeaseText(lab, three.name)).not.toContain('MoveData');
    await allPodsReach(lab);
    await restartWith(three, MOVING);
    for (const node of lab.nodes) await untilEncrypted(node, 2);
    expect([await deviceTo(one, three), await deviceTo(three, one)]).toEqual(['flannel-wg', 'flannel-wg']);
  });

  test('then the type changes node by node, and nothing of vxlan leads anywhere', async () => {
    for (const node of lab.nodes) {
      await restartWith(node, NEXT);
      await allPodsReach(lab);
    }
    for (const node of lab.nodes) {
      expect(await node.run(['ip', 'route', 'show', 'dev', 'flannel.1'])).toBe('');
      expect(await node.run(['ip', 'route', 'show', 'proto', '139'])).toBe('');
      expect((await untilAnswer(node)).overlays[0]?.peers).toMatchObject({ wanted: 2, programmed: 2, failing: 0 });
    }
  });

  test('and no packet was lost', async () => {
    for (const each of flows) {
      const { lost, sent } = await each.stop();
      process.stdout.write(`moving: ${lost} of ${sent} packets lost\n`);
      expect(lost).toBe(0);
    }
  });

  test('control: a type that changes at once loses packets', async () => {
    const lossy = await flow(one, two);
    await restartWith(two, FORMER);
    expect((await lossy.stop()).lost).toBeGreaterThan(0);
  });
});
