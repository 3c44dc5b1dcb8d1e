// Tests what the two backends write, as text and as elements: names, order, and which rules are missing.

import { describe, expect, test } from 'vitest';
import { parsePrefix } from '../../lib/ip.ts';
import { isJsonObject, parseJson } from '../../lib/json.ts';
import type { Rule } from '../../lib/netfilter/nftables.ts';
import type { Invocation } from '../protocol/plugin.ts';
import { destinationOf, sameElement, udpPortOf, wantedElements } from './elements.ts';
import { chainRules, containerChain, containerOfEntry, entryRules, sharedRules } from './iptables-rules.ts';
import { layoutStatements, markChain, missingRules, type Need, namesOf } from './layout.ts';
import { networkDigits, ownComment, ownerIn, ownerOf, shortHash } from './owner.ts';
import { type PortmapConfig, readConfig } from './portmap-config.ts';

const encoder = new TextEncoder();
const arena = { encode: (text: string) => encoder.encode(text) };

function invocation(name: string, containerId: string, ifname = 'eth0'): Invocation {
  return { name, containerId, ifname, sys: { arena } } as unknown as Invocation;
}

function config(keys: object = {}, ...mappings: readonly object[]): PortmapConfig {
  const object = parseJson(JSON.stringify({ runtimeConfig: { portMappings: mappings }, ...keys }));
  if (!isJsonObject(object)) throw new Error('not an object');
  return readConfig({ config: object } as unknown as Invocation);
}

const web = { hostPort: 8080, containerPort: 80, protocol: 'tcp' };
const dns = { hostPort: 53, containerPort: 5353, protocol: 'udp', hostIP: '192.0.2.1' };
const four = parsePrefix('10.0.0.2/24');
const six = parsePrefix('fd00::2/64');

function need(one: PortmapConfig, container = four): Need {
  return { names: namesOf(one, container.ip.family), config: one, container };
}

describe('owners', () => {
  test('fit into an interface’s name, differ from each other, and begin with digits of their network', () => {
    const owners = ['c1', 'c2'].flatMap((id) =>
      ['eth0', 'net1'].map((ifname) => ownerOf(invocation('n1', id), id, ifname)),
    );
    expect(new Set(owners).size).toBe(4);
    for (const owner of owners) {
      expect(owner).toMatch(/^[0-9a-f]{15}$/);
      expect(owner.startsWith(networkDigits(invocation('n1', 'x')))).toBe(true);
    }
    expect(networkDigits(invocation('n2', 'x'))).not.toBe(networkDigits(invocation('n1', 'x')));
  });

  test('are the beginning of a comment that nft can print and read, whatever the interface’s name is', () => {
    const odd = invocation('n1', 'c1', '"}; ü');
    expect(ownComment(odd)).toMatch(/^[0-9a-f]{15} n1 c1 [A-Za-z0-9 _.:,@=-]+$/);
    expect(ownerIn(ownComment(odd))).toBe(ownerOf(odd, 'c1', '"}; ü'));
    expect(ownComment(invocation('n'.repeat(300), 'c1')).length).toBe(128);
  });

  test('no two of twenty thousand similar texts have the same hash', () => {
    const hashes = new Set<string>();
    for (let at = 0; at < 20_000; at++) hashes.add(shortHash(`eth0:${at.toString(16).padStart(64, '0')}`));
    expect(hashes.size).toBe(20_000);
    expect([...hashes].filter((hash) => hash.length !== 13)).toEqual([]);
  });
});

