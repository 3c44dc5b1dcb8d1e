// Adds a second network to the underlay, behind a router. The router is the lab's switch with an address in that network and with
// forwarding switched on.

import { mustRun } from '../command.ts';
import type { Lab } from '../lab.ts';
import type { LabNode } from '../lab-node.ts';

/** Moves a node whose agent is not running into 172.20.0.0/24 and fd00:60::/64. The other nodes reach it by their gateway. */
export async function putBehindRouter(lab: Lab, node: LabNode): Promise<{ ipv4: string; ipv6: string }> {
  const host = node.address.split('.')[3];
  const inSwitch = ['nsenter', `--target=${lab.pid}`, '--net', '--'];
  const batch = [
    'address replace 172.20.0.1/24 dev underlay',
    'address replace fd00:50::1/64 dev underlay nodad',
    'address replace fd00:60::1/64 dev underlay nodad',
  ];
  await mustRun([...inSwitch, 'ip', '-batch', '-'], { input: `${batch.join('\n')}\n` });
  // The router sends no redirects, because these would make the network behind it a part of the same link again.
  const settings = ['ipv4.ip_forward=1', 'ipv6.conf.all.forwarding=1'];
  const redirects = ['all', 'underlay'].map((name) => `ipv4.conf.${name}.send_redirects=0`);
  await mustRun([...inSwitch, 'sysctl', '-qw', ...[...settings, ...redirects].map((setting) => `net.${setting}`)]);
  const drop = 'add table ip6 silent; add chain ip6 silent out { type filter hook output priority 0; }; ';
  const redirect = 'add rule ip6 silent out icmpv6 type nd-redirect drop';
  await mustRun([...inSwitch, 'nft', drop + redirect]);
  const moved = { ipv4: `172.20.0.${host}`, ipv6: `fd00:60::${host}` };
  const here = [
    'address flush dev eth0 scope global',
    `address add ${moved.ipv4}/24 dev eth0`,
    `address add ${moved.ipv6}/64 dev eth0 nodad`,
    'route replace default via 172.20.0.1 dev eth0',
    '-6 route replace default via fd00:60::1 dev eth0',
  ];
  for (const command of here) await node.run(['ip', ...command.split(' ')]);
  return moved;
}

/** Gives a node's underlay IPv6, which the lab itself does not do: `fd00:50::11` for node 1. */
export async function giveIpv6(node: LabNode): Promise<string> {
  const address = `fd00:50::${node.address.split('.')[3]}`;
  await node.run(['ip', '-6', 'address', 'add', `${address}/64`, 'dev', 'eth0', 'nodad']);
  await node.run(['ip', '-6', 'route', 'add', 'default', 'via', 'fd00:50::1', 'dev', 'eth0']);
  return address;
}
