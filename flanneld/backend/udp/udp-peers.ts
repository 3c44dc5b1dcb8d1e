// The peers of the udp backend as a kind of object: a subnet, and the node to which its packets are sent. They are kept in
// this process, in the forwarder's table.

import { formatIp, formatPrefix, sameIp } from '../../../lib/ip.ts';
import { type Action, type ObjectKey, type ObjectKind, prefixKey, type Refusal } from '../../dataplane/objects/kind.ts';
import type { RoutePeer } from '../route-peer.ts';
import type { UdpForwarder } from './udp-forwarder.ts';

interface TableAction extends Action {
  readonly peer: RoutePeer;
  readonly isRemoval: boolean;
}

export class UdpPeers implements ObjectKind<RoutePeer, RoutePeer, TableAction> {
  readonly name = 'peer';
  readonly #table = new Map<ObjectKey, RoutePeer>();
  readonly #forwarder: () => UdpForwarder | undefined;

  constructor(forwarder: () => UdpForwarder | undefined) {
    this.#forwarder = forwarder;
  }

  wantedKey({ subnet }: RoutePeer): ObjectKey {
    return prefixKey(subnet);
  }

  presentKey({ subnet }: RoutePeer): ObjectKey {
    return prefixKey(subnet);
  }

  isRight(have: RoutePeer, want: RoutePeer): boolean {
    return sameIp(have.publicIp, want.publicIp);
  }

  isOurs(): boolean {
    return true;
  }

  list(): RoutePeer[] {
    return [...this.#table.values()];
  }

  asWanted(peer: RoutePeer): RoutePeer {
    return peer;
  }

  put(peer: RoutePeer): TableAction {
    return { peer, isRemoval: false, describe: () => `send ${this.spell(peer)} to ${formatIp(peer.publicIp)}` };
  }

  remove(peer: RoutePeer): TableAction {
    return { peer, isRemoval: true, describe: () => `send nothing to ${this.spell(peer)}` };
  }

  spell({ subnet }: RoutePeer): string {
    return `packets for ${formatPrefix(subnet)}`;
  }

  difference({ publicIp }: RoutePeer): string {
    return `were sent to ${formatIp(publicIp)}`;
  }

  execute(actions: readonly TableAction[]): Promise<Refusal[]> {
    for (const { peer, isRemoval } of actions) {
      if (isRemoval) this.#table.delete(this.presentKey(peer));
      else this.#table.set(this.wantedKey(peer), peer);
    }
    this.#forwarder()?.setPeers(this.list());
    return Promise.resolve([]);
  }
}
