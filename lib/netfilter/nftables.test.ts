import { describe, expect, test } from 'vitest';
import { payloadHex } from '../../test/support/netlink-bytes.ts';
import { openFakeNetlink } from '../netlink/fake.ts';
import { EINVAL, ENOENT, EPERM } from '../sys/errno.ts';
import {
  NFT_MSG_GETCHAIN,
  NFT_MSG_GETGEN,
  NFT_MSG_GETRULE,
  NFT_MSG_GETTABLE,
  NFT_MSG_NEWRULE,
} from './nf-tables-constants.ts';
import {
  deleteChain,
  deleteRule,
  hasChain,
  hasNftables,
  hasTable,
  listRules,
  listSets,
  readGeneration,
} from './nftables.ts';

const table = { family: 'ip', name: 'nat' } as const;

function writeComment(text: string): Uint8Array {
  return Uint8Array.from([0, text.length + 1, ...Buffer.from(text), 0]);
}

describe('asking what exists', () => {
  test('a table and a chain are asked for by name', () => {
    const types: number[] = [];
    const { netlink, transport } = openFakeNetlink((request, replies) => {
      types.push(request.type);
      replies.message(0, (writer) => writer.u32(0));
    });
    expect([hasTable(netlink, table), hasChain(netlink, table, 'CNI-DN-x')]).toEqual([true, true]);
    expect(types).toEqual([NFT_MSG_GETTABLE, NFT_MSG_GETCHAIN]);
    const [, chain] = transport.sent.map((bytes) => Buffer.from(bytes.subarray(16)).toString('hex'));
    expect(chain).toBe('02000000' + '080001006e617400' + '0d000300434e492d444e2d7800000000');
  });

  test.for([ENOENT, EINVAL])('it does not exist when the kernel says %i', (errno) => {
    const { netlink } = openFakeNetlink((_, replies) => replies.error(errno));
    expect(hasTable(netlink, table)).toBe(false);
    expect(hasChain(netlink, table, 'x')).toBe(false);
    expect(hasNftables(netlink)).toBe(false);
    expect(listSets(netlink, table)).toEqual([]);
    expect(listRules(netlink, table)).toEqual([]);
  });

  test('a refusal is an error', () => {
    const { netlink } = openFakeNetlink((_, replies) => replies.error(EPERM));
    expect(() => hasTable(netlink, table)).toThrow('get table ip nat: EPERM');
  });

  test('the generation is 32 bits in network order', () => {
    const { netlink } = openFakeNetlink((request, replies) => {
      expect(request.type).toBe(NFT_MSG_GETGEN);
      replies.message(0x0a0f, (writer) => {
        writer.u32(0);
        writer.attrBytes(1, Uint8Array.of(0xf0, 0, 0, 1));
      });
    });
    expect(readGeneration(netlink)).toBe(0xf0000001);
  });
});

describe('listRules', () => {
  test('gives chain, handle and comment, and leaves other tables out where the kernel does not', () => {
    const rules = [
      ['nat', 'hostports', 5n, 'c1'],
      ['other', 'hostports', 6n, 'c1'],
      ['nat', 'masquerading', 2n ** 40n, ''],
    ] as const;
    const { netlink } = openFakeNetlink((request, replies) => {
      expect(request.type).toBe(NFT_MSG_GETRULE);
      for (const [name, chain, handle, comment] of rules) {
        replies.message(NFT_MSG_NEWRULE, (writer) => {
          writer.u32(2);
          writer.attrText(1, name);
          writer.attrText(2, chain);
          const bytes = new Uint8Array(8);
          new DataView(bytes.buffer).setBigUint64(0, handle, false);
          writer.attrBytes(3, bytes);
          if (comment !== '') writer.attrBytes(7, writeComment(comment));
        });
      }
    });
    const found = listRules(netlink, table);
    expect(found).toEqual([
      { chain: 'hostports', handle: 5n, comment: 'c1' },
      { chain: 'masquerading', handle: 2n ** 40n, comment: '' },
    ]);
  });
});

test('deleteRule names the rule by its handle', () => {
  const request = deleteRule(table, { chain: 'x', handle: 258n, comment: '' });
  expect(payloadHex(request)).toBe('02000000' + '080001006e617400' + '0600020078000000' + '0c0003000000000000000102');
  expect(request.command?.()).toBe('nft delete rule ip nat x handle 258');
});

test('deleteChain names table and chain', () => {
  const request = deleteChain(table, 'from_x');
  expect(payloadHex(request)).toBe('02000000' + '080001006e617400' + '0b00030066726f6d5f780000');
  expect(request.command?.()).toBe('nft delete chain ip nat from_x');
});