describe('wantedElements', () => {
  const wanted = (one: PortmapConfig, container = four) =>
    wantedElements([need(one, container)], 'me').map(({ dnat, spelled, key, element, marking }) => ({
      set: dnat.set,
      spelled,
      key: Buffer.from(key).toString('hex'),
      to: destinationOf(element),
      mark: marking?.data,
    }));

  test('have protocol and port as key, and the address when the mapping names one', () => {
    expect(wanted(config({}, web, dns))).toEqual([
      {
        set: 'dnat4',
        spelled: 'tcp . 8080',
        key: '060000001f900000',
        to: { ip: four.ip, port: 80 },
        mark: { jump: 'from_10.0.0.0/24_13' },
      },
      {
        set: 'dnat4_host',
        spelled: '192.0.2.1 . udp . 53',
        key: 'c00002011100000000350000',
        to: { ip: four.ip, port: 5353 },
        mark: { jump: 'from_10.0.0.0/24_13' },
      },
    ]);
  });

  test('of IPv6 are in sets of their own, and come only from IPv6 mappings', () => {
    expect(wanted(config({ snat: false }, web, dns), six)).toEqual([
      { set: 'dnat6', spelled: 'tcp . 8080', key: '060000001f900000', to: { ip: six.ip, port: 80 }, mark: undefined },
    ]);
  });

  test('keep the first of two mappings of one port', () => {
    const [only, ...rest] = wanted(config({}, web, { ...web, containerPort: 81 }));
    expect([only?.to?.port, rest]).toEqual([80, []]);
  });

  test('udpPortOf recognises UDP elements with and without an address', () => {
    const elements = wantedElements([need(config({}, web, dns, { ...dns, hostIP: '', hostPort: 54 }))], '');
    expect(elements.map(({ key }) => udpPortOf(key))).toEqual([undefined, 53, 54]);
  });

  test('sameElement compares data, jump and comment', () => {
    const key = Uint8Array.of(1);
    const one = { key, data: Uint8Array.of(1, 2), comment: 'a' };
    expect(sameElement(one, { ...one, data: Uint8Array.of(1, 2) })).toBe(true);
    expect(sameElement(one, { ...one, data: Uint8Array.of(1, 3) })).toBe(false);
    expect(sameElement(one, { ...one, comment: 'b' })).toBe(false);
    expect(sameElement({ key, data: { jump: 'x' }, comment: '' }, { key, data: { jump: 'y' }, comment: '' })).toBe(
      false,
    );
    expect(sameElement(undefined, one)).toBe(false);
    expect(sameElement(undefined, undefined)).toBe(true);
  });

  test('destinationOf returns nothing for data that is no address and port', () => {
    expect(destinationOf({ key: new Uint8Array(8), data: new Uint8Array(7), comment: '' })).toBeUndefined();
    expect(destinationOf({ key: new Uint8Array(8), data: { jump: 'x' }, comment: '' })).toBeUndefined();
    expect(destinationOf({ key: new Uint8Array(8), comment: '' })).toBeUndefined();
  });
});

describe('markChain', () => {
  test.for([
    { keys: {}, container: four, want: 'from_10.0.0.0/24_13' },
    { keys: { markMasqBit: 0 }, container: four, want: 'from_10.0.0.0/24_0' },
    { keys: { masqAll: true }, container: six, want: 'from_all6_13' },
    { keys: {}, container: six, want: 'from_fd00__/64_13' },
    { keys: { snat: false }, container: four, want: undefined },
  ])('$want', ({ keys, container, want }) => {
    expect(markChain(config(keys), container)).toBe(want);
  });
});

describe('the shared rules of nftables', () => {
  /** The rules the statements would make, as the kernel would list them. */
  function made(statements: readonly string[]): Rule[] {
    return statements.flatMap((line, at) => {
      const [, chain, comment] = /^add rule inet weft_portmap (\S+) .* comment "([^"]*)"$/.exec(line) ?? [];
      return chain === undefined || comment === undefined ? [] : [{ chain, comment, handle: BigInt(at) }];
    });
  }

  test('are reported missing until they are made, and are not written a second time', () => {
    const needs = [need(config()), need(config(), six)];
    expect(missingRules(needs, [])).toHaveLength(4 + 2 + 2 + 1 + 4 + 1 + 2 + 1);
    const rules = made(layoutStatements(needs, []));
    expect(missingRules(needs, rules)).toEqual([]);
    expect(layoutStatements(needs, rules).filter((line) => /^(flush|add rule)/.test(line))).toEqual([]);
  });

  test('are written once when both families need them', () => {
    const rules = made(layoutStatements([need(config()), need(config(), six)], []));
    expect(rules.filter(({ chain }) => chain === 'postrouting')).toHaveLength(1);
  });

  test('of a chain that has lost a rule are all written again in order; base chains get only the missing rules', () => {
    const needs = [need(config())];
    const rules = made(layoutStatements(needs, []));
    const damaged = rules.filter(
      ({ chain, comment }) => !/any address, source|^1 ports4$/.test(comment) || chain === 'output',
    );
    const lines = layoutStatements(needs, damaged);
    expect(lines.filter((line) => line.startsWith('flush'))).toEqual(['flush chain inet weft_portmap ports4']);
    expect(made(lines).map(({ chain }) => chain)).toEqual(['ports4', 'ports4', 'ports4', 'ports4', 'prerouting']);
  });

  test('have the conditions before the jump, and use sets of their own', () => {
    const one = config({ conditionsV4: ['ip', 'saddr', '192.0.2.0/24'] });
    const { ports, dnat } = namesOf(one, 4);
    expect(ports).toMatch(/^ports4_[0-9a-f]{13}$/);
    expect(dnat).not.toBe(namesOf(config({ conditionsV4: ['ip', 'saddr', '192.0.2.1'] }), 4).dnat);
    expect(namesOf(one, 6).ports).toBe('ports6');
    const text = layoutStatements([need(one)], []).join('\n');
    expect(text).toContain(`meta nfproto ipv4 ip saddr 192.0.2.0/24 fib daddr type local jump ${ports} comment`);
  });
});

