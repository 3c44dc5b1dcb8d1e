// The generic netlink connection to the WireGuard devices of this node. The kernel is asked for the family's number at first use,
// because that number exists only once the module is loaded.

import { OpError } from '../../../lib/errors.ts';
import { familyId, openGenetlink } from '../../../lib/genetlink/genetlink.ts';
import {
  getWireguardDevice,
  WIREGUARD_FAMILY,
  type WireguardDevice,
  type WireguardRef,
} from '../../../lib/genetlink/wireguard.ts';
import type { Netlink } from '../../../lib/netlink/connection.ts';
import type { NetlinkError, NetlinkRequest } from '../../../lib/netlink/request.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';
import type { Device } from '../../dataplane/objects/kind.ts';

export class WireguardControl {
  readonly #sys: Syscalls;
  #netlink: Netlink | undefined;
  #family: number | undefined;

  constructor(sys: Syscalls) {
    this.#sys = sys;
  }

  /** Names a device in requests. Throws OpError when this kernel has no WireGuard. */
  ref({ index, name }: Device): WireguardRef {
    this.#family ??= familyId(this.#connection, WIREGUARD_FAMILY);
    if (this.#family === undefined) throw noWireguard(name);
    return { family: this.#family, index, name };
  }

  /** The device and its peers. Throws NetlinkError. */
  read(device: Device): WireguardDevice {
    return getWireguardDevice(this.#connection, this.ref(device));
  }

  run(request: NetlinkRequest): void {
    this.#connection.run(request);
  }

  execute(requests: readonly NetlinkRequest[]): NetlinkError[] {
    return this.#connection.execute(requests);
  }

  close(): void {
    this.#netlink?.close();
    this.#netlink = undefined;
  }

  get #connection(): Netlink {
    this.#netlink ??= openGenetlink(this.#sys);
    return this.#netlink;
  }
}

export function noWireguard(device: string, cause?: unknown): OpError {
  const detail = 'this kernel has no WireGuard: use Linux 5.6 or later with the module wireguard, or the backend vxlan';
  return new OpError({ subsystem: 'wireguard', op: 'create', object: device, code: 'EOPNOTSUPP', detail, cause });
}
