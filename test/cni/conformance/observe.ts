// Types and helpers for the parts of the output of `ip -j` and `bridge -j` that cases check.

export interface Link {
  readonly ifindex: number;
  readonly ifname: string;
  readonly flags: readonly string[];
  readonly mtu: number;
  readonly operstate: string;
  readonly address: string;
  readonly promiscuity: number;
  readonly master?: string;
  readonly txqlen?: number;
  readonly qdisc?: string;
  readonly linkinfo?: { readonly info_kind: string; readonly info_data?: Readonly<Record<string, unknown>> };
  readonly addr_info: readonly LinkAddress[];
}

export interface LinkAddress {
  readonly family: 'inet' | 'inet6';
  readonly local: string;
  readonly prefixlen: number;
  readonly broadcast?: string;
  readonly scope: string;
  readonly tentative?: boolean;
}

export interface Route {
  readonly dst: string;
  readonly gateway?: string;
  readonly dev?: string;
  readonly protocol: string;
  readonly metric?: number;
  readonly scope?: string;
  readonly nexthops?: readonly { readonly gateway: string; readonly dev: string }[];
}

export interface BridgePort {
  readonly ifname: string;
  readonly master: string;
  readonly hairpin: boolean;
  readonly isolated: boolean;
  readonly state: string;
}

/** Each address as `address/length`, without IPv6 link-local addresses. */
export function addressesOf(link: Link): string[] {
  return link.addr_info.filter(({ scope }) => scope !== 'link').map(({ local, prefixlen }) => `${local}/${prefixlen}`);
}

/** Whether the link and its other end are up. operstate is not used, because the kernel updates it a little later. */
export function isUp({ flags }: Link): boolean {
  return flags.includes('UP') && flags.includes('LOWER_UP');
}

/** Routes as `dst` or `dst via gateway`, without those that the kernel makes for addresses. */
export function routesOf(routes: readonly Route[]): string[] {
  return routes
    .filter(({ protocol }) => protocol !== 'kernel')
    .map(({ dst, gateway }) => (gateway === undefined ? dst : `${dst} via ${gateway}`));
}
