// The part of traffic control that limits a device's rate: a token bucket at the root, and the ingress hook with a filter that sends
// everything to another device (tc(8), tc-tbf(8), linux/pkt_sched.h, pkt_cls.h).

import type { Netlink } from '../netlink/connection.ts';
import { NLM_F_CREATE, NLM_F_ECHO, NLM_F_EXCL, NLM_F_REPLACE } from '../netlink/constants.ts';
import type { AttributeReader, MessageReader } from '../netlink/reader.ts';
import type { NetlinkRequest } from '../netlink/request.ts';
import type { MessageWriter } from '../netlink/writer.ts';
import { ENOENT } from '../sys/errno.ts';
import { spellDev } from './spelling.ts';

export const RTM_NEWQDISC = 36;
export const RTM_DELQDISC = 37;
const RTM_GETQDISC = 38;
const RTM_NEWTFILTER = 44;

const TC_H_ROOT = 0xffff_ffff;
const TC_H_INGRESS = 0xffff_fff1;
/** `1:` and `ffff:`. */
const ROOT_HANDLE = 0x0001_0000;
const INGRESS_HANDLE = 0xffff_0000;

const TCA_KIND = 1;
const TCA_OPTIONS = 2;
const TCA_TBF_PARMS = 1;
const TCA_TBF_RATE64 = 4;
const TCA_U32_CLASSID = 1;
const TCA_U32_SEL = 5;
const TCA_U32_ACT = 7;
const TC_U32_TERMINAL = 1;
const TCA_ACT_KIND = 1;
const TCA_ACT_OPTIONS = 2;
const TCA_MIRRED_PARMS = 2;
const TCA_EGRESS_REDIR = 1;
const TC_ACT_STOLEN = 4;
const ETH_P_ALL = 3;
const MAX_U32 = 0xffff_ffff;
/** The token bucket counts time in ticks of 64 ns (PSCHED_SHIFT). */
const TICKS_A_SECOND = 1e9 / 64;

/** The queue's size where bucket and queue together do not fit 32 bits. */
const LARGE_QUEUE_BYTES = 1024 * 1024;

/** struct tcmsg: u8 family and padding, s32 ifindex, u32 handle, u32 parent, u32 info. */
const TCMSG_BYTES = 20;
/** Two struct tc_ratespec of 12 bytes, whose last word is the rate, then u32 limit, buffer, mtu. */
const TBF_QOPT_BYTES = 36;

/** A token bucket. A value that is too large for the kernel becomes the largest one. */
export interface TokenBucket {
  /** Bytes a second. */
  readonly rate: number;
  /** Bytes that may wait in the queue. */
  readonly limit: number;
  /** How long the bucket takes to fill, in ticks of 64 ns. */
  readonly buffer: number;
}

/** The bucket that lets `rate` bytes a second and bursts of `burst` bytes pass, and keeps 25 ms more waiting. */
export function tokenBucket(rate: number, burst: number): TokenBucket {
  // Whole microseconds between, as containernetworking's plugins/meta/bandwidth computes and compares it.
  const fillUsec = Math.min(Math.trunc((burst * 1e6) / rate), MAX_U32);
  const waiting = Math.trunc(rate * 0.025);
  // The Go plugin's sum overflows here, which leaves room for a few packets only, so that packets of 64 KB are dropped. To let 4 GB wait
  // would be wrong, too.
  const limit = waiting + burst <= MAX_U32 ? waiting + burst : Math.min(Math.max(waiting, LARGE_QUEUE_BYTES), MAX_U32);
  return { rate, limit, buffer: Math.min(Math.trunc((fillUsec * TICKS_A_SECOND) / 1e6), MAX_U32) };
}

function writeTcmsg(writer: MessageWriter, index: number, handle: number, parent: number, info = 0): void {
  writer.u32(0);
  writer.u32(index);
  writer.u32(handle);
  writer.u32(parent);
  writer.u32(info);
}

