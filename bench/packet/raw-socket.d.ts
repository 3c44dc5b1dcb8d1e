// Types of what the bench uses of raw-socket, which has none.

declare module 'raw-socket' {
  import type { EventEmitter } from 'node:events';

  export interface RawSocket extends EventEmitter {
    /** `before` is called when the packet is about to be handed over, `after` with what became of it. */
    send(
      packet: Buffer,
      offset: number,
      length: number,
      address: string,
      before: () => void,
      after: (error: Error | null) => void,
    ): void;
    close(): void;
  }

  const module: { createSocket(options: { protocol: number; addressFamily: number; bufferSize?: number }): RawSocket };
  // biome-ignore lint/style/noDefaultExport: it is a CommonJS module
  export default module;
}
