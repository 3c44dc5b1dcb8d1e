// How packets of one family travel to other nodes: what a backend says of its tunnel to those who look at a node from outside, such
// as probes and the doctor.

export interface TunnelWay {
  /** The type of the backend, which the leases of its peers name. */
  readonly type: string;
  /** The name of the device: `flannel.1`. */
  readonly device: string;
  /** The UDP port; absent where packets have none, as with IP in IP. */
  readonly port?: number;
  /** Only VXLAN has one. */
  readonly vni?: number;
  /** What the tunnel's headers take of a packet on the underlay. */
  readonly overheadBytes: number;
  /** Whether nodes know each other by keys. Then a wrong key is as silent as a closed port. */
  readonly hasKeys?: boolean;
}

/** What has to pass between two nodes, in words. */
export function spellCarrier({ port }: Pick<TunnelWay, 'port'>): string {
  return port === undefined ? 'IP protocol 4 (IP in IP)' : `UDP port ${port}`;
}
