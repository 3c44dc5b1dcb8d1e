// How packets of one family travel to other nodes: a backend's description of its tunnel for code that examines a node from outside, such
// as probes and the doctor.

export interface TunnelWay {
  /** The type of the backend, which the leases of its peers name. */
  readonly type: string;
  /** The name of the device: `flannel.1`. */
  readonly device: string;
  /** The UDP port; absent where packets have none, as with IPIP. */
  readonly port?: number;
  /** Only VXLAN has one. */
  readonly vni?: number;
  /** How many bytes of an underlay packet the tunnel's headers take. */
  readonly overheadBytes: number;
  /** Whether nodes know each other by keys. Then a wrong key is as silent as a closed port. */
  readonly hasKeys?: boolean;
}

/** The packets that must pass between two nodes, in words. */
export function spellCarrier({ port }: Pick<TunnelWay, 'port'>): string {
  return port === undefined ? 'IP protocol 4 (IP in IP)' : `UDP port ${port}`;
}
