// Reads the few fields of a Node that matter here. The API server sends a whole Node or only its metadata.

import { isManaged } from './annotations.ts';

export interface NodeRecord {
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  /** RFC 3339 in UTC, whole seconds; empty when it was not sent. */
  readonly creationTimestamp: string;
  /** The annotations with our prefix, named without it. */
  readonly annotations: ReadonlyMap<string, string>;
  /** Undefined when only metadata were sent. */
  readonly podCidrs: readonly string[] | undefined;
  /** InternalIP and ExternalIP of its status; undefined when only metadata were sent. */
  readonly addresses: readonly string[] | undefined;
}

/** All annotations that flannel knows, and the one of ours; others are not kept. */
const annotationNames = [
  'kube-subnet-manager',
  'backend-type',
  'backend-data',
  'backend-v6-data',
  'public-ip',
  'public-ipv6',
  'public-ip-overwrite',
  'public-ipv6-overwrite',
  'node-public-ip',
  'node-public-ipv6',
  'weft-move-data',
];

let named: { readonly prefix: string; readonly names: readonly (readonly [string, string])[] } | undefined;

/** The annotations' whole names, each with the name without prefix. They are made once, because thousands of Nodes have the same. */
function namesWith(prefix: string): readonly (readonly [string, string])[] {
  if (named?.prefix !== prefix) named = { prefix, names: annotationNames.map((key) => [prefix + key, key]) };
  return named.names;
}

/** A JSON object of the API server; undefined for anything else. */
export function asObject(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : undefined;
}

export function asText(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** Undefined for an object without a name. */
export function readNode(value: unknown, prefix: string): NodeRecord | undefined {
  const node = asObject(value);
  const metadata = asObject(node?.['metadata']);
  const name = asText(metadata?.['name']);
  if (node === undefined || metadata === undefined || name === '') return undefined;
  const annotations = new Map<string, string>();
  const all = asObject(metadata['annotations']) ?? {};
  for (const [full, key] of namesWith(prefix)) {
    const text = all[full];
    if (typeof text === 'string') annotations.set(key, text);
  }
  return {
    name,
    uid: asText(metadata['uid']),
    resourceVersion: asText(metadata['resourceVersion']),
    creationTimestamp: asText(metadata['creationTimestamp']),
    annotations,
    podCidrs: readPodCidrs(node),
    addresses: readAddresses(node),
  };
}

/** More than a real node has; a longer list must not fill the memory. */
const MOST_ADDRESSES = 16;

function readAddresses(node: Readonly<Record<string, unknown>>): readonly string[] | undefined {
  const status = asObject(node['status']);
  if (status === undefined) return asText(node['kind']) === 'PartialObjectMetadata' ? undefined : [];
  const list = status['addresses'];
  const texts = (Array.isArray(list) ? list : []).flatMap((item) => {
    const address = asObject(item);
    const type = asText(address?.['type']);
    return type === 'InternalIP' || type === 'ExternalIP' ? [asText(address?.['address']).slice(0, 64)] : [];
  });
  return texts.slice(0, MOST_ADDRESSES);
}

function readPodCidrs(node: Readonly<Record<string, unknown>>): readonly string[] | undefined {
  const spec = asObject(node['spec']);
  if (spec === undefined) return asText(node['kind']) === 'PartialObjectMetadata' ? undefined : [];
  const list = spec['podCIDRs'];
  const cidrs = Array.isArray(list) ? list.map(asText) : [];
  const one = asText(spec['podCIDR']);
  return cidrs.length > 0 || one === '' ? cidrs : [one];
}

/** Whether `a` is older than `b` or the same; false when the server's versions are not numbers. */
export function isNotNewer(a: string, b: string): boolean {
  if (!/^[1-9][0-9]*$/.test(a) || !/^[1-9][0-9]*$/.test(b)) return false;
  return a.length === b.length ? a <= b : a.length < b.length;
}

/**
 * What is known once `next` follows `before`. If `next` has only metadata, podCIDRs and addresses are kept: a podCIDR never
 * changes, and a change of addresses shows by the public one (see hasMoved).
 */
export function mergeNode(before: NodeRecord | undefined, next: NodeRecord): NodeRecord {
  if (next.podCidrs !== undefined || before === undefined || before.uid !== next.uid) return next;
  return { ...next, podCidrs: before.podCidrs, addresses: before.addresses };
}

const publicNames = ['public-ip', 'public-ipv6'];

/** Whether a known Node has another public address, so that its other addresses may be outdated. */
export function hasMoved(before: NodeRecord | undefined, next: NodeRecord): boolean {
  if (before === undefined || next.addresses !== undefined) return false;
  return publicNames.some((name) => before.annotations.get(name) !== next.annotations.get(name));
}

/** Whether this is a peer whose podCIDR is still unknown. */
export function lacksPodCidr({ podCidrs, annotations }: NodeRecord): boolean {
  return (podCidrs === undefined || podCidrs.length === 0) && isManaged(annotations);
}

/** Whether both are the same Node with the same annotations, podCIDRs and addresses. */
export function sameNode(a: NodeRecord, b: NodeRecord): boolean {
  if (a.uid !== b.uid || a.annotations.size !== b.annotations.size) return false;
  if (a.podCidrs?.join() !== b.podCidrs?.join() || a.addresses?.join() !== b.addresses?.join()) return false;
  for (const [key, value] of a.annotations) if (b.annotations.get(key) !== value) return false;
  return true;
}
