// Reads what a node's kernel has for the overlay, as ip(8) and bridge(8) show it. Tests compare against it.

import type { LabNode } from '../lab-node.ts';

export interface VxlanState {
  readonly mac: string;
  /** Attributes of the device under the names of `ip -d link`, without those that differ from node to node. */
  readonly device: Record<string, unknown>;
  /** Such as `10.244.1.0/32`. */
  readonly addresses: readonly string[];
  readonly neighbours: readonly { readonly ip: string; readonly mac: string; readonly state: readonly string[] }[];
  readonly fdb: readonly {
    readonly mac: string;
    readonly dst: string;
    readonly flags: readonly string[];
    readonly state: string;
  }[];
  readonly routes: readonly { readonly dst: string; readonly gateway: string; readonly flags: readonly string[] }[];
  readonly nexthops: readonly unknown[];
}

type Json = Record<string, unknown>;

/** Returns everything on flannel.1, and the nexthops of the whole node. */
export async function kernelStateOf(node: LabNode): Promise<VxlanState> {
  const json = async (...argv: string[]): Promise<Json[]> => JSON.parse((await node.run(argv)) || '[]') as Json[];
  const [link = {}] = await json('ip', '-j', '-d', 'link', 'show', 'flannel.1');
  const [address = {}] = await json('ip', '-j', '-4', 'address', 'show', 'flannel.1');
  const neighbours = await json('ip', '-j', '-4', 'neigh', 'show', 'dev', 'flannel.1');
  const fdb = await json('bridge', '-j', 'fdb', 'show', 'dev', 'flannel.1');
  const routes = await json('ip', '-j', '-4', 'route', 'show', 'dev', 'flannel.1');
  const nexthops = await json('ip', '-j', 'nexthop', 'show');
  return {
    mac: String(link['address']),
    device: deviceAttributes(link),
    addresses: ((address['addr_info'] ?? []) as Json[]).map(({ local, prefixlen }) => `${local}/${prefixlen}`),
    neighbours: neighbours.map(({ dst, lladdr, state }) => ({
      ip: String(dst),
      mac: String(lladdr),
      state: state as string[],
    })),
    fdb: fdb.map((entry) => ({
      mac: String(entry['mac']),
      dst: String(entry['dst']),
      flags: entry['flags'] as string[],
      state: String(entry['state']),
    })),
    routes: routes.map(({ dst, gateway, flags }) => ({
      dst: String(dst),
      gateway: String(gateway),
      flags: flags as string[],
    })),
    nexthops,
  };
}

/** Returns the underlay address and device of flannel.1, such as `192.168.50.11 on eth0`; `nowhere` when it has none. */
export async function vxlanPlaceOf(node: LabNode): Promise<string> {
  const { stdout } = await node.exec(['ip', '-j', '-d', 'link', 'show', 'flannel.1']);
  const [link] = JSON.parse(stdout || '[]') as { linkinfo: { info_data: Json } }[];
  return link === undefined ? 'nowhere' : `${link.linkinfo.info_data['local']} on ${link.linkinfo.info_data['link']}`;
}

/** Returns to which addresses the node sends packets for peers, in the kernel's order. */
export async function fdbDestinationsOf(node: LabNode): Promise<string> {
  const { stdout } = await node.exec(['bridge', '-j', 'fdb', 'show', 'dev', 'flannel.1']);
  return (JSON.parse(stdout || '[]') as Json[]).map(({ dst }) => String(dst)).join();
}

function deviceAttributes(link: Json): Json {
  const info = ((link['linkinfo'] ?? {}) as Json)['info_data'] as Json;
  const { local: _local, link: _link, ...same } = info;
  return { mtu: link['mtu'], txqlen: link['txqlen'] ?? 0, flags: link['flags'], qdisc: link['qdisc'], ...same };
}
