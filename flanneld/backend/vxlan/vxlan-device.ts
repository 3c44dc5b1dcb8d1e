// The VXLAN device: decides its properties and whether an existing device can be kept, and makes or changes it
// (flannel pkg/backend/vxlan/device.go; drivers/net/vxlan).

import { OpError } from '../../../lib/errors.ts';
import { type Family, formatIp, type Ip, sameIp } from '../../../lib/ip.ts';
import type { Mac } from '../../../lib/mac.ts';
import type { Netlink } from '../../../lib/netlink/connection.ts';
import { NetlinkError, type NetlinkRequest } from '../../../lib/netlink/request.ts';
import { deleteLink, getLink, type Link, type LinkChange, listLinks, setLink } from '../../../lib/rtnetlink/link.ts';
import { IFF_UP } from '../../../lib/rtnetlink/rtnetlink-constants.ts';
import { addVxlan, moveVxlan } from '../../../lib/rtnetlink/vxlan.ts';
import type { VxlanAttributes } from '../../../lib/rtnetlink/vxlan-attributes.ts';
import { EADDRINUSE, EEXIST } from '../../../lib/sys/errno.ts';
import type { Device } from '../../dataplane/objects/kind.ts';
import { tunnelMtu } from '../tunnel-mtu.ts';

/** VXLAN header 8 + UDP 8 + inner Ethernet 14, and the outer IP header: 20 or 40 (RFC 7348 §5). */
export function vxlanOverheadBytes(underlay: Family): number {
  return underlay === 4 ? 50 : 70;
}

/** `flannel.1`; `flannel-v6.1` carries the IPv6 overlay. */
export function vxlanDeviceName(family: Family, vni: number): string {
  return family === 4 ? `flannel.${vni}` : `flannel-v6.${vni}`;
}

/** Whether the vxlan backend, in Weft or flannel, makes this device. */
export function isVxlanDevice({ name, vxlan }: Link): boolean {
  return vxlan !== undefined && ([4, 6] as const).some((family) => vxlanDeviceName(family, vxlan.vni) === name);
}

/** MTU of the device over an interface; see tunnelMtu. */
export function vxlanMtu(family: Family, underlay: { name: string; mtu: number }, configured?: number): number {
  const bytes = vxlanOverheadBytes(family);
  return tunnelMtu({ subsystem: 'vxlan', what: `VXLAN over IPv${family}`, family, bytes }, underlay, configured);
}

/** Everything the agent decides about its device. */
export interface VxlanDeviceSpec {
  readonly name: string;
  readonly family: Family;
  readonly vni: number;
  readonly port: number;
  /** Source address of tunnel packets: the interface's own, even if another address is advertised (unlike flannel, D16). */
  readonly local: Ip;
  readonly underlay: Device;
  readonly mtu: number;
  readonly mac: Mac;
  readonly learning: boolean;
  readonly gbp: boolean;
}

/** Says why an existing device cannot be kept; undefined when it can. */
export function incompatibility(spec: VxlanDeviceSpec, link: Link): string | undefined {
  const { vxlan } = link;
  if (vxlan === undefined) return `is of kind ${link.kind ?? 'none'}`;
  return wrongPlace(spec, vxlan) ?? wrongBehaviour(spec, vxlan);
}

function wrongPlace(
  spec: VxlanDeviceSpec,
  { vni, port, lowerIndex, local, group }: VxlanAttributes,
): string | undefined {
  if (vni !== spec.vni) return `has VNI ${vni}`;
  if (port !== spec.port) return `has port ${port}`;
  if (lowerIndex !== spec.underlay.index) return `is not on ${spec.underlay.name}`;
  if (local === undefined) return 'has no local address';
  if (!sameIp(local, spec.local)) return `has local address ${formatIp(local)}`;
  return group === undefined ? undefined : `has remote ${formatIp(group)}`;
}