/** Limits what leaves a device, and replaces an earlier limit. Same as: `tc qdisc replace dev DEV root tbf …`. */
export function replaceTokenBucket(index: number, bucket: TokenBucket, dev?: string): NetlinkRequest {
  const { rate, limit, buffer } = bucket;
  return {
    type: RTM_NEWQDISC,
    flags: NLM_F_CREATE | NLM_F_REPLACE,
    write(writer) {
      writeTcmsg(writer, index, ROOT_HANDLE, TC_H_ROOT);
      writer.attrText(TCA_KIND, 'tbf');
      writer.nest(TCA_OPTIONS, () => {
        const options = new DataView(new ArrayBuffer(TBF_QOPT_BYTES));
        options.setUint32(8, Math.min(rate, MAX_U32), true);
        options.setUint32(24, limit, true);
        options.setUint32(28, buffer, true);
        writer.attrBytes(TCA_TBF_PARMS, new Uint8Array(options.buffer));
        if (rate > MAX_U32) writer.attrBytes(TCA_TBF_RATE64, u64(rate));
      });
    },
    describe: () => `replace qdisc ${spellDev(index, dev)} root tbf rate ${rate * 8}bit`,
  };
}

function u64(value: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, BigInt(value), true);
  return new Uint8Array(view.buffer);
}

/** Lets filters see arriving packets; EEXIST when there is such a hook. Same as: `tc qdisc add dev DEV ingress`. */
export function addIngress(index: number, dev?: string): NetlinkRequest {
  return {
    type: RTM_NEWQDISC,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    write(writer) {
      writeTcmsg(writer, index, INGRESS_HANDLE, TC_H_INGRESS);
      writer.attrText(TCA_KIND, 'ingress');
    },
    describe: () => `add qdisc ${spellDev(index, dev)} ingress`,
    command: () => `tc qdisc add ${spellDev(index, dev)} ingress`,
  };
}

/** Removes the hook and its filters. Same as: `tc qdisc del dev DEV ingress`. */
export function deleteIngress(index: number, dev?: string): NetlinkRequest {
  return {
    type: RTM_DELQDISC,
    flags: 0,
    write: (writer) => writeTcmsg(writer, index, INGRESS_HANDLE, TC_H_INGRESS),
    describe: () => `delete qdisc ${spellDev(index, dev)} ingress`,
    command: () => `tc qdisc del ${spellDev(index, dev)} ingress`,
  };
}

/**
 * Sends everything that arrives at a device through another one first. Same as: `tc filter add dev DEV parent ffff: protocol all prio 1 u32
 * match u32 0 0 action mirred egress redirect dev TO`.
 */
export function addRedirect(index: number, toIndex: number, dev?: string, to?: string): NetlinkRequest {
  const target = to ?? `if${toIndex}`;
  return {
    type: RTM_NEWTFILTER,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    write(writer) {
      // info: priority 1, and the protocol in network order
      writeTcmsg(writer, index, 0, INGRESS_HANDLE, (1 << 16) | (ETH_P_ALL << 8));
      writer.attrText(TCA_KIND, 'u32');
      writer.nest(TCA_OPTIONS, () => {
        writer.attrU32(TCA_U32_CLASSID, ROOT_HANDLE | 1);
        writer.attrBytes(TCA_U32_SEL, matchAll());
        writer.nest(TCA_U32_ACT, () => writer.nest(1, () => writeMirred(writer, toIndex)));
      });
    },
    describe: () => `add filter ${spellDev(index, dev)} ingress redirect dev ${target}`,
    command: () =>
      `tc filter add ${spellDev(index, dev)} parent ffff: protocol all prio 1 u32 match u32 0 0 ` +
      `action mirred egress redirect dev ${target}`,
  };
}

/** struct tc_u32_sel, 16 bytes beginning u8 flags, u8 offshift, u8 nkeys; then one key: mask 0, value 0. */
function matchAll(): Uint8Array {
  const selector = new Uint8Array(32);
  selector[0] = TC_U32_TERMINAL;
  selector[2] = 1;
  return selector;
}

