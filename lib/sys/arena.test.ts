import { describe, expect, test } from 'vitest';
import { Arena } from './arena.ts';

const utf8 = {
  encode: (text: string) => new TextEncoder().encode(text),
  encodeInto: (text: string, bytes: Uint8Array, at: number) =>
    new TextEncoder().encodeInto(text, bytes.subarray(at)).written,
  decode: (bytes: Uint8Array) => new TextDecoder('utf-8', { fatal: true }).decode(bytes),
};
const BASE = 0x10_0000;

function arenaOf(bytes: number, poison?: (offset: number, length: number, on: boolean) => void) {
  return new Arena(new ArrayBuffer(bytes), BASE, utf8, poison);
}

describe('Arena', () => {
  test('gives slots addresses inside itself, each on 8 bytes', () => {
    const arena = arenaOf(4096);
    arena.scope(() => {
      expect(arena.alloc(3).address).toBe(BASE);
      expect(arena.alloc(8).address).toBe(BASE + 8);
    });
  });

  test('gives the same memory again after a scope, also after one that threw', () => {
    const arena = arenaOf(4096);
    const first = arena.scope(() => arena.alloc(100).address);
    expect(() =>
      arena.scope(() => {
        arena.alloc(100);
        throw new Error('stop');
      }),
    ).toThrow('stop');
    expect(arena.scope(() => arena.alloc(100).address)).toBe(first);
  });

  test('hands out zeroed slots', () => {
    const arena = arenaOf(4096);
    arena.scope(() => arena.alloc(16).bytes().fill(0xff));
    arena.scope(() => expect(arena.alloc(16).bytes()).toEqual(new Uint8Array(16)));
  });

  test('throws when it is full, and still serves a request that fits', () => {
    const arena = arenaOf(256);
    arena.scope(() => {
      expect(() => arena.alloc(257)).toThrow('no room for 257 bytes');
      expect(arena.alloc(256).length).toBe(256);
      expect(() => arena.alloc(1)).toThrow('no room');
    });
    expect(() => arena.alloc(-1)).toThrow('no room');
  });

  test('never gives the memory of a kept slot to a scope', () => {
    const arena = arenaOf(256);
    const kept = arena.keep(64);
    kept.setU32(0, 7);
    arena.scope(() => {
      arena.alloc(192).bytes().fill(0xff);
      expect(() => arena.alloc(1)).toThrow('no room');
    });
    expect(kept.u32(0)).toBe(7);
  });

  test('ends a string with NUL and refuses one inside', () => {
    const arena = arenaOf(256);
    expect(arena.cstring('ab').bytes()).toEqual(new Uint8Array([0x61, 0x62, 0]));
    expect(() => arena.cstring('a\0b')).toThrow('NUL');
  });

  test('writes a string and returns its address', () => {
    const arena = arenaOf(4096);
    arena.scope(() => {
      const whole = arena.keep(64);
      const address = arena.textAddress('aé€');
      expect(address).toBe(BASE);
      expect(whole.length).toBe(64);
      expect(arena.textAddress('')).toBe(BASE + 16);
      expect(() => arena.textAddress('a\0b')).toThrow('NUL');
      expect(() => arena.textAddress('x'.repeat(5000))).toThrow('no room');
    });
    arena.scope(() => expect(arena.buffer(10).bytes(0, 7)).toEqual(new TextEncoder().encode('aé€\0')));
  });

  test('tells the sanitizer which memory may be used, with a gap after each slot', () => {
    const calls: [number, number, boolean][] = [];
    const arena = arenaOf(4096, (offset, length, on) => calls.push([offset, length, on]));
    arena.scope(() => {
      arena.alloc(10);
      arena.alloc(10);
    });
    expect(calls).toEqual([
      [0, 4096, true],
      [0, 10, false],
      [48, 10, false],
      [0, 90, true],
    ]);
  });
});

describe('Arena under a sanitizer', () => {
  test('hands out released bytes late, so that a use after release hits poisoned memory', () => {
    const arena = arenaOf(4096, () => undefined);
    const seen = new Set<number>();
    for (let round = 0; round < 10; round += 1) seen.add(arena.scope(() => arena.alloc(100).address));
    expect(seen.size).toBe(10);
  });

  test('hands them out again in the end, also from inside a scope that lasts', () => {
    const arena = arenaOf(4096, () => undefined);
    arena.scope(() => {
      arena.alloc(100);
      for (let round = 0; round < 1000; round += 1) arena.scope(() => arena.alloc(1000));
    });
    expect(arena.scope(() => arena.alloc(1000).length)).toBe(1000);
  });
});

describe('Slot', () => {
  const arena = arenaOf(4096);
  const slot = arena.keep(16);

  test.for([
    { name: 'u8', set: 'setU8', get: 'u8', value: 0xfe },
    { name: 'u16', set: 'setU16', get: 'u16', value: 0xfedc },
    { name: 'u32', set: 'setU32', get: 'u32', value: 0xfedcba98 },
    { name: 'i32', set: 'setI32', get: 'i32', value: -2 },
    { name: 'u64', set: 'setU64', get: 'u64', value: 0x1f_fedc_ba98_7654 },
  ] as const)('reads back a $name', ({ set, get, value }) => {
    slot[set](8, value);
    expect(slot[get](8)).toBe(value);
  });

  test('is little-endian, like both architectures', () => {
    slot.setU32(0, 0x01020304);
    expect(slot.bytes(0, 4)).toEqual(new Uint8Array([4, 3, 2, 1]));
  });

  test('throws on every access outside it', () => {
    expect(() => slot.u8(16)).toThrow(RangeError);
    expect(() => slot.u32(13)).toThrow(RangeError);
    expect(() => slot.setU64(9, 1)).toThrow(RangeError);
    expect(() => slot.bytes(8, 9)).toThrow(RangeError);
    expect(() => slot.bytes(-1, 2)).toThrow(RangeError);
    expect(() => slot.set(new Uint8Array(17))).toThrow(RangeError);
    expect(() => slot.text(10, 7)).toThrow(RangeError);
  });
});
