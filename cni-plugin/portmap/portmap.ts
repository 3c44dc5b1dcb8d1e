// The portmap plugin: ports of the host lead to a container (containernetworking/plugins plugins/meta/portmap). It uses nftables, or
// iptables if that is requested or the only one available. Without mappings nothing is executed.

import { errorText } from '../../lib/errors.ts';
import type { IpPrefix } from '../../lib/ip.ts';
import { type Netfilter, openNetfilter } from '../../lib/netfilter/netfilter-socket.ts';
import { hasNftables } from '../../lib/netfilter/nftables.ts';
import { SysError } from '../../lib/sys/sys-error.ts';
import { findNft } from '../nft.ts';
import { validAttachments } from '../protocol/attachments.ts';
import { CniError, failure, goText, NOT_AVAILABLE } from '../protocol/error.ts';
import type { Invocation, Plugin } from '../protocol/plugin.ts';
import type { Result } from '../protocol/result.ts';
import { ALL_VERSIONS } from '../protocol/versions.ts';
import { forgetConnections, staleAfterAdd } from './connections.ts';
import {
  addIptables,
  checkIptables,
  collectIptables,
  type Place,
  placesInUse,
  placesOfContainer,
  removeIptables,
  saveNat,
} from './iptables.ts';
import { enableRouteLocalnet } from './localnet.ts';
import { addNftables, checkNftables } from './nftables.ts';
import { ownerOf } from './owner.ts';
import { containerAddresses, mappingsOf, type PortmapConfig, previousResult, readConfig } from './portmap-config.ts';
import { collectNftables, removeNftables } from './remove.ts';

function add(invocation: Invocation): Result {
  const previous = previousResult(invocation);
  const config = readConfig(invocation);
  if (previous === undefined) throw failure('must be called as chained plugin');
  const containers = mapped(config, containerAddresses(previous, invocation.ifname));
  for (const container of containers) {
    if (config.snat && container.ip.family === 4) enableRouteLocalnet(invocation, container);
  }
  if (containers.length > 0) forward(invocation, config, containers);
  return previous;
}

/** The addresses of families that have mappings. */
function mapped(config: PortmapConfig, addresses: readonly IpPrefix[]): IpPrefix[] {
  return addresses.filter(({ ip }) => mappingsOf(config, ip.family).length > 0);
}

function forward(invocation: Invocation, config: PortmapConfig, containers: readonly IpPrefix[]): void {
  if (config.backend === 'iptables') {
    forwardByIptables(invocation, config, containers);
    return;
  }
  try {
    addNftables(invocation, config, containers);
  } catch (thrown) {
    const problem = `cannot map ports by nftables: ${errorText(thrown)}`;
    if (config.backend === 'nftables') throw failure(problem);
    invocation.note(`${problem}; trying iptables`);
    try {
      forwardByIptables(invocation, config, containers);
    } catch (second) {
      throw failure(`${problem}; and iptables: ${errorText(second)}`);
    }
  }
}

function forwardByIptables(invocation: Invocation, config: PortmapConfig, containers: readonly IpPrefix[]): void {
  addIptables(invocation, config, containers);
  const stale = staleAfterAdd(config, containers);
  if (stale.length === 0) return;
  const netfilter = tryOpenNetfilter(invocation);
  if (netfilter === undefined) return;
  forgetConnections(invocation, netfilter.netlink, stale);
  netfilter.close();
}

/** Undefined if the kernel has no nfnetlink: then there can be nothing in nftables. */
function tryOpenNetfilter(invocation: Invocation): Netfilter | undefined {
  try {
    return openNetfilter(invocation.sys);
  } catch (thrown) {
    if (thrown instanceof SysError) return undefined;
    throw thrown;
  }
}

/** DEL must also work with a configuration that has become invalid: the environment says which attachment the mappings belong to. */
function readLeniently(invocation: Invocation): PortmapConfig {
  try {
    return readConfig(invocation);
  } catch (thrown) {
    invocation.note(errorText(thrown));
    return {
      backend: undefined,
      snat: true,
      masqAll: false,
      markBit: 0,
      externalSetMarkChain: undefined,
      conditions: { 4: [], 6: [] },
      mappings: [],
    };
  }
}

/**
 * Removes what either backend, ours or the Go plugin's, has made, even without a netns and without mappings. Differs from the Go plugin,
 * which does nothing when the runtime forgets the mappings.
 */
function del(invocation: Invocation): void {
  const config = readLeniently(invocation);
  const netfilter = tryOpenNetfilter(invocation);
  let ours = false;
  let places: Place[] = [];
  try {
    places = placesOfContainer(invocation, netfilter?.netlink, placesInUse(invocation, netfilter?.netlink, false));
    if (netfilter !== undefined) ours = removeNftables(invocation, netfilter, config);
  } finally {
    netfilter?.close();
  }
  // The Go plugin's mappings may be in iptables-legacy, and only a listing shows whether they are.
  if (!ours && config.mappings.length > 0) places.push(...placesInUse(invocation, undefined, true));
  removeIptables(invocation, places);
}

function check(invocation: Invocation): void {
  const previous = previousResult(invocation);
  const config = readConfig(invocation);
  if (previous === undefined) throw failure('Required prevResult missing');
  const containers = mapped(config, containerAddresses(previous, invocation.ifname));
  if (containers.length === 0) return;
  if (config.backend === 'iptables') checkIptables(invocation, config, containers);
  else if (config.backend === 'nftables') checkNftables(invocation, config, containers);
  else checkEither(invocation, config, containers);
}

/** When the configuration names no backend, our ADD used iptables only if nftables failed; the Go plugin always uses it. */
function checkEither(invocation: Invocation, config: PortmapConfig, containers: readonly IpPrefix[]): void {
  try {
    checkNftables(invocation, config, containers);
  } catch (thrown) {
    const netfilter = tryOpenNetfilter(invocation);
    const netlink = netfilter?.netlink;
    const places = placesOfContainer(invocation, netlink, placesInUse(invocation, netlink, true));
    netfilter?.close();
    if (places.length === 0) throw thrown;
    checkIptables(invocation, config, containers);
  }
}

/** An ADD can succeed if nftables and its program are there, or if iptables answers. */
function status(invocation: Invocation): void {
  const config = readConfig(invocation);
  const netfilter = tryOpenNetfilter(invocation);
  try {
    const nft = netfilter !== undefined && hasNftables(netfilter.netlink) && findNft(invocation) !== undefined;
    if (nft && config.backend !== 'iptables') return;
    if (config.backend === 'nftables') throw failure('nft is not installed, or the kernel has no nftables');
    saveNat(invocation, 4);
  } catch (thrown) {
    throw new CniError(NOT_AVAILABLE, `portmap cannot map ports: ${goText(thrown)}`);
  } finally {
    netfilter?.close();
  }
}

function gc(invocation: Invocation): void {
  const valid = validAttachments(invocation.config);
  if (valid === undefined) return;
  const netfilter = tryOpenNetfilter(invocation);
  const places = placesInUse(invocation, netfilter?.netlink, true);
  if (netfilter !== undefined) {
    const owners = new Set(valid.map(({ containerId, ifname }) => ownerOf(invocation, containerId, ifname)));
    collectNftables(invocation, netfilter, owners);
  }
  const containers = new Set(valid.map(({ containerId }) => containerId));
  for (const place of places) collectIptables(invocation, place, containers);
}

export const portmap: Plugin = { name: 'portmap', supported: ALL_VERSIONS, add, del, check, status, gc };
