// Makes every fault between nodes in a lab of three: the nodes that it concerns report it under its name, the others report nothing, and
// nothing is left when it is over. `npm run suite -- probes`.

import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { subnetOf } from '../lab/mesh.ts';
import { dropLease, readLease, writeLease } from '../lab/support/leases.ts';
import {
  becomesHealthy,
  computeChecksums,
  dropInNetwork,
  dropTunnel,
  findingsIn,
  finds,
  floodLink,
  narrowLink,
  reportOf,
  spoilChecksums,
  undo,
  undoInNetwork,
} from './probed-lab.ts';

const TEST_MS = 400_000;

let lab: Lab;
let one: LabNode;
let two: LabNode;
let three: LabNode;

beforeAll(async () => {
  lab = await startLab({ nodes: 3 });
  [one, two, three] = [lab.node('node-1'), lab.node('node-2'), lab.node('node-3')];
  await becomesHealthy(lab.nodes, 2);
}, TEST_MS);
afterAll(() => lab?.down());

/** `node: id of peer` for all findings in the lab that are worse than `info`. */
async function namedNow(): Promise<string[]> {
  const all = (await findingsIn(lab)).filter(({ severity }) => severity !== 'info');
  return all.map(({ node, id, peer }) => `${node}: ${id}${peer === undefined ? '' : ` of ${peer}`}`).sort();
}

const tunnelTo = (to: LabNode): string => `ip daddr ${to.address} udp dport 8472`;

describe('in the network between node-1 and node-2', { timeout: TEST_MS }, () => {
  afterEach(async () => {
    undoInNetwork(lab);
    await becomesHealthy(lab.nodes, 2);
  }, TEST_MS);

  test('the tunnel’s port is blocked both ways', async () => {
    dropInNetwork(lab, [
      { from: one, what: `${tunnelTo(two)} drop` },
      { from: two, what: `${tunnelTo(one)} drop` },
    ]);
    const found = await finds(one, 'tunnel-port-blocked', 'node-2');
    await finds(two, 'tunnel-port-blocked', 'node-1');
    expect(found.evidence).toContain(`${two.address} answers (its agent, its kernel (port unreachable), TCP)`);
    expect(await namedNow()).toEqual([
      'node-1: tunnel-port-blocked of node-2',
      'node-2: tunnel-port-blocked of node-1',
    ]);
  });

  test('the tunnel’s port is blocked from node-1 to node-2 only: both name the direction', async () => {
    dropInNetwork(lab, [{ from: one, what: `${tunnelTo(two)} drop` }]);
    const cause = 'UDP port 8472 is blocked from node-1 to node-2, but open in the other direction';
    expect((await finds(one, 'tunnel-one-way', 'node-2')).cause).toBe(cause);
    expect((await finds(two, 'tunnel-one-way', 'node-1')).cause).toBe(cause);
    expect(await namedNow()).toEqual(['node-1: tunnel-one-way of node-2', 'node-2: tunnel-one-way of node-1']);
  });

  test('the path is too small: the largest size, and the MTU to set', async () => {
    dropInNetwork(lab, [{ from: one, what: `${tunnelTo(two)} ip length > 1400 drop` }]);
    const found = await finds(one, 'path-mtu-too-small', 'node-2');
    expect(found.evidence).toBe(
      'flannel.1: UDP packets with DF are answered up to 1350 bytes, and not from 1351 to 1450 bytes',
    );
    expect(found.fix).toContain('"MTU": 1400');
    // The answers of node-1 are as long as the questions of node-2, so node-2 reports it as well.
    await finds(two, 'path-mtu-too-small', 'node-1');
    expect(await namedNow()).toEqual(['node-1: path-mtu-too-small of node-2', 'node-2: path-mtu-too-small of node-1']);
  });

  test('packets made by hand pass, because something on the path drops the kernel’s source ports', async () => {
    dropInNetwork(lab, [{ from: one, what: `${tunnelTo(two)} udp sport != 8477 drop` }]);
    const found = await finds(one, 'peer-tunnel-broken', 'node-2');
    expect(found.evidence).toContain('a VXLAN packet made by hand');
  });

  test('nothing passes at all', async () => {
    dropInNetwork(lab, [
      { from: one, what: `ip daddr ${two.address} drop` },
      { from: two, what: `ip daddr ${one.address} drop` },
    ]);
    await finds(one, 'peer-unreachable', 'node-2');
    await finds(two, 'peer-unreachable', 'node-1');
    expect(await namedNow()).toEqual(['node-1: peer-unreachable of node-2', 'node-2: peer-unreachable of node-1']);
  });

  test('checksums of what is in the tunnel are spoiled', async () => {
    await computeChecksums(one);
    await becomesHealthy([one], 2);
    await spoilChecksums(lab, one, two);
    const found = await finds(one, 'checksum-corruption', 'node-2');
    expect(found.cause).toBe('checksums of packets from node-1 to node-2 are wrong when they come out of the tunnel');
    expect(found.fix).toContain('on node-1: ethtool -K flannel.1 tx-checksum-ip-generic off');
    expect((await finds(two, 'checksum-corruption', 'node-1')).cause).toBe(found.cause);
  });
});

