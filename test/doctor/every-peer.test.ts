// What the doctor reports about peers: faults in the network between two nodes, and faults of the other node. It needs no agent for this.

import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { waitUntil } from '../lab/processes.ts';
import { readLease, writeLease } from '../lab/support/leases.ts';
import {
  becomesHealthy,
  finds,
  floodLink,
  narrowLink,
  reportOf,
  spoilChecksums,
  undoInNetwork,
} from '../probes/probed-lab.ts';
import { doctor, expectHealthy, FLAGS_OF_LAB, findingOf } from '../support/doctor.ts';

const TEST_MS = 180_000;

let lab: Lab;
let one: LabNode;
let two: LabNode;

beforeAll(async () => {
  lab = await startLab({ nodes: 2 });
  for (const each of lab.nodes) await each.addPod();
  [one, two] = [lab.node('node-1'), lab.node('node-2')];
});
afterAll(() => lab?.down());

/** Rules of the switch between the nodes. */
function inSwitch(rules: readonly string[]): void {
  const lines = rules.map((rule) => `    ${rule}\n`).join('');
  const chain = `  chain forward {\n    type filter hook forward priority 0\n${lines}  }\n`;
  nftInSwitch(`table bridge fault {\n${chain}}`);
}

function nftInSwitch(script: string): void {
  execFileSync('nsenter', [`--net=/proc/${lab.pid}/ns/net`, 'nft', '-f', '-'], { input: `${script}\n` });
}

const tunnel = (from: LabNode, to: LabNode): string =>
  `ether type ip ip saddr ${from.address} ip daddr ${to.address} udp dport 8472`;
const anything = (from: LabNode, to: LabNode): string =>
  `ether type ip ip saddr ${from.address} ip daddr ${to.address}`;

interface Fault {
  readonly name: string;
  readonly rules: () => readonly string[];
  /** What node-1 and node-2 report about each other; any of these ids, because an agent that has received probes from a peer knows more. */
  readonly want: readonly (readonly string[])[];
}

const FAULTS: readonly Fault[] = [
  {
    name: 'the UDP port is blocked both ways',
    rules: () => [`${tunnel(one, two)} drop`, `${tunnel(two, one)} drop`],
    want: [['tunnel-port-blocked'], ['tunnel-port-blocked']],
  },
  {
    name: 'the UDP port is blocked in one direction',
    rules: () => [`${tunnel(one, two)} drop`],
    want: [['tunnel-one-way'], ['tunnel-one-way']],
  },
  {
    name: 'large packets are lost',
    rules: () => [`${tunnel(one, two)} ip length > 1400 drop`],
    want: [['path-mtu-too-small'], ['path-mtu-too-small']],
  },
  {
    name: 'nothing passes',
    rules: () => [`${anything(one, two)} drop`, `${anything(two, one)} drop`],
    want: [['peer-unreachable'], ['peer-unreachable']],
  },
];

describe('in the network', { timeout: TEST_MS }, () => {
  test.for(FAULTS)('$name', async ({ rules, want: [ofOne = [], ofTwo = []] }) => {
    inSwitch(rules());
    try {
      for (const [node, ids] of [[one, ofOne] as const, [two, ofTwo] as const]) {
        for (const id of ids) expect((await findingOf(node, id)).peer).toBe(node === one ? 'node-2' : 'node-1');
      }
    } finally {
      nftInSwitch('delete table bridge fault');
    }
    for (const each of lab.nodes) await expectHealthy(each);
  });
});

