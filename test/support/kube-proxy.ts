// A published kube-proxy on a lab node.

import type { LabNode } from '../lab/lab-node.ts';
import { requireServer } from './background.ts';

export const PROXY_LOG = '/run/kube-proxy.log';
export const POD_NETWORK = '10.244.0.0/16';

export type ProxyMode = 'iptables' | 'nftables';

/** Starts kube-proxy on a node. The address of the API server in the kubeconfig must be reachable there. */
export async function runKubeProxy(
  node: LabNode,
  kubeconfig: string,
  mode: ProxyMode,
  podNetworks = POD_NETWORK,
): Promise<void> {
  const flags = [
    `--kubeconfig=${kubeconfig}`,
    `--hostname-override=${node.name}`,
    `--proxy-mode=${mode}`,
    `--cluster-cidr=${podNetworks}`,
    // The lab's agents use kube-proxy's usual health port. It must not resize the conntrack table, which belongs to the whole machine.
    ...['--healthz-bind-address=127.0.0.1:10259', '--conntrack-max-per-core=0', '--conntrack-min=0'],
  ];
  await node.run(inBackground([requireServer('kube-proxy'), ...flags], PROXY_LOG));
}

/** A command that starts `argv` in the background and prints its pid. */
export function inBackground(argv: readonly string[], log: string): string[] {
  return ['sh', '-c', `setsid "$@" >${log} 2>&1 </dev/null & echo $!`, 'sh', ...argv];
}
