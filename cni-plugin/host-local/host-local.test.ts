import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { call, files, links, put, tempDir } from '../../test/support/host-local-calls.ts';

describe('host-local configuration errors', () => {
  test.for([
    { ipam: { subnet: 'foo' }, want: 'invalid CIDR address: foo' },
    {
      ipam: { subnet: '192.168.127.0/23' },
      want: 'invalid range set 0: Network has host bits set. For a subnet mask of length 23 the network address is 192.168.126.0',
    },
    { ipam: { subnet: '192.0.2.0/31' }, want: 'invalid range set 0: Network 192.0.2.0/31 too small to allocate from' },
    {
      ipam: { subnet: '192.0.2.0/24', rangeStart: '192.0.3.0' },
      want: 'invalid range set 0: RangeStart 192.0.3.0 not in network 192.0.2.0/24',
    },
    {
      ipam: { subnet: '192.0.2.0/24', rangeEnd: '192.0.4.0' },
      want: 'invalid range set 0: RangeEnd 192.0.4.0 not in network 192.0.2.0/24',
    },
    {
      ipam: { subnet: '192.0.2.0/24', rangeStart: '192.0.2.9', rangeEnd: '192.0.2.8' },
      want: 'invalid range set 0: RangeStart 192.0.2.9 not in network 192.0.2.0/24',
    },
    { ipam: {}, want: 'no IP ranges specified' },
    { ipam: { ranges: [[]] }, want: 'invalid range set 0: empty range set' },
    {
      ipam: { ranges: [[{ subnet: '10.0.0.0/24' }, { subnet: 'fd00::/64' }]] },
      want: 'invalid range set 0: mixed address families',
    },
    {
      ipam: { ranges: [[{ subnet: '10.0.0.0/24' }, { subnet: '10.0.0.0/25' }]] },
      want: 'invalid range set 0: subnets 10.0.0.1-10.0.0.254 and 10.0.0.1-10.0.0.126 overlap',
    },
    {
      ipam: { ranges: [[{ subnet: '10.0.0.0/24' }], [{ subnet: '10.0.0.0/25' }]] },
      want: 'range set 0 overlaps with 1',
    },
    {
      version: '0.2.0',
      ipam: { ranges: [[{ subnet: '10.0.0.0/24' }], [{ subnet: '10.0.1.0/24' }]] },
      want: 'CNI version 0.2.0 does not support more than 1 address per family',
    },
    { config: { ipam: null }, want: "IPAM config missing 'ipam' key" },
    {
      ipam: { subnet: '10.0.0.0/24', resolvConf: '/no/such/file' },
      want: 'open /no/such/file: no such file or directory',
    },
  ])('says $want', ({ want, ...options }) => {
    const dir = tempDir();
    expect(call(dir, options).json).toEqual({ code: 999, msg: want });
    expect(readdirSync(dir)).toEqual([]);
  });

  test('prints one address of each family for 0.2.0', () => {
    const ipam = { ranges: [[{ subnet: '10.1.2.0/24' }], [{ subnet: 'fd00::/64' }]] };
    expect(call(tempDir(), { version: '0.2.0', ipam }).json).toEqual({
      cniVersion: '0.2.0',
      ip4: { ip: '10.1.2.2/24', gateway: '10.1.2.1' },
      ip6: { ip: 'fd00::2/64', gateway: 'fd00::1' },
      dns: {},
    });
  });

  test('reads dns from resolvConf', () => {
    const dir = tempDir();
    const path = join(dir, 'resolv.conf');
    writeFileSync(path, '# x\n; y\nnameserver 10.0.0.10 trailing\ndomain a\ndomain b\nsearch c d\noptions ndots:5\n');
    expect(call(dir, { ipam: { subnet: '10.1.2.0/24', resolvConf: path } }).json.dns).toEqual({
      nameservers: ['10.0.0.10'],
      domain: 'b',
      search: ['c', 'd'],
      options: ['ndots:5'],
    });
  });
});

