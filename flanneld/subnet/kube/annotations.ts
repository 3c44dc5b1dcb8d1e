// flannel's annotations on a Node (its pkg/subnet/kube/annotations.go and kube.go): their prefix, and the values this agent
// writes, byte for byte as flannel does.

import { ConfigError } from '../../../lib/errors.ts';
import { formatIp } from '../../../lib/ip.ts';
import type { JsonValue } from '../../../lib/json.ts';
import { stringifyJson } from '../../../lib/json.ts';
import type { LeaseAttributes } from '../manager.ts';

/** The annotations with our prefix, named without it: `backend-data`, `public-ip`, … */
export type Annotations = ReadonlyMap<string, string>;

/**
 * The prefix as it stands before every name: `flannel.alpha.coreos.com` becomes `flannel.alpha.coreos.com/`,
 * `org.com/9` becomes `org.com/9-`. Throws ConfigError for what flannel refuses.
 */
export function normalizePrefix(text: string): string {
  let prefix = text.includes('/') ? text : `${text}/`;
  if (!prefix.endsWith('/') && !prefix.endsWith('-')) prefix += '-';
  const label = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
  if (new RegExp(`^${label}(\\.${label})+/([-a-z0-9_]*[a-z0-9_]-)?$`).test(prefix)) return prefix;
  const expected = 'expected a lower-case domain such as "flannel.alpha.coreos.com", or one such as "example.org/net-"';
  throw new ConfigError('flag', '--kube-annotation-prefix', `${expected}, got ${JSON.stringify(text.slice(0, 64))}`);
}

/** Whether the node runs flannel or Weft; otherwise it is not a peer. */
export function isManaged(annotations: Annotations): boolean {
  return annotations.get('kube-subnet-manager') === 'true';
}

/** Weft's own annotation: what the node will advertise when its cluster has moved to another backend. flannel ignores it. */
export const MOVE_DATA = 'weft-move-data';

/**
 * The annotations that this node's Node must have. Those of a disabled family are not included, so they stay as they are, as with flannel.
 */
export function ownAnnotations(attributes: LeaseAttributes): Annotations {
  const { backendType, publicIp, publicIpv6, backendData, backendV6Data, moveData } = attributes;
  const own = new Map([
    ['kube-subnet-manager', 'true'],
    ['backend-type', backendType],
  ]);
  if (publicIp !== undefined) {
    own.set('backend-data', render(backendData));
    own.set('public-ip', formatIp(publicIp));
  }
  if (publicIpv6 !== undefined) {
    own.set('backend-v6-data', render(backendV6Data));
    own.set('public-ipv6', formatIp(publicIpv6));
  }
  if (moveData !== undefined) own.set(MOVE_DATA, render(moveData));
  return own;
}

/** Compact JSON, as Go writes it, because flannel finds the MAC by splitting this text at its only `:"`. */
function render(data: JsonValue | undefined): string {
  return stringifyJson(data ?? null, { goEscapes: true });
}
