// Rules that choose the routing table: struct fib_rule_hdr and FRA_ attributes (linux/fib_rules.h, ip-rule(8)).

import { type Family, formatPrefix, type IpPrefix } from '../ip.ts';
import type { Netlink } from '../netlink/connection.ts';
import type { AttributeReader, MessageReader } from '../netlink/reader.ts';
import type { NetlinkRequest } from '../netlink/request.ts';
import { RTM_GETRULE } from './rtnetlink-constants.ts';
import { addressFamily, familyOf, type Mutable, words } from './spelling.ts';

export interface Rule {
  readonly family: Family;
  /** The kernel tries rules in this order. */
  readonly priority: number;
  /** FR_ACT_TO_TBL, FR_ACT_BLACKHOLE … */
  readonly action: number;
  readonly table: number;
  readonly from?: IpPrefix;
  readonly to?: IpPrefix;
  readonly iif?: string;
  readonly oif?: string;
  readonly mark?: number;
}

export const FR_ACT_BLACKHOLE = 6;
export const FR_ACT_UNREACHABLE = 7;
export const FR_ACT_PROHIBIT = 8;

const FRA_DST = 1;
const FRA_SRC = 2;
const FRA_IIFNAME = 3;
const FRA_PRIORITY = 6;
const FRA_FWMARK = 10;
const FRA_TABLE = 15;
const FRA_OIFNAME = 17;
/** struct fib_rule_hdr: u8 family, dst_len, src_len, tos, table, res1, res2, action; u32 flags. */
const FIB_RULE_HDR = 12;

/** Same as: `ip [-6] rule show`. */
export function listRules(netlink: Netlink, family: Family): Rule[] {
  const request: NetlinkRequest = {
    type: RTM_GETRULE,
    flags: 0,
    write(writer) {
      writer.u32(addressFamily(family));
      writer.u32(0);
      writer.u32(0);
    },
    describe: () => `list IPv${family} rules`,
  };
  return netlink.dump(request, (message) => {
    const rule = decodeRule(message);
    return rule?.family === family ? rule : undefined;
  });
}

/** Decodes RTM_NEWRULE and RTM_DELRULE; undefined for other families. Throws MalformedReply. */
export function decodeRule(message: MessageReader): Rule | undefined {
  const at = message.struct(FIB_RULE_HDR);
  const { bytes } = message;
  const family = familyOf(bytes[at] ?? 0);
  if (family === undefined) return undefined;
  const rule: Mutable<Rule> = { family, priority: 0, action: bytes[at + 7] ?? 0, table: bytes[at + 4] ?? 0 };
  const attributes = message.attributes(FIB_RULE_HDR);
  while (attributes.next()) decodeAttribute(attributes, rule, bytes[at + 1] ?? 0, bytes[at + 2] ?? 0);
  return rule;
}

function decodeAttribute(attribute: AttributeReader, rule: Mutable<Rule>, toLength: number, fromLength: number): void {
  switch (attribute.type) {
    case FRA_DST:
      rule.to = { ip: attribute.ip(), length: toLength };
      break;
    case FRA_SRC:
      rule.from = { ip: attribute.ip(), length: fromLength };
      break;
    case FRA_IIFNAME:
      rule.iif = attribute.text();
      break;
    case FRA_OIFNAME:
      rule.oif = attribute.text();
      break;
    case FRA_PRIORITY:
      rule.priority = attribute.u32();
      break;
    case FRA_FWMARK:
      rule.mark = attribute.u32();
      break;
    case FRA_TABLE:
      rule.table = attribute.u32();
      break;
  }
}

/** In the syntax of ip(8): `from 10.244.0.0/16 lookup 100`. */
export function spellRule(rule: Rule): string {
  return words(
    `from ${rule.from === undefined ? 'all' : formatPrefix(rule.from)}`,
    rule.to === undefined ? '' : `to ${formatPrefix(rule.to)}`,
    rule.mark === undefined ? '' : `fwmark 0x${rule.mark.toString(16)}`,
    rule.iif === undefined ? '' : `iif ${rule.iif}`,
    rule.oif === undefined ? '' : `oif ${rule.oif}`,
    spellAction(rule),
  );
}

function spellAction({ action, table }: Rule): string {
  if (action === FR_ACT_BLACKHOLE) return 'blackhole';
  if (action === FR_ACT_UNREACHABLE) return 'unreachable';
  if (action === FR_ACT_PROHIBIT) return 'prohibit';
  return `lookup ${table}`;
}
