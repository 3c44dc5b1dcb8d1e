// Packets between the TUN device and the UDP socket of the udp backend: each as it is in one datagram, one hop less at
// either end (flannel's proxy, backend/udp/proxy_amd64.c, by its behaviour on the wire).

import { createSocket, type Socket } from 'node:dgram';
import { OpError } from '../../../lib/errors.ts';
import { contains, formatIp, type Ip, type IpPrefix } from '../../../lib/ip.ts';
import type { RoutePeer } from '../../dataplane/route-peer.ts';
import { netUnreachable, readIpv4, spendHop } from './udp-packet.ts';

/** What a burst of the kernel's may pile up while the agent does something else. */
const BUFFER_BYTES = 1024 * 1024;

export interface ForwarderOptions {
  readonly local: Ip;
  readonly port: number;
  /** This node's subnet: packets to other addresses are not for us. */
  readonly subnet: IpPrefix;
  /** Gives a packet to the kernel. */
  readonly toKernel: (packet: Uint8Array) => void;
  readonly onError: (error: unknown) => void;
}

export class UdpForwarder {
  readonly #options: ForwarderOptions;
  readonly #socket: Socket;
  /** By prefix length, longest first: network to the address of its node. */
  #routes: readonly (readonly [mask: number, byNetwork: ReadonlyMap<number, string>])[] = [];

  private constructor(options: ForwarderOptions, socket: Socket) {
    this.#options = options;
    this.#socket = socket;
    socket.on('message', (datagram) => this.#fromPeer(datagram));
  }

  /** Binds the port; rejects with OpError when it is taken. */
  static open(options: ForwarderOptions): Promise<UdpForwarder> {
    const { local, port } = options;
    const socket = createSocket({ type: 'udp4', recvBufferSize: BUFFER_BYTES, sendBufferSize: BUFFER_BYTES });
    return new Promise((resolve, reject) => {
      socket.once('error', (error: NodeJS.ErrnoException) => {
        socket.close();
        const object = `UDP port ${port} of ${formatIp(local)}`;
        reject(new OpError({ subsystem: 'udp', op: 'bind', object, code: error.code ?? 'error', cause: error }));
      });
      socket.bind({ address: formatIp(local), port, exclusive: true }, () => {
        socket.removeAllListeners('error').on('error', options.onError);
        resolve(new UdpForwarder(options, socket));
      });
    });
  }

  /** From now on these are the ways there are. */
  setPeers(peers: readonly RoutePeer[]): void {
    const lengths = new Map<number, Map<number, string>>();
    for (const { subnet, publicIp } of peers) {
      const networks = lengths.get(subnet.length) ?? new Map<number, string>();
      networks.set(Number(subnet.ip.value), formatIp(publicIp));
      lengths.set(subnet.length, networks);
    }
    const byLength = [...lengths].sort(([a], [b]) => b - a);
    this.#routes = byLength.map(([length, networks]) => [length === 0 ? 0 : (-1 << (32 - length)) >>> 0, networks]);
  }

  /** A packet the kernel routed into the network; it is copied. */
  fromKernel(bytes: Uint8Array): void {
    const packet = readIpv4(bytes);
    if (packet === undefined) return;
    const address = this.#nextHop(packet.destination);
    if (address === undefined) {
      const reply = netUnreachable(bytes, packet);
      if (reply !== undefined) this.#options.toKernel(reply);
      return;
    }
    const copy = bytes.slice();
    // What cannot be sent is lost, as on any other link.
    if (spendHop(copy)) this.#socket.send(copy, this.#options.port, address, () => undefined);
  }

  close(): Promise<void> {
    return new Promise((resolve) => this.#socket.close(resolve));
  }

  #fromPeer(datagram: Uint8Array): void {
    const packet = readIpv4(datagram);
    if (packet === undefined) return;
    const destination: Ip = { family: 4, value: BigInt(packet.destination) };
    // Whoever may send to the port cannot make this node a router to elsewhere.
    if (contains(this.#options.subnet, destination) && spendHop(datagram)) this.#options.toKernel(datagram);
  }

  #nextHop(destination: number): string | undefined {
    for (const [mask, networks] of this.#routes) {
      const address = networks.get((destination & mask) >>> 0);
      if (address !== undefined) return address;
    }
    return undefined;
  }
}
