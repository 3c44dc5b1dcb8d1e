// Ethernet addresses (IEEE 802 MAC-48) as canonical text; imports nothing.

/** Six lower-case hexadecimal octets with colons: as text it can be compared and used as a key. */
export type Mac = string & { readonly brand: 'Mac' };

/** Thrown for text or bytes that are not a 48-bit MAC. */
export class MacError extends Error {
  override readonly name = 'MacError';
}

function isHex(code: number): boolean {
  return (code >= 48 && code <= 57) || (code >= 97 && code <= 102) || (code >= 65 && code <= 70);
}

function wellFormed(text: string): boolean {
  if (text.length !== 17) return false;
  for (let at = 0; at < 17; at++) {
    const code = text.charCodeAt(at);
    if (at % 3 === 2 ? code !== 58 : !isHex(code)) return false;
  }
  return true;
}

/** Parses `xx:xx:xx:xx:xx:xx` in either case (and no other notation); throws MacError `invalid MAC address: <text>`. */
export function parseMac(text: string): Mac {
  if (!wellFormed(text)) throw new MacError(`invalid MAC address: ${JSON.stringify(text.slice(0, 64))}`);
  return text.toLowerCase() as Mac;
}

/** The MAC in six bytes; throws MacError for another number of bytes. */
export function macFromBytes(bytes: Uint8Array): Mac {
  if (bytes.length !== 6) throw new MacError(`invalid MAC address: ${bytes.length} bytes, expected 6`);
  let text = '';
  for (const byte of bytes) text += (text === '' ? '' : ':') + (byte < 16 ? '0' : '') + byte.toString(16);
  return text as Mac;
}

export function macToBytes(mac: Mac): Uint8Array {
  const bytes = new Uint8Array(6);
  for (let at = 0; at < 6; at++) bytes[at] = Number.parseInt(mac.slice(at * 3, at * 3 + 2), 16);
  return bytes;
}

/** Whether a device may have it: the group bit is clear and it is not all zero (linux/etherdevice.h is_valid_ether_addr). */
export function isUnicastMac(mac: Mac): boolean {
  return (Number.parseInt(mac.slice(0, 2), 16) & 1) === 0 && mac !== '00:00:00:00:00:00';
}

/** Whether its locally administered bit is set, as in every address that an operating system has made up. */
export function isLocalMac(mac: Mac): boolean {
  return (Number.parseInt(mac.slice(0, 2), 16) & 2) !== 0;
}

/** A locally administered unicast MAC from six random bytes, made as flannel (and the kernel's eth_random_addr) does. */
export function macFromRandom(random: Uint8Array): Mac {
  const bytes = random.slice();
  bytes[0] = ((bytes[0] ?? 0) & 0xfe) | 0x02;
  return macFromBytes(bytes);
}
