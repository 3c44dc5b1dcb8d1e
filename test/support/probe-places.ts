// This node's side and a peer, as probes see them, for tests of the code that judges them.

import type { ProbePlace, Target } from '../../flanneld/probes/target.ts';
import { parseIp, parsePrefix } from '../../lib/ip.ts';
import { parseMac } from '../../lib/mac.ts';

export const place: ProbePlace = {
  family: 4,
  subnet: parsePrefix('10.244.1.0/24'),
  local: parseIp('192.0.2.1'),
  vni: 1,
  mac: parseMac('02:00:00:00:01:01'),
  device: 'flannel.1',
  mtu: 1450,
  tunnelPort: 8472,
  iface: 'eth0',
  ifindexes: [2, 3],
  readPeer: () => undefined,
};

function targetNamed(peer: string, number: number): Target {
  const subnet = parsePrefix(`10.244.${number}.0/24`);
  const publicIp = parseIp(`192.0.2.${number}`);
  const mac = parseMac(`02:00:00:00:02:${number.toString(16).padStart(2, '0')}`);
  return { id: `4 ${peer}`, peer, family: 4, subnet, vtep: subnet.ip, publicIp, mac, addresses: [publicIp] };
}

export const target: Target = targetNamed('node-2', 2);
