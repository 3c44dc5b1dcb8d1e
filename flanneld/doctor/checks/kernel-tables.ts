// Tables of the kernel that are full, and the use of two packet filters at once.

import { type Draft, run } from '../draft.ts';
import type { Fill } from '../view/table-facts.ts';
import type { View } from '../view/view.ts';

/** A table that is filled to this share loses entries in a burst. */
const NEARLY = 0.9;
const FULL = 0.99;

export function checkKernelTables({ tables, node }: View): Draft[] {
  return [
    ...fill(tables.connections, 'conntrack-full', 'connections', ({ limit }) =>
      run(node, `sysctl -w net.netfilter.nf_conntrack_max=${2 * limit}`, 'and set it in /etc/sysctl.d'),
    ),
    ...fill(tables.neighbours, 'neighbour-table-full', 'neighbours', ({ limit }) =>
      run(
        node,
        `sysctl -w net.ipv4.neigh.default.gc_thresh3=${4 * limit} net.ipv4.neigh.default.gc_thresh2=${2 * limit}`,
        'and set it in /etc/sysctl.d',
      ),
    ),
    ...mixed(tables, node),
  ];
}

function fill(
  table: Fill | undefined,
  id: 'conntrack-full' | 'neighbour-table-full',
  what: string,
  fix: (table: Fill) => string,
): Draft[] {
  if (table === undefined || table.used < NEARLY * table.limit) return [];
  const isFull = table.used >= FULL * table.limit;
  return [
    {
      id,
      ...(!isFull && { severity: 'warning' }),
      cause: `the kernel’s table of ${what} is ${isFull ? 'full, so new ones fail at random' : 'nearly full'}`,
      evidence: `${table.used} of ${table.limit} ${what}`,
      fix: fix(table),
    },
  ];
}

/** Tables that iptables makes in nftables; Weft's own and others' nftables tables do not count. */
const IPTABLES_TABLES = ['filter', 'nat', 'mangle', 'raw'];

function mixed({ chains, legacyRules }: View['tables'], node: string): Draft[] {
  const modern = new Set(
    (chains ?? [])
      .filter(({ family, table }) => family === 'ip' && IPTABLES_TABLES.includes(table))
      .map(({ table, name }) => `${table} ${name}`),
  );
  if (legacyRules === undefined || legacyRules === 0 || modern.size === 0) return [];
  return [
    {
      id: 'legacy-and-nft-mixed',
      cause: 'both of the kernel’s packet filters have rules of iptables, and a packet must pass both',
      evidence: `iptables-legacy-save shows ${legacyRules} rules, nft list chains ${modern.size} chains of iptables-nft`,
      fix: `on ${node}: choose one for all programs (update-alternatives --config iptables) and empty the other, preferably by a reboot`,
    },
  ];
}
