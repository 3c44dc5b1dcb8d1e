// How many addresses are left for pods.

import { type Draft, run } from '../draft.ts';
import type { PoolFacts } from '../view/pod-facts.ts';
import type { View } from '../view/view.ts';

/** Warn when this share of the addresses is used. */
const NEARLY = 0.95;

export function checkAddressPool({ pools, node }: View): Draft[] {
  return pools.filter(({ used, size }) => used >= size || used / size >= NEARLY).map((pool) => finding(pool, node));
}

function finding({ subnet, folder, size, used, dead }: PoolFacts, node: string): Draft {
  const isFull = used >= size;
  const freeable = dead === undefined ? '' : `; ${dead} of them belong to pods that are provably gone`;
  return {
    id: 'address-pool-exhausted',
    ...(!isFull && { severity: 'warning' }),
    cause: isFull
      ? `every address of ${subnet} is in use, so no new pod starts on this node`
      : `nearly every address of ${subnet} is in use`,
    evidence: `${used} of ${size} addresses have a file in ${folder}${freeable}`,
    fix:
      dead === undefined || dead > 0
        ? run(node, 'flanneld gc', 'if that is not enough, larger podCIDRs or fewer pods on this node')
        : `on ${node}: use larger podCIDRs (--node-cidr-mask-size) or fewer pods on this node`,
  };
}
