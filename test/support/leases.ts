// Leases and overlay configurations for tests, made from the few values that matter.

import type { OverlayConfig } from '../../flanneld/backend/vxlan/vxlan-lease.ts';
import type { Lease } from '../../flanneld/subnet/manager.ts';
import { parseIp, parsePrefix } from '../../lib/ip.ts';
import { jsonObject } from '../../lib/json.ts';
import { parseMac } from '../../lib/mac.ts';

/** A vxlan lease with VNI 1 for `subnet` at `publicIp`. */
export function vxlanLease(subnet: string, publicIp: string, mac: string): Lease {
  return {
    subnet: parsePrefix(subnet),
    publicIp: parseIp(publicIp),
    backendType: 'vxlan',
    backendData: jsonObject({ VNI: 1, VtepMAC: mac }),
  };
}

/**
 * The configuration of a node with the subnet 10.244.1.0/24 of 10.244.0.0/16, the address 192.168.50.11, the MAC 02:00:00:00:01:01
 * and VNI 1.
 */
export const nodeOne: OverlayConfig = {
  family: 4,
  network: parsePrefix('10.244.0.0/16'),
  subnet: parsePrefix('10.244.1.0/24'),
  publicIp: parseIp('192.168.50.11'),
  vni: 1,
  mac: parseMac('02:00:00:00:01:01'),
};
