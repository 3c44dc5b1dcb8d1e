// A node's own place in the underlay changes while its agent runs: another address, another interface, no address for a while, a suspended
// agent, a lost lease. Flows in both directions count the lost packets, which are printed and have no limit.

import { execFileSync } from 'node:child_process';
import { existsSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { countBothWays } from '../faults/probe/both-ways.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { failed } from '../lab/matrix.ts';
import { waitUntil } from '../lab/processes.ts';
import { readLease } from '../lab/support/leases.ts';
import { fdbDestinationsOf, kernelStateOf, vxlanPlaceOf } from '../lab/support/vxlan-state.ts';

/** How long to wait for peers to follow. They do so within seconds, but a busy machine needs longer. */
const LOOK_MS = 20_000;
const GATEWAY = '192.168.50.1';

let lab: Lab;
let node: LabNode;
let peer: LabNode;

beforeAll(async () => {
  lab = await startLab({ nodes: 2, agent: { args: ['--iface=eth1', '--ip-blackhole-route'] } });
  [node, peer] = [lab.node('node-1'), lab.node('node-2')];
  for (const each of lab.nodes) await each.addPod();
});
afterAll(() => lab?.down());

async function ip(...commands: string[]): Promise<void> {
  await node.run(['ip', '-batch', '-'], { input: `${commands.join('\n')}\n` });
}

async function indexOf(): Promise<number> {
  return (
    (JSON.parse(await node.run(['ip', '-j', 'link', 'show', 'flannel.1'])) as { ifindex: number }[])[0]?.ifindex ?? 0
  );
}

async function counting(what: string, body: () => Promise<void>): Promise<void> {
  const [one, two] = [node.pods[0], peer.pods[0]];
  if (one === undefined || two === undefined) throw new Error('a pod is missing');
  await countBothWays(what, [one, two], body, LOOK_MS);
}

/** Waits until the lease, the device and the peer have the new address and all pods reach each other. */
async function followed(address: string, device = 'eth0'): Promise<void> {
  const startedMs = performance.now();
  await waitUntil(async () => readLease(lab, 'node-1').publicIp === address, LOOK_MS, `the lease of ${address}`);
  await waitUntil(
    async () => (await vxlanPlaceOf(node)) === `${address} on ${device}`,
    LOOK_MS,
    `flannel.1 at ${address}`,
  );
  await waitUntil(async () => (await fdbDestinationsOf(peer)) === address, LOOK_MS, `the peer sending to ${address}`);
  process.stdout.write(`peers send to ${address} after ${Math.round(performance.now() - startedMs)} ms\n`);
  await waitUntil(async () => (await node.agent.http('/readyz')).status === 200, LOOK_MS, 'the agent ready again');
  // A neighbour solicitation that was lost with the link is repeated after a second.
  await waitUntil(async () => failed(await lab.matrix()).length === 0, LOOK_MS, 'every pod reaching every other');
}

describe('the node’s address', () => {
  test('is replaced by another: lease, device and peers follow, and the device keeps everything on it', async () => {
    const [index, mac] = [await indexOf(), (await kernelStateOf(node)).mac];
    await counting('address replaced', async () => {
      await ip(
        'addr del 192.168.50.11/24 dev eth0',
        'addr add 192.168.50.201/24 dev eth0',
        `route add default via ${GATEWAY}`,
      );
      await followed('192.168.50.201');
    });
    expect([await indexOf(), (await kernelStateOf(node)).mac]).toEqual([index, mac]);
    const status = JSON.parse(await node.run([`${process.cwd()}/dist/flanneld`, 'status', '--json'])) as {
      overlays: { local: string; publicIp: string }[];
      drift: { entries: unknown[] };
    };
    expect(status.overlays).toMatchObject([{ local: '192.168.50.201', publicIp: '192.168.50.201' }]);
    expect(status.drift.entries).toEqual([]);
    expect(node.agent.log()).toMatch(
      /"was":"eth0 192.168.50.11","now":"eth0 192.168.50.201","why":"eth0 has lost the address 192.168.50.11".*own address changed/,
    );
  });

  test('is about to expire by its lifetime, with another one available: the node leaves it while it still works', async () => {
    await counting('address deprecated', async () => {
      await ip('addr add 192.168.50.202/24 dev eth0', 'addr change 192.168.50.201/24 dev eth0 preferred_lft 0');
      await followed('192.168.50.202');
    });
    await node.run(['sysctl', '-qw', 'net.ipv4.conf.eth0.promote_secondaries=1']);
    await counting('the old one removed', async () => {
      await ip('addr del 192.168.50.201/24 dev eth0');
      await followed('192.168.50.202');
    });
  });

  test('is gone for a while: this is reported, and the address is used again when it is back', async () => {
    await counting('address away for half a second', async () => {
      await ip('addr del 192.168.50.202/24 dev eth0');
      const looked =
        /\[-\] external interface: eth0 has lost the address 192.168.50.202; .*--iface=eth0: eth0 has no usable IPv4 address/;
      await waitUntil(async () => looked.test((await node.agent.http('/readyz')).body), LOOK_MS, 'the reason');
      await new Promise((resolve) => setTimeout(resolve, 500));
      await ip('addr add 192.168.50.202/24 dev eth0', `route add default via ${GATEWAY}`);
      await followed('192.168.50.202');
    });
  });

  test('changes while the agent is suspended: the agent follows when it wakes up', async () => {
    const { pid } = await node.agent.state();
    await counting('changed while suspended', async () => {
      await node.run(['kill', '-STOP', String(pid)]);
      await ip('addr add 192.168.50.203/24 dev eth0', 'addr del 192.168.50.202/24 dev eth0');
      await new Promise((resolve) => setTimeout(resolve, 300));
      await node.run(['kill', '-CONT', String(pid)]);
      await followed('192.168.50.203');
    });
  });
});

describe('the external interface', () => {
  test('goes down and up again', async () => {
    await counting('interface down for a moment', async () => {
      await node.run(['ip', 'link', 'set', 'eth0', 'down']);
      await waitUntil(
        async () => (await node.agent.http('/readyz')).body.includes('eth0 is down'),
        LOOK_MS,
        'the reason',
      );
      await new Promise((resolve) => setTimeout(resolve, 300));
      await ip('link set eth0 up', `route add default via ${GATEWAY}`);
      await followed('192.168.50.203');
    });
  });

  test('is replaced by another with another address: the device that the kernel removed with it is made anew', async () => {
    const mac = (await kernelStateOf(node)).mac;
    await counting('interface replaced', async () => {
      await node.run(['ip', 'link', 'del', 'eth0']);
      await plug('eth1', '192.168.50.204');
      await followed('192.168.50.204', 'eth1');
    });
    expect((await kernelStateOf(node)).mac).toBe(mac);
  });

  test('is removed and connected again with the same address', async () => {
    await counting('interface away for a moment', async () => {
      await node.run(['ip', 'link', 'del', 'eth1']);
      await waitUntil(async () => (await node.agent.http('/readyz')).status === 503, LOOK_MS, 'the agent not ready');
      await plug('eth1', '192.168.50.204');
      await followed('192.168.50.204', 'eth1');
    });
  });

  /** Connects a new device of node 1 to the switch. */
  async function plug(name: string, address: string): Promise<void> {
    const inSwitch = [
      'nsenter',
      `--net=/proc/${lab.pid}/ns/net`,
      'ip',
      'link',
      'add',
      `p-${name}`,
      'up',
      'master',
      'underlay',
    ];
    const [file = '', ...words] = [...inSwitch, 'type', 'veth', 'peer', 'name', name, 'netns', String(node.pid)];
    execFileSync(file, words);
    await ip(`addr add ${address}/24 dev ${name}`, `link set ${name} up`, `route add default via ${GATEWAY}`);
  }
});

test('a lease that now belongs to another node ends the agent with code 1 and a message; the data plane stays', async () => {
  // With its mark, node 1 would be the older node and would restore its lease.
  rmSync(join(lab.leaseFolder, '.node-1.since'));
  renameSync(join(lab.leaseFolder, 'node-1.json'), join(lab.leaseFolder, 'node-9.json'));
  await waitUntil(async () => !(await node.agent.state()).running, LOOK_MS, 'the end of the agent');
  expect((await node.agent.state()).exitCode).toBe(1);
  expect(node.agent.log()).toMatch(
    /lost \(the subnet is now leased to node-9; a restart takes another subnet, existing pods keep their addresses\)/,
  );
  expect(existsSync(join(lab.leaseFolder, 'node-1.json'))).toBe(false);
  expect((await kernelStateOf(node)).fdb).toHaveLength(1);
});