function wrongBehaviour(spec: VxlanDeviceSpec, vxlan: VxlanAttributes): string | undefined {
  if (vxlan.learning !== spec.learning) return vxlan.learning ? 'learns' : 'does not learn';
  if ((vxlan.gbp ?? false) !== spec.gbp) return vxlan.gbp === true ? 'has gbp' : 'lacks gbp';
  const odd = ODD_SWITCHES.find((name) => vxlan[name] === true);
  return odd === undefined ? undefined : `has ${odd}`;
}

/** Options that must be off, because each changes where packets go. */
const ODD_SWITCHES = ['l2miss', 'l3miss', 'proxy', 'rsc', 'collectMetadata'] as const;

/**
 * The changes that a compatible device needs and that are possible while it works; undefined when it needs none. The length of the queue is
 * not among them: the device has no queue, the kernel sets the length when a clsact hook is added, and while it is changed back the kernel
 * drops what is sent to the device.
 */
export function adjustment(spec: VxlanDeviceSpec, link: Link): LinkChange | undefined {
  const change = {
    ...(link.mac !== spec.mac && { mac: spec.mac }),
    ...(link.mtu !== spec.mtu && { mtu: spec.mtu }),
    ...((link.flags & IFF_UP) === 0 && { up: true }),
  };
  return Object.keys(change).length === 0 ? undefined : { index: link.index, name: spec.name, ...change };
}

/** Called for every change, with its reason. */
export type OnDeviceChange = (request: NetlinkRequest, reason: string) => void;

/**
 * Makes the device exist as `spec` says and returns it. Setting the MAC makes the kernel drop all its neighbours, and
 * a rebuilt device has no peers: read the peers again afterwards. Throws NetlinkError, and OpError when another device
 * or program has the VNI or the port; then nothing is left half done.
 */
export function ensureVxlanDevice(netlink: Netlink, spec: VxlanDeviceSpec, onChange: OnDeviceChange): Device {
  const link = getLink(netlink, { name: spec.name });
  if (link === undefined) return createDevice(netlink, spec, 'missing', onChange);
  const reason = incompatibility(spec, link);
  if (reason !== undefined) {
    if (moveDevice(netlink, spec, link, reason, onChange)) return ensureVxlanDevice(netlink, spec, onChange);
    refuseTakenVni(netlink, spec);
    const remove = deleteLink({ index: link.index, name: spec.name });
    netlink.run(remove);
    onChange(remove, reason);
    return createDevice(netlink, spec, reason, onChange);
  }
  const change = adjustment(spec, link);
  if (change !== undefined) {
    const request = setLink(change);
    try {
      netlink.run(request);
    } catch (error) {
      throw portTaken(netlink, spec, error);
    }
    onChange(request, describeAdjustment(change, link));
  }
  return { index: link.index, name: spec.name };
}

/** Whether the device is right except for its underlay interface and address. */
export function isMisplaced(spec: VxlanDeviceSpec, link: Link): boolean {
  const { vxlan } = link;
  if (vxlan?.local?.family !== spec.local.family) return false;
  const inPlace = vxlan.lowerIndex === spec.underlay.index && sameIp(vxlan.local, spec.local);
  const moved = { ...link, vxlan: { ...vxlan, lowerIndex: spec.underlay.index, local: spec.local } };
  return !inPlace && incompatibility(spec, moved) === undefined;
}

/** Moves the device to another interface or address and keeps its peers; false when a move is not enough or this kernel cannot do it. */
function moveDevice(
  netlink: Netlink,
  spec: VxlanDeviceSpec,
  link: Link,
  reason: string,
  onChange: OnDeviceChange,
): boolean {
  if (!isMisplaced(spec, link)) return false;
  const { vni, local, underlay } = spec;
  const request = moveVxlan(
    { index: link.index, name: spec.name },
    { vni, lowerIndex: underlay.index, local },
    underlay.name,
  );
  try {
    netlink.run(request);
  } catch (error) {
    if (error instanceof NetlinkError) return false; // an older kernel: the device is made again
    throw error;
  }
  const moved = getLink(netlink, { name: spec.name });
  if (moved === undefined || isMisplaced(spec, moved)) return false;
  onChange(request, reason);
  return true;
}

