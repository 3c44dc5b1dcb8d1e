import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { CATALOG } from './catalog.ts';
import { PATH_CATALOG, PREFLIGHT_CATALOG } from './catalog-more.ts';

const room = import.meta.dirname;
/** Ids that no check has yet. */
const LATER: readonly string[] = [
  'tunnel-port-blocked',
  'tunnel-one-way',
  'firewall-drops-tunnel',
  'peer-port-closed',
  'peer-unreachable',
  'peer-agent-down',
  'peer-tunnel-broken',
  'peer-slow',
  'path-mtu-too-small',
  'pod-mtu-stale',
  'bridge-mtu-wrong',
  'public-ip-not-local',
  'public-ip-conflict',
  'vtep-mac-conflict',
  'vtep-mac-mismatch',
  'subnet-conflict',
  'peer-vni-differs',
  'network-config-differs',
  'lease-unusable',
  'checksum-corruption',
  'rp-filter-strict',
  'firewall-refuses-pods',
  'route-missing',
  'peer-entry-missing',
  'route-shadowed',
  'policy-rule-diverts',
  'network-overlap',
  'service-cidr-overlap',
  'underlay-down',
  'bridge-nf-call-off',
  'bridge-address-wrong',
  'bridge-down',
  'hairpin-off',
  'pod-port-detached',
  'cni-conflist-shadowed',
  'cni-conflist-missing',
  'cni-conflist-invalid',
  'cni-plugin-missing',
  'cni-plugin-foreign',
  'cni-state-unwritable',
  'address-pool-exhausted',
  'device-missing',
  'vxlan-port-taken',
  'store-unreachable',
  'object-fought-over',
  'legacy-and-nft-mixed',
  'conntrack-full',
  'neighbour-table-full',
];

/** Ids that only `doctor path` or `preflight` finds; they find others, too. */
const OF_OTHERS = Object.keys({ ...PATH_CATALOG, ...PREFLIGHT_CATALOG });

function sources({ ofChecks } = { ofChecks: false }): string[] {
  const folders = [room, join(room, '../probes')];
  return folders.flatMap((folder) => {
    try {
      return readdirSync(folder, { recursive: true, encoding: 'utf8' })
        .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts') && !name.startsWith('catalog'))
        .filter((name) => !ofChecks || !/^(path|preflight|catalog)/.test(name))
        .map((name) => readFileSync(join(folder, name), 'utf8'));
    } catch {
      return [];
    }
  });
}

describe('the catalog of findings', () => {
  const used = new Set(
    sources({ ofChecks: true }).flatMap((text) => [...text.matchAll(/'([a-z]+(?:-[a-z]+)+)'/g)].map(([, id]) => id)),
  );

  test('has no id that no code can find', () => {
    expect(Object.keys(CATALOG).filter((id) => !used.has(id))).toEqual([...LATER, ...OF_OTHERS]);
  });

  test('has an id for every finding that code makes', () => {
    const made = sources().flatMap((text) => [...text.matchAll(/\bid: '([^']+)'/g)].map(([, id]) => id ?? ''));
    expect(made.length).toBeGreaterThan(0);
    expect(made.filter((id) => !(id in CATALOG))).toEqual([]);
  });

  test.for(Object.entries(CATALOG))('says of %s in one line each what it is', ([id, { symptom, meaning, fix }]) => {
    expect(id).toMatch(/^[a-z]+(-[a-z]+)+$/);
    for (const text of [symptom, meaning, fix]) expect(text).toMatch(/^[^\n|]{10,}$/);
  });
});
