// This node and a peer in the form that probes use, for tests of the code that judges them.

import { type ProbePlace, type Target, targetOf } from '../../flanneld/probes/target.ts';
import { parseIp, parsePrefix } from '../../lib/ip.ts';
import { parseMac } from '../../lib/mac.ts';

export const place: ProbePlace = {
  family: 4,
  subnet: parsePrefix('10.244.1.0/24'),
  local: parseIp('192.0.2.1'),
  mac: parseMac('02:00:00:00:01:01'),
  tunnel: { type: 'vxlan', device: 'flannel.1', vni: 1, port: 8472, overheadBytes: 50 },
  mtu: 1450,
  iface: 'eth0',
  ifindexes: [2, 3],
};

export function targetNamed(peer: string, number: number): Target {
  return targetOf(peer, {
    subnet: parsePrefix(`10.244.${number}.0/24`),
    publicIp: parseIp(`192.0.2.${number}`),
    mac: parseMac(`02:00:00:00:02:${number.toString(16).padStart(2, '0')}`),
  });
}

export const target: Target = targetNamed('node-2', 2);
