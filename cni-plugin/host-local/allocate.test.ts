import { rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { addressesOf, call, content, files, links, put, tempDir } from '../../test/support/host-local-calls.ts';

const small = { subnet: '10.0.0.0/29' };

describe('host-local ADD', () => {
  test.for([
    { name: 'the first address after the gateway', have: {}, want: '10.0.0.2/29' },
    { name: 'the next one when that is in use', have: { '10.0.0.2': 'x' }, want: '10.0.0.3/29' },
    {
      name: 'the address after the last allocated one',
      have: { 'last_reserved_ip.0': '10.0.0.5' },
      want: '10.0.0.6/29',
    },
    {
      name: 'the next free address after the last allocated one',
      have: { '10.0.0.4': 'x', '10.0.0.5': 'x', 'last_reserved_ip.0': '10.0.0.3' },
      want: '10.0.0.6/29',
    },
    {
      name: 'the first address when the last allocated one was the end of the range',
      have: { '10.0.0.6': 'x', 'last_reserved_ip.0': '10.0.0.5' },
      want: '10.0.0.2/29',
    },
    {
      name: 'the first address when the last allocated one lies outside of the range',
      have: { '10.0.0.2': 'x', 'last_reserved_ip.0': '10.0.0.128' },
      want: '10.0.0.3/29',
    },
    {
      name: 'the last allocated address when no other one is free',
      have: { '10.0.0.2': 'x', '10.0.0.4': 'x', '10.0.0.5': 'x', '10.0.0.6': 'x', 'last_reserved_ip.0': '10.0.0.3' },
      want: '10.0.0.3/29',
    },
    {
      name: 'the first address when last_reserved_ip is empty',
      have: { 'last_reserved_ip.0': '' },
      want: '10.0.0.2/29',
    },
    {
      name: 'the first address when last_reserved_ip ends in a newline',
      have: { 'last_reserved_ip.0': '10.0.0.4\n' },
      want: '10.0.0.2/29',
    },
    {
      name: 'no address when all are in use',
      have: { '10.0.0.2': 'x', '10.0.0.3': 'x', '10.0.0.4': 'x', '10.0.0.5': 'x', '10.0.0.6': 'x' },
      want: 'failed to allocate for range 0: no IP addresses available in range set: 10.0.0.1-10.0.0.6',
    },
  ])('gives $name', ({ have, want }) => {
    const dir = tempDir();
    put(dir, have);
    expect(addressesOf(dir, { ipam: small })).toBe(want);
  });

  test.for([
    { name: 'the first range', last: '', want: '10.0.0.2/30' },
    { name: 'the next range', last: '10.0.0.2', want: '10.0.1.2/30' },
    { name: 'the first range after the last', last: '10.0.1.2', want: '10.0.0.2/30' },
  ])('searches range after range: $name', ({ last, want }) => {
    const dir = tempDir();
    put(dir, { 'last_reserved_ip.0': last });
    expect(addressesOf(dir, { ipam: { ranges: [[{ subnet: '10.0.0.0/30' }, { subnet: '10.0.1.0/30' }]] } })).toBe(want);
  });

  test('names both ranges and the holders of their addresses when a set of two ranges is full', () => {
    const dir = tempDir();
    put(dir, { '10.0.0.2': 'a\r\neth0', '10.0.1.2': 'b\r\neth1' });
    const { json } = call(dir, { ipam: { ranges: [[{ subnet: '10.0.0.0/30' }, { subnet: '10.0.1.0/30' }]] } });
    expect(json.msg).toContain('no IP addresses available in range set: 10.0.0.1-10.0.0.2,10.0.1.1-10.0.1.2');
    expect(json.details).toContain('10.0.0.2 a eth0');
    expect(json.details).toContain('10.0.1.2 b eth1');
  });

  test('writes the files the Go plugin writes', () => {
    const dir = tempDir();
    call(dir, {});
    expect(files(dir)).toEqual(['10.1.2.2', 'last_reserved_ip.0']);
    expect(content(dir, '10.1.2.2')).toBe('c1\r\neth0');
    expect(content(dir, 'last_reserved_ip.0')).toBe('10.1.2.2');
    const mode = (name: string): string => (statSync(join(dir, 'n1', name)).mode & 0o777).toString(8);
    expect([mode('10.1.2.2'), mode('last_reserved_ip.0'), mode('lock')]).toEqual(['600', '600', '750']);
  });

  test('shortens last_reserved_ip when the next address is shorter', () => {
    const dir = tempDir();
    put(dir, { 'last_reserved_ip.0': '10.100.200.254' });
    call(dir, {});
    expect(content(dir, 'last_reserved_ip.0')).toBe('10.1.2.2');
  });

  test('gives one address of each set, with gateways and routes', () => {
    const dir = tempDir();
    const ipam = { ranges: [[{ subnet: '10.1.2.0/24' }], [{ subnet: 'fd00::/64' }]], routes: [{ dst: '0.0.0.0/0' }] };
    expect(call(dir, { ipam }).json).toEqual({
      cniVersion: '1.0.0',
      ips: [
        { address: '10.1.2.2/24', gateway: '10.1.2.1' },
        { address: 'fd00::2/64', gateway: 'fd00::1' },
      ],
      routes: [{ dst: '0.0.0.0/0' }],
    });
    expect(files(dir)).toEqual(['10.1.2.2', 'fd00::2', 'last_reserved_ip.0', 'last_reserved_ip.1']);
  });

  test('indexes an address by a second name of its file, not by a file of its own', () => {
    const dir = tempDir();
    call(dir, { cid: 'c1' });
    expect(links(dir)).toEqual(['c1:eth0:0']);
    const inode = (name: string): number => statSync(join(dir, 'n1', name)).ino;
    expect(inode('.c1:eth0:0')).toBe(inode('10.1.2.2'));
  });

  test('ignores an index entry whose address file another program has removed', () => {
    const dir = tempDir();
    call(dir, { cid: 'c1' });
    rmSync(join(dir, 'n1', '10.1.2.2'));
    expect(addressesOf(dir, { cid: 'c1' })).toBe('10.1.2.3/24');
    expect(links(dir)).toEqual(['c1:eth0:0']);
    rmSync(join(dir, 'n1', '10.1.2.3'));
    call(dir, { command: 'DEL', cid: 'c1' });
    expect([files(dir), links(dir)]).toEqual([['last_reserved_ip.0'], []]);
  });

  test('frees the address of the first set when the second set is full', () => {
    const dir = tempDir();
    put(dir, { '10.0.1.2': 'x' });
    const ipam = { ranges: [[{ subnet: '10.0.0.0/30' }], [{ subnet: '10.0.1.0/30' }]] };
    expect(addressesOf(dir, { ipam })).toMatch(/^failed to allocate for range 1: no IP addresses available/);
    expect(files(dir)).not.toContain('10.0.0.2');
    expect(links(dir)).toEqual([]);
  });

  test.for([
    {
      name: 'its last address',
      ipam: { subnet: '10.0.0.0/30', rangeStart: '10.0.0.3', rangeEnd: '10.0.0.3' },
      want: '10.0.0.3/30',
    },
    {
      name: 'its network address',
      ipam: { subnet: '10.0.0.0/30', rangeStart: '10.0.0.0', rangeEnd: '10.0.0.0' },
      want: '10.0.0.0/30',
    },
    {
      name: 'the address beside a gateway that is not the first address',
      ipam: { subnet: '10.0.0.0/24', rangeStart: '10.0.0.253', rangeEnd: '10.0.0.254', gateway: '10.0.0.254' },
      want: '10.0.0.253/24',
    },
  ])('gives $name when the range says so', ({ ipam, want }) => {
    expect(addressesOf(tempDir(), { ipam })).toBe(want);
  });

  test('never allocates the broadcast address, and refuses the sixth request for five addresses', () => {
    const dir = tempDir();
    const got = ['a', 'b', 'c', 'd', 'e', 'f'].map((cid) => addressesOf(dir, { cid, ipam: small }));
    expect(got.slice(0, 5)).toEqual(['10.0.0.2/29', '10.0.0.3/29', '10.0.0.4/29', '10.0.0.5/29', '10.0.0.6/29']);
    expect(got[5]).toContain('no IP addresses available');
  });

  test('does not allocate an address that was just freed', () => {
    const dir = tempDir();
    expect(addressesOf(dir, {})).toBe('10.1.2.2/24');
    call(dir, { command: 'DEL' });
    expect(addressesOf(dir, {})).toBe('10.1.2.3/24');
  });

  test('refuses a second address for the same interface, but not for another interface of the container', () => {
    const dir = tempDir();
    addressesOf(dir, { cid: 'c3' });
    expect(addressesOf(dir, { cid: 'c3' })).toBe(
      'failed to allocate for range 0: 10.1.2.2 has been allocated to c3, duplicate allocation is not allowed',
    );
    expect(addressesOf(dir, { cid: 'c3', ifname: 'eth1' })).toBe('10.1.2.3/24');
  });

  test('does not count an index entry without an address file as an allocation', () => {
    const dir = tempDir();
    addressesOf(dir, {});
    rmSync(join(dir, 'n1', '10.1.2.2'));
    expect(addressesOf(dir, {})).toBe('10.1.2.3/24');
    put(dir, { '10.1.2.3': 'other\r\neth0' });
    expect(addressesOf(dir, {})).toBe('10.1.2.4/24');
    call(dir, { command: 'DEL' });
    expect(files(dir)).toEqual(['10.1.2.3', 'last_reserved_ip.0']);
  });
});

describe('host-local ADD with requested addresses', () => {
  test.for([
    { name: 'by CNI_ARGS', options: { args: 'IP=10.1.2.88' }, want: '10.1.2.88/24' },
    { name: 'by CNI_ARGS with a length', options: { args: 'IP=10.1.2.90/24' }, want: '10.1.2.90/24' },
    { name: 'by args.cni.ips', options: { config: { args: { cni: { ips: ['10.1.2.66'] } } } }, want: '10.1.2.66/24' },
    {
      name: 'by runtimeConfig.ips over two sets',
      options: {
        ipam: { ranges: [[{ subnet: '10.1.2.0/24' }], [{ subnet: '10.1.3.0/24' }]] },
        config: { runtimeConfig: { ips: ['10.1.3.7/24', '10.1.2.9'] } },
      },
      want: '10.1.2.9/24 10.1.3.7/24',
    },
    {
      name: 'runtimeConfig.ipRanges before the others',
      options: { config: { runtimeConfig: { ipRanges: [[{ Subnet: '10.7.0.0/24' }]] } } },
      want: '10.7.0.2/24 10.1.2.2/24',
    },
    {
      name: 'the gateway',
      options: { args: 'IP=10.1.2.1' },
      want: "failed to allocate for range 0: requested ip 10.1.2.1 is subnet's gateway",
    },
    {
      name: 'refuses an address outside of the ranges',
      options: { args: 'IP=10.9.9.9' },
      want: 'failed to allocate all requested IPs: 10.9.9.9',
    },
    {
      name: 'refuses a text that is no address',
      options: { args: 'IP=foo' },
      want: 'ARGS: error parsing value of pair "IP=foo": invalid IP address foo',
    },
    {
      name: 'refuses an address above rangeEnd',
      options: { args: 'IP=10.1.2.50', ipam: { subnet: '10.1.2.0/24', rangeEnd: '10.1.2.49' } },
      want: 'failed to allocate all requested IPs: 10.1.2.50',
    },
    {
      name: 'unknown arguments',
      options: { args: 'FOO=1' },
      want: 'ARGS: unknown args ["FOO=1"]',
    },
  ])('answers $name', ({ options, want }) => {
    expect(addressesOf(tempDir(), options)).toBe(want);
  });

  test('refuses a second request for the same address, allocates another one, and frees both', () => {
    const dir = tempDir();
    expect(addressesOf(dir, { args: 'IP=10.1.2.88' })).toBe('10.1.2.88/24');
    expect(content(dir, 'last_reserved_ip.0')).toBe('10.1.2.88');
    expect(addressesOf(dir, { args: 'IP=10.1.2.88' })).toBe(
      'failed to allocate for range 0: requested IP address 10.1.2.88 is not available in range set 10.1.2.1-10.1.2.254',
    );
    expect(addressesOf(dir, { args: 'IP=10.1.2.89' })).toBe('10.1.2.89/24');
    call(dir, { command: 'DEL' });
    expect(files(dir)).toEqual(['last_reserved_ip.0']);
  });
});
