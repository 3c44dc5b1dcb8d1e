// Source NAT for packets that leave the pod network: one nftables transaction, or one iptables-restore, for each attachment. Tables, chains
// and comments are those of the Go plugin (containernetworking/plugins pkg/ip/ipmasq_{nftables,iptables}_linux.go), so that either removes
// what the other made.

import { formatIp, formatPrefix, type IpPrefix, networkOf } from '../../lib/ip.ts';
import { applyNft, deleteRules, findNft, nftComment } from '../nft.ts';
import { findProgram } from '../programs.ts';
import { failure, withPrefix } from '../protocol/error.ts';
import type { Invocation } from '../protocol/plugin.ts';
import { sha512Hex } from '../sha512.ts';
import type { BridgeConfig } from './bridge-config.ts';
import { addIptables, removeIptables } from './masquerade-iptables.ts';

const TABLE = 'inet cni_plugins_masquerade';
const CHECKS = `${TABLE} masq_checks`;

function hash16(invocation: Invocation, text: string): string {
  return sha512Hex(invocation.sys.arena.encode(text)).slice(0, 16);
}

/** The text by which the attachment's rules are found. */
function identity(invocation: Invocation): string {
  const { name, ifname, containerId } = invocation;
  return `${hash16(invocation, name)}-${hash16(invocation, `${ifname}:${containerId}`)}`;
}

function statements(invocation: Invocation, addresses: readonly IpPrefix[]): string[] {
  const { name, ifname, containerId } = invocation;
  const comment = nftComment(`${identity(invocation)}, net: ${name}, if: ${ifname}, id: ${containerId}`);
  const lines = [
    `add table ${TABLE}`,
    `add chain ${CHECKS}`,
    `add chain ${TABLE} postrouting { type nat hook postrouting priority 100; policy accept; }`,
    `flush chain ${TABLE} postrouting`,
    `add rule ${TABLE} postrouting ip daddr 224.0.0.0/4 return`,
    `add rule ${TABLE} postrouting ip6 daddr ff00::/8 return`,
    `add rule ${TABLE} postrouting goto masq_checks`,
  ];
  for (const address of addresses) {
    const ip = address.ip.family === 4 ? 'ip' : 'ip6';
    const source = `${ip} saddr ${formatIp(address.ip)}`;
    const elsewhere = `${ip} daddr != ${formatPrefix(networkOf(address))}`;
    lines.push(`add rule ${CHECKS} ${source} ${elsewhere} masquerade comment "${comment}"`);
  }
  return lines;
}

/** Masquerades an attachment's addresses. Throws CniError 999. */
export function addMasquerade(
  invocation: Invocation,
  backend: BridgeConfig['ipMasqBackend'],
  addresses: readonly IpPrefix[],
  onFailure: (undo: () => void) => void,
): void {
  const nft = backend === 'iptables' ? undefined : findNft(invocation);
  onFailure(() => removeMasquerade(invocation));
  withPrefix('failed to set up masquerading: ', () => {
    if (nft !== undefined) applyNft(invocation, nft, statements(invocation, addresses));
    else if (backend === 'nftables') throw failure('nft is not installed');
    else addIptables(invocation, addresses);
  });
}

/**
 * Removes everything that masquerades the attachment, by name and with either backend. Differs from the Go plugin, which needs the
 * addresses of an interface that may be gone.
 */
export function removeMasquerade(invocation: Invocation): void {
  const nft = findNft(invocation);
  if (nft !== undefined) deleteRules(invocation, nft, CHECKS, identity(invocation));
  for (const family of ['', '6']) {
    const save = findProgram(invocation, `ip${family}tables-save`);
    if (save !== undefined) removeIptables(invocation, family, save);
  }
}
