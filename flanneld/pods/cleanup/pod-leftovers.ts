// What the CNI executable has made for pods together: the bridge, the records of addresses and attachments, the table of
// port mappings. It goes when no pod is attached; else it stays, because taking it away would cut pods off half-way.

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
  // Of a bridge that is another network's, the records may be, too.
  if (ours || (bridge === undefined && gateways(scope, tools).length > 0)) {
    const networks = `${scope.cniStateDir}/networks`;
    const own = [`${networks}/${network}`, `${scope.cniStateDir}/flannel`].filter(isThere);
    // Other networks' records lie beside ours, if there are any.
    const others = (listDir(sys, networks) ?? []).some((name) => name !== network);
    const directories = others || !isThere(networks) ? own : [...own, networks];
    found.push(...directories.map(directoryLeftover).map(shared));
  }
  // Last: it tells that the bridge is ours, also to a second clean-up after the pods have gone.
  if (isThere(scope.subnetFile)) found.push(shared(fileLeftover(sys, scope.subnetFile)));
  if (attached === 0) return found;
  const kept = `${attached} ${attached === 1 ? 'pod is' : 'pods are'} attached to ${bridgeName}`;
  return found.map((leftover) => ({ ...leftover, kept }));
}

function shared(leftover: Leftover): Leftover {
  return { ...leftover, isShared: true };
}

/** The bridge has the address that is the gateway of this node's subnet: a bridge of that name alone may be anybody's. */
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
