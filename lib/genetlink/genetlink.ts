// Generic netlink: families of messages that have names instead of numbers (genetlink(7); linux/genetlink.h).

import { type Netlink, netlinkOver } from '../netlink/connection.ts';
import { NETLINK_GENERIC } from '../netlink/constants.ts';
import { openNetlinkSocket, type SocketOptions } from '../netlink/netlink-socket.ts';
import type { MessageWriter } from '../netlink/writer.ts';
import { ENOENT } from '../sys/errno.ts';
import type { Syscalls } from '../sys/syscalls.ts';

/** struct genlmsghdr: u8 cmd, u8 version, u16 reserved. */
export const GENLMSGHDR_BYTES = 4;

const GENL_ID_CTRL = 16;
const CTRL_CMD_GETFAMILY = 3;
const CTRL_VERSION = 2;
const CTRL_ATTR_FAMILY_ID = 1;
const CTRL_ATTR_FAMILY_NAME = 2;

/** Opens a generic netlink socket in the current network namespace. Throws SysError. */
export function openGenetlink(sys: Syscalls, options: SocketOptions = {}): Netlink {
  return netlinkOver(openNetlinkSocket(sys, NETLINK_GENERIC, options), 'genetlink');
}

export function writeGenlmsghdr(writer: MessageWriter, command: number, version: number): void {
  writer.u8(command);
  writer.u8(version);
  writer.u16(0);
}

/**
 * The message type of a family, which differs from boot to boot. The kernel loads the family's module if it can. Undefined
 * when the kernel has no such family. Throws NetlinkError.
 */
export function familyId(netlink: Netlink, name: string): number | undefined {
  return netlink.get(
    {
      type: GENL_ID_CTRL,
      flags: 0,
      write(writer) {
        writeGenlmsghdr(writer, CTRL_CMD_GETFAMILY, CTRL_VERSION);
        writer.attrText(CTRL_ATTR_FAMILY_NAME, name);
      },
      describe: () => `get family ${name}`,
    },
    (message) => {
      const attributes = message.attributes(GENLMSGHDR_BYTES);
      while (attributes.next()) if (attributes.type === CTRL_ATTR_FAMILY_ID) return attributes.u16();
      return undefined;
    },
    [ENOENT],
  );
}
