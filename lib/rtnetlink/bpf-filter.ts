// Programs at a device's clsact hook, as filters of kind bpf in direct-action mode. This is how programs are attached before Linux 6.6,
// which has tcx links (tc-bpf(8), linux/pkt_sched.h, pkt_cls.h). A filter stays until it or its device is removed.

import type { Netlink } from '../netlink/connection.ts';
import { NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE } from '../netlink/constants.ts';
import type { AttributeReader, MessageReader } from '../netlink/reader.ts';
import type { NetlinkRequest } from '../netlink/request.ts';
import type { MessageWriter } from '../netlink/writer.ts';
import { EINVAL, ENODEV, ENOENT } from '../sys/errno.ts';
import { spellDev } from './spelling.ts';

const RTM_NEWQDISC = 36;
const RTM_DELQDISC = 37;
const RTM_NEWTFILTER = 44;
const RTM_DELTFILTER = 45;
const RTM_GETTFILTER = 46;

const TC_H_CLSACT = 0xffff_fff1;
const CLSACT_HANDLE = 0xffff_0000;
/** Parents of filters: TC_H_MIN_INGRESS and TC_H_MIN_EGRESS of clsact. */
const parents = { ingress: 0xffff_fff2, egress: 0xffff_fff3 } as const;
const ETH_P_ALL = 3;

const TCA_KIND = 1;
const TCA_OPTIONS = 2;
const TCA_BPF_OPS_LEN = 4;
const TCA_BPF_OPS = 5;
const TCA_BPF_FD = 6;
const TCA_BPF_NAME = 7;
const TCA_BPF_FLAGS = 8;
const TCA_BPF_ID = 11;
const TCA_BPF_FLAG_ACT_DIRECT = 1;

/** struct tcmsg: u8 family and padding, s32 ifindex, u32 handle, u32 parent, u32 info. */
const TCMSG_BYTES = 20;

/** Identifies a filter among others of its hook. */
export interface FilterPlace {
  readonly index: number;
  /** 1 to 65535; lower ones run first. */
  readonly priority: number;
  readonly handle: number;
}

export interface IngressFilter extends FilterPlace {
  /** `bpf`, `u32`, `flower` … */
  readonly kind: string;
  /** Only of filters of kind bpf. */
  readonly name: string | undefined;
  readonly programId: number | undefined;
}

function writeTcmsg(writer: MessageWriter, index: number, handle: number, parent: number, info: number): void {
  writer.u32(0);
  writer.u32(index);
  writer.u32(handle);
  writer.u32(parent);
  writer.u32(info);
}

/** The priority, and the protocol in network order. */
const infoOf = (priority: number): number => ((priority << 16) | (ETH_P_ALL << 8)) >>> 0;

/** EEXIST when there is such a hook, or the older hook `ingress`. Same as: `tc qdisc add dev DEV clsact`. */
export function addClsact(index: number, dev?: string): NetlinkRequest {
  return {
    type: RTM_NEWQDISC,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    write(writer) {
      writeTcmsg(writer, index, CLSACT_HANDLE, TC_H_CLSACT, 0);
      writer.attrText(TCA_KIND, 'clsact');
    },
    describe: () => `add qdisc ${spellDev(index, dev)} clsact`,
    command: () => `tc qdisc add ${spellDev(index, dev)} clsact`,
  };
}

/** Removes the hook and all its filters. Same as: `tc qdisc del dev DEV clsact`. */
export function deleteClsact(index: number, dev?: string): NetlinkRequest {
  return {
    type: RTM_DELQDISC,
    flags: 0,
    write: (writer) => writeTcmsg(writer, index, CLSACT_HANDLE, TC_H_CLSACT, 0),
    describe: () => `delete qdisc ${spellDev(index, dev)} clsact`,
    command: () => `tc qdisc del ${spellDev(index, dev)} clsact`,
  };
}

/**
 * Attaches a program, or replaces the one that the filter has: each packet meets either the old or the new one. Same as: `tc filter replace
 * dev DEV ingress prio PRIORITY handle HANDLE bpf direct-action …`.
 */
