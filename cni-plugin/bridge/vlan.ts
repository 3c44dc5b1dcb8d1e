// VLANs of a bridge's ports: which tags a pod sees, and the interface that has its gateway address (linux/if_bridge.h;
// containernetworking/plugins plugins/main/bridge, setupVlan and ensureVlanInterface).

import type { Ip } from '../../lib/ip.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import type { MessageReader } from '../../lib/netlink/reader.ts';
import type { NetlinkRequest } from '../../lib/netlink/request.ts';
import type { MessageWriter } from '../../lib/netlink/writer.ts';
import { hostVethName, podMac } from '../../lib/pods/names.ts';
import { getLink, type Link, setLink } from '../../lib/rtnetlink/link.ts';
import { AF_BRIDGE, IFLA_EXT_MASK, RTM_GETLINK } from '../../lib/rtnetlink/rtnetlink-constants.ts';
import { createVeth } from '../../lib/rtnetlink/veth.ts';
import { EOPNOTSUPP } from '../../lib/sys/errno.ts';
import { because, CniError, failure, UNTYPED } from '../protocol/error.ts';
import type { BridgeConfig } from './bridge-config.ts';

const RTM_SETLINK = 19;
const RTM_DELLINK = 17;
const IFLA_AF_SPEC = 26;
const IFLA_BRIDGE_FLAGS = 0;
const IFLA_BRIDGE_VLAN_INFO = 2;
const BRIDGE_FLAGS_MASTER = 1;
const RTEXT_FILTER_BRVLAN = 2;
const BRIDGE_VLAN_INFO_PVID = 2;
const BRIDGE_VLAN_INFO_UNTAGGED = 4;
const IFINFOMSG = 16;
/** The VLAN in which a port starts, and to which untagged frames of a trunk belong. */
const DEFAULT_VLAN = 1;

/** One VLAN of a port. */
export interface PortVlan {
  readonly id: number;
  /** BRIDGE_VLAN_INFO_ */
  readonly flags: number;
}

const TAGGED = 0;
const NATIVE = BRIDGE_VLAN_INFO_PVID | BRIDGE_VLAN_INFO_UNTAGGED;

/** The details of the error when the kernel has no VLAN filtering. */
export const NO_VLAN_FILTERING = 'this kernel has no bridge VLAN filtering (CONFIG_BRIDGE_VLAN_FILTERING)';

/** Whether the configuration uses VLANs. */
export function usesVlans(config: BridgeConfig): boolean {
  return config.vlan !== 0 || config.trunk.length > 0;
}

function writeHeader(writer: MessageWriter, index: number): void {
  writer.u32(AF_BRIDGE);
  writer.u32(index);
  writer.u32(0);
  writer.u32(0);
}

function vlanRequest(verb: 'add' | 'delete', index: number, dev: string, vlan: PortVlan): NetlinkRequest {
  return {
    type: verb === 'add' ? RTM_SETLINK : RTM_DELLINK,
    flags: 0,
    write(writer) {
      writeHeader(writer, index);
      writer.nest(IFLA_AF_SPEC, () => {
        writer.attrU16(IFLA_BRIDGE_FLAGS, BRIDGE_FLAGS_MASTER);
        // struct bridge_vlan_info: u16 flags, u16 vid
        writer.attrU32(IFLA_BRIDGE_VLAN_INFO, vlan.flags | (vlan.id << 16));
      });
    },
    describe: () => `${verb} vlan ${vlan.id} dev ${dev}`,
  };
}

/** Same as: `bridge vlan add dev DEV vid ID [pvid untagged] master`. */
function addPortVlan(index: number, dev: string, vlan: PortVlan): NetlinkRequest {
  return vlanRequest('add', index, dev, vlan);
}

/** Same as: `bridge vlan del dev DEV vid ID master`. */
function deletePortVlan(index: number, dev: string, id: number): NetlinkRequest {
  return vlanRequest('delete', index, dev, { id, flags: TAGGED });
}

function decodeVlanIds(message: MessageReader, index: number): number[] {
  const at = message.struct(IFINFOMSG);
  const ids: number[] = [];
  if (message.view.getInt32(at + 4, true) !== index) return ids;
  const attributes = message.attributes(IFINFOMSG);
  while (attributes.next()) {
    if (attributes.type !== IFLA_AF_SPEC) continue;
    const spec = attributes.nested();
    while (spec.next()) if (spec.type === IFLA_BRIDGE_VLAN_INFO) ids.push(spec.u32() >>> 16);
  }
  return ids;
}

/** The VLANs a port is in. Same as: `bridge vlan show dev DEV`. */
function listPortVlans(netlink: Netlink, index: number): number[] {
  const request: NetlinkRequest = {
    type: RTM_GETLINK,
    flags: 0,
    write(writer) {
      writeHeader(writer, 0);
      writer.attrU32(IFLA_EXT_MASK, RTEXT_FILTER_BRVLAN);
    },
    describe: () => 'list vlans',
  };
  return netlink.dump(request, (message) => decodeVlanIds(message, index)).flat();
}

/** The VLANs that a pod's port must be in: its own untagged, those of the trunk tagged. A trunk without its own VLAN gets VLAN 1. */
function wantedVlans(config: BridgeConfig): PortVlan[] {
  const trunk = config.trunk.map((id) => ({ id, flags: TAGGED }));
  const native = config.vlan !== 0 ? config.vlan : DEFAULT_VLAN;
  return [...trunk, { id: native, flags: NATIVE }];
}

/** Puts a port into its VLANs, and removes it from the one that the bridge put it into. Throws CniError 999. */
export function setPortVlans(netlink: Netlink, index: number, dev: string, config: BridgeConfig): void {
  if (!usesVlans(config)) return;
  const wanted = wantedVlans(config);
  const born = config.preserveDefaultVlan ? [] : listPortVlans(netlink, index);
  const requests = [
    ...born.map((id) => deletePortVlan(index, dev, id)),
    ...wanted.map((vlan) => addPortVlan(index, dev, vlan)),
  ];
  const [failed] = netlink.execute(requests);
  if (failed === undefined) return;
  const what = `cannot put ${JSON.stringify(dev)} into its VLANs`;
  if (failed.errno !== EOPNOTSUPP) throw because(what, failed);
  throw new CniError(UNTYPED, `${what}: operation not supported`, NO_VLAN_FILTERING);
}

/**
 * The interface that carries a VLAN's gateway addresses, `<bridge>.<vlan>`: one end of a pair whose other end
 * is a port in that VLAN. Made when it is missing.
 */
export function ensureVlanInterface(netlink: Netlink, bridge: Link, config: BridgeConfig, gateway: Ip): Link {
  const name = `${config.bridge}.${config.vlan}`;
  const found = getLink(netlink, { name });
  if (found !== undefined) return found;
  const port = hostVethName(config.bridge, `.${config.vlan}`);
  const mtu = { mtu: bridge.mtu };
  const peer = { name, mac: podMac(gateway), ...mtu };
  try {
    const { link, peerIndex } = createVeth(netlink, {
      name: port,
      master: bridge.index,
      up: true,
      txQueueLength: 0,
      ...mtu,
      peer,
    });
    netlink.run(setLink({ index: peerIndex, up: true }));
    setPortVlans(netlink, link.index, port, { ...config, trunk: [] });
  } catch (thrown) {
    throw because(`cannot make the VLAN's interface ${JSON.stringify(name)}`, thrown);
  }
  const made = getLink(netlink, { name });
  if (made === undefined)
    throw failure(`the VLAN's interface ${JSON.stringify(name)} was removed as soon as it was made`);
  return made;
}
