// The MTU of a tunnel's device, and the key `MTU` with which an administrator lowers it. The key names the underlay's MTU; the device gets
// what the tunnel's headers leave of it.

import { OpError } from '../../lib/errors.ts';
import type { Family } from '../../lib/ip.ts';
import { type JsonPlace, readField } from '../../lib/json-fields.ts';

/** The smallest MTU that each IP version allows (RFC 791, RFC 8200); a device must have at least this. */
const LEAST_MTU: Readonly<Record<Family, number>> = { 4: 68, 6: 1280 };
const LARGEST_MTU = 65_535;

/** A tunnel in a family, as far as its MTU is concerned. */
export interface TunnelHeaders {
  /** The name of the backend in messages: `vxlan`. */
  readonly subsystem: string;
  /** The tunnel in messages: `VXLAN over IPv6`. */
  readonly what: string;
  /** The family whose least MTU the device must have. */
  readonly family: Family;
  readonly bytes: number;
}

interface Interface {
  readonly name: string;
  readonly mtu: number;
}

/**
 * The device's MTU over an interface; `configured` is the underlay MTU in net-conf.json. It is never more than the interface carries: the
 * kernel would refuse or silently lower it. Throws OpError when it is too small.
 */
export function tunnelMtu(headers: TunnelHeaders, underlay: Interface, configured?: number): number {
  const { subsystem, what, family, bytes } = headers;
  const mtu = Math.min(configured ?? underlay.mtu, underlay.mtu) - bytes;
  const least = LEAST_MTU[family];
  if (mtu >= least) return mtu;
  throw new OpError({
    subsystem,
    op: 'use',
    object: `${underlay.name} with MTU ${underlay.mtu}`,
    code: 'too small',
    detail: `${what} needs an interface MTU of at least ${least + bytes}`,
  });
}

/** Reports that the configured MTU is more than the interface carries. Differs from flannel, where the kernel refuses the device. */
export function tooLargeMtu({ name, mtu }: Interface, configured: number | undefined): string | undefined {
  if (configured === undefined || configured <= mtu) return undefined;
  return `Backend.MTU is ${configured}, but ${name} carries only ${mtu}, so ${mtu} is used`;
}

/**
 * Reads the key. The lowest valid value leaves pods the smallest MTU that their protocol allows. 0 means the interface's MTU, as in
 * flannel. Undefined for 0 and when the key is absent. Throws ConfigError.
 */
export function readUnderlayMtu(place: JsonPlace, family: Family, headerBytes: number): number | undefined {
  const least = LEAST_MTU[family] + headerBytes;
  const mtu = readField(place, 'MTU', `integer ${least}–${LARGEST_MTU} (or 0 for the interface's)`, (value) => {
    if (typeof value !== 'number' || !Number.isInteger(value)) return undefined;
    return value === 0 || (value >= least && value <= LARGEST_MTU) ? value : undefined;
  });
  return mtu || undefined;
}