export function replaceIngressFilter(place: FilterPlace, name: string, program: number): NetlinkRequest {
  return replaceFilter(place, name, (writer) => {
    writer.attrU32(TCA_BPF_FD, program);
    writer.attrText(TCA_BPF_NAME, name);
  });
}

/** struct sock_filter: u16 code, u8 jt, u8 jf, u32 k. The one instruction of classic BPF returns TC_ACT_UNSPEC, which decides nothing. */
const IDLE_INSTRUCTION = Uint8Array.of(0x06, 0, 0, 0, 0xff, 0xff, 0xff, 0xff);

/**
 * Puts a filter that decides nothing in place of a program. It needs no loaded program. Same as: `tc filter replace dev DEV ingress prio
 * PRIORITY handle HANDLE bpf direct-action bytecode '1,6 0 0 4294967295'`.
 */
export function replaceWithIdleFilter(place: FilterPlace): NetlinkRequest {
  return replaceFilter(place, 'by an idle one', (writer) => {
    writer.attrU16(TCA_BPF_OPS_LEN, 1);
    writer.attrBytes(TCA_BPF_OPS, IDLE_INSTRUCTION);
  });
}

function replaceFilter(
  { index, handle, priority }: FilterPlace,
  what: string,
  writeProgram: (writer: MessageWriter) => void,
): NetlinkRequest {
  return {
    type: RTM_NEWTFILTER,
    flags: NLM_F_CREATE | NLM_F_REPLACE,
    write(writer) {
      writeTcmsg(writer, index, handle, parents.ingress, infoOf(priority));
      writer.attrText(TCA_KIND, 'bpf');
      writer.nest(TCA_OPTIONS, () => {
        writeProgram(writer);
        writer.attrU32(TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
      });
    },
    describe: () => `replace filter ${spellDev(index, undefined)} ingress prio ${priority} bpf ${what}`,
  };
}

/** Same as: `tc filter del dev DEV ingress prio PRIORITY handle HANDLE bpf`. */
export function deleteIngressFilter({ index, handle, priority }: FilterPlace): NetlinkRequest {
  return {
    type: RTM_DELTFILTER,
    flags: 0,
    write(writer) {
      writeTcmsg(writer, index, handle, parents.ingress, infoOf(priority));
      writer.attrText(TCA_KIND, 'bpf');
    },
    describe: () => `delete filter ${spellDev(index, undefined)} ingress prio ${priority} bpf`,
  };
}

/** The filters of a device's hook; none without the hook or the device. Same as: `tc filter show dev DEV ingress`. */
export function listFilters(netlink: Netlink, index: number, hook: keyof typeof parents): IngressFilter[] {
  const request: NetlinkRequest = {
    type: RTM_GETTFILTER,
    flags: 0,
    write: (writer) => writeTcmsg(writer, index, 0, parents[hook], 0),
    describe: () => `list filters ${spellDev(index, undefined)} ${hook}`,
  };
  return netlink.dump(request, decodeFilter, [EINVAL, ENODEV, ENOENT]);
}

/** The kernel also lists each priority by itself, with a handle of 0. */
function decodeFilter(message: MessageReader): IngressFilter | undefined {
  const at = message.struct(TCMSG_BYTES);
  const handle = message.view.getUint32(at + 8, true);
  if (handle === 0) return undefined;
  const place = {
    index: message.view.getInt32(at + 4, true),
    handle,
    priority: message.view.getUint32(at + 16, true) >>> 16,
  };
  let kind = '';
  let options: ProgramOptions = {};
  const attributes = message.attributes(TCMSG_BYTES);
  while (attributes.next()) {
    if (attributes.type === TCA_KIND) kind = attributes.text();
    else if (attributes.type === TCA_OPTIONS && kind === 'bpf') options = decodeOptions(attributes.nested());
  }
  return { ...place, kind, name: options.name, programId: options.programId };
}

interface ProgramOptions {
  name?: string;
  programId?: number;
}

function decodeOptions(attributes: AttributeReader): ProgramOptions {
  const options: ProgramOptions = {};
  while (attributes.next()) {
    if (attributes.type === TCA_BPF_NAME) options.name = attributes.text();
    else if (attributes.type === TCA_BPF_ID) options.programId = attributes.u32();
  }
  return options;
}
