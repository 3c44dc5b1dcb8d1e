// Leases and overlay configurations for tests, from the few words that matter.

import type { OverlayConfig } from '../../flanneld/backend/vxlan/vxlan-lease.ts';
import type { Lease } from '../../flanneld/subnet/manager.ts';
import { parseIp, parsePrefix } from '../../lib/ip.ts';
import { jsonObject } from '../../lib/json.ts';
import { parseMac } from '../../lib/mac.ts';

/** A vxlan lease of `subnet` at `publicIp` with VNI 1. */
export function vxlanLease(subnet: string, publicIp: string, mac: string): Lease {
  return {
    subnet: parsePrefix(subnet),
    publicIp: parseIp(publicIp),
    backendType: 'vxlan',
    backendData: jsonObject({ VNI: 1, VtepMAC: mac }),
  };
}

/** The node with subnet 10.244.1.0/24 of 10.244.0.0/16, at 192.168.50.11, MAC 02:00:00:00:01:01, VNI 1. */
export const nodeOne: OverlayConfig = {
  family: 4,
  network: parsePrefix('10.244.0.0/16'),
  subnet: parsePrefix('10.244.1.0/24'),
  publicIp: parseIp('192.168.50.11'),
  vni: 1,
  mac: parseMac('02:00:00:00:01:01'),
};
