import { expect, test } from 'vitest';
import { type AssembledProgram, Assembler, linkProgram } from './assembler.ts';

const hex = (bytes: Uint8Array): string[] =>
  Array.from({ length: bytes.length / 8 }, (_, index) =>
    Buffer.from(bytes.subarray(index * 8, index * 8 + 8)).toString('hex'),
  );
const assembled = (build: (assembler: Assembler) => unknown): AssembledProgram => {
  const assembler = new Assembler();
  build(assembler);
  return assembler.assemble();
};

// The expected bytes are those that llvm-mc -triple bpfel makes of the text beside them.
test.for([
  { name: 'r0 = 0', build: (a: Assembler) => a.mov('r0', 0), want: ['b700000000000000'] },
  { name: 'r2 = -1', build: (a: Assembler) => a.mov('r2', -1), want: ['b7020000ffffffff'] },
  { name: 'r6 = r1', build: (a: Assembler) => a.mov('r6', 'r1'), want: ['bf16000000000000'] },
  { name: 'r2 += -4', build: (a: Assembler) => a.sub('r2', 4), want: ['07020000fcffffff'] },
  { name: 'r2 -= r3', build: (a: Assembler) => a.sub('r2', 'r3'), want: ['1f32000000000000'] },
  { name: 'r1 += r2', build: (a: Assembler) => a.add('r1', 'r2'), want: ['0f21000000000000'] },
  { name: 'r1 &= 240', build: (a: Assembler) => a.and('r1', 240), want: ['57010000f0000000'] },
  { name: 'w1 &= -1', build: (a: Assembler) => a.and32('r1', 0xffff_ffff), want: ['54010000ffffffff'] },
  { name: 'r1 <<= 2', build: (a: Assembler) => a.shiftLeft('r1', 2), want: ['6701000002000000'] },
  { name: 'r1 >>= 32', build: (a: Assembler) => a.shiftRight('r1', 32), want: ['7701000020000000'] },
  { name: 'r0 = be16 r0', build: (a: Assembler) => a.fromNetwork('r0', 16), want: ['dc00000010000000'] },
  {
    name: 'r7 = *(u32 *)(r6 + 76)',
    build: (a: Assembler) => a.load('u32', 'r7', 'r6', 76),
    want: ['61674c0000000000'],
  },
  {
    name: 'r0 = *(u16 *)(r7 + 12)',
    build: (a: Assembler) => a.load('u16', 'r0', 'r7', 12),
    want: ['69700c0000000000'],
  },
  { name: 'r0 = *(u8 *)(r7 + 22)', build: (a: Assembler) => a.load('u8', 'r0', 'r7', 22), want: ['7170160000000000'] },
  { name: 'r1 = *(u64 *)(r1 + 0)', build: (a: Assembler) => a.load('u64', 'r1', 'r1', 0), want: ['7911000000000000'] },
  {
    name: '*(u32 *)(r10 - 16) = r0',
    build: (a: Assembler) => a.store('u32', 'r10', -16, 'r0'),
    want: ['630af0ff00000000'],
  },
  {
    name: '*(u32 *)(r10 - 32) = -1',
    build: (a: Assembler) => a.store('u32', 'r10', -32, -1),
    want: ['620ae0ffffffffff'],
  },
  {
    name: 'lock *(u64 *)(r9 + 16) += r1',
    build: (a: Assembler) => a.atomicAdd('r9', 16, 'r1'),
    want: ['db19100000000000'],
  },
  { name: 'call 23', build: (a: Assembler) => a.callHelper('redirect'), want: ['8500000017000000'] },
  { name: 'exit', build: (a: Assembler) => a.exit(), want: ['9500000000000000'] },
])('$name', ({ build, want }) => {
  expect(hex(assembled(build).bytes)).toEqual(want);
});

test('jumps count the instructions in between, forwards and back, and loading a map takes two', () => {
  const program = assembled((a) =>
    a
      .label('start')
      .jump('r0', '>', 'r8', 'end')
      .loadMap('r1', 'pods')
      .jump32('r1', '!=', 0xffff_ffff, 'start')
      .goto('end')
      .mov('r0', 1)
      .label('end')
      .exit(),
  );
  expect(hex(program.bytes)).toEqual([
    '2d80050000000000',
    '1811000000000000',
    '0000000000000000',
    '5601fcffffffffff',
    '0500010000000000',
    'b700000001000000',
    '9500000000000000',
  ]);
});

test('linking inserts descriptors of maps and numbers of functions, and changes nothing else', () => {
  const program = assembled((a) =>
    a.loadMap('r1', 'pods').loadMapValue('r2', 'state', 8).callKernel('own').callKernel('of_module').exit(),
  );
  const functions = new Map([
    ['own', { btfId: 0x1234, fdIndex: 0 }],
    ['of_module', { btfId: 0x10203, fdIndex: 1 }],
  ]);
  const bytes = linkProgram(
    program,
    new Map([
      ['pods', 7],
      ['state', 9],
    ]),
    functions,
  );
  expect(hex(bytes)).toEqual([
    '1811000007000000',
    '0000000000000000',
    '1822000009000000',
    '0000000008000000',
    '8520000034120000',
    '8520010003020100',
    '9500000000000000',
  ]);
  expect(() => linkProgram(program, new Map([['pods', 7]]), functions)).toThrow('bpf: the program needs map state');
  expect(() =>
    linkProgram(
      program,
      new Map([
        ['pods', 7],
        ['state', 9],
      ]),
      new Map(),
    ),
  ).toThrow('the program needs function own');
});

test.for([
  {
    name: 'a label that is missing',
    build: (a: Assembler) => a.goto('nowhere').assemble(),
    want: 'no instruction nowhere',
  },
  {
    name: 'a label behind the end',
    build: (a: Assembler) => a.goto('end').label('end').assemble(),
    want: 'no instruction end',
  },
  { name: 'a label twice', build: (a: Assembler) => a.label('x').exit().label('x'), want: 'label x is there twice' },
  { name: 'a jump too far', build: (a: Assembler) => tooFar(a).assemble(), want: 'jump to end 32768 is not in' },
  {
    name: 'a number that 64 bits would sign-extend',
    build: (a: Assembler) => a.mov('r0', 0x8000_0000),
    want: 'immediate 2147483648',
  },
  { name: 'a fraction', build: (a: Assembler) => a.mov('r0', 0.5), want: 'immediate 0.5' },
  {
    name: 'an offset beyond the stack',
    build: (a: Assembler) => a.store('u32', 'r10', -516, 0),
    want: 'stack offset -516',
  },
  {
    name: 'an offset above the stack',
    build: (a: Assembler) => a.load('u64', 'r0', 'r10', -4),
    want: 'stack offset -4',
  },
  {
    name: 'a stack offset that is not aligned',
    build: (a: Assembler) => a.store('u32', 'r10', -6, 0),
    want: 'not aligned to 4',
  },
  {
    name: 'an offset of more than 16 bits',
    build: (a: Assembler) => a.load('u8', 'r0', 'r1', 40_000),
    want: 'offset 40000',
  },
])('refuses $name', ({ build, want }) => {
  expect(() => build(new Assembler())).toThrow(want);
});

function tooFar(assembler: Assembler): Assembler {
  assembler.goto('end');
  for (let index = 0; index < 0x8000; index++) assembler.mov('r0', 0);
  return assembler.label('end').exit();
}
