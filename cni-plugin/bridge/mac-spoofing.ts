// macspoofchk: drops frames of a pod whose source MAC is not its own. Tables, chains and comments are those of the Go plugin
// (containernetworking/plugins pkg/link/spoofcheck.go).

import type { Mac } from '../../lib/mac.ts';
import { applyNft, deleteRules, findNft, ruleHandles } from '../nft.ts';
import { failure, withPrefix } from '../protocol/error.ts';
import type { Invocation } from '../protocol/plugin.ts';

const TABLE = 'bridge nat';
const BASE = `${TABLE} PREROUTING`;

function isPlain(text: string): boolean {
  return /^[A-Za-z0-9_.-]+$/.test(text);
}

/** The attachment's chain. Interface names that nft cannot read are refused earlier. */
function chainName(invocation: Invocation): string {
  return `cni-br-iface-${invocation.containerId}-${invocation.ifname}`;
}

function commentOf(invocation: Invocation): string {
  return `macspoofchk-${invocation.containerId}-${invocation.ifname}`;
}

/** Lets only `mac` out of the pod. Throws CniError 999. */
export function addSpoofCheck(invocation: Invocation, hostName: string, mac: Mac): void {
  withPrefix('failed to set up macspoofchk: ', () => {
    const nft = findNft(invocation);
    if (nft === undefined) throw failure('nft is not installed');
    if (!isPlain(invocation.ifname))
      throw failure(`the interface name ${invocation.ifname} cannot be part of a chain's name`);
    const chain = chainName(invocation);
    const comment = `comment "${commentOf(invocation).slice(0, 128)}"`;
    applyNft(invocation, nft, [
      `add table ${TABLE}`,
      `add chain ${BASE} { type filter hook prerouting priority -300; policy accept; }`,
      `add chain ${TABLE} ${chain}`,
      `add chain ${TABLE} ${chain}-mac`,
      `flush chain ${TABLE} ${chain}`,
      `flush chain ${TABLE} ${chain}-mac`,
      `add rule ${BASE} iifname "${hostName}" jump ${chain} ${comment}`,
      `add rule ${TABLE} ${chain} jump ${chain}-mac ${comment}`,
      `add rule ${TABLE} ${chain}-mac ether saddr ${mac} return ${comment}`,
      `add rule ${TABLE} ${chain}-mac drop ${comment}`,
    ]);
  });
}

/** Removes the attachment's rules and chains; it is a success if there are none. */
export function removeSpoofCheck(invocation: Invocation): void {
  const nft = findNft(invocation);
  if (nft === undefined || !isPlain(invocation.ifname)) return;
  const chain = chainName(invocation);
  const comment = commentOf(invocation).slice(0, 128);
  deleteRules(invocation, nft, BASE, comment);
  if (ruleHandles(invocation, nft, `${TABLE} ${chain}-mac`, comment).length === 0) return;
  applyNft(invocation, nft, [
    `flush chain ${TABLE} ${chain}`,
    `delete chain ${TABLE} ${chain}`,
    `flush chain ${TABLE} ${chain}-mac`,
    `delete chain ${TABLE} ${chain}-mac`,
  ]);
}
