// One attachment: the veth pair, whose pod end is made inside the pod's netns by the same message, the bridge port, and everything inside
// the pod in one more send.

import type { Mac } from '../../lib/mac.ts';
import { type Netlink, openNetlink } from '../../lib/netlink/connection.ts';
import type { NetlinkError } from '../../lib/netlink/request.ts';
import { setBridgePort } from '../../lib/rtnetlink/bridge.ts';
import { decodeLink, deleteLink, getLink, type Link } from '../../lib/rtnetlink/link.ts';
import { IF_OPER_UP } from '../../lib/rtnetlink/rtnetlink-constants.ts';
import { addVeth, type VethSpec } from '../../lib/rtnetlink/veth.ts';
import { sleepMs } from '../../lib/sys/clock.ts';
import { EEXIST } from '../../lib/sys/errno.ts';
import { inNetns } from '../../lib/sys/netns.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';
import { because, failure } from '../protocol/error.ts';
import type { BridgeConfig } from './bridge-config.ts';

export interface AttachmentSpec {
  readonly netnsFd: number;
  readonly ifname: string;
  readonly hostName: string;
  readonly podMac: Mac;
  readonly hostMac: Mac;
  readonly bridgeIndex: number;
}

export interface VethEnds {
  readonly hostIndex: number;
  /** Index inside the pod's netns. */
  readonly podIndex: number;
}

function vethSpec(spec: AttachmentSpec, mtu: number | undefined): VethSpec {
  const size = mtu === undefined ? {} : { mtu };
  return {
    name: spec.hostName,
    mac: spec.hostMac,
    txQueueLength: 0,
    master: spec.bridgeIndex,
    up: true,
    ...size,
    peer: { name: spec.ifname, mac: spec.podMac, netnsFd: spec.netnsFd, ...size },
  };
}

/**
 * Makes the pair, makes the host end a port of the bridge and sets it up. Throws CniError 999; then nothing is left. All in one send,
 * because the port's settings address the device by the name in the first message.
 */
export function createAttachment(
  sys: Syscalls,
  netlink: Netlink,
  spec: AttachmentSpec,
  config: BridgeConfig,
): VethEnds {
  const pair = addVeth(vethSpec(spec, config.mtu));
  const port = { hairpin: config.hairpin, isolated: config.portIsolation };
  const wanted = config.hairpin || config.portIsolation;
  const requests = wanted ? [pair, setBridgePort({ name: spec.hostName }, port)] : [pair];
  let made: Link | undefined;
  const failures = netlink.execute(requests, (request, message) => {
    if (request === pair) made ??= decodeLink(message);
  });
  const refused = failures.find((failed) => failed.request === pair);
  if (refused !== undefined) throw pairError(sys, spec, refused);
  try {
    const [unset] = failures;
    if (unset !== undefined) throw because(`cannot set hairpin mode or isolation of ${spec.hostName}`, unset);
    // A kernel before 6.2 does not answer with what it has made.
    const link = made ?? getLink(netlink, { name: spec.hostName });
    if (link?.lowerIndex === undefined) throw failure(`"${spec.hostName}" was removed as soon as it was made`);
    return { hostIndex: link.index, podIndex: link.lowerIndex };
  } catch (thrown) {
    netlink.execute([deleteLink({ name: spec.hostName })]);
    throw thrown;
  }
}

function pairError(sys: Syscalls, spec: AttachmentSpec, refused: NetlinkError): Error {
  if (refused.errno === EEXIST) {
    return failure(
      `container veth name ("${spec.ifname}") peer provided ("${spec.hostName}") already exists${existingHint(sys, spec)}`,
    );
  }
  return because(`failed to make veth pair`, refused);
}

/** Says which of the two names is taken, because this decides what has to be cleaned up. */
function existingHint(sys: Syscalls, spec: AttachmentSpec): string {
  return podHasInterface(sys, spec.netnsFd, spec.ifname) ? '' : `: "${spec.hostName}" is left on the host`;
}

/** Whether the pod's netns has an interface of that name. */
export function podHasInterface(sys: Syscalls, netnsFd: number, ifname: string): boolean {
  return inNetns(sys, netnsFd, () => {
    const netlink = openNetlink(sys);
    try {
      return getLink(netlink, { name: ifname }) !== undefined;
    } finally {
      netlink.close();
    }
  });
}

const OPERSTATES = ['unknown', 'not-present', 'down', 'lower-layer-down', 'testing', 'dormant', 'up'];
/** How long to wait until a device can send, in milliseconds: doubling pauses, 2.5 s in all. */
const FIRST_PAUSE_MS = 1;
const LAST_PAUSE_MS = 1280;

/**
 * Waits until a device is operational, and returns it as the kernel has it then. The kernel notices a carrier at once, but lets the device
 * send only later, by a worker; packets that are sent before are dropped.
 */
function waitUntilUp(sys: Syscalls, netlink: Netlink, name: string, index: number): Link {
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs *= 2) {
    const link = getLink(netlink, { index });
    if (link === undefined) throw failure(`"${name}" was removed while it came up`);
    if (link.operState === IF_OPER_UP || pauseMs > LAST_PAUSE_MS) return link;
    sleepMs(sys, pauseMs);
  }
}

/** Waits until the host end forwards, and returns it as the kernel has it now. Throws CniError 999. */
export function waitForPort(sys: Syscalls, netlink: Netlink, hostName: string, index: number): Link {
  const link = waitUntilUp(sys, netlink, hostName, index);
  if (link.operState === IF_OPER_UP) return link;
  throw failure(`port ${hostName} does not come up: it is ${OPERSTATES[link.operState] ?? 'unknown'}`);
}

/** Waits until a bridge that had no port before can send. Otherwise the node's first packet to its first pod is lost. */
export function waitForBridge(sys: Syscalls, netlink: Netlink, bridge: Link): void {
  if (bridge.operState !== IF_OPER_UP) waitUntilUp(sys, netlink, bridge.name, bridge.index);
}
