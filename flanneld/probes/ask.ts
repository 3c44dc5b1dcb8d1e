// One probe and what came back. An `Asker` sends it: the real sockets (probe-sockets.ts), or a simulated network in tests.

import type { Ip } from '../../lib/ip.ts';
import type { Mac } from '../../lib/mac.ts';
import type { Target } from './target.ts';
import type { Answer } from './wire.ts';

/** One packet to send. */
export type Ask =
  /** UDP to the address of the peer's tunnel device, by this node's routes. */
  | {
      readonly way: 'tunnel';
      /** Bytes of UDP payload; 64 when absent. */
      readonly bytes?: number;
      /** The agents' port when absent. */
      readonly port?: number;
      readonly noChecksum?: boolean;
      /** Another address of the peer's subnet, and how many hops the packet may take. */
      readonly to?: Ip;
      readonly ttl?: number;
    }
  /** UDP to the peer's own address. */
  | { readonly way: 'node'; readonly port?: number }
  /** A VXLAN packet made by hand, to the peer's own address. */
  | { readonly way: 'frame'; readonly mac: Mac }
  /** The same packet with an ICMP echo in it, which a kernel also answers when it came to the broadcast MAC. */
  | { readonly way: 'echo'; readonly mac: Mac }
  /** A TCP connection to the peer's own address. */
  | { readonly way: 'tcp'; readonly port: number };

export type Reply =
  /** The peer's agent answered. */
  | { readonly kind: 'answered'; readonly rttMs: number; readonly answer: Answer }
  /** The peer's kernel answered that the port is closed. `way` says which of the peer's addresses that was. */
  | { readonly kind: 'refused'; readonly rttMs: number; readonly way: 'tunnel' | 'node'; readonly by: Ip | undefined }
  /** An echo made by hand was answered. */
  | { readonly kind: 'echoed' }
  /** TCP connected: something listens there. */
  | { readonly kind: 'connected' }
  /** The packet reached a node that would forward it, but its hops were used up. */
  | { readonly kind: 'expired'; readonly by: Ip | undefined }
  /** Another ICMP error; `what` is its text. */
  | { readonly kind: 'error'; readonly what: string; readonly by: Ip | undefined }
  /** Nobody on this node's own network has the address: ARP or neighbour discovery failed. */
  | { readonly kind: 'no-neighbour' }
  /** This node's kernel did not send it; `code` is the errno's name. */
  | { readonly kind: 'unsent'; readonly code: string }
  | { readonly kind: 'silent' };

/** Sends a probe and waits. Never rejects. */
export type Asker = (target: Target, ask: Ask, timeoutMs: number) => Promise<Reply>;

/** Whether the packet went all the way and something came back. */
export function passed(reply: Reply | undefined): boolean {
  return reply?.kind === 'answered' || (reply?.kind === 'refused' && reply.way === 'tunnel');
}
