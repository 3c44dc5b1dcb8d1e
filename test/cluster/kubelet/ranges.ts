// The address ranges of a cluster, as the flags of its servers name them, for IPv4 alone and for both families.

export type Families = 'ipv4' | 'dual';

interface Ranges {
  readonly pods: string;
  readonly services: string;
}

export const POD_NETWORK_V6 = 'fd00:10:244::/56';
export const RANGES: Readonly<Record<Families, Ranges>> = {
  ipv4: { pods: '10.244.0.0/16', services: '10.96.0.0/24' },
  dual: { pods: `10.244.0.0/16,${POD_NETWORK_V6}`, services: '10.96.0.0/24,fd00:96::/112' },
};
