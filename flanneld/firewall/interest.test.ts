import { describe, expect, test } from 'vitest';
import { readRulesetEvent } from '../../lib/netfilter/ruleset-event.ts';
import { messageOf } from '../../test/support/netlink-bytes.ts';
import { interestIn, isOfInterest } from './interest.ts';

const NFTABLES = 10 << 8;
const [NEWTABLE, DELTABLE, NEWCHAIN, DELCHAIN, NEWRULE, DELRULE, NEWGEN] = [0, 2, 3, 5, 6, 8, 15];
const [CHAIN_NAME, RULE_CHAIN] = [3, 2];

/** An event as the kernel sends it: struct nfgenmsg, then the table's name as attribute 1, then the chain's. */
function event(type: number, table?: string, chainAttribute?: number, chain = ''): ReturnType<typeof messageOf> {
  return messageOf(type, (writer) => {
    writer.u32(2);
    if (table !== undefined) writer.attrText(1, table);
    writer.attrU32(4, 7);
    if (chainAttribute !== undefined) writer.attrText(chainAttribute, chain);
  });
}

const interest = interestIn(
  ['weft'],
  [{ table: 'nat', name: 'FLANNEL-POSTRTG', base: 'POSTROUTING', jump: '', rules: [] }],
);

describe('isOfInterest', () => {
  test.for([
    { name: 'our table', message: event(NFTABLES | NEWTABLE, 'weft'), want: true },
    { name: 'a rule deleted from it', message: event(NFTABLES | DELRULE, 'weft', RULE_CHAIN, 'forward'), want: true },
    { name: 'kube-proxy’s table', message: event(NFTABLES | DELRULE, 'kube-proxy', RULE_CHAIN, 'x'), want: false },
    { name: 'a table whose name begins like ours', message: event(NFTABLES | DELTABLE, 'weft2'), want: false },
    { name: 'no table', message: event(NFTABLES | DELRULE), want: false },
    { name: 'a new generation', message: event(NFTABLES | NEWGEN, 'weft'), want: false },
    { name: 'another subsystem', message: event(1 << 8, 'weft'), want: false },
    { name: 'iptables’ table, flushed', message: event(NFTABLES | DELTABLE, 'nat'), want: true },
    { name: 'another of iptables’ tables', message: event(NFTABLES | DELTABLE, 'mangle'), want: false },
    {
      name: 'our chain of iptables',
      message: event(NFTABLES | DELCHAIN, 'nat', CHAIN_NAME, 'FLANNEL-POSTRTG'),
      want: true,
    },
    { name: 'a rule of it', message: event(NFTABLES | DELRULE, 'nat', RULE_CHAIN, 'FLANNEL-POSTRTG'), want: true },
    {
      name: 'a rule where the jump to it is',
      message: event(NFTABLES | NEWRULE, 'nat', RULE_CHAIN, 'POSTROUTING'),
      want: true,
    },
    {
      name: 'a rule of kube-proxy’s',
      message: event(NFTABLES | NEWRULE, 'nat', RULE_CHAIN, 'KUBE-SVC-X'),
      want: false,
    },
    {
      name: 'a chain of kube-proxy’s',
      message: event(NFTABLES | NEWCHAIN, 'nat', CHAIN_NAME, 'KUBE-SVC-X'),
      want: false,
    },
    {
      name: 'a chain of our name elsewhere',
      message: event(NFTABLES | NEWCHAIN, 'filter', CHAIN_NAME, 'FLANNEL-POSTRTG'),
      want: false,
    },
  ])('$name: $want', ({ message, want }) => {
    const event = readRulesetEvent(message);
    expect(event !== undefined && isOfInterest(event, interest)).toBe(want);
  });
});
