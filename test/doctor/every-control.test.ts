// Odd things that do no harm: the doctor finds no error in any of them, and packets pass.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { failed } from '../lab/matrix.ts';
import { doctor } from '../support/doctor.ts';

let lab: Lab;
let node: LabNode;

beforeAll(async () => {
  lab = await startLab({ nodes: 2 });
  for (const each of lab.nodes) await each.addPod();
  node = lab.node('node-1');
});
afterAll(() => lab?.down());

interface Control {
  readonly name: string;
  readonly make: string;
  readonly undo: string;
}

const CONTROLS: readonly Control[] = [
  {
    name: 'the policy of Docker at FORWARD, with its own chains',
    make: 'iptables-nft -P FORWARD DROP; iptables-nft -N DOCKER-USER; iptables-nft -A FORWARD -j DOCKER-USER; iptables-nft -A DOCKER-USER -j RETURN',
    undo: 'iptables-nft -P FORWARD ACCEPT; iptables-nft -F FORWARD; iptables-nft -F DOCKER-USER; iptables-nft -X DOCKER-USER',
  },
  {
    name: 'policies for single pods',
    make: `nft 'table inet kube-network-policies {
      set podips-v4 { type ipv4_addr; elements = { 10.244.250.250 }; }
      chain postrouting { type filter hook postrouting priority 95; ct state established,related accept; ip daddr @podips-v4 drop; }
    }'`,
    undo: 'nft delete table inet kube-network-policies',
  },
  {
    name: 'ufw where it allows forwarding and the tunnel',
    make: `iptables-nft -N ufw-user-forward; iptables-nft -A FORWARD -j ufw-user-forward; iptables-nft -A ufw-user-forward -j ACCEPT; iptables-nft -A FORWARD -j REJECT;
      iptables-nft -N ufw-user-input; iptables-nft -A INPUT -j ufw-user-input; iptables-nft -A ufw-user-input -p udp --dport 8472 -j ACCEPT; iptables-nft -A INPUT -i eth0 -j DROP`,
    undo: 'iptables-nft -F; iptables-nft -X ufw-user-forward; iptables-nft -X ufw-user-input',
  },
  {
    name: 'a host closed to everything but the tunnel and forwarding',
    make: 'nft "table inet closed { chain input { type filter hook input priority 0; policy drop; iifname lo accept; ct state established,related accept; udp dport 8472 accept; }; }"',
    undo: 'nft delete table inet closed',
  },
  {
    name: 'a container engine with a network of its own',
    make: 'ip link add docker0 type bridge && ip addr add 172.17.0.1/16 dev docker0 && ip link set docker0 up',
    undo: 'ip link del docker0',
  },
  {
    name: 'a strict reverse path filter where paths are symmetric',
    make: 'sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.eth0.rp_filter=1',
    undo: 'sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0',
  },
  {
    name: 'a rule of policy routing for other packets, and a wide route of a VPN',
    make: 'ip rule add fwmark 0x99 lookup 99 priority 90; ip rule add to 172.20.0.0/16 blackhole priority 91; ip route add 10.0.0.0/8 via 192.168.50.1 dev eth0',
    undo: 'ip rule del priority 90; ip rule del priority 91; ip route del 10.0.0.0/8',
  },
  {
    name: 'another overlay’s device and configuration',
    make: `ip link add vxlan.calico type vxlan id 4096 dstport 4789 dev eth0; echo '{"name":"z","plugins":[{"type":"x"}]}' > /etc/cni/net.d/99-z.conflist`,
    undo: 'ip link del vxlan.calico; rm /etc/cni/net.d/99-z.conflist',
  },
  {
    name: 'no bridge-nf-call without kube-proxy',
    make: 'sysctl -qw net.bridge.bridge-nf-call-iptables=0',
    undo: 'sysctl -qw net.bridge.bridge-nf-call-iptables=1',
  },
];

describe('the doctor finds no error in', () => {
  test.for(CONTROLS)('$name', async ({ make, undo }) => {
    await node.run(['sh', '-c', make]);
    try {
      for (const each of lab.nodes) {
        const { findings } = await doctor(each);
        expect(findings.filter(({ severity }) => severity === 'error')).toEqual([]);
      }
      expect(failed(await lab.matrix())).toEqual([]);
    } finally {
      await node.run(['sh', '-c', undo]);
    }
  });
});

test('on a node where Weft was never installed the doctor names the missing agent and guesses nothing', async () => {
  const bare = await startLab({ nodes: 1, agent: false, conflist: false });
  try {
    const { exitCode, findings } = await doctor(bare.node('node-1'));
    expect(exitCode).toBe(1);
    const errors = findings.filter(({ severity }) => severity === 'error').map(({ id }) => id);
    expect(errors).toEqual(['agent-not-running', 'subnet-env-missing']);
  } finally {
    await bare.down();
  }
});
