import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { payloadHex } from '../../test/support/netlink-bytes.ts';
import { openFakeNetlink } from '../netlink/fake.ts';
import { EINVAL, ENOENT, EPERM } from '../sys/errno.ts';
import { addElement, deleteElement, getElement, listElements, type SetElement } from './elements.ts';
import { NFT_MSG_GETSETELEM, NFT_MSG_NEWSETELEM } from './nf-tables-constants.ts';

const ref = { table: { family: 'inet', name: 'weft_portmap' }, set: 'dnat4' } as const;
/** `tcp . 8080`, as nft 1.0.6 sends it. */
const KEY = Uint8Array.of(6, 0, 0, 0, 0x1f, 0x90, 0, 0);
const DATA = Uint8Array.of(10, 0, 0, 2, 0, 80, 0, 0);
const bare = (hex: string): string => hex.replaceAll(' ', '');

const LIST = '01000000 11000100 776566745f706f72746d617000000000 0a000200 646e617434000000';
const KEY_ATTRIBUTE = '10000180 0c000100 060000001f900000';

describe('addElement', () => {
  test('is what nft sends for a map', () => {
    const request = addElement(ref, { key: KEY, data: DATA, comment: 'x' }, 'tcp . 8080');
    const data = '10000280 0c000100 0a00000200500000';
    const comment = '08000600 00027800';
    expect([request.type, request.flags]).toEqual([NFT_MSG_NEWSETELEM, 0x600]);
    expect(payloadHex(request)).toBe(bare(`${LIST} 30000380 2c000180 ${KEY_ATTRIBUTE} ${data} ${comment}`));
    expect(request.describe()).toBe('add element inet weft_portmap dnat4 { tcp . 8080 }');
  });

  test('is what nft sends for a verdict map', () => {
    const request = addElement(ref, { key: KEY, data: { jump: 'from' }, comment: '' }, 'tcp . 8080');
    const verdict = '1c000280 18000280 08000100 fffffffd 09000200 66726f6d00000000';
    expect(payloadHex(request)).toBe(bare(`${LIST} 34000380 30000180 ${KEY_ATTRIBUTE} ${verdict}`));
  });
});

test('deleteElement sends the key alone', () => {
  const request = deleteElement(ref, KEY, 'tcp . 8080');
  expect(payloadHex(request)).toBe(bare(`${LIST} 18000380 14000180 ${KEY_ATTRIBUTE}`));
  expect(request.describe()).toBe('delete element inet weft_portmap dnat4 { tcp . 8080 }');
});

const bytes = fc.uint8Array({ minLength: 4, maxLength: 32 });
const comment = fc.string({ unit: fc.constantFrom('a', 'Z', '0', ' ', '-', '.'), maxLength: 128 });
const element: fc.Arbitrary<SetElement> = fc.oneof(
  fc.record({ key: bytes, comment }),
  fc.record({ key: bytes, comment, data: bytes }),
  fc.record({ key: bytes, comment, data: fc.record({ jump: fc.stringMatching(/^[a-z_]{1,30}$/) }) }),
);

describe('reading elements', () => {
  test('getElement reads whatever addElement writes', () => {
    fc.assert(
      fc.property(element, (one) => {
        const { netlink } = openFakeNetlink((request, replies) => {
          expect(request.type).toBe(NFT_MSG_GETSETELEM);
          replies.message(NFT_MSG_NEWSETELEM, (writer) => addElement(ref, one, '').write(writer));
        });
        expect(getElement(netlink, ref, one.key)).toEqual(one);
      }),
    );
  });

  test('listElements collects the elements of all messages', () => {
    fc.assert(
      fc.property(fc.array(element, { maxLength: 9 }), (all) => {
        const { netlink } = openFakeNetlink((_, replies) => {
          for (const one of all) replies.message(NFT_MSG_NEWSETELEM, (w) => addElement(ref, one, '').write(w));
        });
        expect(listElements(netlink, ref)).toEqual(all);
      }),
    );
  });

  test.for([{ errno: ENOENT }, { errno: EINVAL }])('the result is empty when the kernel says $errno', ({ errno }) => {
    const { netlink } = openFakeNetlink((_, replies) => replies.error(errno));
    expect(getElement(netlink, ref, KEY)).toBeUndefined();
    expect(listElements(netlink, ref)).toEqual([]);
  });

  test('a refusal is an error that names the request', () => {
    const { netlink } = openFakeNetlink((_, replies) => replies.error(EPERM));
    expect(() => getElement(netlink, ref, KEY)).toThrow('get element of inet weft_portmap dnat4: EPERM');
  });

  test('userdata of another kind or with a wrong length is no comment', () => {
    for (const userdata of ['0104 61626364', '00ff 61', '00', '']) {
      const raw = Uint8Array.from(Buffer.from(bare(userdata), 'hex'));
      const { netlink } = openFakeNetlink((_, replies) => {
        replies.message(NFT_MSG_NEWSETELEM, (writer) => {
          writer.u32(1);
          writer.nest(3, () => writer.nest(1, () => writer.attrBytes(6, raw)));
        });
      });
      expect(getElement(netlink, ref, KEY)?.comment).toBe('');
    }
  });
});
