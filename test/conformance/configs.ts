// The configurations the contract's rows start from, and the files they name. All state goes to the case's folder.

import type { JsonObject } from './attachment.ts';
import type { Trial } from './trial.ts';

/** host-local's `ipam` object: 10.1.2.0/24 unless `keys` say otherwise. An undefined key is left out. */
export function ipam(trial: Trial, keys: JsonObject = {}): JsonObject {
  return { type: 'host-local', dataDir: trial.path('networks'), ranges: [[{ subnet: '10.1.2.0/24' }]], ...keys };
}

/** Range sets of one subnet each. */
export function sets(...subnets: readonly string[]): JsonObject[][] {
  return subnets.map((subnet) => [{ subnet }]);
}

/** host-local alone, `keys` for its `ipam`. */
export function hostLocal(trial: Trial, keys: JsonObject = {}): JsonObject {
  return { cniVersion: trial.version, name: 'n1', ipam: ipam(trial, keys) };
}

/** bridge over host-local. */
export function bridge(trial: Trial, keys: JsonObject = {}): JsonObject {
  return { cniVersion: trial.version, name: 'n1', type: 'bridge', bridge: 'cni0', ipam: ipam(trial), ...keys };
}

/** bridge without addresses. */
export function layer2(trial: Trial, keys: JsonObject = {}): JsonObject {
  return bridge(trial, { ipam: undefined, ...keys });
}

/** flannel over bridge and host-local; subnet.env is where writeSubnetEnv puts it. */
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

/** Writes subnet.env; a null key is left out. Returns its path. */
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
 * Puts a plugin into the folder stub/ that notes what it is sent (`stub/<name>.<command>.json`) and then runs
 * `script`, a shell's; without one it says nothing. Returns a CNI_PATH with that folder first.
 */
export function stub(trial: Trial, name: string, script = ''): string {
  const dir = trial.path('stub');
  const record = `cat > "${dir}/${name}.$CNI_COMMAND.json"\nenv > "${dir}/${name}.$CNI_COMMAND.env"`;
  trial.write(`stub/${name}`, `#!/bin/sh\n${record}\n${script}\n`, 0o755);
  return `${dir}:${trial.bin}`;
}

/** A stub that answers ADD with this result. */
export function answering(trial: Trial, name: string, result: JsonObject): string {
  return stub(trial, name, `[ "$CNI_COMMAND" = ADD ] && echo '${JSON.stringify(result)}'\nexit 0`);
}

/** What the stub was sent with the command; undefined when it was not called so. */
export function sentTo(trial: Trial, name: string, command: string): JsonObject | undefined {
  const text = trial.read(`stub/${name}.${command}.json`);
  return text === undefined ? undefined : (JSON.parse(text) as JsonObject);
}
