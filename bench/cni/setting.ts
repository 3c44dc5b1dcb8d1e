// The files that a plugin finds: fresh copies of the executables (so that all are equally warm in the page cache), subnet.env, the
// network configurations, and the addresses that are already in use.

import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatIp, type Ip } from '../../lib/ip.ts';
import { makeScratch } from '../scratch.ts';
import { randomNumbers } from '../stats.ts';
import { containerId, type Variant } from './plan.ts';

const NETWORK = 'cbr0';

/** The cluster's network. The node's subnet lies in it. */
const CLUSTER = '10.88.0.0/13';
const SUBNET_BASE = 0x0a58_0000n;

export interface Setting {
  readonly scratch: string;
  /** Copies a program and returns its new path. */
  addProgram(folder: string, name: string, from: string): string;
}

export function makeSetting(): Setting {
  const scratch = makeScratch();
  return {
    scratch,
    addProgram(folder, name, from) {
      const target = join(scratch, 'bin', folder);
      mkdirSync(target, { recursive: true });
      copyFileSync(from, join(target, name));
      return join(target, name);
    },
  };
}

/** Writes subnet.env for a subnet of `length` bits and returns its path. */
function writeSubnetEnv(scratch: string, length: number): string {
  const path = join(scratch, `subnet-${length}.env`);
  const gateway = formatIp({ family: 4, value: SUBNET_BASE + 1n });
  const lines = [
    `FLANNEL_NETWORK=${CLUSTER}`,
    `FLANNEL_SUBNET=${gateway}/${length}`,
    'FLANNEL_MTU=1450',
    'FLANNEL_IPMASQ=true',
  ];
  writeFileSync(path, `${lines.join('\n')}\n`);
  return path;
}

/** flannel's classic configuration (kube-flannel.yml), for a node's subnet of `length` bits. */
export function flannelConfig(scratch: string, network = NETWORK, length = 24): string {
  return JSON.stringify({
    cniVersion: '0.3.1',
    name: network,
    type: 'flannel',
    subnetFile: writeSubnetEnv(scratch, length),
    delegate: { hairpinMode: true, isDefaultGateway: true },
  });
}

/** The configuration that flannel generates from `flannelConfig` for bridge and host-local. */
export function bridgeConfig(network = NETWORK, length = 24): string {
  const subnet = `${formatIp({ family: 4, value: SUBNET_BASE })}/${length}`;
  return JSON.stringify({
    cniVersion: '0.3.1',
    name: network,
    type: 'bridge',
    mtu: 1450,
    hairpinMode: true,
    ipMasq: false,
    isGateway: true,
    isDefaultGateway: true,
    ipam: { type: 'host-local', ranges: [[{ subnet }]], routes: [{ dst: CLUSTER }] },
  });
}

/** A variant that calls a program under its own name. */
export function variantOf(
  name: string,
  node: number,
  path: string,
  more: { cniPath: string; config: string },
): Variant {
  return { name, node, path, argv: [path], ...more };
}

/** Writes host-local's files for `count` addresses of other containers. They are spread over a /16, the same every time. */
export function fillAddresses(scratch: string, network: string, count: number): void {
  const folder = join(scratch, 'lib/cni/networks', network);
  mkdirSync(folder, { recursive: true });
  for (const ip of usedAddresses(count)) {
    const owner = `${containerId(1_000_000 + Number(ip.value & 0xffffn))}\r\neth0`;
    writeFileSync(join(folder, formatIp(ip)), owner, { mode: 0o600 });
  }
}

/** Different host addresses of 10.88.0.0/16, unordered and without the gateway. */
export function usedAddresses(count: number): Ip[] {
  const random = randomNumbers(count);
  const offsets = new Set<number>();
  while (offsets.size < count) offsets.add(2 + Math.floor(random() * 65_532));
  return [...offsets].map((offset) => ({ family: 4, value: SUBNET_BASE + BigInt(offset) }));
}
