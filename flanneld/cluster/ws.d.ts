// Types for the used parts of `ws`: https://github.com/websockets/ws/blob/8.23.0/doc/ws.md

declare module 'ws' {
  import type { IncomingMessage } from 'node:http';
  import type { RequestOptions } from 'node:https';
  import type { Duplex } from 'node:stream';

  interface ClientOptions extends RequestOptions {
    handshakeTimeout?: number;
    maxPayload?: number;
    perMessageDeflate?: boolean;
  }

  export class WebSocket {
    constructor(address: URL, protocols: readonly string[], options: ClientOptions);
    on(event: 'open', listener: () => void): this;
    on(event: 'message', listener: (data: Buffer, isBinary: boolean) => void): this;
    on(event: 'close', listener: (code: number, reason: Buffer) => void): this;
    on(event: 'error', listener: (error: Error) => void): this;
    on(event: 'unexpected-response', listener: (request: unknown, response: IncomingMessage) => void): this;
    send(data: Buffer, done?: () => void): void;
    close(): void;
    terminate(): void;
  }

  export class WebSocketServer {
    constructor(options: { noServer: true; handleProtocols: (protocols: Set<string>) => string | false });
    handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer, done: (client: WebSocket) => void): void;
  }
}
