// Types for the part of raw-socket that the bench uses. The package has no types of its own.

declare module 'raw-socket' {
  import type { EventEmitter } from 'node:events';

  export interface RawSocket extends EventEmitter {
    /** `before` is called just before the packet is handed to the kernel, `after` with the result. */
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
