// The IPIP device: decides whether an existing device can be kept, and makes or changes it (flannel pkg/backend/ipip).

import { OpError } from '../../../lib/errors.ts';
import { formatIp, type Ip, sameIp } from '../../../lib/ip.ts';
import type { Netlink } from '../../../lib/netlink/connection.ts';
import { NetlinkError, type NetlinkRequest } from '../../../lib/netlink/request.ts';
import { addIpip, moveIpip } from '../../../lib/rtnetlink/ipip.ts';
import { deleteLink, getLink, type Link, listLinks, setLink } from '../../../lib/rtnetlink/link.ts';
import { IFF_UP } from '../../../lib/rtnetlink/rtnetlink-constants.ts';
import { EEXIST, EOPNOTSUPP } from '../../../lib/sys/errno.ts';
import type { Device } from '../../dataplane/objects/kind.ts';
import { tunnelMtu } from '../tunnel-mtu.ts';

/** flannel's name for the device. */
export const IPIP_DEVICE = 'flannel.ipip';

/** The size of the outer IPv4 header (RFC 2003). */
export const IPIP_OVERHEAD_BYTES = 20;

/** MTU of the device over an interface of this MTU. Throws OpError when it is too small. */
export function ipipMtu(underlay: { readonly name: string; readonly mtu: number }): number {
  return tunnelMtu({ subsystem: 'ipip', what: 'IPIP', family: 4, bytes: IPIP_OVERHEAD_BYTES }, underlay);
}

/** Everything the agent decides about its device. */
export interface IpipDeviceSpec {
  /** The source address of outer packets: the interface's own, even if another address is advertised. */
  readonly local: Ip;
  readonly mtu: number;
}

/** Says why an existing device cannot be changed into the wanted one; undefined when it can. */
function incompatibility({ kind, ipip }: Pick<Link, 'kind' | 'ipip'>): string | undefined {
  if (ipip === undefined) return `is of kind ${kind ?? 'none'}`;
  return ipip.remote === undefined ? undefined : `has remote ${formatIp(ipip.remote)}`;
}

type OnChange = (request: NetlinkRequest, reason: string) => void;

/**
 * Makes the device exist as `spec` says and returns it. Throws NetlinkError, and OpError when this kernel has no IPIP or another
 * device has the address.
 */
export function ensureIpipDevice(netlink: Netlink, spec: IpipDeviceSpec, onChange: OnChange): Device {
  const link = getLink(netlink, { name: IPIP_DEVICE });
  const reason = link === undefined ? 'missing' : incompatibility(link);
  if (link === undefined || reason !== undefined)
    return replaceDevice(netlink, spec, link, reason ?? 'missing', onChange);
  const change = (request: NetlinkRequest, was: string): void => {
    netlink.run(request);
    onChange(request, was);
  };
  const device = { index: link.index, name: IPIP_DEVICE };
  const { local, pathMtuDiscovery } = link.ipip ?? {};
  if (local === undefined || !sameIp(local, spec.local) || pathMtuDiscovery === true) {
    change(
      moveIpip(device, spec.local),
      pathMtuDiscovery ? 'sets DF always' : `has local address ${local && formatIp(local)}`,
    );
  }
  if (link.mtu !== spec.mtu) change(setLink({ ...device, mtu: spec.mtu }), `had MTU ${link.mtu}`);
  if ((link.flags & IFF_UP) === 0) change(setLink({ ...device, up: true }), 'was down');
  return device;
}

function replaceDevice(
  netlink: Netlink,
  spec: IpipDeviceSpec,
  before: Link | undefined,
  reason: string,
  onChange: OnChange,
): Device {
  refuseTakenAddress(netlink, spec);
  if (before !== undefined) {
    const remove = deleteLink({ index: before.index, name: IPIP_DEVICE });
    netlink.run(remove);
    onChange(remove, reason);
  }
  const request = addIpip({ name: IPIP_DEVICE, mtu: spec.mtu, txQueueLength: 0, up: true }, spec.local);
  try {
    netlink.run(request);
  } catch (error) {
    throw explained(netlink, spec, error);
  }
  onChange(request, reason);
  const created = getLink(netlink, { name: IPIP_DEVICE });
  if (created === undefined) throw failure('create', 'gone', 'removed by another program');
  return { index: created.index, name: IPIP_DEVICE };
}

/** The kernel refuses a second device with the same addresses, whatever its name. */
function refuseTakenAddress(netlink: Netlink, spec: IpipDeviceSpec, cause?: unknown): void {
  const rival = listLinks(netlink, { kind: 'ipip' }).find(({ name, ipip }) => {
    const isSame = ipip?.local !== undefined && sameIp(ipip.local, spec.local) && ipip.remote === undefined;
    return isSame && name !== IPIP_DEVICE;
  });
  if (rival === undefined) return;
  const detail = `IPIP device ${rival.name} already has local address ${formatIp(spec.local)}; remove the device: ip link del ${rival.name}`;
  throw failure('create', 'in use', detail, cause);
}

function explained(netlink: Netlink, spec: IpipDeviceSpec, error: unknown): unknown {
  if (!(error instanceof NetlinkError)) return error;
  if (error.errno === EOPNOTSUPP) {
    return failure(
      'create',
      'EOPNOTSUPP',
      'this kernel has no IPIP: load the module ipip, or use the backend vxlan',
      error,
    );
  }
  if (error.errno === EEXIST) refuseTakenAddress(netlink, spec, error);
  return error;
}

function failure(op: string, code: string, detail: string, cause?: unknown): OpError {
  return new OpError({ subsystem: 'ipip', op, object: IPIP_DEVICE, code, detail, cause });
}
