import { describe, expect, test } from 'vitest';
import { messageOf } from '../../test/support/netlink-bytes.ts';
import { concernsTable } from './nft-events.ts';

const NFTABLES = 10 << 8;
const [NEWTABLE, DELRULE, NEWGEN] = [0, 8, 15];

/** An event as the kernel sends it: struct nfgenmsg, then the table's name as attribute 1. */
function event(type: number, table: string | undefined): ReturnType<typeof messageOf> {
  return messageOf(type, (writer) => {
    writer.u32(2);
    writer.attrU32(2, 7);
    if (table !== undefined) writer.attrText(1, table);
  });
}

describe('concernsTable', () => {
  test.for([
    { name: 'our table', type: NFTABLES | NEWTABLE, table: 'weft', want: true },
    { name: 'a rule deleted from it', type: NFTABLES | DELRULE, table: 'weft', want: true },
    { name: 'kube-proxy’s table', type: NFTABLES | DELRULE, table: 'kube-proxy', want: false },
    { name: 'a table whose name begins like ours', type: NFTABLES | DELRULE, table: 'weft2', want: false },
    { name: 'no table', type: NFTABLES | DELRULE, table: undefined, want: false },
    { name: 'a new generation', type: NFTABLES | NEWGEN, table: 'weft', want: false },
    { name: 'another subsystem', type: 1 << 8, table: 'weft', want: false },
  ])('$name: $want', ({ type, table, want }) => {
    expect(concernsTable(event(type, table), 'weft')).toBe(want);
  });
});
