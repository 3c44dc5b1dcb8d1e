// subnet.env, which every new pod needs: whether it exists, and whether it agrees with this node's lease.

import { formatPrefix, networkOf, samePrefix } from '../../../lib/ip.ts';
import type { Draft } from '../draft.ts';
import type { View } from '../view/view.ts';

export function checkSubnetFile(view: View): Draft[] {
  const { subnetEnv, subnetFile, node } = view;
  if (subnetEnv.state === 'right') return differing(view);
  const why = subnetEnv.state === 'missing' ? 'no such file' : subnetEnv.why;
  return [
    {
      id: 'subnet-env-missing',
      cause: `the file ${subnetFile}, which new pods need, is ${subnetEnv.state === 'missing' ? 'missing' : 'unreadable'}`,
      evidence: `${subnetFile}: ${why}`,
      fix: `on ${node}: restart the agent, which writes the file once this node forwards`,
    },
  ];
}

function differing({ subnetEnv, subnetFile, node, families }: View): Draft[] {
  if (subnetEnv.state !== 'right') return [];
  const { subnet, ipv6Subnet } = subnetEnv.value;
  return families.flatMap(({ family, subnet: leased }) => {
    const written = family === 4 ? subnet : ipv6Subnet;
    if (leased === undefined || (written !== undefined && samePrefix(networkOf(written), leased))) return [];
    const says = written === undefined ? `no IPv${family} subnet` : formatPrefix(written);
    return [
      {
        id: 'subnet-env-differs',
        cause: `${subnetFile} names another subnet than this node’s lease, so other nodes do not reach new pods`,
        evidence: `the file says ${says}, the lease ${formatPrefix(leased)}`,
        fix: `on ${node}: stop the other flannel that writes the file, then restart the agent, which writes it anew`,
      },
    ];
  });
}
