// Harm that foreign programs do to a node's kernel. Each is a command, which may fail because an earlier one has already removed its
// target.

import { readdirSync } from 'node:fs';
import { NEXTHOP_ID_FIRST } from '../../../flanneld/dataplane/objects/nexthop-ids.ts';
import type { LabNode } from '../../lab/lab-node.ts';
import { readLease, type TestLease } from '../../lab/support/leases.ts';
import type { Random } from './random.ts';
import type { World } from './world.ts';

const DEV = 'flannel.1';

/** Makes the command from a peer's lease. */
type Harm = (peer: TestLease, random: Random) => string;

/** The nexthop id of the peer's route, unless another program had that id when the lease arrived. */
function nexthopId({ subnet }: TestLease): number {
  return NEXTHOP_ID_FIRST + Number(subnet.split('.')[2]);
}

const base = ({ subnet }: TestLease): string => subnet.replace('/24', '');

const harms: readonly Harm[] = [
  ({ subnet }) => `ip route del ${subnet}`,
  ({ subnet }) => `ip route replace ${subnet} via 192.168.50.1 dev eth0 proto static`,
  (peer) => `ip neigh del ${base(peer)} dev ${DEV}`,
  (peer, random) => `ip neigh replace ${base(peer)} lladdr ${random.mac()} dev ${DEV} nud permanent`,
  ({ mac, publicIp }) => `bridge fdb del ${mac} dev ${DEV} dst ${publicIp} self`,
  ({ mac }) => `bridge fdb replace ${mac} dev ${DEV} dst 192.168.50.99 self permanent`,
  (peer) => `ip nexthop del id ${nexthopId(peer)}`,
  // Another program's nexthop in our id range. The agent must use another id and not remove it.
  (_, random) => `ip nexthop add id ${NEXTHOP_ID_FIRST + random.integer(0, 255)} blackhole proto static`,
  () => 'ip nexthop flush proto 138',
  () => `ip address flush dev ${DEV}`,
  () => `ip address add 10.244.99.9/32 dev ${DEV}`,
  () => `ip neigh flush dev ${DEV} nud permanent`,
  // Objects that an earlier agent may have left behind.
  (_, random) => `ip neigh replace 10.244.199.0 lladdr ${random.mac()} dev ${DEV} nud permanent`,
  (_, random) => `bridge fdb replace ${random.mac()} dev ${DEV} dst 192.168.50.98 self permanent`,
  () => `ip route replace 10.244.199.0/24 via 10.244.199.0 dev ${DEV} onlink`,
  () => 'nft delete table ip weft',
  () => 'nft flush chain ip weft postrouting',
  () => 'nft add rule ip weft postrouting counter accept',
  () => `ip link del ${DEV}`,
  () => `ip link set ${DEV} down`,
  (_, random) => `ip link set ${DEV} address ${random.mac()}`,
  (_, random) => `ip link set ${DEV} mtu ${random.integer(1000, 1449)}`,
  () => 'ip link set eth0 down; ip link set eth0 up; ip route replace default via 192.168.50.1',
];

/** Does one of these harms on any node. Returns what was done. */
export async function harmSomething(world: World, random: Random): Promise<string> {
  const node = world.anyNode(random);
  const harm = random.pick(harms);
  return await world.gate.together(node.name, async () => {
    const peer = anyLease(world, random, node);
    if (peer === undefined || harm === undefined || !world.lab.nodes.includes(node)) return 'nothing';
    const command = harm(peer, random);
    const { exitCode } = await node.exec(['sh', '-c', command]);
    return `${node.name}: ${command}${exitCode === 0 ? '' : ' (in vain)'}`;
  });
}

function anyLease(world: World, random: Random, node: LabNode): TestLease | undefined {
  const names = readdirSync(world.lab.leaseFolder)
    .filter((file) => file.endsWith('.json') && !file.startsWith('.') && !file.startsWith('broken'))
    .map((file) => file.replace('.json', ''))
    .filter((name) => name !== node.name);
  const name = random.pick(names.toSorted());
  try {
    return name === undefined ? undefined : readLease(world.lab, name);
  } catch {
    // The object was removed after it had been listed.
    return undefined;
  }
}
