// The host-local IPAM plugin: addresses of this node, kept as files (containernetworking/plugins
// plugins/ipam/host-local). Called by bridge in the same process, or by a runtime or another plugin.

import { type AddressStore, type Holding, type Owner, ownerParts, withStore } from '../../lib/pods/address-store.ts';
import { readText } from '../../lib/sys/file.ts';
import { type Attachment, hasAttachment, validAttachments } from '../protocol/attachments.ts';
import { failure, goText } from '../protocol/error.ts';
import type { Invocation, Plugin } from '../protocol/plugin.ts';
import { type Dns, emptyDns, type Result } from '../protocol/result.ts';
import { ALL_VERSIONS } from '../protocol/versions.ts';
import { allocate } from './allocate.ts';
import { type IpamConfig, parseIpamConfig, storeFolder } from './host-local-config.ts';
import { deadNobodys, RESULT_CACHE, reclaimDead } from './reclaim.ts';
import { parseResolvConf } from './resolv-conf.ts';

/** What was allocated, and a function that releases exactly this. */
export interface Allocation {
  readonly result: Result;
  undo(): void;
}

function ownerOf(invocation: Invocation): Owner {
  return { containerId: invocation.containerId, ifname: invocation.ifname };
}

function readDnsFile(invocation: Invocation, path: string): Dns {
  if (path === '') return emptyDns();
  try {
    return parseResolvConf(readText(invocation.sys, path, 1024 * 1024));
  } catch (thrown) {
    throw failure(`open ${path}: ${goText(thrown)}`);
  }
}

/** Checks the whole configuration before anything is made. Throws CniError 999. */
export function prepareAllocation(invocation: Invocation): () => Allocation {
  const config = parseIpamConfig(invocation);
  const dns = readDnsFile(invocation, config.resolvConf);
  return () => allocateNow(invocation, config, dns);
}

function allocateNow(invocation: Invocation, config: IpamConfig, dns: Dns): Allocation {
  const owner = ownerOf(invocation);
  const { sys } = invocation;
  const reclaim = reclaimDead(invocation, RESULT_CACHE);
  const take = (store: AddressStore) => allocate(store, config, owner, reclaim);
  const ips = withStore(sys, config.folder, take, invocation.holdLock);
  const taken = ips.map(({ address }) => address.ip);
  return {
    result: { interfaces: [], ips, routes: config.routes, dns },
    undo: () => withStore(sys, config.folder, (store) => store.releaseAddresses(owner, taken)),
  };
}

/** Releases all addresses of the attachment; it is a success if there are none. */
export function release(invocation: Invocation): void {
  withStore(invocation.sys, storeFolder(invocation), (store) =>
    store.release(ownerOf(invocation), (nobodys) => deadNobodys(invocation, RESULT_CACHE, store, nobodys)),
  );
}

/** Throws CniError 999 when the attachment holds no address. */
export function checkHeld(invocation: Invocation): void {
  const folder = storeFolder(invocation);
  const held = withStore(invocation.sys, folder, (store) => store.holds(ownerOf(invocation)));
  if (!held) throw failure(`host-local: Failed to find address added by container ${invocation.containerId}`);
}

function isListed(valid: readonly Attachment[], owner: string): boolean {
  const [containerId = '', ifname] = owner.split('\r\n');
  if (ifname !== undefined) return hasAttachment(valid, containerId, ifname);
  // A file of a very old version names only the container.
  return valid.some((attachment) => attachment.containerId === containerId);
}

function unlisted(store: AddressStore, valid: readonly Attachment[]): Holding[] {
  return store.holdings().filter((holding) => !isListed(valid, holding.owner));
}

/** Attachments that hold addresses although the runtime does not list them; none when it gives no list at all. */
export function unlistedOwners(invocation: Invocation): Owner[] {
  const valid = validAttachments(invocation.config);
  if (valid === undefined) return [];
  return withStore(invocation.sys, storeFolder(invocation), (store) =>
    unlisted(store, valid).map((holding) => ownerParts(holding.owner)),
  );
}

/** Frees the addresses of attachments that the runtime does not list. */
export function collectGarbage(invocation: Invocation): void {
  const valid = validAttachments(invocation.config);
  if (valid === undefined) return;
  withStore(invocation.sys, storeFolder(invocation), (store) => {
    for (const { ip, owner } of unlisted(store, valid)) store.releaseAddresses(ownerParts(owner), [ip]);
  });
}

export const hostLocal: Plugin = {
  name: 'host-local',
  supported: ALL_VERSIONS,
  add: (invocation) => prepareAllocation(invocation)().result,
  del: release,
  check: checkHeld,
  gc: collectGarbage,
};
