// Reads and writes leases of the directory store for tests. A lease is flannel's etcd value with the subnet beside it.

import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Lab } from '../lab.ts';

export interface TestLease {
  readonly subnet: string;
  readonly publicIp: string;
  /** The MAC of the VTEP. It may be any text, so that a test can write a lease that must be refused. */
  readonly mac: string;
}

/** Writes the file in one step, as an agent does. */
export function writeLease(lab: Lab, node: string, { subnet, publicIp, mac }: TestLease): void {
  const lease = { Subnet: subnet, PublicIP: publicIp, BackendType: 'vxlan', BackendData: { VNI: 1, VtepMAC: mac } };
  writeLeaseText(lab, node, JSON.stringify(lease));
}

export function writeLeaseText(lab: Lab, node: string, text: string): void {
  const temporary = join(lab.leaseFolder, `.${node}.test`);
  writeFileSync(temporary, text);
  renameSync(temporary, leasePath(lab, node));
}

export function readLeaseText(lab: Lab, node: string): string {
  return readFileSync(leasePath(lab, node), 'utf8');
}

export function readLease(lab: Lab, node: string): TestLease {
  const lease = JSON.parse(readLeaseText(lab, node)) as Record<string, unknown>;
  const data = lease['BackendData'] as Record<string, unknown>;
  return { subnet: String(lease['Subnet']), publicIp: String(lease['PublicIP']), mac: String(data['VtepMAC']) };
}

export function dropLease(lab: Lab, node: string): void {
  rmSync(leasePath(lab, node));
}

function leasePath(lab: Lab, node: string): string {
  return join(lab.leaseFolder, `${node}.json`);
}