describe('of the other node', { timeout: TEST_MS }, () => {
  test('its firewall drops the tunnel: its doctor names the rule, the doctor here the port', async () => {
    await two.run([
      'nft',
      'table inet strict { chain input { type filter hook input priority 0; udp dport 8472 drop; }; }',
    ]);
    try {
      expect((await findingOf(two, 'firewall-drops-tunnel')).cause).toContain('chain inet strict input');
      const { findings } = await doctor(one);
      const errors = findings.filter(({ severity }) => severity === 'error');
      expect(errors.map(({ peer }) => peer)).toEqual(['node-2']);
      expect(errors[0]?.id).toMatch(/^tunnel-(port-blocked|one-way)$/);
    } finally {
      await two.run(['nft', 'delete table inet strict']);
    }
    for (const each of lab.nodes) await expectHealthy(each);
  });

  test('its device is gone: the port is closed', async () => {
    await two.agent.kill();
    await two.run(['ip', 'link', 'del', 'flannel.1']);
    try {
      expect((await findingOf(one, 'peer-port-closed')).peer).toBe('node-2');
      expect((await findingOf(two, 'device-missing', FLAGS_OF_LAB)).severity).toBe('error');
    } finally {
      await two.agent.start();
      await two.agent.ready();
    }
    for (const each of lab.nodes) await expectHealthy(each);
  });

  test('its device has another MAC than its lease', async () => {
    await two.agent.kill();
    writeLease(lab, 'node-2', { ...readLease(lab, 'node-2'), mac: '02:00:00:00:00:77' });
    try {
      expect((await findingOf(two, 'vtep-mac-mismatch', FLAGS_OF_LAB)).evidence).toContain('02:00:00:00:00:77');
      expect((await findingOf(one, 'vtep-mac-mismatch')).peer).toBe('node-2');
    } finally {
      await two.agent.start();
      await two.agent.ready();
    }
    for (const each of lab.nodes) await expectHealthy(each);
  });

  test('its agent is gone and its kernel forwards: the agent here knows it, and it is no error', async () => {
    // Only an agent that has answered before can be reported as missing, and the previous test has changed the lease of node-2.
    await becomesHealthy([one], 1);
    await two.agent.kill();
    try {
      expect(await findingOf(one, 'peer-agent-down')).toMatchObject({ peer: 'node-2', severity: 'info' });
      expect((await doctor(one)).exitCode).toBe(0);
    } finally {
      await two.agent.start();
      await two.agent.ready();
    }
    for (const each of lab.nodes) await expectHealthy(each);
  });

  test('it is off', async () => {
    await two.run(['ip', 'link', 'set', 'eth0', 'down']);
    try {
      expect((await findingOf(one, 'peer-unreachable')).peer).toBe('node-2');
      const { findings } = await doctor(two);
      expect(findings.filter(({ severity }) => severity === 'error').map(({ id }) => id)).toEqual(['underlay-down']);
    } finally {
      await two.run(['sh', '-c', 'ip link set eth0 up && ip route replace default via 192.168.50.1 dev eth0']);
    }
    for (const each of lab.nodes) await expectHealthy(each);
  });
});

describe('between the two', { timeout: TEST_MS }, () => {
  test('a rule at the tunnel’s device loses what this node sends', async () => {
    const chain = 'chain c { type filter hook egress device "flannel.1" priority 0; drop; }';
    await one.run(['nft', `table netdev lost { ${chain}; }`]);
    try {
      const finding = await findingOf(one, 'peer-tunnel-broken');
      expect(finding).toMatchObject({ peer: 'node-2', severity: 'error' });
      expect(finding.cause).toBe("this node's own flannel.1 loses packets that are sent to node-2");
      expect(finding.evidence).toContain('ENOBUFS');
    } finally {
      await one.run(['nft', 'delete table netdev lost']);
    }
    for (const each of lab.nodes) await expectHealthy(each);
  });

  test('checksums are spoiled on the way', async () => {
    await spoilChecksums(lab, one, two);
    try {
      const finding = await findingOf(one, 'checksum-corruption');
      expect(finding.peer).toBe('node-2');
      expect(finding.fix).toContain('on node-1: ethtool -K flannel.1 tx-checksum-ip-generic off');
    } finally {
      undoInNetwork(lab);
    }
    for (const each of lab.nodes) await expectHealthy(each);
  });

  test('the link is full, so that round trips have become slow', async () => {
    // The usual round trip must be known first.
    const isKnown = async (): Promise<boolean> => ((await reportOf(one)).probes?.peers[0]?.rttMs ?? 0) > 0;
    await waitUntil(isKnown, TEST_MS, 'a round trip');
    onTestFinished(narrowLink(lab, one));
    const end = await floodLink(two, one);
    onTestFinished(end);
    await finds(one, 'peer-slow', 'node-2');
    expect(await findingOf(one, 'peer-slow')).toMatchObject({ peer: 'node-2', severity: 'warning' });
    await end();
    await becomesHealthy([one], 1);
    expect((await doctor(one)).findings.map(({ id }) => id)).not.toContain('peer-slow');
  });
});

test('without an agent here, the blocked port is named all the same', { timeout: TEST_MS }, async () => {
  await one.agent.kill();
  inSwitch([`${tunnel(one, two)} drop`, `${tunnel(two, one)} drop`]);
  try {
    const { exitCode, findings } = await doctor(one, FLAGS_OF_LAB);
    expect(exitCode).toBe(1);
    const errors = findings.filter(({ severity }) => severity === 'error').map(({ id }) => id);
    expect(errors).toEqual(['agent-not-running', 'tunnel-port-blocked']);
  } finally {
    nftInSwitch('delete table bridge fault');
    await one.agent.start();
    await one.agent.ready();
  }
  for (const each of lab.nodes) await expectHealthy(each);
});
