import { describe, expect, test } from 'vitest';
import { parseIp } from '../../lib/ip.ts';
import type { Netfilter } from '../../lib/netfilter/netfilter-socket.ts';
import { netfilterOver } from '../../lib/netfilter/netfilter-socket.ts';
import { openFakeNetlink } from '../../lib/netlink/fake.ts';
import { NetlinkError } from '../../lib/netlink/request.ts';
import { EEXIST } from '../../lib/sys/errno.ts';
import { type GuardedLease, PeerSets } from './peer-sets.ts';

const lease = (publicIp: string, ...hostAddresses: string[]): GuardedLease => ({
  publicIp: parseIp(publicIp),
  hostAddresses: hostAddresses.map(parseIp),
});

/** A kernel that has what is written to it, and what other programs add. */
class FakeSets {
  readonly asked: string[][] = [];
  leases: ReadonlyMap<string, GuardedLease> = new Map();
  listed: string[] = [];
  refuse = false;
  readonly sets: PeerSets;

  constructor() {
    const { transport } = openFakeNetlink((message, replies) => {
      if (message.type !== 0x0a0d) return;
      const isFour = Buffer.from(message.bytes.subarray(message.at, message.end)).includes('peers4');
      replies.message(0x0a0c, (writer) => {
        writer.u32(1);
        writer.nest(3, () => {
          for (const text of isFour ? this.listed : []) {
            writer.nest(1, () => writer.nest(1, () => writer.attrIp(1, parseIp(text))));
          }
        });
      });
    });
    const netfilter: Netfilter = {
      ...netfilterOver(transport),
      transact: (requests) => {
        if (requests.length > 0) this.asked.push(requests.map((request) => request.describe()));
        const [first] = requests;
        if (this.refuse && first !== undefined) throw new NetlinkError('nftables', first, EEXIST);
      },
    };
    this.sets = new PeerSets({ table: 'weft', leases: () => this.leases, netfilter });
  }

  set(leases: Record<string, GuardedLease>): void {
    this.leases = new Map(Object.entries(leases));
  }
}

describe('PeerSets', () => {
  test('has each address of each family once, including other addresses of the nodes', () => {
    const both = { publicIp: parseIp('10.0.0.1'), publicIpv6: parseIp('fd00::1') };
    const fake = new FakeSets();
    fake.set({ both, more: lease('10.0.0.2', '10.0.0.1', '172.16.0.2', 'fd00::2'), none: {} });
    expect(Object.fromEntries(fake.sets.elements())).toEqual({
      peers4: ['10.0.0.1', '10.0.0.2', '172.16.0.2'],
      peers6: ['fd00::1', 'fd00::2'],
    });
  });

  test('assumes nothing about the kernel’s sets before it has read or written them', () => {
    const fake = new FakeSets();
    fake.set({ a: lease('10.0.0.1') });
    expect(fake.sets.follow()).toBeUndefined();
    expect(fake.asked).toEqual([]);
    expect([...fake.sets.elements()]).toEqual([
      ['peers4', ['10.0.0.1']],
      ['peers6', []],
    ]);
    fake.sets.written();
    expect(fake.sets.follow()).toBe(false);
  });

  test('asks for the elements of one changed lease, whatever the number of leases', () => {
    const fake = new FakeSets();
    const many = Object.fromEntries(
      Array.from({ length: 5000 }, (_, at) => [`n${at}`, lease(`10.1.${at >> 8}.${at & 255}`)] as const),
    );
    fake.set(many);
    fake.sets.elements();
    fake.sets.written();
    fake.set({ ...many, n7: lease('10.2.0.7') });
    expect(fake.sets.follow()).toBe(true);
    expect(fake.asked).toEqual([
      ['delete element inet weft peers4 { 10.1.0.7 }', 'add element inet weft peers4 { 10.2.0.7 }'],
    ]);
    expect(fake.sets.follow()).toBe(false);
  });

  test('keeps an address that another lease also has, and asks for nothing when a change was undone', () => {
    const fake = new FakeSets();
    const [a, b] = [lease('10.0.0.1', '10.0.0.9'), lease('10.0.0.2', '10.0.0.9')];
    fake.set({ a, b });
    fake.sets.elements();
    fake.sets.written();
    fake.set({ b });
    fake.sets.elements();
    fake.set({ a, b });
    expect(fake.sets.follow()).toBe(false);
    fake.set({ b });
    expect(fake.sets.follow()).toBe(true);
    expect(fake.asked).toEqual([['delete element inet weft peers4 { 10.0.0.1 }']]);
  });

  test('leaves many changes to one script that puts all of them', () => {
    const fake = new FakeSets();
    fake.sets.written();
    fake.set(
      Object.fromEntries(Array.from({ length: 1001 }, (_, at) => [`n${at}`, lease(`10.1.${at >> 8}.${at & 255}`)])),
    );
    expect(fake.sets.follow()).toBeUndefined();
    expect(fake.sets.compare()).toBeUndefined();
    const script = fake.sets.rewrite();
    expect(script).toMatch(/^flush set inet weft peers4\nadd element inet weft peers4 \{ 10\.1\.0\.0, /);
    expect(script.endsWith('flush set inet weft peers6\n')).toBe(true);
  });

  test('repairs a foreign change, and reports that it was foreign', () => {
    const fake = new FakeSets();
    fake.set({ a: lease('10.0.0.1'), b: lease('10.0.0.2') });
    fake.sets.elements();
    fake.sets.written();
    fake.listed = ['10.0.0.2', '10.0.0.1'];
    expect(fake.sets.compare()).toEqual({ changed: false, byOthers: false });
    fake.listed = ['10.0.0.1', '192.0.2.1'];
    expect(fake.sets.compare()).toEqual({ changed: true, byOthers: true });
    expect(fake.asked).toEqual([
      ['delete element inet weft peers4 { 192.0.2.1 }', 'add element inet weft peers4 { 10.0.0.2 }'],
    ]);
  });

  test('assumes nothing about the sets after the kernel refused a change', () => {
    const fake = new FakeSets();
    fake.sets.written();
    fake.set({ a: lease('10.0.0.1') });
    fake.refuse = true;
    expect(() => fake.sets.follow()).toThrow('add element inet weft peers4 { 10.0.0.1 }: EEXIST');
    fake.refuse = false;
    expect(fake.sets.follow()).toBeUndefined();
  });
});
