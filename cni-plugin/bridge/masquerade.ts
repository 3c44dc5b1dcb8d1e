// Source NAT for what leaves the pod network, one nftables transaction an attachment.

import type { IpPrefix } from '../../lib/ip.ts';
import { failure } from '../protocol/error.ts';
import type { Invocation } from '../protocol/plugin.ts';

export function addMasquerade(
  _invocation: Invocation,
  _backend: 'nftables' | 'iptables' | undefined,
  _addresses: readonly IpPrefix[],
  _onFailure: (undo: () => void) => void,
): void {
  throw failure('ipMasq is not there yet');
}

export function removeMasquerade(_invocation: Invocation): void {
  return;
}
