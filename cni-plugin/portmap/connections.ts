// Deletes tracked UDP connections. UDP has no end of a connection, so one lasts as long as the client sends, and its packets keep the
// destination that the port had when it began. A failure is noted on stderr and has no other effect.

import { errorText } from '../../lib/errors.ts';
import { type Ip, type IpPrefix, sameIp } from '../../lib/ip.ts';
import { deleteConnection, leadsTo, listUdpConnections } from '../../lib/netfilter/conntrack.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import { ENOENT } from '../../lib/sys/errno.ts';
import type { Invocation } from '../protocol/plugin.ts';
import { mappingsOf, type PortmapConfig } from './portmap-config.ts';

/** UDP connections to a port of the host that lead, or do not lead, to a container. */
export interface Stale {
  readonly port: number;
  readonly container: Ip;
  readonly leads: 'there' | 'elsewhere';
  /** Only those to this address of the host. */
  readonly hostIp?: Ip | undefined;
}

function forgetOne(netlink: Netlink, stale: Stale): void {
  const { port, container, leads, hostIp } = stale;
  const connections = listUdpConnections(netlink, container.family, port).filter(
    (connection) =>
      leadsTo(connection, container) === (leads === 'there') &&
      (hostIp === undefined || sameIp(connection.original.destination, hostIp)),
  );
  for (const failed of netlink.execute(connections.map(deleteConnection))) {
    if (failed.errno !== ENOENT) throw failed;
  }
}

/** Deletes all of them; a failure does not stop the others. */
export function forgetConnections(invocation: Invocation, netlink: Netlink, stale: readonly Stale[]): void {
  for (const one of stale) {
    try {
      forgetOne(netlink, one);
    } catch (thrown) {
      invocation.note(`UDP connections of host port ${one.port} could not be forgotten: ${errorText(thrown)}`);
    }
  }
}

/** The connections that lead elsewhere, once the mappings lead to these containers. */
export function staleAfterAdd(config: PortmapConfig, containers: readonly IpPrefix[]): Stale[] {
  return containers.flatMap(({ ip }) =>
    mappingsOf(config, ip.family)
      .filter(({ protocol }) => protocol === 'udp')
      .map(({ hostPort, hostIp }) => ({ port: hostPort, container: ip, leads: 'elsewhere' as const, hostIp })),
  );
}
