// Who holds what on this node: address files, shared with the Go host-local, and saved delegate configurations, put
// together by attachment.

import { formatIp, type Ip } from '../../../lib/ip.ts';
import { type AddressStore, ownerParts } from '../../../lib/pods/address-store.ts';
import { flannelPath, keyedPath, loadState } from '../../../lib/pods/saved-config.ts';
import { listDir, statPath } from '../../../lib/sys/file.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';

/** One attachment, or one address file that names nobody. */
export interface Holder {
  readonly containerId: string;
  readonly ifname: string;
  /** As an address file has it, `<container>\r\n<interface>`. */
  readonly owner: string;
  readonly ips: Ip[];
  /** Paths of its saved configuration: ours, or that of flannel's own plugin, which names the container alone. */
  readonly saved: string[];
}

/** Everybody who holds something. Reads every file. Throws SysError. */
export function listHolders(
  sys: Syscalls,
  store: AddressStore | undefined,
  savedFolder: string,
  network: string,
): Holder[] {
  const holders = new Map<string, Holder>();
  const holderOf = (key: string, owner: string): Holder => {
    const known = holders.get(key);
    if (known !== undefined) return known;
    const made = { ...ownerParts(owner), owner, ips: [], saved: [] };
    holders.set(key, made);
    return made;
  };
  for (const { ip, owner } of store?.holdings() ?? []) {
    // Files that name nobody have nothing to do with each other.
    holderOf(owner === '' ? formatIp(ip) : owner, owner).ips.push(ip);
  }
  for (const { owner, path } of savedConfigs(sys, savedFolder, network, [...holders.values()])) {
    holderOf(owner, owner).saved.push(path);
  }
  return [...holders.values()];
}

/** Saved configurations of a network with their owners. What cannot be read may be another network's. */
function savedConfigs(
  sys: Syscalls,
  folder: string,
  network: string,
  holders: readonly Holder[],
): { readonly owner: string; readonly path: string }[] {
  return (listDir(sys, folder) ?? []).flatMap((name) => {
    const colon = name.indexOf(':');
    const id = { containerId: colon < 0 ? name : name.slice(0, colon), ifname: colon < 0 ? '' : name.slice(colon + 1) };
    if (name.startsWith('.') || id.containerId === '') return [];
    const state = loadState(sys, folder, id);
    if (typeof state !== 'object' || state.get('name') !== network) return [];
    if (colon >= 0) return [{ owner: `${id.containerId}\r\n${id.ifname}`, path: keyedPath(folder, id) }];
    if (isSecondName(sys, folder, name)) return [];
    const held = holders.find(({ containerId }) => containerId === name)?.owner;
    return [{ owner: held ?? `${name}\r\neth0`, path: flannelPath(folder, id) }];
  });
}

/** Whether a container's file is only the other name of a file of ours. */
function isSecondName(sys: Syscalls, folder: string, containerId: string): boolean {
  const named = statPath(sys, `${folder}/${containerId}`);
  return (listDir(sys, folder) ?? []).some(
    (name) => name.startsWith(`${containerId}:`) && statPath(sys, `${folder}/${name}`)?.inode === named?.inode,
  );
}
