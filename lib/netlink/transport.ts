// What a connection needs from the layer below: memory for one exchange, send, and receive. In netlink-socket.ts the kernel answers, in fake.ts a
// function.

export interface Exchange {
  /** Where requests are written. */
  readonly out: Uint8Array;
  /** Where replies arrive. */
  readonly in: Uint8Array;
  /** Sends the first `length` bytes of `out` as one datagram; 0 or −errno. */
  send(length: number): number;
  /**
   * Receives one datagram from the kernel and returns its whole length, which exceeds `in.length` when
   * it was cut off, or −errno: −ETIMEDOUT when the deadline passed, −ENOBUFS when replies were lost.
   */
  receive(): number;
}

export interface NetlinkTransport {
  /** nl_pid of our end; replies to us contain it. */
  readonly portId: number;
  /** Lends memory to `body`; the views must not be used after it has returned. */
  exchange<T>(outBytes: number, inBytes: number, body: (exchange: Exchange) => T): T;
  close(): void;
}
