// The node's kernel and files at this moment: links, addresses, routes, the tunnels' entries, sysctls, subnet.env.

import { readFileSync } from 'node:fs';
import { errorText } from '../../../lib/errors.ts';
import type { Netlink } from '../../../lib/netlink/connection.ts';
import { listAddresses } from '../../../lib/rtnetlink/address.ts';
import { listFdb } from '../../../lib/rtnetlink/fdb.ts';
import { listLinks } from '../../../lib/rtnetlink/link.ts';
import { listNeighs } from '../../../lib/rtnetlink/neigh.ts';
import { listRoutes } from '../../../lib/rtnetlink/route.ts';
import { parseSubnetEnv, type SubnetEnv } from '../../../lib/subnet-env.ts';
import { readForeignText } from '../../../lib/sys/foreign-file.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';
import { backendOfDevice } from '../../backend/registry.ts';
import type { FileFacts, KernelFacts } from './facts.ts';
import type { Reads } from './reads.ts';

const SUBNET_ENV_BYTES = 64 * 1024;

/** Undefined when the kernel does not answer; then the doctor cannot work. */
export function kernelFacts(netlink: Netlink, reads: Reads): KernelFacts | undefined {
  const links = reads.one('the links', () => listLinks(netlink));
  if (links === undefined) return undefined;
  const tunnels = links.filter((link) => backendOfDevice(link) !== undefined).map(({ index }) => index);
  return {
    links,
    addresses: reads.one('the addresses', () => listAddresses(netlink)) ?? [],
    routes: ([4, 6] as const).flatMap(
      (family) => reads.one(`the IPv${family} routes`, () => listRoutes(netlink, { family })) ?? [],
    ),
    neighs: tunnels.flatMap((index) => reads.one('the neighbours', () => listNeighs(netlink, { index })) ?? []),
    fdb: tunnels.flatMap((index) => reads.one('the FDB', () => listFdb(netlink, { index })) ?? []),
  };
}

export function subnetEnvFacts(sys: Syscalls, file: string): FileFacts<SubnetEnv> {
  try {
    const read = readForeignText(sys, file, SUBNET_ENV_BYTES);
    if (read === undefined) return { state: 'missing' };
    if (read === 'unreadable') return { state: 'wrong', why: 'is no text' };
    return { state: 'right', value: parseSubnetEnv(read.text, file) };
  } catch (error) {
    return { state: 'wrong', why: errorText(error) };
  }
}

/** Values by name, without the names that do not exist. `devices` are those whose own settings are read too. */
export function readSysctls(names: readonly string[], devices: readonly string[]): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  const ofDevices = devices.flatMap((device) =>
    [`ipv4.conf.${sysctlName(device)}.forwarding`, `ipv4.conf.${sysctlName(device)}.rp_filter`].map(
      (name) => `net.${name}`,
    ),
  );
  for (const name of [...names, ...ofDevices]) {
    const value = sysctl(name);
    if (value !== undefined) values.set(name, value);
  }
  return values;
}

/** A device's name as a part of a sysctl's name: sysctl(8) reads a slash there as a dot. */
export function sysctlName(device: string): string {
  return device.replaceAll('.', '/');
}

function sysctl(name: string): string | undefined {
  // Swaps dots and slashes.
  const path = name.replace(/[./]/g, (sign) => (sign === '.' ? '/' : '.'));
  try {
    return readFileSync(`/proc/sys/${path}`, 'utf8').trim();
  } catch {
    return undefined;
  }
}
