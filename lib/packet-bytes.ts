// Shared by all code that makes packets by hand: the checksum of the Internet protocols, and a view for their fields.

/** The Internet checksum (RFC 1071); 0 over data that carries its own. An odd last byte counts as the high one of a pair. */
export function internetChecksum(bytes: ArrayLike<number>): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** A view of exactly these bytes, which may lie inside a larger buffer. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
