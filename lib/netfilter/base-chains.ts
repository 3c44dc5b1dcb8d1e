// Reads what takes part in the packet filter: the base chains of all nftables tables with their hooks, and for each of their rules the
// chain that it leads to and its kinds of expressions (linux/netfilter/nf_tables.h, uapi/linux/netfilter.h). This includes iptables on
// nf_tables.

import type { Netlink } from '../netlink/connection.ts';
import { NLM_F_DUMP } from '../netlink/constants.ts';
import type { AttributeReader, MessageReader } from '../netlink/reader.ts';
import {
  NFPROTO_ARP,
  NFPROTO_BRIDGE,
  NFPROTO_INET,
  NFPROTO_IPV4,
  NFPROTO_IPV6,
  NFPROTO_NETDEV,
  NFT_MSG_GETCHAIN,
  NFT_MSG_GETRULE,
  NFTA_CHAIN_HOOK,
  NFTA_CHAIN_NAME,
  NFTA_CHAIN_POLICY,
  NFTA_CHAIN_TABLE,
  NFTA_DATA_VERDICT,
  NFTA_EXPR_DATA,
  NFTA_EXPR_NAME,
  NFTA_HOOK_HOOKNUM,
  NFTA_IMMEDIATE_DATA,
  NFTA_LIST_ELEM,
  NFTA_RULE_CHAIN,
  NFTA_RULE_EXPRESSIONS,
  NFTA_RULE_TABLE,
  NFTA_VERDICT_CHAIN,
} from './nf-tables-constants.ts';
import { ABSENT, NFGENMSG_BYTES } from './nftables.ts';

export type ChainFamily = 'inet' | 'ip' | 'ip6' | 'arp' | 'bridge' | 'netdev';

const familyNames: ReadonlyMap<number, ChainFamily> = new Map([
  [NFPROTO_INET, 'inet'],
  [NFPROTO_IPV4, 'ip'],
  [NFPROTO_IPV6, 'ip6'],
  [NFPROTO_ARP, 'arp'],
  [NFPROTO_BRIDGE, 'bridge'],
  [NFPROTO_NETDEV, 'netdev'],
]);

/** A chain that the kernel's hooks lead to. */
export interface BaseChain {
  readonly family: ChainFamily;
  readonly table: string;
  readonly name: string;
  /** NF_INET_ or NF_NETDEV_: for ip, ip6, inet and bridge 0 prerouting, 1 input, 2 forward, 3 output, 4 postrouting; inet 5 ingress. */
  readonly hook: number;
  /** Whether it drops packets that no rule decides. */
  readonly drops: boolean;
}

/** A rule of such a chain. */
export interface ChainRule {
  /** The chain that it leads to; undefined when it leads to none. */
  readonly jump: string | undefined;
  /** The kinds of its expressions: `payload`, `cmp`, `counter`, `notrack` … */
  readonly expressions: readonly string[];
}

/** Base chains of all tables; empty in a kernel without nftables. Same as: `nft list chains`. Throws NetlinkError. */
export function listBaseChains(netlink: Netlink): BaseChain[] {
  return netlink.dump(
    { type: NFT_MSG_GETCHAIN, flags: NLM_F_DUMP, write: (writer) => writer.u32(0), describe: () => 'list chains' },
    decodeChain,
    ABSENT,
  );
}

function decodeChain(message: MessageReader): BaseChain | undefined {
  const family = familyNames.get(message.view.getUint8(message.struct(NFGENMSG_BYTES)));
  let [table, name, drops] = ['', '', false];
  let hook: number | undefined;
  const attributes = message.attributes(NFGENMSG_BYTES);
  while (attributes.next()) {
    if (attributes.type === NFTA_CHAIN_TABLE) table = attributes.text();
    else if (attributes.type === NFTA_CHAIN_NAME) name = attributes.text();
    else if (attributes.type === NFTA_CHAIN_HOOK) hook = hookNumber(attributes.nested());
    // NF_DROP is 0.
    else if (attributes.type === NFTA_CHAIN_POLICY) drops = attributes.view.getUint32(attributes.at, false) === 0;
  }
  return family === undefined || hook === undefined ? undefined : { family, table, name, hook, drops };
}

function hookNumber(hook: AttributeReader): number | undefined {
  while (hook.next()) if (hook.type === NFTA_HOOK_HOOKNUM) return hook.view.getUint32(hook.at, false);
  return undefined;
}

/** The rules of one base chain in their order. Same as: `nft list chain FAMILY TABLE NAME`. Throws NetlinkError. */
export function listChainRules(netlink: Netlink, chain: BaseChain): ChainRule[] {
  const family = [...familyNames].find(([, name]) => name === chain.family)?.[0] ?? 0;
  return netlink.dump(
    {
      type: NFT_MSG_GETRULE,
      flags: NLM_F_DUMP,
      write(writer) {
        writer.u32(family);
        writer.attrText(NFTA_RULE_TABLE, chain.table);
        writer.attrText(NFTA_RULE_CHAIN, chain.name);
      },
      describe: () => `list rules of ${chain.family} ${chain.table} ${chain.name}`,
    },
    (message) => decodeRule(message, chain),
    ABSENT,
  );
}

/** A kernel that does not filter sends the rules of every chain. */
function decodeRule(message: MessageReader, { table, name }: BaseChain): ChainRule | undefined {
  let [isOfTable, isOfChain] = [false, false];
  const expressions: Expression[] = [];
  const attributes = message.attributes(NFGENMSG_BYTES);
  while (attributes.next()) {
    if (attributes.type === NFTA_RULE_TABLE) isOfTable = attributes.text() === table;
    else if (attributes.type === NFTA_RULE_CHAIN) isOfChain = attributes.text() === name;
    else if (attributes.type === NFTA_RULE_EXPRESSIONS) expressions.push(...decodeExpressions(attributes.nested()));
  }
  if (!isOfTable || !isOfChain) return undefined;
  return {
    jump: expressions.map(({ jump }) => jump).find((jump) => jump !== undefined),
    expressions: expressions.map(({ name }) => name),
  };
}

interface Expression {
  readonly name: string;
  readonly jump?: string | undefined;
}

function decodeExpressions(list: AttributeReader): Expression[] {
  const expressions: Expression[] = [];
  while (list.next()) if (list.type === NFTA_LIST_ELEM) expressions.push(decodeExpression(list.nested()));
  return expressions;
}

function decodeExpression(expression: AttributeReader): Expression {
  let name = '';
  let jump: string | undefined;
  while (expression.next()) {
    if (expression.type === NFTA_EXPR_NAME) name = expression.text();
    // The kernel writes the name before the data.
    else if (expression.type === NFTA_EXPR_DATA && name === 'immediate') jump = jumpOf(expression.nested());
  }
  return { name, jump };
}

function jumpOf(immediate: AttributeReader): string | undefined {
  const verdict = inner(inner(immediate, NFTA_IMMEDIATE_DATA), NFTA_DATA_VERDICT);
  while (verdict?.next() === true) if (verdict.type === NFTA_VERDICT_CHAIN) return verdict.text();
  return undefined;
}

function inner(attributes: AttributeReader | undefined, type: number): AttributeReader | undefined {
  while (attributes?.next() === true) if (attributes.type === type) return attributes.nested();
  return undefined;
}