function describeAdjustment(change: LinkChange, link: Link): string {
  const was: string[] = [];
  if (change.mac !== undefined) was.push(`had MAC ${link.mac}`);
  if (change.mtu !== undefined) was.push(`had MTU ${link.mtu}`);
  if (change.up !== undefined) was.push('was down');
  return was.join(', ');
}

function createDevice(netlink: Netlink, spec: VxlanDeviceSpec, reason: string, onChange: OnDeviceChange): Device {
  refuseTakenVni(netlink, spec);
  const { name, mac, mtu, vni, port, local, learning, gbp, underlay } = spec;
  const vxlan: VxlanAttributes = { vni, port, local, learning, gbp, lowerIndex: underlay.index };
  // The device is set up in the same message, so that the kernel removes it again when the port is taken.
  const request = addVxlan({ name, mac, mtu, txQueueLength: 0, up: true, vxlan }, underlay.name);
  try {
    netlink.run(request);
  } catch (error) {
    throw portTaken(netlink, spec, error);
  }
  onChange(request, reason);
  const created = getLink(netlink, { name });
  if (created === undefined) {
    throw new OpError({
      subsystem: 'vxlan',
      op: 'create',
      object: name,
      code: 'gone',
      detail: 'removed by another program',
    });
  }
  return { index: created.index, name };
}

/** Other VXLAN devices of the same address family that listen on the same port. */
function samePort(netlink: Netlink, spec: VxlanDeviceSpec): Link[] {
  return listLinks(netlink, { kind: 'vxlan' }).filter(({ name, vxlan }) => {
    const family = vxlan?.local?.family ?? vxlan?.group?.family ?? 4;
    return name !== spec.name && vxlan?.port === spec.port && family === spec.family;
  });
}

function refuseTakenVni(netlink: Netlink, spec: VxlanDeviceSpec): void {
  const rival = samePort(netlink, spec).find(({ vxlan }) => vxlan?.vni === spec.vni);
  if (rival !== undefined && isRenamed(spec, rival)) throw renamed(spec, rival);
  if (rival !== undefined) throw taken(spec, `VNI ${spec.vni} on UDP port ${spec.port}`, `VXLAN device ${rival.name}`);
}

/** Whether a device is the overlay's own under another name: it has our MAC and our address. */
export function isRenamed(spec: VxlanDeviceSpec, { mac, vxlan }: Pick<Link, 'mac' | 'vxlan'>): boolean {
  return mac === spec.mac && vxlan?.local !== undefined && sameIp(vxlan.local, spec.local);
}

function renamed({ name }: VxlanDeviceSpec, { name: now }: Link): OpError {
  const detail = `another program has renamed the device to ${now}; rename it back: ip link set ${now} name ${name}`;
  return new OpError({ subsystem: 'vxlan', op: 'use', object: name, code: 'renamed', detail });
}

/** If the kernel refused because the port or VNI is taken, an error that names who has it; otherwise the error as it is. */
function portTaken(netlink: Netlink, spec: VxlanDeviceSpec, error: unknown): unknown {
  if (!(error instanceof NetlinkError)) return error;
  if (error.errno !== EADDRINUSE && error.errno !== EEXIST) return error;
  const rival = samePort(netlink, spec)[0];
  const who = rival === undefined ? 'another program' : `VXLAN device ${rival.name}`;
  return error.errno === EADDRINUSE ? taken(spec, `UDP port ${spec.port}`, who, error) : error;
}

function taken(spec: VxlanDeviceSpec, what: string, who: string, cause?: unknown): OpError {
  const detail = `${what} is in use by ${who}`;
  return new OpError({ subsystem: 'vxlan', op: 'create', object: spec.name, code: 'in use', detail, cause });
}
