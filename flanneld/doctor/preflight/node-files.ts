// What the host's processes and files show before Weft is installed. In a container the host's files are below another folder and its
// processes may be invisible; then nothing is found and nothing is claimed.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CONFLIST_NAME, pluginTypes } from '../../cni/conflist.ts';
import type { BaseChain, NetworkManager, OtherConf } from './preflight-facts.ts';

/** Programs and devices that belong to other overlays. */
const OTHER_PROGRAMS =
  /^(calico-node|cilium-agent|weaver|antrea-agent|ovnkube|kube-router|kube-ovn-.*|romana-agent|contiv-agent)$/;
const OTHER_DEVICES =
  /^(cali[0-9a-f]{11}|tunl0|vxlan\.calico|cilium_(host|net|vxlan)|weave|vethwe-.*|antrea-gw0|ovn-k8s-mp0|ovn0|kube-bridge)$/;

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch {
    return [];
  }
}

/** The names of all visible processes (proc(5), comm: 15 characters). */
export function processNames(root = ''): string[] {
  const pids = list(`${root}/proc`).filter((name) => /^[0-9]+$/.test(name));
  return pids.map((pid) => read(`${root}/proc/${pid}/comm`).trim()).filter((name) => name !== '');
}

export function otherCnisIn(processes: readonly string[], devices: readonly string[]): string[] {
  const programs = processes.filter((name) => OTHER_PROGRAMS.test(name)).map((name) => `process ${name}`);
  const links = devices.filter((name) => OTHER_DEVICES.test(name)).map((name) => `device ${name}`);
  return [...new Set([...programs, ...links])];
}

export function managersOf(processes: readonly string[], root = ''): NetworkManager[] {
  const found: NetworkManager[] = [];
  if (processes.includes('NetworkManager')) {
    const folders = ['/etc', '/run', '/usr/lib'].map((folder) => `${root}${folder}/NetworkManager/conf.d`);
    const texts = textsIn([...folders, `${root}/etc/NetworkManager`], '.conf');
    const sparesDevices = texts.some((text) => /^unmanaged-devices\s*\+?=.*flannel/m.test(text));
    found.push({ name: 'NetworkManager', sparesDevices });
  }
  // Its full name is longer than comm can hold.
  if (processes.includes('systemd-network')) {
    const folders = ['/etc', '/run', '/usr/lib'].map((folder) => `${root}${folder}/systemd`);
    const networks = textsIn(
      folders.map((folder) => `${folder}/network`),
      '.network',
    );
    const conf = textsIn([...folders, ...folders.map((folder) => `${folder}/networkd.conf.d`)], '.conf');
    const isUnmanaged = networks.some(
      (text) => /^Name\s*=.*flannel/m.test(text) && /^Unmanaged\s*=\s*(yes|true|1)/m.test(text),
    );
    const leavesRoutes = conf.some((text) => /^ManageForeignRoutes\s*=\s*(no|false|0)/m.test(text));
    found.push({ name: 'systemd-networkd', sparesDevices: isUnmanaged && leavesRoutes });
  }
  return found;
}

function textsIn(folders: readonly string[], ending: string): string[] {
  return folders.flatMap((folder) =>
    list(folder)
      .filter((name) => name.endsWith(ending))
      .map((name) => read(join(folder, name))),
  );
}

export function firewalldOf(processes: readonly string[], chains: readonly BaseChain[], root = '') {
  const zone = read(`${root}/etc/firewalld/zones/trusted.xml`);
  return {
    isActive: processes.includes('firewalld') || chains.some(({ table }) => table === 'firewalld'),
    trusts: ['cni0', 'flannel.1'].every((name) => zone.includes(`"${name}"`)),
  };
}

/** sysctl.d(5): files that set forwarding to 0. */
export function forwardingFilesIn(root = ''): string[] {
  const folders = ['/etc/sysctl.d', '/run/sysctl.d', '/usr/lib/sysctl.d'];
  const files = [
    ...folders.flatMap((folder) => list(root + folder).map((name) => `${folder}/${name}`)),
    '/etc/sysctl.conf',
  ];
  return files.filter((file) => /^\s*-?net[./]ipv4[./]ip_forward\s*=\s*0/m.test(read(root + file)));
}

/** The names of CNI configurations that do not call flannel. */
export function otherConfsIn(folder: string): OtherConf[] {
  return list(folder)
    .filter((name) => /\.(conf|conflist|json)$/.test(name) && name !== CONFLIST_NAME)
    .map((file) => ({ file, types: typesIn(read(join(folder, file))) }))
    .filter(({ types }) => !types.includes('flannel') && !types.every((type) => type === 'loopback'));
}

/** The types of a list's plugins; a single configuration has its type at the top. */
function typesIn(text: string): string[] {
  try {
    const types = pluginTypes(text);
    const single: unknown = types.length > 0 ? undefined : (JSON.parse(text) as { type?: unknown }).type;
    return typeof single === 'string' ? [single] : types;
  } catch {
    return [];
  }
}

/** Reads nft's JSON; chains without a hook are left out. */
export function baseChainsIn(json: string): BaseChain[] {
  const { nftables } = JSON.parse(json) as { nftables: { chain?: Partial<BaseChain> }[] };
  return nftables.flatMap(({ chain }) => {
    if (chain?.hook === undefined) return [];
    const { family = '', table = '', name = '', hook, policy = 'accept' } = chain;
    return [{ family, table, name, hook, policy }];
  });
}
