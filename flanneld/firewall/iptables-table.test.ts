import { describe, expect, test } from 'vitest';
import { parsePrefix } from '../../lib/ip.ts';
import { iptablesChains, unwantedChains } from './iptables-table.ts';
import type { FirewallConfig } from './rules.ts';

const config: FirewallConfig = {
  family: 4,
  vni: 1,
  network: parsePrefix('10.244.0.0/16'),
  subnet: parsePrefix('10.244.1.0/24'),
  masquerade: true,
  nonMasquerade: [],
  fullyRandom: true,
  forward: true,
};
const masq = '-m comment --comment "flanneld masq"';
const forward = '-m comment --comment "flanneld forward"';

describe('iptablesChains', () => {
  test('are flannel’s, letter by letter', () => {
    expect(iptablesChains(config)).toEqual([
      {
        table: 'nat',
        name: 'FLANNEL-POSTRTG',
        base: 'POSTROUTING',
        jump: `${masq} -j FLANNEL-POSTRTG`,
        rules: [
          `-m mark --mark 0x4000/0x4000 ${masq} -j RETURN`,
          `-s 10.244.1.0/24 -d 10.244.0.0/16 ${masq} -j RETURN`,
          `-s 10.244.0.0/16 -d 10.244.1.0/24 ${masq} -j RETURN`,
          `! -s 10.244.0.0/16 -d 10.244.1.0/24 ${masq} -j RETURN`,
          `-s 10.244.0.0/16 ! -d 224.0.0.0/4 ${masq} -j MASQUERADE --random-fully`,
          `! -s 10.244.0.0/16 -d 10.244.0.0/16 ${masq} -j MASQUERADE --random-fully`,
        ],
      },
      {
        table: 'filter',
        name: 'FLANNEL-FWD',
        base: 'FORWARD',
        jump: `${forward} -j FLANNEL-FWD`,
        rules: [`-s 10.244.0.0/16 ${forward} -j ACCEPT`, `-d 10.244.0.0/16 ${forward} -j ACCEPT`],
      },
    ]);
  });

  test('can be for IPv6, with plain ports, and except destinations that are not masqueraded', () => {
    const [nat] = iptablesChains({
      ...config,
      family: 6,
      network: parsePrefix('fd00::/48'),
      subnet: parsePrefix('fd00:0:0:1::/64'),
      nonMasquerade: [parsePrefix('fd99::/16'), parsePrefix('::/0')],
      fullyRandom: false,
    });
    expect(nat?.rules?.slice(4, 7)).toEqual([
      `-s fd00::/48 -d fd99::/16 ${masq} -j RETURN`,
      `-s fd00::/48 ${masq} -j RETURN`,
      `-s fd00::/48 ! -d ff00::/8 ${masq} -j MASQUERADE`,
    ]);
  });

  test('of a second network have names of their own, and flannel’s chains count as its only when they are for it', () => {
    const names = iptablesChains({ ...config, vni: 7 }).map(({ name, rules, mustMention }) => [
      name,
      rules?.length,
      mustMention,
    ]);
    expect(names).toEqual([
      ['FLANNEL-POSTRTG-7', 6, undefined],
      ['FLANNEL-POSTRTG', undefined, '10.244.0.0/16'],
      ['FLANNEL-FWD-7', 2, undefined],
      ['FLANNEL-FWD', undefined, '10.244.0.0/16'],
    ]);
    // The kernel's limit for a chain of iptables is 28 characters.
    for (const { name } of iptablesChains({ ...config, vni: 0xffffff })) expect(name.length).toBeLessThanOrEqual(28);
  });

  test('are absent without their flag', () => {
    const wanted = iptablesChains({ ...config, masquerade: false, forward: false });
    expect(wanted.map(({ rules }) => rules)).toEqual([undefined, undefined]);
    expect(wanted).toEqual(unwantedChains(config.network, 1));
  });
});
