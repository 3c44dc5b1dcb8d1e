// Bridges and their ports (linux/if_link.h IFLA_BR_, IFLA_BRPORT_).

import type { NetlinkRequest } from '../netlink/request.ts';
import { type BridgePort, spellBridgePort, writeBridgePort } from './bridge-port.ts';
import { addLink, type LinkRef, type LinkSpec, spellLink, writeIfinfomsg } from './link.ts';
import {
  IFLA_BR_VLAN_FILTERING,
  IFLA_IFNAME,
  IFLA_INFO_SLAVE_DATA,
  IFLA_INFO_SLAVE_KIND,
  IFLA_LINKINFO,
  RTM_NEWLINK,
} from './rtnetlink-constants.ts';

export interface BridgeSpec extends LinkSpec {
  readonly vlanFiltering?: boolean;
}

/**
 * Creates a bridge. The kernel does not treat an MTU given here as set by the user: the bridge falls back to 1500 when its last port goes,
 * unless setLink sets the MTU once more. Same as: `ip link add NAME type bridge`.
 */
export function addBridge(spec: BridgeSpec): NetlinkRequest {
  const { vlanFiltering } = spec;
  if (vlanFiltering === undefined) return addLink(spec, 'bridge');
  const value = Number(vlanFiltering);
  return addLink(spec, 'bridge', (writer) => writer.attrU8(IFLA_BR_VLAN_FILTERING, value), `vlan_filtering ${value}`);
}

/**
 * Sets attributes of a device that is already a port of a bridge. With a name it can be sent together with the request that creates the
 * device. Same as: `ip link set NAME type bridge_slave hairpin on`.
 */
export function setBridgePort(link: LinkRef, port: BridgePort): NetlinkRequest {
  const object = (): string => `link ${spellLink(link)} type bridge_slave ${spellBridgePort(port)}`;
  return {
    type: RTM_NEWLINK,
    flags: 0,
    write(writer) {
      writeIfinfomsg(writer, link.index ?? 0, 0, 0);
      if (link.index === undefined && link.name !== undefined) writer.attrText(IFLA_IFNAME, link.name);
      writer.nest(IFLA_LINKINFO, () => {
        writer.attrText(IFLA_INFO_SLAVE_KIND, 'bridge');
        writer.nest(IFLA_INFO_SLAVE_DATA, () => writeBridgePort(writer, port));
      });
    },
    describe: () => `set ${object()}`,
    command: () => `ip link set ${object().slice('link '.length)}`,
  };
}