describe('host-local DEL', () => {
  test.for([
    { name: 'an attachment of which no file exists', options: { cid: 'x' } },
    { name: 'a configuration whose ranges are no longer valid', options: { ipam: { subnet: 'foo' } } },
    { name: 'a resolvConf that is gone', options: { ipam: { subnet: '10.1.2.0/24', resolvConf: '/no/such/file' } } },
    { name: 'unknown arguments', options: { args: 'FOO=1' } },
  ])('succeeds for $name', ({ options }) => {
    expect(call(tempDir(), { command: 'DEL', ...options })).toMatchObject({ code: 0, stdout: '' });
  });

  test.for([
    { name: 'files the Go plugin made, which have no index', text: 'c1\r\neth0' },
    { name: 'files of an old release that name the container alone', text: 'c1 ' },
    { name: 'files with blanks around their content', text: ' c1\r\neth0\n' },
  ])('removes $name', ({ text }) => {
    const dir = tempDir();
    put(dir, { '10.1.2.7': text, '10.1.2.8': 'c2\r\neth0' });
    expect(call(dir, { command: 'CHECK' }).code).toBe(0);
    call(dir, { command: 'DEL' });
    expect(files(dir)).toEqual(['10.1.2.8']);
  });

  test('keeps an address whose file names no holder when pods have no bridge ports that would show who uses it', () => {
    const dir = tempDir();
    put(dir, { '10.1.2.7': '', '10.1.2.8': 'c2\r\neth0' });
    call(dir, { command: 'DEL', config: { type: 'macvlan' } });
    expect(files(dir)).toEqual(['10.1.2.7', '10.1.2.8']);
  });

  test('does not remove a container’s file of the old form when the attachment has a file of its own', () => {
    const dir = tempDir();
    put(dir, { '10.1.2.7': 'c1', '10.1.2.8': 'c1\r\neth0' });
    call(dir, { command: 'DEL' });
    expect(files(dir)).toEqual(['10.1.2.7']);
  });

  test('frees only the address of the named interface', () => {
    const dir = tempDir();
    call(dir, {});
    call(dir, { ifname: 'eth1' });
    call(dir, { command: 'DEL', ifname: 'eth1' });
    expect(files(dir)).toEqual(['10.1.2.2', 'last_reserved_ip.0']);
  });
});

describe('host-local CHECK and GC', () => {
  test('CHECK names the attachment whose address is missing', () => {
    expect(call(tempDir(), { command: 'CHECK' }).json).toEqual({
      code: 999,
      msg: 'host-local: Failed to find address added by container c1',
    });
  });

  test.for([
    {
      name: 'keeps what is listed',
      config: {
        'cni.dev/valid-attachments': [
          { containerID: 'c1', ifname: 'eth0' },
          { containerID: 'old', ifname: 'eth0' },
        ],
      },
      want: ['10.1.2.2', '10.1.2.9'],
    },
    {
      name: 'reads the older key',
      config: { 'cni.dev/attachments': [{ containerID: 'c2', ifname: 'eth0' }] },
      want: ['10.1.2.3'],
    },
    { name: 'frees everything for an empty list', config: { 'cni.dev/valid-attachments': [] }, want: [] },
    { name: 'frees nothing without a list', config: {}, want: ['10.1.2.2', '10.1.2.3', '10.1.2.9'] },
    {
      name: 'frees nothing for null',
      config: { 'cni.dev/valid-attachments': null },
      want: ['10.1.2.2', '10.1.2.3', '10.1.2.9'],
    },
  ])('GC $name', ({ config, want }) => {
    const dir = tempDir();
    call(dir, {});
    call(dir, { cid: 'c2' });
    put(dir, { '10.1.2.9': 'old' });
    expect(call(dir, { command: 'GC', version: '1.1.0', config }).code).toBe(0);
    expect(files(dir)).toEqual([...want, 'last_reserved_ip.0']);
    expect(links(dir).length).toBe(want.filter((name) => name !== '10.1.2.9').length);
  });
});
