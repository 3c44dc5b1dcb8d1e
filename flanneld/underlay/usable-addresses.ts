// Which addresses of an interface may carry a tunnel, best first (flannel pkg/ip GetInterfaceIP4Addrs/6).

import type { Family } from '../../lib/ip.ts';
import { isLinkLocal, isLoopback, isMulticast } from '../../lib/ip.ts';
import type { Address } from '../../lib/rtnetlink/address.ts';
import {
  IFA_F_DADFAILED,
  IFA_F_DEPRECATED,
  IFA_F_PERMANENT,
  IFA_F_SECONDARY,
} from '../../lib/rtnetlink/rtnetlink-constants.ts';

/** For IPv6 the bit of IFA_F_SECONDARY means "temporary" (RFC 8981): such an address is gone in a day. */
const IFA_F_TEMPORARY = IFA_F_SECONDARY;

/** Leaves out deprecated, duplicate, loopback and multicast addresses; global, permanent, non-temporary ones come first. */
export function usableAddresses(addresses: readonly Address[], index: number, family: Family): Address[] {
  const usable = addresses.filter(
    ({ index: on, ip, flags }) =>
      on === index &&
      ip.family === family &&
      (flags & (IFA_F_DEPRECATED | IFA_F_DADFAILED)) === 0 &&
      !isLoopback(ip) &&
      !isMulticast(ip),
  );
  // Array.prototype.sort is stable: the kernel's order decides among equals.
  return usable.sort((a, b) => rank(a) - rank(b));
}

function rank({ ip, flags }: Address): number {
  const passing = (flags & IFA_F_PERMANENT) === 0 ? 2 : 0;
  const temporary = ip.family === 6 && (flags & IFA_F_TEMPORARY) !== 0 ? 1 : 0;
  return (isLinkLocal(ip) ? 4 : 0) + passing + temporary;
}
