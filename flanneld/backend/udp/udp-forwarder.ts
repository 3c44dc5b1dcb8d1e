// Moves packets between the TUN device and the UDP socket of the udp backend. Each packet is the payload of one datagram; both
// ends lower its TTL by one. It behaves on the wire like flannel's proxy (backend/udp/proxy_amd64.c).

import { createSocket, type Socket } from 'node:dgram';
import { OpError } from '../../../lib/errors.ts';
import { contains, formatIp, type Ip, type IpPrefix } from '../../../lib/ip.ts';
import type { RoutePeer } from '../route-peer.ts';
import { netUnreachable, readIpv4, spendHop } from './udp-packet.ts';

/** Socket buffers: room for a burst of packets while the agent does something else. */
const BUFFER_BYTES = 1024 * 1024;

export interface ForwarderOptions {
  readonly local: Ip;
  readonly port: number;
  /** This node's subnet; packets from peers to other addresses are dropped. */
  readonly subnet: IpPrefix;
  /** Gives a packet to the kernel. */
  readonly toKernel: (packet: Uint8Array) => void;
  readonly onError: (error: unknown) => void;
}

export class UdpForwarder {
  readonly #options: ForwarderOptions;
  readonly #socket: Socket;
  /** For each prefix length, longest first, the address of the node for each network. */
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

  /** Replaces the forwarding table. */
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

  /** Sends a packet that the kernel routed into the TUN device; the bytes are copied. */
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
    // A packet that cannot be sent is lost, as on any other link.
    if (spendHop(copy)) this.#socket.send(copy, this.#options.port, address, () => undefined);
  }

  close(): Promise<void> {
    return new Promise((resolve) => this.#socket.close(resolve));
  }

  #fromPeer(datagram: Uint8Array): void {
    const packet = readIpv4(datagram);
    if (packet === undefined) return;
    const destination: Ip = { family: 4, value: BigInt(packet.destination) };
    // Otherwise anybody who can send to the port could use this node as a router to other networks.
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