describe('the rules of iptables', () => {
  test.for([
    { name: 'test', id: 'c1', want: 'CNI-DN-917f9005c929d67b6ac60' },
    { name: 'pm', id: 'cid1', want: 'CNI-DN-5d3212c3d10f687024bef' },
  ])('chain of $name and $id', ({ name, id, want }) => {
    expect(containerChain(invocation(name, id), id)).toBe(want);
    expect(containerChain(invocation(name, id), id, 'SN')).toBe(want.replace('DN', 'SN'));
  });

  test('mark packets from the subnet and the loopback, then translate; for IPv6 without loopback and with brackets', () => {
    expect(chainRules(config({}, web), four)).toEqual([
      '-s 10.0.0.0/24 -p tcp -m tcp --dport 8080 -j CNI-HOSTPORT-SETMARK',
      '-s 127.0.0.1/32 -p tcp -m tcp --dport 8080 -j CNI-HOSTPORT-SETMARK',
      '-p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.0.0.2:80',
    ]);
    expect(chainRules(config({ snat: false }, { ...web, hostIP: 'fd00::1' }), six)).toEqual([
      '-d fd00::1/128 -p tcp -m tcp --dport 8080 -j DNAT --to-destination [fd00::2]:80',
    ]);
  });

  test('jump by protocol, with fifteen sorted ports in each rule and the conditions at its end', () => {
    const many = Array.from({ length: 16 }, (_, at) => ({ ...web, hostPort: 9016 - at }));
    const one = config({ conditionsV4: ['!', '-s', 'a b"c'] }, dns, ...many);
    const [first, second, third] = entryRules(invocation('n1', 'c1'), one, four);
    expect(first).toContain('-m multiport --dports 9001,9002,9003');
    expect(first).toMatch(/9015 ! -s "a b\\"c" -j CNI-DN-/);
    expect(second).toContain('--dports 9016 ');
    expect(third).toMatch(/^-p udp -m comment --comment "dnat name: \\"n1\\" id: \\"c1\\"" -m multiport --dports 53 /);
  });

  test('containerOfEntry finds the container id in rules of the same network only', () => {
    const [entry = ''] = entryRules(invocation('n1', 'c.1-_'), config({}, web), four);
    expect(containerOfEntry(invocation('n1', ''), `-A CNI-HOSTPORT-DNAT ${entry}`)).toBe('c.1-_');
    expect(containerOfEntry(invocation('n', ''), entry)).toBeUndefined();
    expect(containerOfEntry(invocation('n1', ''), '-m comment --comment "dnat name: \\"n1\\" id: ')).toBeUndefined();
  });

  test('have a comment that is not longer than xt_comment accepts', () => {
    const [entry = ''] = entryRules(invocation('n'.repeat(200), 'c'.repeat(100)), config({}, web), four);
    const [, comment = ''] = /--comment "((?:[^"\\]|\\.)*)"/.exec(entry) ?? [];
    expect(comment.replaceAll('\\"', '"')).toHaveLength(255);
  });

  test.for([
    {
      name: 'the default',
      keys: {},
      chains: ['PREROUTING', 'OUTPUT', 'CNI-HOSTPORT-SETMARK', 'CNI-HOSTPORT-MASQ', 'POSTROUTING'],
    },
    { name: 'no source NAT', keys: { snat: false }, chains: ['PREROUTING', 'OUTPUT'] },
    { name: 'a chain of others', keys: { externalSetMarkChain: 'X' }, chains: ['PREROUTING', 'OUTPUT'] },
  ])('shared ones with $name', ({ keys, chains }) => {
    expect(sharedRules(config(keys)).map(({ chain }) => chain)).toEqual(chains);
  });

  test('write the mark of bit 31 as an unsigned number', () => {
    const [, , setmark] = sharedRules(config({ markMasqBit: 31 }));
    expect(setmark?.rule).toContain('--set-xmark 0x80000000/0x80000000');
  });
});
