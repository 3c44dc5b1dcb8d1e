// Lists what each attachment holds on this node: address files (shared with the Go host-local) and saved delegate configurations.

import { formatIp, type Ip } from '../../../lib/ip.ts';
import { type AddressStore, ownerParts } from '../../../lib/pods/address-store.ts';
import { flannelPath, keyedPath, loadState } from '../../../lib/pods/saved-config.ts';
import type { Holder } from '../../../lib/pods/survey.ts';
import { isLocked, listDir, statPath } from '../../../lib/sys/file.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';

/** A holder, and the files of its saved configuration. */
export interface NodeHolder extends Holder {
  /** Paths of our file, or of the one of flannel's own plugin, which is named after the container alone. */
  readonly saved: readonly string[];
}

interface Found {
  readonly owner: string;
  readonly ips: Ip[];
  readonly saved: string[];
}

/** Lists all holders. It reads every file. What it says about running ADDs is true only at that moment. Throws SysError. */
export function listHolders(
  sys: Syscalls,
  store: AddressStore | undefined,
  savedFolder: string,
  network: string,
): NodeHolder[] {
  const found = new Map<string, Found>();
  const foundOf = (key: string, owner: string): Found => {
    const known = found.get(key);
    if (known !== undefined) return known;
    const made = { owner, ips: [], saved: [] };
    found.set(key, made);
    return made;
  };
  for (const { ip, owner } of store?.holdings() ?? []) {
    // Files without an owner are not grouped, because they need not belong together.
    foundOf(owner === '' ? formatIp(ip) : owner, owner).ips.push(ip);
  }
  const owners = [...found.values()].map(({ owner }) => owner);
  for (const { owner, path } of savedConfigs(sys, savedFolder, network, owners)) foundOf(owner, owner).saved.push(path);
  return [...found.values()].map(({ owner, ips, saved }) => {
    const { containerId, ifname } = ownerParts(owner);
    const own = keyedPath(savedFolder, { containerId, ifname });
    return {
      containerId,
      ifname,
      owner,
      ips,
      saved,
      isBeingAdded: ips.some((ip) => store?.isBeingAdded(ip)) || saved.some((path) => isLocked(sys, path)),
      mayBeAddedUnseen: ips.length === 0 && !saved.includes(own),
    };
  });
}

/** Saved configurations of a network, with their owners. Unreadable ones are left out, as they may be another network's. */
function savedConfigs(
  sys: Syscalls,
  folder: string,
  network: string,
  owners: readonly string[],
): { readonly owner: string; readonly path: string }[] {
  return (listDir(sys, folder) ?? []).flatMap((name) => {
    const colon = name.indexOf(':');
    const id = { containerId: colon < 0 ? name : name.slice(0, colon), ifname: colon < 0 ? '' : name.slice(colon + 1) };
    if (name.startsWith('.') || id.containerId === '') return [];
    const state = loadState(sys, folder, id);
    if (typeof state !== 'object' || state.get('name') !== network) return [];
    if (colon >= 0) return [{ owner: `${id.containerId}\r\n${id.ifname}`, path: keyedPath(folder, id) }];
    if (isSecondName(sys, folder, name)) return [];
    const held = owners.find((owner) => ownerParts(owner).containerId === name);
    return [{ owner: held ?? `${name}\r\neth0`, path: flannelPath(folder, id) }];
  });
}

/** Whether the file named after the container is only a second name of a file of ours. */
function isSecondName(sys: Syscalls, folder: string, containerId: string): boolean {
  const named = statPath(sys, `${folder}/${containerId}`);
  return (listDir(sys, folder) ?? []).some(
    (name) => name.startsWith(`${containerId}:`) && statPath(sys, `${folder}/${name}`)?.inode === named?.inode,
  );
}
