// Finds out the cluster's pod network: the user's option, else kubeadm's configuration, else the network that contains the nodes' podCIDRs.
// Pure functions.

import ipaddr from 'ipaddr.js';
import { parse } from 'yaml';

/** The length that the network of nodes' podCIDRs is assumed to have when nothing says it: the default of kubeadm, kind and k3s. */
const USUAL = { 4: 16, 6: 56 };
const BITS = { 4: 32, 6: 128 };

/**
 * The network of each family, as `{ 4, 6, from }`: a family is absent when the cluster has none. `given` is --network: one or two CIDRs,
 * comma between them. Throws an Error of one line when it cannot be known, or when a node's podCIDR lies outside it.
 */
export function findNetwork({ given, kubeadmConfig, nodes }) {
  const cidrs = nodes.flatMap(({ metadata, spec }) =>
    podCidrs(spec).map((cidr) => ({ node: metadata.name, ...parseCidr(cidr) })),
  );
  const network =
    given === undefined
      ? (fromKubeadm(kubeadmConfig) ?? fromNodes(cidrs))
      : { ...families(given, '--network'), from: '--network' };
  for (const { node, text, family, address, length } of cidrs) {
    const within = network[family] && parseCidr(network[family]);
    if (within && length >= within.length && address >> shift(within) === within.address >> shift(within)) continue;
    const has = network[family] === undefined ? `no IPv${family} network` : network[family];
    throw new Error(
      `the podCIDR ${text} of node ${node} does not lie in ${has} (from ${network.from}): give --network`,
    );
  }
  return network;
}

function podCidrs({ podCIDRs, podCIDR }) {
  return podCIDRs ?? (podCIDR === undefined ? [] : [podCIDR]);
}

/** kubeadm's own record of the cluster's configuration, in the ConfigMap kube-system/kubeadm-config. */
function fromKubeadm(configMap) {
  const text = configMap?.data?.ClusterConfiguration;
  const subnet = text === undefined ? undefined : parse(text)?.networking?.podSubnet;
  if (typeof subnet !== 'string' || subnet === '') return undefined;
  return { ...families(subnet, 'podSubnet of kubeadm-config'), from: 'kubeadm-config' };
}

function fromNodes(cidrs) {
  if (cidrs.length === 0) {
    throw new Error(
      'no node has a podCIDR and there is no kubeadm-config: run kube-controller-manager with --allocate-node-cidrs and --cluster-cidr, and give --network',
    );
  }
  const network = { from: 'the nodes’ podCIDRs' };
  for (const family of [4, 6]) {
    const own = cidrs.filter((cidr) => cidr.family === family);
    if (own.length > 0) network[family] = covering(own, family);
  }
  return network;
}

/** The usual network that contains all of these, or one that is as large as they need. */
function covering(cidrs, family) {
  let length = Math.min(USUAL[family], ...cidrs.map((cidr) => cidr.length));
  const cut = (address) => (address >> BigInt(BITS[family] - length)) << BigInt(BITS[family] - length);
  while (new Set(cidrs.map(({ address }) => cut(address))).size > 1) length -= 1;
  return `${formatAddress(cut(cidrs[0].address), family)}/${length}`;
}

/** One CIDR of each family at most. */
function families(text, name) {
  const found = {};
  for (const part of text.split(',')) {
    const cidr = parseCidr(part.trim(), name);
    if (found[cidr.family] !== undefined) throw new Error(`${name}: expected one network of a family, got "${text}"`);
    found[cidr.family] = cidr.text;
  }
  return found;
}

const shift = ({ family, length }) => BigInt(BITS[family] - length);

/** Throws an Error of one line for a text that is not a CIDR. */
function parseCidr(text, name = 'podCIDR') {
  if (!/^[0-9a-fA-F:.]+\/\d{1,3}$/.test(text) || !ipaddr.isValidCIDR(text)) {
    throw new Error(`${name}: expected a network such as 10.244.0.0/16, got "${text}"`);
  }
  const [host, length] = ipaddr.parseCIDR(text);
  return { text, family: host.kind() === 'ipv6' ? 6 : 4, address: toNumber(host.toByteArray()), length };
}

function toNumber(bytes) {
  return bytes.reduce((sum, byte) => (sum << 8n) + BigInt(byte), 0n);
}

function formatAddress(address, family) {
  const bytes = Array.from({ length: BITS[family] / 8 }, (_, at) =>
    Number((address >> BigInt(BITS[family] - 8 * (at + 1))) & 255n),
  );
  return ipaddr.fromByteArray(bytes).toString();
}
