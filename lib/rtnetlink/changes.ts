// What an event of rtnetlink's multicast groups is about: enough to decide whether to look, and no more.

import { type AttributeReader, MalformedReply, type MessageReader } from '../netlink/reader.ts';
import {
  AF_BRIDGE,
  RTM_DELADDR,
  RTM_DELLINK,
  RTM_DELNEIGH,
  RTM_DELNEXTHOP,
  RTM_DELROUTE,
  RTM_NEWADDR,
  RTM_NEWLINK,
  RTM_NEWNEIGH,
  RTM_NEWNEXTHOP,
  RTM_NEWROUTE,
} from './constants.ts';
import { NHA_OIF } from './nexthop.ts';
import { RTA_OIF } from './route-message.ts';

export interface Change {
  readonly object: 'link' | 'address' | 'route' | 'nexthop' | 'neigh' | 'fdb';
  readonly removed: boolean;
  /** The device it is about; absent for blackholes, multipath routes and groups. */
  readonly index?: number;
}

/** Undefined for messages of other kinds and for what cannot be read. */
export function readChange(message: MessageReader): Change | undefined {
  try {
    return decodeChange(message);
  } catch (error) {
    if (error instanceof MalformedReply) return undefined;
    throw error;
  }
}

function decodeChange(message: MessageReader): Change | undefined {
  const { type } = message;
  switch (type) {
    case RTM_NEWLINK:
    case RTM_DELLINK: {
      const at = message.struct(16);
      // A bridge sends RTM_DELLINK of its own family for a port that only leaves it.
      const removed = type === RTM_DELLINK && message.view.getUint8(at) !== AF_BRIDGE;
      return { object: 'link', removed, index: message.view.getInt32(at + 4, true) };
    }
    case RTM_NEWADDR:
    case RTM_DELADDR:
      return { object: 'address', removed: type === RTM_DELADDR, index: indexAt(message, 8) };
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH: {
      const index = indexAt(message, 12);
      const object = message.view.getUint8(message.at) === AF_BRIDGE ? 'fdb' : 'neigh';
      return { object, removed: type === RTM_DELNEIGH, index };
    }
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
      return withDevice('route', type === RTM_DELROUTE, message.attributes(12), RTA_OIF);
    case RTM_NEWNEXTHOP:
    case RTM_DELNEXTHOP:
      return withDevice('nexthop', type === RTM_DELNEXTHOP, message.attributes(8), NHA_OIF);
    default:
      return undefined;
  }
}

/** struct ifaddrmsg and struct ndmsg both have the index at 4. */
function indexAt(message: MessageReader, structBytes: number): number {
  return message.view.getInt32(message.struct(structBytes) + 4, true);
}

function withDevice(
  object: Change['object'],
  removed: boolean,
  attributes: AttributeReader,
  deviceType: number,
): Change {
  while (attributes.next()) {
    if (attributes.type === deviceType) return { object, removed, index: attributes.u32() };
  }
  return { object, removed };
}