/** struct tc_mirred: u32 index, capab, s32 action, refcnt, bindcnt, eaction, u32 ifindex. */
function writeMirred(writer: MessageWriter, toIndex: number): void {
  writer.attrText(TCA_ACT_KIND, 'mirred');
  writer.nest(TCA_ACT_OPTIONS, () => {
    const parms = new DataView(new ArrayBuffer(28));
    parms.setUint32(8, TC_ACT_STOLEN, true);
    parms.setUint32(20, TCA_EGRESS_REDIR, true);
    parms.setUint32(24, toIndex, true);
    writer.attrBytes(TCA_MIRRED_PARMS, new Uint8Array(parms.buffer));
  });
}

/** The token bucket at a device's root; undefined when there is another queue. Same as: `tc qdisc show dev DEV root`. */
export function getTokenBucket(netlink: Netlink, index: number): TokenBucket | undefined {
  return netlink.get(getQdisc(index, 'root'), decodeTokenBucket, [ENOENT]);
}

/** The hook for a device's arriving packets: `ingress` or `clsact`; undefined without one. */
export function getIngressKind(netlink: Netlink, index: number): string | undefined {
  return netlink.get(getQdisc(index, 'ingress'), decodeKind, [ENOENT]);
}

/** A queue, shaper or hook of a device. */
export interface Qdisc {
  readonly index: number;
  /** `noqueue`, `tbf`, `ingress`, `clsact` … */
  readonly kind: string;
}

/** The queueing disciplines of all devices. Same as: `tc qdisc show`. */
export function listQdiscs(netlink: Netlink): Qdisc[] {
  const request: NetlinkRequest = {
    type: RTM_GETQDISC,
    flags: 0,
    write: (writer) => writeTcmsg(writer, 0, 0, 0),
    describe: () => 'list qdiscs',
  };
  return netlink.dump(request, decodeQdisc);
}

/** Decodes RTM_NEWQDISC and RTM_DELQDISC. Throws MalformedReply. */
export function decodeQdisc(message: MessageReader): Qdisc {
  return { index: message.view.getInt32(message.struct(TCMSG_BYTES) + 4, true), kind: decodeKind(message) };
}

function getQdisc(index: number, place: 'root' | 'ingress'): NetlinkRequest {
  return {
    type: RTM_GETQDISC,
    // Older kernels send the answer to everybody who listens to traffic control, and to us only as an echo.
    flags: NLM_F_ECHO,
    write: (writer) => writeTcmsg(writer, index, 0, place === 'root' ? TC_H_ROOT : TC_H_INGRESS),
    describe: () => `get qdisc ${spellDev(index, undefined)} ${place}`,
  };
}

function decodeKind(message: MessageReader): string {
  const attributes = message.attributes(TCMSG_BYTES);
  while (attributes.next()) if (attributes.type === TCA_KIND) return attributes.text();
  return '';
}

function decodeTokenBucket(message: MessageReader): TokenBucket | undefined {
  let kind = '';
  let bucket: TokenBucket | undefined;
  const attributes = message.attributes(TCMSG_BYTES);
  while (attributes.next()) {
    if (attributes.type === TCA_KIND) kind = attributes.text();
    else if (attributes.type === TCA_OPTIONS && kind === 'tbf') bucket = decodeOptions(attributes.nested());
  }
  return bucket;
}

function decodeOptions(options: AttributeReader): TokenBucket | undefined {
  let bucket: TokenBucket | undefined;
  let rate64: number | undefined;
  while (options.next()) {
    if (options.type === TCA_TBF_RATE64 && options.length === 8) {
      rate64 = Number(options.view.getBigUint64(options.at, true));
    } else if (options.type === TCA_TBF_PARMS && options.length >= TBF_QOPT_BYTES) {
      const { view, at } = options;
      bucket = {
        rate: view.getUint32(at + 8, true),
        limit: view.getUint32(at + 24, true),
        buffer: view.getUint32(at + 28, true),
      };
    }
  }
  return bucket !== undefined && rate64 !== undefined ? { ...bucket, rate: rate64 } : bucket;
}
