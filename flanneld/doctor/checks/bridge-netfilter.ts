// Whether bridged packets pass netfilter. It matters only with kube-proxy: without it, a pod's answer to another pod of the same node would
// be bridged past the connection that translates it back.

import { type Draft, run } from '../draft.ts';
import type { View } from '../view/view.ts';

const KNOB = 'net.bridge.bridge-nf-call-iptables';

export function checkBridgeNetfilter({ tables, sysctls, bridge, families, node }: View): Draft[] {
  const hasServices =
    tables.chains?.some(({ table, name }) => name === 'KUBE-SERVICES' || table === 'kube-proxy') ?? false;
  if (!hasServices || bridge.ports.length === 0 || !families.some(({ family }) => family === 4)) return [];
  const value = sysctls.get(KNOB);
  if (value !== '0' && value !== undefined) return [];
  const load = value === undefined ? 'modprobe br_netfilter && ' : '';
  return [
    {
      id: 'bridge-nf-call-off',
      cause:
        'bridged packets of pods do not pass netfilter, so a Service hangs when the pod behind it is on the same node',
      evidence:
        value === undefined
          ? `${KNOB} does not exist, because br_netfilter is not loaded`
          : `${KNOB} is 0, and this node has kube-proxy’s chains`,
      fix: run(
        node,
        `${load}sysctl -w ${KNOB}=1`,
        'and write both to /etc/modules-load.d and /etc/sysctl.d for the next boot',
      ),
    },
  ];
}
