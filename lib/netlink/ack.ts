// NLMSG_ERROR and the end of NLMSG_DONE: an errno and, after NETLINK_EXT_ACK, the kernel's own text (struct nlmsgerr and enum
// nlmsgerr_attrs in linux/netlink.h).

import {
  NLM_F_ACK_TLVS,
  NLM_F_CAPPED,
  NLMSG_DONE,
  NLMSG_HDRLEN,
  NLMSGERR_ATTR_MISS_TYPE,
  NLMSGERR_ATTR_MSG,
} from './constants.ts';
import type { MessageReader } from './reader.ts';

export interface Ack {
  /** 0, or a positive errno. */
  readonly errno: number;
  readonly text?: string;
}

/** nlmsgerr: the errno, then the header of the request. */
const NLMSGERR_LENGTH = 4 + NLMSG_HDRLEN;

/** Decodes an NLMSG_ERROR, or an NLMSG_DONE, whose errno is absent in old kernels. */
export function decodeAck(message: MessageReader): Ack {
  const done = message.type === NLMSG_DONE;
  if (done && message.end - message.at < 4) return { errno: 0 };
  const errno = Math.abs(message.view.getInt32(message.struct(done ? 4 : NLMSGERR_LENGTH), true));
  if (errno === 0 || (message.flags & NLM_F_ACK_TLVS) === 0) return { errno };
  const text = ackText(message, done ? 4 : NLMSGERR_LENGTH + echoedLength(message));
  return text === undefined ? { errno } : { errno, text };
}

/** How many bytes of the request's payload an error repeats; 0 when NETLINK_CAP_ACK removed them. */
function echoedLength(message: MessageReader): number {
  if ((message.flags & NLM_F_CAPPED) !== 0) return 0;
  const length = message.view.getUint32(message.at + 4, true);
  return Math.max(0, length - NLMSG_HDRLEN);
}

function ackText(message: MessageReader, skip: number): string | undefined {
  let text: string | undefined;
  const attributes = message.attributes(skip);
  while (attributes.next()) {
    if (attributes.type === NLMSGERR_ATTR_MSG) text = attributes.text();
    else if (attributes.type === NLMSGERR_ATTR_MISS_TYPE) text ??= `attribute ${attributes.u32()} is missing`;
  }
  return text;
}