describe('on a link that is full', { timeout: TEST_MS }, () => {
  test('round trips of node-1 have become slow, and no longer when the load is over', async () => {
    onTestFinished(narrowLink(lab, one));
    // The narrow link alone changes nothing, because there are few probes.
    const before = await reportOf(one);
    expect(before.findings.map(({ id }) => id)).not.toContain('peer-slow');
    const end = await floodLink(three, one);
    onTestFinished(end);
    const found = await finds(one, 'peer-slow', 'node-2');
    expect(found.severity).toBe('warning');
    const [, ms, usual] = /^([\d.]+) ms through the tunnel, usually ([\d.]+) ms$/.exec(found.evidence) ?? [];
    expect(Number(ms)).toBeGreaterThan(Number(usual) + 20);
    await finds(two, 'peer-slow', 'node-1');
    expect((await findingsIn(lab)).filter(({ severity }) => severity === 'error')).toEqual([]);
    await end();
    await becomesHealthy(lab.nodes, 2);
  });
});

describe('on a node', { timeout: TEST_MS }, () => {
  test('its own firewall refuses to send: that node has one finding, without a peer', async () => {
    await dropTunnel(one, two, ['out']);
    await dropTunnel(three, two, []);
    const found = await finds(one, 'firewall-drops-tunnel');
    expect(found.evidence).toContain('EPERM');
    await undo(one);
    await undo(three);
    await becomesHealthy(lab.nodes, 2);
  });

  test('the agent is killed: its node stays reachable, and the finding is information', async () => {
    await two.agent.kill();
    const found = await finds(one, 'peer-agent-down', 'node-2');
    expect(found.severity).toBe('info');
    expect(await namedNowOf([one, three])).toEqual([]);
    await two.agent.start();
    await two.agent.ready();
    await becomesHealthy(lab.nodes, 2);
  });

  test('the device is gone and nobody repairs it', async () => {
    await two.agent.kill();
    await two.run(['ip', 'link', 'del', 'flannel.1']);
    const found = await finds(one, 'peer-port-closed', 'node-2');
    expect(found.evidence).toContain('port unreachable for UDP port 8472');
    await two.agent.start();
    await two.agent.ready();
    await becomesHealthy(lab.nodes, 2);
  });

  test('the lease has another MAC than the device, and no agent answers: the kernel does, to the broadcast MAC', async () => {
    await two.agent.kill();
    const lease = readLease(lab, 'node-2');
    writeLease(lab, 'node-2', { ...lease, mac: '02:00:00:00:99:99' });
    const found = await finds(one, 'vtep-mac-mismatch', 'node-2');
    expect(found.evidence).toBe(
      'lease 02:00:00:00:99:99, device which answers packets to the broadcast MAC but not to that one',
    );
    await two.agent.start();
    await two.agent.ready();
    await becomesHealthy(lab.nodes, 2);
  });

  test('a lease advertises the address of another node, which says who it is', async () => {
    const ghost = { subnet: '10.244.250.0/24', publicIp: three.address, mac: '02:00:00:00:0a:01' };
    writeLease(lab, 'ghost', ghost);
    const found = await finds(one, 'public-ip-conflict', 'ghost');
    expect(found.evidence).toContain(`${three.address} answers as the node with ${subnetOf(three)?.split('/')[0]}`);
    dropLease(lab, 'ghost');
    await becomesHealthy(lab.nodes, 2);
  });

  test('another program deletes a route again and again: the finding names the repair, is counted, and ends when the deleting ends', async () => {
    const route = subnetOf(two) ?? '';
    await one.run(['sh', '-c', `for i in 1 2 3 4 5 6 7 8; do ip route del ${route}; sleep 0.7; done`]);
    const found = await finds(one, 'object-fought-over');
    expect(found.evidence).toContain(`ip route replace ${route}`);
    const { body } = await one.agent.http('/metrics');
    expect(body).toContain('flannel_findings{id="object-fought-over",severity="warning"} 1\n');
    await becomesHealthy(lab.nodes, 2);
  });

  test('the node is gone, and its lease stays', async () => {
    await lab.removeNode('node-3');
    for (const node of [one, two]) await finds(node, 'peer-unreachable', 'node-3');
    expect(await namedNow()).toEqual(['node-1: peer-unreachable of node-3', 'node-2: peer-unreachable of node-3']);
  });
});

async function namedNowOf(nodes: readonly LabNode[]): Promise<string[]> {
  return (await namedNow()).filter((line) => nodes.some(({ name }) => line.startsWith(`${name}:`)));
}
