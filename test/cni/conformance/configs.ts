// The configurations that the contract's rows begin with, and the files that these name. All state is kept in the case's folder.

import type { JsonObject } from './attachment.ts';
import type { Trial } from './trial.ts';

/** host-local's `ipam` object: 10.1.2.0/24 unless `keys` say otherwise. An undefined key is left out. */
export function ipam(trial: Trial, keys: JsonObject = {}): JsonObject {
  return { type: 'host-local', dataDir: trial.path('networks'), ranges: [[{ subnet: '10.1.2.0/24' }]], ...keys };
}

/** Range sets that each have one subnet. */
export function sets(...subnets: readonly string[]): JsonObject[][] {
  return subnets.map((subnet) => [{ subnet }]);
}

/** A configuration of host-local alone. `keys` are added to its `ipam`. */
export function hostLocal(trial: Trial, keys: JsonObject = {}): JsonObject {
  return { cniVersion: trial.version, name: 'n1', ipam: ipam(trial, keys) };
}

/** A configuration of bridge with host-local as its IPAM plugin. */
export function bridge(trial: Trial, keys: JsonObject = {}): JsonObject {
  return { cniVersion: trial.version, name: 'n1', type: 'bridge', bridge: 'cni0', ipam: ipam(trial), ...keys };
}

/** A configuration of bridge without IPAM, and thus without addresses. */
export function layer2(trial: Trial, keys: JsonObject = {}): JsonObject {
  return bridge(trial, { ipam: undefined, ...keys });
}

/** A configuration of flannel with bridge and host-local as delegates. subnet.env is the one that writeSubnetEnv writes. */
export function flannel(trial: Trial, keys: JsonObject = {}): JsonObject {
  return {
    cniVersion: trial.version,
    name: 'n1',
    type: 'flannel',
    subnetFile: trial.path('subnet.env'),
    dataDir: trial.path('flannel'),
    ipam: { dataDir: trial.path('networks') },
    ...keys,
  };
}

const SUBNET_ENV: Readonly<Record<string, string>> = {
  FLANNEL_NETWORK: '10.1.0.0/16',
  FLANNEL_SUBNET: '10.1.17.1/24',
  FLANNEL_MTU: '1472',
  FLANNEL_IPMASQ: 'true',
};

/** Writes subnet.env and returns its path. A key that is null is left out. */
export function writeSubnetEnv(trial: Trial, keys: Readonly<Record<string, string | null>> = {}): string {
  const lines = Object.entries({ ...SUBNET_ENV, ...keys }).filter(([, value]) => value !== null);
  return trial.write('subnet.env', lines.map(([key, value]) => `${key}=${value}\n`).join(''));
}

/** A configuration with which the case's plugin does its ordinary work. */
export function ordinary(trial: Trial, keys: JsonObject = {}): JsonObject {
  if (trial.plugin === 'host-local') return { ...hostLocal(trial), ...keys };
  if (trial.plugin === 'bridge') return bridge(trial, keys);
  if (trial.plugin === 'flannel') {
    writeSubnetEnv(trial);
    return flannel(trial, keys);
  }
  return { cniVersion: trial.version, name: 'n1', type: trial.plugin, ...keys };
}

/**
 * Puts a plugin into the folder stub/. It saves its stdin as `stub/<name>.<command>.json` and then runs the shell script `script`;
 * without a script it prints nothing. Returns a CNI_PATH in which that folder comes first.
 */
export function stub(trial: Trial, name: string, script = ''): string {
  const dir = trial.path('stub');
  const record = `cat > "${dir}/${name}.$CNI_COMMAND.json"\nenv > "${dir}/${name}.$CNI_COMMAND.env"`;
  trial.write(`stub/${name}`, `#!/bin/sh\n${record}\n${script}\n`, 0o755);
  return `${dir}:${trial.bin}`;
}

/** Makes a stub that answers ADD with this result. */
export function answering(trial: Trial, name: string, result: JsonObject): string {
  return stub(trial, name, `[ "$CNI_COMMAND" = ADD ] && echo '${JSON.stringify(result)}'\nexit 0`);
}

/** What the stub received on stdin with this command; undefined when it was not called with it. */
export function sentTo(trial: Trial, name: string, command: string): JsonObject | undefined {
  const text = trial.read(`stub/${name}.${command}.json`);
  return text === undefined ? undefined : (JSON.parse(text) as JsonObject);
}
