// A kubelet in a lab node. kubelet would write to settings of the whole machine, so mounts in the node cover these.

import type { LabNode } from '../../lab/lab-node.ts';
import { CGROUP_PARENT } from '../containerd/cgroups.ts';

export const KUBELET_LOG = '/run/kubelet.log';
/** The address at which pods look for cluster DNS, whether it is there or not. */
export const DNS_SERVICE_IP = '10.96.0.10';
const CONFIG_FILE = '/etc/kubelet.json';

// setupKernelTunables (Kubernetes, pkg/kubelet/cm) writes to those of these files whose values differ from what it wants.
const TUNABLES = [
  'vm/overcommit_memory',
  'vm/panic_on_oom',
  'kernel/panic',
  'kernel/panic_on_oops',
  'kernel/keys/root_maxkeys',
  'kernel/keys/root_maxbytes',
];

// A lab node has the cgroups of the machine, of version 1 or 2, and shares the machine with other programs. So nothing is reserved,
// limited or evicted.
const config = {
  kind: 'KubeletConfiguration',
  apiVersion: 'kubelet.config.k8s.io/v1beta1',
  authentication: { anonymous: { enabled: true }, webhook: { enabled: false } },
  authorization: { mode: 'AlwaysAllow' },
  clusterDNS: [DNS_SERVICE_IP],
  clusterDomain: 'cluster.local',
  cgroupDriver: 'cgroupfs',
  cgroupRoot: CGROUP_PARENT,
  cgroupsPerQOS: false,
  enforceNodeAllocatable: [],
  failCgroupV1: false,
  failSwapOn: false,
  containerRuntimeEndpoint: 'unix:///run/containerd/containerd.sock',
  evictionHard: {
    'memory.available': '0%',
    'nodefs.available': '0%',
    'nodefs.inodesFree': '0%',
    'imagefs.available': '0%',
  },
  makeIPTablesUtilChains: false,
  registerWithTaints: [],
  localStorageCapacityIsolation: false,
  volumePluginDir: '/run/kubelet/plugins',
  nodeStatusUpdateFrequency: '2s',
  syncFrequency: '2s',
};

interface KubeletOptions {
  readonly program: string;
  readonly kubeconfig: string;
  readonly port: number;
  /** The node's addresses, one of each family. */
  readonly addresses: readonly string[];
}

/** Resolves when kubelet has been started. */
export async function startKubelet(
  node: LabNode,
  { program, kubeconfig, port, addresses }: KubeletOptions,
): Promise<void> {
  node.writeFile(CONFIG_FILE, JSON.stringify({ ...config, port }));
  await node.run(['sh', '-ec', covers().join('\n')]);
  const flags = [
    `--config=${CONFIG_FILE}`,
    `--kubeconfig=${kubeconfig}`,
    `--hostname-override=${node.name}`,
    `--node-ip=${addresses.join()}`,
    '--root-dir=/run/kubelet',
    '--cert-dir=/run/kubelet/pki',
  ];
  await node.run(['sh', '-c', `setsid "$@" >>${KUBELET_LOG} 2>&1 </dev/null &`, 'sh', program, ...flags]);
}

/** Mounts that cover in the node what belongs to the machine: the pods' logs and settings of the kernel. */
function covers(): string[] {
  const tunables = TUNABLES.map((name, at) => {
    const [cover, file] = [`/run/tunable-${at}`, `/proc/sys/${name}`];
    return `cat ${file} >${cover}; mount --bind ${cover} ${file}`;
  });
  return ['mount -t tmpfs tmpfs /var/log', ...tunables];
}
