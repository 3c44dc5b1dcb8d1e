import { describe, expect, test } from 'vitest';
import { payloadHex } from '../../test/support/netlink-bytes.ts';
import { openFakeNetlink } from '../netlink/fake.ts';
import { ENOENT } from '../sys/errno.ts';
import {
  addIngress,
  addRedirect,
  deleteIngress,
  getIngressKind,
  getTokenBucket,
  replaceTokenBucket,
  tokenBucket,
} from './qdisc.ts';

const bare = (hex: string): string => hex.replaceAll(' ', '');

describe('tokenBucket', () => {
  test.for([
    { name: '8 Mbit, 80 kbit', rate: 1_000_000, burst: 10_000, want: { limit: 35_000, buffer: 156_250 } },
    { name: 'the smallest', rate: 1, burst: 1, want: { limit: 1, buffer: 15_625_000 } },
    { name: 'whole microseconds', rate: 3_000_000, burst: 10_000, want: { limit: 85_000, buffer: 52_078 } },
    {
      name: 'a burst of hours: the largest bucket, a queue of a megabyte',
      rate: 125_000,
      burst: 0xffff_fffe,
      want: { limit: 1024 * 1024, buffer: 0xffff_ffff },
    },
    {
      name: 'the largest burst at 40 Gbit: 25 ms of it may wait',
      rate: 5_000_000_000,
      burst: 0xffff_fffe,
      want: { limit: 125_000_000, buffer: 13_421_765 },
    },
  ])('$name', ({ rate, burst, want }) => {
    expect(tokenBucket(rate, burst)).toEqual({ rate, ...want });
  });
});

describe('replaceTokenBucket', () => {
  test('is what tc sends, except for its tables of times', () => {
    const request = replaceTokenBucket(7, { rate: 1_000_000, limit: 35_000, buffer: 156_250 }, 'veth0');
    const parms = '28000100 00000000 00000000 40420f00 000000000000000000000000 b8880000 5a620200 00000000';
    const want = `00000000 07000000 00000100 ffffffff 00000000 08000100 74626600 2c000200 ${parms}`;
    expect([request.type, request.flags]).toEqual([36, 0x500]);
    expect(payloadHex(request)).toBe(bare(want));
    expect(request.describe()).toBe('replace qdisc dev veth0 root tbf rate 8000000bit');
  });

  test('a rate beyond 32 bits goes into an attribute of its own', () => {
    const hex = payloadHex(replaceTokenBucket(7, { rate: 5_000_000_000, limit: 1, buffer: 2 }));
    expect(hex).toContain(bare('ffffffff 000000000000000000000000 01000000 02000000'));
    expect(hex.endsWith(bare('0c000400 00f2052a01000000'))).toBe(true);
  });
});

describe('the ingress hook', () => {
  test('is added and deleted by handle', () => {
    const [add, remove] = [addIngress(7, 'veth0'), deleteIngress(7)];
    expect([add.type, add.flags, remove.type, remove.flags]).toEqual([36, 0x600, 37, 0]);
    const tcmsg = '00000000 07000000 0000ffff f1ffffff 00000000';
    expect(payloadHex(add)).toBe(bare(`${tcmsg} 0c000100 696e677265737300`));
    expect(payloadHex(remove)).toBe(bare(tcmsg));
    expect([add.describe(), remove.describe()]).toEqual([
      'add qdisc dev veth0 ingress',
      'delete qdisc dev if7 ingress',
    ]);
  });

  test('sends everything to another device', () => {
    const request = addRedirect(7, 9, 'veth0', 'ifb0');
    const selector = '24000500 01000100 00000000 00000000 00000000 00000000000000000000000000000000';
    const parms = '20000200 0000000000000000 04000000 0000000000000000 01000000 09000000';
    const action = '0b000100 6d697272656400 00 24000200'.concat(parms);
    const want = [
      '00000000 07000000 00000000 0000ffff 00030100 08000100 75333200',
      `68000200 08000100 01000100 ${selector} 38000700 34000100 ${action}`,
    ].join('');
    expect([request.type, request.flags]).toEqual([44, 0x600]);
    expect(payloadHex(request)).toBe(bare(want));
    expect(request.describe()).toBe('add filter dev veth0 ingress redirect dev ifb0');
  });
});

describe('reading a qdisc', () => {
  test.for([
    { name: 'with a small rate', bucket: { rate: 1_000_000, limit: 35_000, buffer: 156_250 } },
    { name: 'with a rate beyond 32 bits', bucket: { rate: 5_000_000_000, limit: 125_000_000, buffer: 13_421_765 } },
  ])('getTokenBucket reads what replaceTokenBucket writes, $name', ({ bucket }) => {
    const { netlink } = openFakeNetlink((_, replies) => {
      replies.message(36, (writer) => replaceTokenBucket(7, bucket).write(writer));
    });
    expect(getTokenBucket(netlink, 7)).toEqual(bucket);
  });

  test('getIngressKind reads the kind, and is undefined where there is no hook', () => {
    const hooked = openFakeNetlink((_, replies) => replies.message(36, (writer) => addIngress(7).write(writer)));
    expect(getIngressKind(hooked.netlink, 7)).toBe('ingress');
    const none = openFakeNetlink((_, replies) => replies.error(ENOENT));
    expect(getIngressKind(none.netlink, 7)).toBeUndefined();
  });

  test('getTokenBucket is undefined where there is another qdisc, or none', () => {
    const ingress = openFakeNetlink((_, replies) => replies.message(36, (writer) => addIngress(7).write(writer)));
    expect(getTokenBucket(ingress.netlink, 7)).toBeUndefined();
    const none = openFakeNetlink((_, replies) => replies.error(ENOENT));
    expect(getTokenBucket(none.netlink, 7)).toBeUndefined();
  });
});
