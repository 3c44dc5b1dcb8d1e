// Finds out, once before the first case, what this machine and these executables can do.

import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { type Need, type PluginName, pluginNames } from './case.ts';
import type { Sandbox } from './sandbox.ts';
import { ALL_VERSIONS, type CniVersion } from './versions.ts';

/** Shell commands that succeed where the need is met. */
const probes: Readonly<Record<Need, string>> = {
  'vlan-filtering': 'ip link add probe0 type bridge vlan_filtering 1',
  'no-vlan-filtering': '! ip link add probe1 type bridge vlan_filtering 1',
  nft: 'nft add table inet probe && nft delete table inet probe',
  iptables: 'iptables-save -t nat && iptables -t nat -S',
  ifb: 'ip link add probe2 type ifb',
  ipv6: 'test -e /proc/sys/net/ipv6/conf/all/forwarding',
};

export interface Machine {
  /** The needs that this machine does not meet. */
  readonly missing: ReadonlySet<Need>;
  /** The CNI versions that each executable says it supports, or all versions when it does not say. No entry: no executable. */
  readonly speaks: ReadonlyMap<PluginName, readonly CniVersion[]>;
}

export async function examine(sandbox: Sandbox, executables: string): Promise<Machine> {
  const missing = new Set<Need>();
  for (const [need, script] of Object.entries(probes) as [Need, string][]) {
    const { exitCode } = await sandbox.run(['sh', '-c', script]);
    if (exitCode !== 0) missing.add(need);
  }
  const speaks = new Map<PluginName, readonly CniVersion[]>();
  for (const plugin of pluginNames) {
    if (isExecutable(join(executables, plugin))) speaks.set(plugin, await versionsOf(sandbox, plugin));
  }
  return { missing, speaks };
}

export function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

async function versionsOf(sandbox: Sandbox, plugin: string): Promise<readonly CniVersion[]> {
  const { stdout } = await sandbox.run([join(sandbox.dir, 'bin', plugin)], { env: { CNI_COMMAND: 'VERSION' } });
  try {
    const { supportedVersions } = JSON.parse(stdout) as { supportedVersions?: CniVersion[] };
    // All versions, so that every case runs: otherwise a program that is not a plugin would skip every case and thereby pass.
    return Array.isArray(supportedVersions) ? supportedVersions : ALL_VERSIONS;
  } catch {
    return ALL_VERSIONS;
  }
}
