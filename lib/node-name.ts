// Checks names of nodes. Such a name becomes a file name and a key, so it must not be able to refer to anything else.

/** A Kubernetes node name (RFC 1123 subdomain), or a host name with capitals and underscores; at most 253 characters. */
export function isNodeName(text: string): boolean {
  return text.length <= 253 && /^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$/.test(text);
}
