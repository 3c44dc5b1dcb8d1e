// Reasons for which the next ADD would fail although subnet.env exists.

import { addToIp, formatIp, formatPrefix, type IpPrefix, networkOf, sameIp } from '../../lib/ip.ts';
import { openNetlink } from '../../lib/netlink/connection.ts';
import { listAddresses } from '../../lib/rtnetlink/address.ts';
import { getLink } from '../../lib/rtnetlink/link.ts';
import type { SubnetEnv } from '../../lib/subnet-env.ts';
import { readBridgeName } from '../bridge/bridge-config.ts';
import type { Invocation } from '../protocol/plugin.ts';

/** Why subnet.env and the bridge contradict each other; undefined when they do not. */
export function staleBridgeReason(delegate: Invocation, env: SubnetEnv): string | undefined {
  if (env.subnet === undefined) return undefined;
  const network = networkOf(env.subnet);
  const gateway: IpPrefix = { ip: addToIp(network.ip, 1), length: network.length };
  const name = readBridgeName(delegate);
  const netlink = openNetlink(delegate.sys);
  try {
    const link = getLink(netlink, { name });
    if (link === undefined) return undefined;
    if (link.kind !== 'bridge') return `"${name}" already exists but is not a bridge`;
    const other = listAddresses(netlink, { index: link.index, family: 4 }).find(
      (address) => !sameIp(address.ip, gateway.ip) || address.length !== gateway.length,
    );
    if (other === undefined) return undefined;
    const has = `${formatIp(other.ip)}/${other.length}`;
    return `subnet.env says ${formatPrefix(network)}, but "${name}" has ${has}: one of them is stale`;
  } finally {
    netlink.close();
  }
}
