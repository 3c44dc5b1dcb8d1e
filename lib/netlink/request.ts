// A request to the kernel, and the error that names the request when the kernel refuses it.

import { OpError } from '../errors.ts';
import { errnoName } from '../sys/errno.ts';
import type { MessageWriter } from './writer.ts';

/** One netlink message to be sent; pure data until written. */
export interface NetlinkRequest {
  readonly type: number;
  /** Flags besides NLM_F_REQUEST and NLM_F_ACK, which the connection adds. */
  readonly flags: number;
  /** Writes what follows the message header: fixed struct and attributes. */
  write(writer: MessageWriter): void;
  /** Verb and object in the words of the tool: `add fdb 0a:00:00:00:00:01 dst 10.0.0.2 dev flannel.1`. */
  describe(): string;
  /** The complete ip or bridge command that does the same; absent where there is none. */
  command?(): string;
}

/** The kernel refused a request: `rtnetlink: add fdb … dev flannel.1: EEXIST (kernel text)`. */
export class NetlinkError extends OpError {
  readonly errno: number;
  /** The kernel's extended-ack text. */
  readonly kernelMessage: string | undefined;
  readonly request: NetlinkRequest;

  constructor(subsystem: string, request: NetlinkRequest, errno: number, kernelMessage?: string) {
    const text = request.describe();
    const space = text.indexOf(' ');
    super({
      subsystem,
      op: space < 0 ? text : text.slice(0, space),
      object: space < 0 ? '' : text.slice(space + 1),
      code: errnoName(errno),
      detail: kernelMessage,
    });
    this.name = 'NetlinkError';
    this.errno = errno;
    this.kernelMessage = kernelMessage;
    this.request = request;
  }
}
