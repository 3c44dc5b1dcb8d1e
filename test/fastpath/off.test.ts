// The fast path is off while it could carry packets past a policy, and everything of it is removed where it is not turned on.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { listDir } from '../../lib/sys/file.ts';
import { openKoffiSyscalls } from '../../lib/sys/koffi.ts';
import type { Lab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { builtAgent } from '../lab/programs.ts';
import { statusReport } from '../lab/support/status.ts';
import {
  addTable,
  ask,
  devicesWithPrograms,
  PINS,
  podsOf,
  serve,
  startFastLab,
  untilOff,
  untilOn,
} from '../support/fast-path.ts';

const sys = openKoffiSyscalls();

let lab: Lab;
let one: LabNode;
beforeAll(async () => {
  lab = await startFastLab();
  one = lab.node('node-1');
});
afterAll(() => lab?.down());

test.for([
  {
    name: 'packets are kept from tracking',
    table: 'ip x',
    chain: 'type filter hook prerouting priority raw; notrack;',
  },
  {
    name: 'packets are tracked in a zone',
    table: 'ip x',
    chain: 'type filter hook prerouting priority raw; ct zone set 5;',
  },
  {
    name: 'what no rule accepts is dropped',
    table: 'ip x',
    chain: 'type filter hook forward priority 5; policy drop;',
  },
  { name: 'frames are filtered', table: 'bridge x', chain: 'type filter hook forward priority 0; counter accept;' },
  {
    name: 'a device’s packets are filtered',
    table: 'netdev x',
    chain: 'type filter hook ingress device cni0 priority 0; counter accept;',
  },
])('while $name', async ({ table, chain }) => {
  await addTable(one, `table ${table} { chain f { ${chain} } }`);
  await untilOff(one, new RegExp(`nftables chain ${table} f`));
  expect((await statusReport(one)).findings.map(({ id }) => id)).toContain('fast-path-off');
  await one.run(['nft', `delete table ${table}`]);
  await untilOn(one);
  expect((await statusReport(one)).findings.map(({ id }) => id)).not.toContain('fast-path-off');
});

test.for([
  {
    name: 'an ip rule may divert packets',
    on: ['ip', 'rule', 'add', 'from', '10.244.0.0/16', 'table', '100', 'priority', '1000'],
    off: ['ip', 'rule', 'del', 'priority', '1000'],
    reason: /an ip rule may divert pods’ packets: from 10\.244\.0\.0\/16 lookup 100/,
  },
  {
    name: 'there is a policy of IPsec',
    on: [
      'ip',
      'xfrm',
      'policy',
      'add',
      'src',
      '10.244.0.0/16',
      'dst',
      '10.244.0.0/16',
      'dir',
      'fwd',
      'action',
      'block',
    ],
    off: ['ip', 'xfrm', 'policy', 'flush'],
    reason: /IPsec/,
  },
  {
    name: 'somebody’s rule of legacy iptables filters',
    on: ['iptables-legacy', '-w', '-A', 'FORWARD', '-s', '192.0.2.1', '-j', 'DROP'],
    off: ['iptables-legacy', '-w', '-D', 'FORWARD', '-s', '192.0.2.1', '-j', 'DROP'],
    reason: /iptables-legacy chain filter FORWARD has rules of another program/,
  },
  {
    name: 'conntrack takes up no connections in their middle',
    on: ['sysctl', '-w', 'net.netfilter.nf_conntrack_tcp_loose=0'],
    off: ['sysctl', '-w', 'net.netfilter.nf_conntrack_tcp_loose=1'],
    reason: /nf_conntrack_tcp_loose is 0/,
  },
  {
    name: 'the node does not forward',
    on: ['sysctl', '-w', 'net.ipv4.conf.flannel/1.forwarding=0'],
    off: ['sysctl', '-w', 'net.ipv4.conf.flannel/1.forwarding=1'],
    reason: /does not forward packets that arrive at flannel\.1/,
  },
])('while $name', async ({ on, off, reason }) => {
  await one.run(on);
  await untilOff(one, reason);
  await one.run(off);
  await untilOn(one);
});

test('an agent that starts where a policy is in force stops at once what a killed one has left', async () => {
  const [[a], [c]] = [podsOf(one), podsOf(lab.node('node-2'))];
  await serve(c);
  await one.agent.kill();
  await addTable(
    one,
    `table inet policies { chain f { type filter hook forward priority 0; ip daddr ${c.ip} drop; } }`,
  );
  // Until its heartbeat ends, a dead agent's programs carry packets past the rule.
  expect(await ask(a, 'udp', c.ip)).toContain(c.name);
  await one.agent.start();
  await one.agent.ready();
  await untilOff(one, /nftables chain inet policies f/);
  expect(await ask(a, 'udp', c.ip)).toBe('');
  await one.run(['nft', 'delete table inet policies']);
  await untilOn(one);
  expect(await ask(a, 'udp', c.ip)).toContain(c.name);
});

test('cleanup removes the pins that a stopped agent leaves, so that its programs end', async () => {
  await one.agent.stop();
  expect(listDir(sys, one.pathFromOutside(PINS))).toContain('state');
  expect(devicesWithPrograms(one)).toContain('flannel.1');
  const cleanup = [process.execPath, builtAgent, 'cleanup', '--force'];
  expect(await one.run(cleanup)).toContain('/sys/fs/bpf/weft');
  expect(listDir(sys, one.pathFromOutside(PINS))).toBeUndefined();
  expect(devicesWithPrograms(one)).toEqual([]);
});
