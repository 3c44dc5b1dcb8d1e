// The WireGuard device: makes it, and gives it this node's key and port (flannel pkg/backend/wireguard). Differs from flannel: an existing
// device is kept with its peers, so that a restart of the agent loses no packet, and it stays when the agent ends.

import { errorText, OpError } from '../../../lib/errors.ts';
import { sameBytes, setWireguardDevice } from '../../../lib/genetlink/wireguard.ts';
import type { Family } from '../../../lib/ip.ts';
import type { Netlink } from '../../../lib/netlink/connection.ts';
import { NetlinkError, type NetlinkRequest } from '../../../lib/netlink/request.ts';
import { addLink, deleteLink, getLink, type Link, setLink } from '../../../lib/rtnetlink/link.ts';
import { IFF_UP } from '../../../lib/rtnetlink/rtnetlink-constants.ts';
import { EADDRINUSE, EOPNOTSUPP } from '../../../lib/sys/errno.ts';
import type { Device } from '../../dataplane/objects/kind.ts';
import { tunnelMtu } from '../tunnel-mtu.ts';
import { noWireguard, type WireguardControl } from './wireguard-control.ts';
import type { KeyPair } from './wireguard-key.ts';

/** flannel uses 80 for both families: outer IPv6 header 40, UDP 8, and 32 for WireGuard's header and tag. */
export const WIREGUARD_OVERHEAD_BYTES = 80;

/** flannel's names: `flannel-wg-v6` is the IPv6 device in mode `separate`. */
export const WIREGUARD_DEVICES = ['flannel-wg', 'flannel-wg-v6'] as const;

/** MTU of the device over an interface; see tunnelMtu. */
export function wireguardMtu(family: Family, underlay: { name: string; mtu: number }, configured?: number): number {
  const what = `WireGuard for pods with IPv${family}`;
  return tunnelMtu({ subsystem: 'wireguard', what, family, bytes: WIREGUARD_OVERHEAD_BYTES }, underlay, configured);
}

/** Everything the agent decides about its device. */
export interface WireguardDeviceSpec {
  readonly name: string;
  readonly mtu: number;
  readonly listenPort: number;
  readonly keys: KeyPair;
}

type OnChange = (request: NetlinkRequest, reason: string) => void;

/** How often key and port are compared: the kernel sends no event for them, and reading them lists all peers. */
const COMPARE_MS = 60_000;

/** Keeps one device correct. */
export class WireguardDeviceKeeper {
  readonly #netlink: Netlink;
  readonly #control: WireguardControl;
  readonly #now: () => number;
  #compared: { readonly index: number; readonly atMs: number; readonly keys: KeyPair } | undefined;

  constructor(netlink: Netlink, control: WireguardControl, now: () => number) {
    this.#netlink = netlink;
    this.#control = control;
    this.#now = now;
  }

  /**
   * Makes the device exist as `spec` says and returns it. Throws NetlinkError, and OpError when this kernel has no WireGuard or the
   * port is taken; a device made here is then removed again.
   */
  ensure(spec: WireguardDeviceSpec, onChange: OnChange): Device {
    const before = getLink(this.#netlink, { name: spec.name });
    if (before !== undefined && before.kind === 'wireguard') return this.#adjust(spec, before, onChange);
    const reason = before === undefined ? 'missing' : `is of kind ${before.kind ?? 'none'}`;
    if (before !== undefined) this.#change(deleteLink({ index: before.index, name: spec.name }), reason, onChange);
    const made = this.#make(spec, reason, onChange);
    try {
      return this.#adjust(spec, made, onChange);
    } catch (error) {
      this.#netlink.run(deleteLink({ index: made.index, name: spec.name }));
      throw error;
    }
  }

  #make({ name, mtu }: WireguardDeviceSpec, reason: string, onChange: OnChange): Link {
    try {
      this.#change(addLink({ name, mtu, txQueueLength: 0 }, 'wireguard'), reason, onChange);
    } catch (error) {
      throw error instanceof NetlinkError && error.errno === EOPNOTSUPP ? noWireguard(name, error) : error;
    }
    const made = getLink(this.#netlink, { name });
    if (made !== undefined) return made;
    const detail = 'removed by another program';
    throw new OpError({ subsystem: 'wireguard', op: 'create', object: name, code: 'gone', detail });
  }

  /** Key and port are set before the device is up: an up device without a key answers nobody. */
  #adjust(spec: WireguardDeviceSpec, link: Link, onChange: OnChange): Device {
    const { name, mtu } = spec;
    const device = { index: link.index, name };
    try {
      this.#setKeyAndPort(spec, device, onChange);
      if (link.mtu !== mtu) this.#change(setLink({ ...device, mtu }), `had MTU ${link.mtu}`, onChange);
      if ((link.flags & IFF_UP) === 0) this.#change(setLink({ ...device, up: true }), 'was down', onChange);
    } catch (error) {
      throw portTaken(spec, error);
    }
    return device;
  }

  #setKeyAndPort({ keys, listenPort }: WireguardDeviceSpec, device: Device, onChange: OnChange): void {
    const { index, atMs = 0, keys: known } = this.#compared ?? {};
    const nowMs = this.#now();
    if (index === device.index && known === keys && nowMs - atMs < COMPARE_MS) return;
    const present = this.#control.read(device);
    const hasKey = present.publicKey !== undefined && sameBytes(present.publicKey, keys.publicKey);
    if (!hasKey || present.listenPort !== listenPort) {
      const request = setWireguardDevice(this.#control.ref(device), { privateKey: keys.privateKey, listenPort });
      this.#control.run(request);
      onChange(request, hasKey ? `had port ${present.listenPort}` : 'had another key');
    }
    this.#compared = { index: device.index, atMs: nowMs, keys };
  }

  #change(request: NetlinkRequest, was: string, onChange: OnChange): void {
    this.#netlink.run(request);
    onChange(request, was);
  }
}

function portTaken({ name, listenPort }: WireguardDeviceSpec, error: unknown): unknown {
  if (!(error instanceof NetlinkError) || error.errno !== EADDRINUSE) return error;
  const detail = `UDP port ${listenPort} is in use by another program or device: ${errorText(error)}`;
  return new OpError({ subsystem: 'wireguard', op: 'set up', object: name, code: 'in use', detail, cause: error });
}
