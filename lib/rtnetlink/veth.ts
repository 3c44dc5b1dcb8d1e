// Pairs of virtual Ethernet devices. The other end is made inside another network namespace by the same message: to create both here and
// move one would take a grace period of the kernel (10–30 ms).

import type { Netlink } from '../netlink/connection.ts';
import { NLM_F_CREATE, NLM_F_ECHO, NLM_F_EXCL } from '../netlink/constants.ts';
import type { NetlinkRequest } from '../netlink/request.ts';
import {
  decodeLink,
  getLink,
  type Link,
  type LinkSpec,
  spellAttributes,
  writeIfinfomsg,
  writeLinkAttributes,
} from './link.ts';
import {
  IFF_UP,
  IFLA_INFO_DATA,
  IFLA_INFO_KIND,
  IFLA_LINKINFO,
  IFLA_NET_NS_FD,
  IFLA_NUM_RX_QUEUES,
  IFLA_NUM_TX_QUEUES,
  RTM_NEWLINK,
} from './rtnetlink-constants.ts';
import { words } from './spelling.ts';

/** Never up: the kernel makes the peer first, and refuses (ENOTCONN) to set up one that has no other end yet. */
export interface VethPeer extends Omit<LinkSpec, 'up'> {
  /** File descriptor of the namespace in which it is made; when absent, the namespace of the first end. */
  readonly netnsFd?: number;
}

export interface VethSpec extends LinkSpec {
  readonly peer: VethPeer;
  /** Transmit and receive queues of the first end; the kernel chooses when absent. */
  readonly queues?: number;
}

const VETH_INFO_PEER = 1;

/**
 * Creates both ends. The answer (NLM_F_ECHO) is the first end's Link, whose lowerIndex is the peer's index in its namespace. Kernels before
 * 6.2 do not answer; see createVeth. Same as: `ip link add NAME type veth peer name PEER netns NETNS`.
 */
export function addVeth(spec: VethSpec): NetlinkRequest {
  const { peer, queues } = spec;
  const up = spec.up === true ? IFF_UP : 0;
  return {
    type: RTM_NEWLINK,
    flags: NLM_F_CREATE | NLM_F_EXCL | NLM_F_ECHO,
    write(writer) {
      writeIfinfomsg(writer, 0, up, up);
      writeLinkAttributes(writer, spec.name, spec);
      if (queues !== undefined) {
        writer.attrU32(IFLA_NUM_TX_QUEUES, queues);
        writer.attrU32(IFLA_NUM_RX_QUEUES, queues);
      }
      writer.nest(IFLA_LINKINFO, () => {
        writer.attrText(IFLA_INFO_KIND, 'veth');
        writer.nest(IFLA_INFO_DATA, () => {
          writer.nest(VETH_INFO_PEER, () => {
            writeIfinfomsg(writer, 0, 0, 0);
            writeLinkAttributes(writer, peer.name, peer);
            if (peer.netnsFd !== undefined) writer.attrU32(IFLA_NET_NS_FD, peer.netnsFd);
          });
        });
      });
    },
    describe: () => `add link ${spec.name} type veth peer ${peer.name}`,
    command() {
      const add = words(
        'ip link add',
        spec.name,
        spellAttributes(spec),
        queues === undefined ? '' : `numtxqueues ${queues} numrxqueues ${queues}`,
        `type veth peer name ${peer.name}`,
        spellAttributes(peer),
        peer.netnsFd === undefined ? '' : `netns /proc/self/fd/${peer.netnsFd}`,
      );
      return up === 0 ? add : `${add} && ip link set ${spec.name} up`;
    },
  };
}

/** A new pair. */
export interface VethPair {
  /** The first end as it was made, before the kernel added it to a bridge and set it up. */
  readonly link: Link;
  /** The peer's index in its own namespace. */
  readonly peerIndex: number;
}

/** Creates both ends and returns them. Throws NetlinkError. */
export function createVeth(netlink: Netlink, spec: VethSpec): VethPair {
  const request = addVeth(spec);
  const link = netlink.get(request, decodeLink) ?? getLink(netlink, { name: spec.name });
  if (link?.lowerIndex === undefined) throw new Error(`${spec.name} was created and is gone`);
  return { link, peerIndex: link.lowerIndex };
}
