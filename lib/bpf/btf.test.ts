import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { openKoffiSyscalls } from '../sys/koffi.ts';
import { findFunctions } from './btf.ts';

const sys = openKoffiSyscalls();

interface Type {
  readonly kind: number;
  readonly name?: string;
  readonly members?: number;
  /** Bytes that follow the type. */
  readonly extra?: number;
}

const INT = { kind: 1, name: 'int', extra: 4 };
const STRUCT = { kind: 4, name: 'nf_conn', members: 3, extra: 36 };
const PROTO = { kind: 13, members: 2, extra: 16 };
const func = (name: string): Type => ({ kind: 12, name });

/** A BTF file with these types; `base` bytes of names are in the kernel’s own BTF. */
function btf(types: readonly Type[], base = 0): Buffer {
  const names = new Map<string, number>();
  let strings = base === 0 ? '\0' : '';
  const at = (name: string | undefined): number => {
    if (name === undefined) return 0;
    if (!names.has(name)) {
      names.set(name, base + strings.length);
      strings += `${name}\0`;
    }
    return names.get(name) ?? 0;
  };
  const body = Buffer.concat(
    types.map(({ kind, name, members = 0, extra = 0 }) => {
      const type = Buffer.alloc(12 + extra);
      type.writeUInt32LE(at(name), 0);
      type.writeUInt32LE((kind << 24) | members, 4);
      return type;
    }),
  );
  const header = Buffer.alloc(24);
  header.writeUInt16LE(0xeb9f, 0);
  header.writeUInt8(1, 2);
  header.writeUInt32LE(24, 4);
  header.writeUInt32LE(0, 8);
  header.writeUInt32LE(body.length, 12);
  header.writeUInt32LE(body.length, 16);
  header.writeUInt32LE(strings.length, 20);
  return Buffer.concat([header, body, Buffer.from(strings)]);
}

function folder(files: Record<string, Buffer>): string {
  const path = mkdtempSync(join(tmpdir(), 'weft-btf-'));
  onTestFinished(() => rmSync(path, { recursive: true }));
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(path, name), bytes);
  return path;
}

test('finds functions by their whole names among types of all sizes', () => {
  const types = [
    INT,
    STRUCT,
    PROTO,
    func('release_all'),
    func('lookup'),
    { kind: 8, name: 'release' },
    func('release'),
  ];
  const directory = folder({ vmlinux: btf(types) });
  expect(findFunctions(sys, ['lookup', 'release', 'absent'], undefined, directory)).toEqual(
    new Map([
      ['lookup', 5],
      ['release', 7],
    ]),
  );
});

test('finds names that are split over two reads', () => {
  const filler = Array.from({ length: 20_000 }, (_, index) => func(`a_function_of_some_length_${index}`));
  const directory = folder({ vmlinux: btf([...filler, func('lookup'), ...filler.slice(0, 10)]) });
  const names = ['lookup', ...Array.from({ length: 200 }, (_, index) => `a_function_of_some_length_${index * 100}`)];
  const want = new Map(names.map((name, index) => [name, index === 0 ? 20_001 : (index - 1) * 100 + 1]));
  expect(findFunctions(sys, names, undefined, directory)).toEqual(want);
});

test('numbers a module’s types and names after the kernel’s', () => {
  const kernel = btf([INT, STRUCT, func('lookup')]);
  const base = kernel.readUInt32LE(20);
  const directory = folder({ vmlinux: kernel, nf_conntrack: btf([PROTO, func('release'), func('lookup')], base) });
  const want = new Map([
    ['release', 5],
    ['lookup', 6],
  ]);
  expect(findFunctions(sys, ['lookup', 'release'], 'nf_conntrack', directory)).toEqual(want);
});

test('says that there is no BTF, and refuses a file that is not BTF', () => {
  const directory = folder({ vmlinux: Buffer.from('no types here, only words') });
  expect(findFunctions(sys, ['lookup'], undefined, '/nonexistent')).toBeUndefined();
  expect(() => findFunctions(sys, ['lookup'], undefined, directory)).toThrow('vmlinux: no header');
  const short = folder({ vmlinux: btf([INT, STRUCT]).subarray(0, 50) });
  expect(() => findFunctions(sys, ['lookup'], undefined, short)).toThrow('cut off');
  const unknown = folder({ vmlinux: btf([{ kind: 30, name: 'lookup' }]) });
  expect(() => findFunctions(sys, ['lookup'], undefined, unknown)).toThrow('type 1 of unknown kind 30');
});
