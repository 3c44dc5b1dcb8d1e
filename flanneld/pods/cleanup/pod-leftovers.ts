// What the CNI executable has made for all pods: the bridge, the records of addresses and attachments, the table of port mappings.
// It is removed when no pod is attached; otherwise it stays, because removing it would cut off these pods.

import type { IpPrefix } from '../../../lib/ip.ts';
import { sameIp } from '../../../lib/ip.ts';
import { listAddresses } from '../../../lib/rtnetlink/address.ts';
import { deleteLink, getLink, type Link, listLinks } from '../../../lib/rtnetlink/link.ts';
import { parseSubnetEnv } from '../../../lib/subnet-env.ts';
import { listDir, readTextIfPresent, statPath } from '../../../lib/sys/file.ts';
import { ourConflists } from '../../cni/conflist.ts';
import { podNetworkIn } from '../pod-network.ts';
import {
  type CleanupScope,
  type CleanupTools,
  directoryLeftover,
  fileLeftover,
  type Leftover,
  tableLeftover,
} from './leftover.ts';

const PORT_TABLE = { family: 'inet', name: 'weft_portmap' };
const MAX_BYTES = 64 * 1024;

export async function podLeftovers(scope: CleanupScope, tools: CleanupTools): Promise<Leftover[]> {
  const { sys, netlink, nft } = tools;
  const conflists = ourConflists(sys, scope.cniConfDir).map(({ text }) => text);
  const { network, bridge: bridgeName } = podNetworkIn(conflists, scope.cniStateDir);
  const bridge = getLink(netlink, { name: bridgeName });
  const ours = bridge !== undefined && isOurs(bridge, scope, tools);
  const attached = ours ? listLinks(netlink, { master: bridge.index }).length : 0;
  const found: Leftover[] = [];
  const isThere = (path: string): boolean => statPath(sys, path) !== undefined;
  if (ours) {
    const remove = (): void => netlink.run(deleteLink({ index: bridge.index, name: bridge.name }));
    found.push({ text: `link ${bridge.name}`, remove, isShared: true });
  }
  if ((await nft.list(PORT_TABLE.family, PORT_TABLE.name)) !== undefined) {
    found.push(tableLeftover(nft, PORT_TABLE.family, PORT_TABLE.name));
  }
  // If the bridge belongs to another network, the records may belong to it, too.
  if (ours || (bridge === undefined && gateways(scope, tools).length > 0)) {
    const networks = `${scope.cniStateDir}/networks`;
    const own = [`${networks}/${network}`, `${scope.cniStateDir}/flannel`].filter(isThere);
    // The common folder stays if it has records of other networks.
    const others = (listDir(sys, networks) ?? []).some((name) => name !== network);
    const directories = others || !isThere(networks) ? own : [...own, networks];
    found.push(...directories.map(directoryLeftover).map(shared));
  }
  // subnet.env comes last: it shows that the bridge is ours, which a second clean-up after the pods have gone needs.
  if (isThere(scope.subnetFile)) found.push(shared(fileLeftover(sys, scope.subnetFile)));
  if (attached === 0) return found;
  const kept = `${attached} ${attached === 1 ? 'pod is' : 'pods are'} attached to ${bridgeName}`;
  return found.map((leftover) => ({ ...leftover, kept }));
}

function shared(leftover: Leftover): Leftover {
  return { ...leftover, isShared: true };
}

/** Whether the bridge has the gateway address of this node's subnet; the name alone does not show that it is ours. */
function isOurs(bridge: Link, scope: CleanupScope, tools: CleanupTools): boolean {
  if (bridge.kind !== 'bridge') return false;
  const own = gateways(scope, tools);
  return listAddresses(tools.netlink, { index: bridge.index }).some(({ ip }) =>
    own.some((gateway) => sameIp(gateway.ip, ip)),
  );
}

function gateways({ subnetFile }: CleanupScope, { sys }: CleanupTools): IpPrefix[] {
  const text = readTextIfPresent(sys, subnetFile, MAX_BYTES);
  if (text === undefined) return [];
  const { subnet, ipv6Subnet } = parseSubnetEnv(text, subnetFile);
  return [subnet, ipv6Subnet].filter((prefix) => prefix !== undefined);
}
