// Makes a pod with ip(8) in the state in which the plugin before portmap leaves it, and portmap's configuration for it.

import type { JsonObject } from './attachment.ts';
import type { Trial } from './trial.ts';

export const MAPPING = { hostPort: 8080, containerPort: 80, protocol: 'tcp' } as const;

/** Sets up cni0 (10.0.0.1) on the host and eth0 (10.0.0.2) in the container. */
export async function makePod(trial: Trial, container = 'c1', address = '10.0.0.2'): Promise<void> {
  const veth = `veth${container}`;
  await trial.sh(`set -e
if ! ip link show cni0 >/dev/null 2>&1; then
  ip link add cni0 type bridge
  ip address add 10.0.0.1/24 dev cni0
  ip link set cni0 up
  echo 1 > /proc/sys/net/ipv4/ip_forward
fi
ip link add ${veth} type veth peer name eth0 netns ${container}
ip link set ${veth} master cni0 up
bridge link set dev ${veth} hairpin on
ip -n ${container} address add ${address}/24 dev eth0
ip -n ${container} link set lo up
ip -n ${container} link set eth0 up
ip -n ${container} route add default via 10.0.0.1`);
}

/** The result that the plugin before portmap would have printed. */
export function prevResult(trial: Trial, container = 'c1', address = '10.0.0.2'): JsonObject {
  const version = trial.version < '1' ? { version: '4' } : {};
  return {
    cniVersion: trial.version,
    interfaces: [{ name: `veth${container}` }, { name: 'eth0', sandbox: `/run/netns/${container}` }],
    ips: [{ ...version, address: `${address}/24`, gateway: '10.0.0.1', interface: 1 }],
  };
}

/** Makes the pod and returns portmap's configuration, which maps TCP port 8080 to 80 unless `keys` say otherwise. */
export async function chained(trial: Trial, keys: JsonObject = {}): Promise<JsonObject> {
  await makePod(trial);
  return {
    cniVersion: trial.version,
    name: 'test',
    type: 'portmap',
    backend: 'iptables',
    runtimeConfig: { portMappings: [MAPPING] },
    prevResult: prevResult(trial),
    ...keys,
  };
}
