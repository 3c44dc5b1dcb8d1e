// What the CNI executable has made for pods together: the bridge, the records of addresses and attachments, the table of
// port mappings. It goes when no pod is attached; else it stays, because taking it away would cut pods off half-way.

import type { IpPrefix } from '../../lib/ip.ts';
import { sameIp } from '../../lib/ip.ts';
import { field, isJsonObject, type JsonObject, type JsonValue, parseJson } from '../../lib/json.ts';
import { listAddresses } from '../../lib/rtnetlink/address.ts';
import { deleteLink, getLink, type Link, listLinks } from '../../lib/rtnetlink/link.ts';
import { parseSubnetEnv } from '../../lib/subnet-env.ts';
import { listDir, readTextIfPresent, statPath } from '../../lib/sys/file.ts';
import { ourConflists } from '../conflist.ts';
import { socketPathFor } from '../status/socket.ts';
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
  const { network, bridge: bridgeName } = namesInConflist(scope, tools);
  const bridge = getLink(netlink, { name: bridgeName });
  const ours = bridge !== undefined && isOurs(bridge, scope, tools);
  const attached = ours ? listLinks(netlink, { master: bridge.index }).length : 0;
  const found: Leftover[] = [];
  const isThere = (path: string): boolean => statPath(sys, path) !== undefined;
  if (ours) {
    const remove = (): void => netlink.run(deleteLink({ index: bridge.index, name: bridge.name }));
    found.push({ text: `link ${bridge.name}`, remove });
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
    found.push(...directories.map(directoryLeftover));
  }
  // Last: it tells that the bridge is ours, also to a second clean-up after the pods have gone.
  const files = [socketPathFor(scope.subnetFile), scope.subnetFile].filter(isThere);
  found.push(...files.map((file) => fileLeftover(sys, file)));
  if (attached === 0) return found;
  const kept = `${attached} ${attached === 1 ? 'pod is' : 'pods are'} attached to ${bridgeName}`;
  return found.map((leftover) => ({ ...leftover, kept }));
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

/** What the conflist calls network and bridge; flannel's names where there is none or it does not say. */
function namesInConflist({ cniConfDir }: CleanupScope, { sys }: CleanupTools): { network: string; bridge: string } {
  const roots = ourConflists(sys, cniConfDir).map(({ text }) => objectIn(text));
  const names = roots.map((root) => root && field(root, 'name')).filter((name) => typeof name === 'string');
  const bridges = roots.map((root) => root && bridgeIn(root)).filter((name) => typeof name === 'string');
  return { network: names.find(isFileName) ?? 'cbr0', bridge: bridges[0] ?? 'cni0' };
}

function bridgeIn(root: JsonObject): JsonValue | undefined {
  const plugins = field(root, 'plugins');
  if (!Array.isArray(plugins)) return undefined;
  const flannel = plugins.filter(isJsonObject).find((plugin) => field(plugin, 'type') === 'flannel');
  const delegate = flannel && field(flannel, 'delegate');
  return isJsonObject(delegate) ? field(delegate, 'bridge') : undefined;
}

function objectIn(text: string): JsonObject | undefined {
  try {
    const root = parseJson(text);
    return isJsonObject(root) ? root : undefined;
  } catch {
    return undefined;
  }
}

/** A name becomes part of a path that is removed with everything in it. */
function isFileName(name: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(name);
}
