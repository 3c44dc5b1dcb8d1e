// The link-local address of a device, from its MAC (RFC 4291 appendix A, RFC 4862 §5.3).

import { type Ip, ipFromBytes } from './ip.ts';
import { type Mac, macToBytes } from './mac.ts';

/** fe80::/64 with the modified EUI-64: the address that the kernel itself derives from a MAC (addr_gen_mode 0). */
export function linkLocalOf(mac: Mac): Ip {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = macToBytes(mac);
  return ipFromBytes(Uint8Array.of(0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f));
}
