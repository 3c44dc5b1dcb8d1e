// Intermediate functional blocks: devices that hand packets back after their own queue, so that arriving packets can be
// queued (linux drivers/net/ifb.c). The alias says which container a device belongs to.

import type { Netlink } from '../netlink/connection.ts';
import { NLM_F_DUMP, NLM_F_ECHO } from '../netlink/constants.ts';
import type { MessageReader } from '../netlink/reader.ts';
import type { NetlinkRequest } from '../netlink/request.ts';
import { addLink, decodeLink, getLink, type Link, type LinkSpec, writeIfinfomsg } from './link.ts';
import { IFLA_INFO_KIND, IFLA_LINKINFO, RTM_GETLINK, RTM_NEWLINK } from './rtnetlink-constants.ts';

const IFLA_IFALIAS = 20;
/** Bytes of struct ifinfomsg. */
const IFINFOMSG = 16;

/** Creates a device and returns it. Throws NetlinkError, EEXIST. Same as: `ip link add NAME type ifb`. */
export function createIfb(netlink: Netlink, spec: LinkSpec): Link {
  const request = addLink(spec, 'ifb');
  // Kernels before 6.2 do not echo what they have made.
  const link = netlink.get({ ...request, flags: request.flags | NLM_F_ECHO }, decodeLink);
  const found = link ?? getLink(netlink, { name: spec.name });
  if (found === undefined) throw new Error(`${spec.name} was created and is gone`);
  return found;
}

/** At most 255 characters of ASCII. Same as: `ip link set NAME alias TEXT`. */
export function setAlias(index: number, name: string, alias: string): NetlinkRequest {
  return {
    type: RTM_NEWLINK,
    flags: 0,
    write(writer) {
      writeIfinfomsg(writer, index, 0, 0);
      writer.attrText(IFLA_IFALIAS, alias);
    },
    describe: () => `set link ${name} alias ${alias}`,
    command: () => `ip link set ${name} alias '${alias}'`,
  };
}

export interface Ifb {
  readonly index: number;
  readonly name: string;
  /** '' without an alias. */
  readonly alias: string;
}

/** Same as: `ip link show type ifb`. */
export function listIfbs(netlink: Netlink): Ifb[] {
  const request: NetlinkRequest = {
    type: RTM_GETLINK,
    flags: NLM_F_DUMP,
    write(writer) {
      writeIfinfomsg(writer, 0, 0, 0);
      writer.nest(IFLA_LINKINFO, () => writer.attrText(IFLA_INFO_KIND, 'ifb'));
    },
    describe: () => 'list links type ifb',
  };
  return netlink.dump(request, (message) => {
    const { index, name, kind } = decodeLink(message);
    // A kernel without such a filter sends all devices.
    return kind === 'ifb' ? { index, name, alias: decodeAlias(message) } : undefined;
  });
}

function decodeAlias(message: MessageReader): string {
  const attributes = message.attributes(IFINFOMSG);
  while (attributes.next()) if (attributes.type === IFLA_IFALIAS) return attributes.text();
  return '';
}
