// The pods' side of the node: the bridge and its ports compared with the conflist, and how many addresses are left.

import { formatPrefix, type IpPrefix } from '../../../lib/ip.ts';
import type { Netlink } from '../../../lib/netlink/connection.ts';
import { AddressStore } from '../../../lib/pods/address-store.ts';
import { statPath } from '../../../lib/sys/file.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';
import type { Options } from '../../cli/options.ts';
import { podNetworkOf } from '../../pods/gc/gc-command.ts';
import { judgeHolders } from '../../pods/gc/survey.ts';
import type { PodNetwork } from '../../pods/pod-network.ts';
import {
  type Attachment,
  listAttachments,
  type ObservedPodSide,
  observePodSide,
} from '../../pods/side/observe-pod-side.ts';
import { type WantedPodSide, wantedPodSide } from '../../pods/side/want.ts';
import type { FamilyFacts } from './facts.ts';
import type { Reads } from './reads.ts';

export interface PodSideView {
  readonly wanted: WantedPodSide;
  readonly observed: ObservedPodSide;
  readonly attachments: ReadonlyMap<string, Attachment>;
}

/** The addresses of one subnet. */
export interface PoolFacts {
  readonly subnet: string;
  readonly folder: string;
  /** How many addresses pods can get. */
  readonly size: number;
  readonly used: number;
  /** How many of the used addresses belong to pods that are provably dead; counted only when few addresses are left. */
  readonly dead: number | undefined;
}

interface Sources {
  readonly options: Options;
  readonly sys: Syscalls;
  readonly netlink: Netlink;
  readonly families: readonly FamilyFacts[];
  /** The text of the conflist in use. */
  readonly conflist: string | undefined;
  /** The network's MTU; 0 when unknown. */
  readonly mtuBytes: number;
}

export function podSideFacts({ options, sys, netlink, families, conflist, mtuBytes }: Sources, reads: Reads) {
  return reads.one('the pods’ side', (): PodSideView | undefined => {
    const known = families.flatMap(({ network, subnet }) => (subnet === undefined ? [] : [{ network, subnet }]));
    const wanted = conflist === undefined ? undefined : wantedPodSide(conflist, known, mtuBytes);
    if (wanted === undefined) return undefined;
    return {
      wanted,
      observed: observePodSide(netlink, wanted.bridge),
      attachments: listAttachments(sys, podNetworkOf(sys, options), options.cniStateDir),
    };
  });
}

/** The network's, the gateway's and the broadcast address are not for pods. */
const NOT_FOR_PODS = 3;
/** When this many addresses or fewer are left, it is worth knowing what `gc` would free. */
const FEW = 8;
/** No node has more pods than this; larger subnets are not counted. */
const LARGEST = 65_536;

export function poolFacts(options: Options, sys: Syscalls, subnets: readonly IpPrefix[], reads: Reads): PoolFacts[] {
  return subnets.flatMap((subnet) => {
    const size = 2 ** ((subnet.ip.family === 4 ? 32 : 128) - subnet.length) - NOT_FOR_PODS;
    if (size > LARGEST || size < 1) return [];
    const facts = reads.one('the address files', () => pool(options, sys, subnet, size));
    return facts === undefined ? [] : [facts];
  });
}

function pool(options: Options, sys: Syscalls, subnet: IpPrefix, size: number): PoolFacts | undefined {
  const pods = podNetworkOf(sys, options);
  const { addressFolder: folder } = pods;
  if (statPath(sys, folder) === undefined) return undefined;
  const store = new AddressStore(sys, folder);
  const used = store.holdings().filter(({ ip }) => ip.family === subnet.ip.family).length;
  const dead = size - used <= FEW ? deadIn(options, sys, pods, store) : undefined;
  return { subnet: formatPrefix(subnet), folder, size, used, dead };
}

function deadIn(
  { cniStateDir, netnsDir }: Options,
  sys: Syscalls,
  pods: PodNetwork,
  store: AddressStore,
): number | undefined {
  try {
    const judged = judgeHolders(sys, { pods, cniStateDir, netnsDir }, store);
    return judged.filter(({ verdict }) => verdict.isDead).flatMap(({ holder }) => holder.ips).length;
  } catch {
    return undefined;
  }
}
