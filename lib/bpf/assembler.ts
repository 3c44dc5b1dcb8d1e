// An assembler for eBPF: one method for each instruction, with jumps to labels, maps and kernel functions by name
// (Documentation/bpf/standardization/instruction-set.rst; linux/bpf.h). It does not need a kernel: `linkProgram` replaces the names by
// numbers later.

import { type HelperName, helpers } from './helpers.ts';

/** Registers that a program may write. r0 is the result, r1–r5 are arguments, which calls overwrite, r6–r9 survive calls. */
export type Register = 'r0' | 'r1' | 'r2' | 'r3' | 'r4' | 'r5' | 'r6' | 'r7' | 'r8' | 'r9';
/** r10 is the end of the 512 bytes of stack; nothing may be assigned to it. */
type AnyRegister = Register | 'r10';
type Size = 'u8' | 'u16' | 'u32' | 'u64';
/** Comparisons are unsigned; `&` is true when any of the bits is set. */
export type Condition = '==' | '!=' | '>' | '>=' | '<' | '<=' | '&';

const INSTRUCTION_BYTES = 8;
const STACK_BYTES = 512;

const sizes: Record<Size, number> = { u32: 0x00, u16: 0x08, u8: 0x10, u64: 0x18 };
const arithmetic = {
  add: 0x00,
  sub: 0x10,
  mul: 0x20,
  or: 0x40,
  and: 0x50,
  lsh: 0x60,
  rsh: 0x70,
  xor: 0xa0,
  mov: 0xb0,
} as const;
const conditions: Record<Condition, number> = {
  '==': 0x10,
  '>': 0x20,
  '>=': 0x30,
  '&': 0x40,
  '!=': 0x50,
  '<': 0xa0,
  '<=': 0xb0,
};

const CLASS_ALU32 = 0x04;
const CLASS_JUMP = 0x05;
const CLASS_JUMP32 = 0x06;
const CLASS_ALU64 = 0x07;
const OPERAND_IS_REGISTER = 0x08;
const LOAD_IMMEDIATE_64 = 0x18;
const LOAD = 0x61;
const STORE_IMMEDIATE = 0x62;
const STORE = 0x63;
const ATOMIC_ADD_64 = 0xdb;
/** Both supported processors are little-endian. */
const TO_BIG_ENDIAN = 0xdc;
const GOTO = 0x05;
const CALL = 0x85;
const EXIT = 0x95;
const PSEUDO_MAP_FD = 1;
const PSEUDO_MAP_VALUE = 2;
const PSEUDO_KFUNC_CALL = 2;

interface Instruction {
  readonly opcode: number;
  readonly destination: number;
  readonly source: number;
  offset: number;
  readonly immediate: number;
}

/** A place in the program whose number is known only in the running kernel. */
interface Relocation {
  readonly index: number;
  readonly kind: 'map' | 'function';
  readonly name: string;
}

/** A program whose jumps are resolved and whose maps and kernel functions are still names. */
export interface AssembledProgram {
  readonly bytes: Uint8Array;
  readonly relocations: readonly Relocation[];
}

/** A function of the kernel or of a module: the id of its BTF type, and the index of its module's BTF in `fd_array` (0: the kernel). */
export interface KernelFunction {
  readonly btfId: number;
  readonly fdIndex: number;
}

export class Assembler {
  private readonly code: Instruction[] = [];
  private readonly labels = new Map<string, number>();
  private readonly jumps: { readonly index: number; readonly label: string }[] = [];
  private readonly relocations: Relocation[] = [];

  /** destination = operand, 64 bits; a negative number is sign-extended. */
  mov(destination: Register, operand: AnyRegister | number): this {
    return this.alu(CLASS_ALU64, 'mov', destination, operand);
  }
  add(destination: Register, operand: AnyRegister | number): this {
    return this.alu(CLASS_ALU64, 'add', destination, operand);
  }
  and(destination: Register, operand: AnyRegister | number): this {
    return this.alu(CLASS_ALU64, 'and', destination, operand);
  }
  or(destination: Register, operand: AnyRegister | number): this {
    return this.alu(CLASS_ALU64, 'or', destination, operand);
  }
  xor(destination: Register, operand: AnyRegister | number): this {
    return this.alu(CLASS_ALU64, 'xor', destination, operand);
  }
  multiply(destination: Register, operand: AnyRegister | number): this {
    return this.alu(CLASS_ALU64, 'mul', destination, operand);
  }
  shiftLeft(destination: Register, operand: AnyRegister | number): this {
    return this.alu(CLASS_ALU64, 'lsh', destination, operand);
  }
  shiftRight(destination: Register, operand: AnyRegister | number): this {
    return this.alu(CLASS_ALU64, 'rsh', destination, operand);
  }
  sub(destination: Register, operand: AnyRegister | number): this {
    if (typeof operand === 'number') return this.add(destination, -operand);
    return this.alu(CLASS_ALU64, 'sub', destination, operand);
  }
  /** Like `and`, on 32 bits: the number may have its highest bit set, as masks of addresses do. Clears the upper half. */
  and32(destination: Register, operand: AnyRegister | number): this {
    return this.alu(CLASS_ALU32, 'and', destination, operand);
  }

  /** Turns the lower 16 or 32 bits from network order into a number, or back, and clears the other bits. */
  fromNetwork(destination: Register, bits: 16 | 32): this {
    return this.emit(TO_BIG_ENDIAN, number(destination), 0, 0, bits);
  }

  /** destination = *(base + offset), zero-extended. */
  load(size: Size, destination: Register, base: AnyRegister, offset: number): this {
    return this.emit(LOAD | sizes[size], number(destination), number(base), checkedOffset(base, offset, size), 0);
  }
  /** *(base + offset) = value. */
  store(size: Size, base: AnyRegister, offset: number, value: AnyRegister | number): this {
    const at = checkedOffset(base, offset, size);
    if (typeof value === 'string') return this.emit(STORE | sizes[size], number(base), number(value), at, 0);
    return this.emit(STORE_IMMEDIATE | sizes[size], number(base), 0, at, checkedImmediate(value, size !== 'u64'));
  }
  /** *(base + offset) += value, 64 bits, atomic among processors. */
  atomicAdd(base: AnyRegister, offset: number, value: Register): this {
    return this.emit(ATOMIC_ADD_64, number(base), number(value), checkedOffset(base, offset, 'u64'), 0);
  }

  /** destination = the map, as argument of a helper. */
  loadMap(destination: Register, map: string): this {
    return this.loadRelocated(destination, PSEUDO_MAP_FD, map, 0);
  }
  /** destination = the address of byte `offset` in the first value of an array map; from Linux 5.2 on. */
  loadMapValue(destination: Register, map: string, offset: number): this {
    return this.loadRelocated(destination, PSEUDO_MAP_VALUE, map, offset);
  }

  callHelper(name: HelperName): this {
    return this.emit(CALL, 0, 0, 0, helpers[name]);
  }
  /** Calls a kernel function by its name in BTF (Documentation/bpf/kfuncs.rst). */
  callKernel(name: string): this {
    this.relocations.push({ index: this.code.length, kind: 'function', name });
    return this.emit(CALL, 0, PSEUDO_KFUNC_CALL, 0, 0);
  }

  /** Jumps to `label` when the 64-bit comparison is true. */
  jump(left: AnyRegister, condition: Condition, right: AnyRegister | number, label: string): this {
    return this.conditional(CLASS_JUMP, left, condition, right, label);
  }
  /** Like `jump`, on the lower 32 bits: the number may have its highest bit set. */
  jump32(left: AnyRegister, condition: Condition, right: AnyRegister | number, label: string): this {
    return this.conditional(CLASS_JUMP32, left, condition, right, label);
  }
  goto(label: string): this {
    this.jumps.push({ index: this.code.length, label });
    return this.emit(GOTO, 0, 0, 0, 0);
  }
  /** Gives the next instruction a name. Throws when the name is taken. */
  label(name: string): this {
    if (this.labels.has(name)) throw new RangeError(`bpf: label ${name} is there twice`);
    this.labels.set(name, this.code.length);
    return this;
  }
  /** Whether an instruction added so far jumps to the label. */
  isTarget(label: string): boolean {
    return this.jumps.some((jump) => jump.label === label);
  }
  exit(): this {
    return this.emit(EXIT, 0, 0, 0, 0);
  }

  /** Lets `part` add its instructions within a chain of calls, so that a listing can be read from top to bottom. */
  include(part: (assembler: this) => unknown): this {
    part(this);
    return this;
  }

  /** Resolves the jumps. Throws RangeError for a missing label, and for a jump over more than 32767 instructions. */
  assemble(): AssembledProgram {
    for (const { index, label } of this.jumps) {
      const target = this.labels.get(label);
      if (target === undefined || target >= this.code.length) throw new RangeError(`bpf: no instruction ${label}`);
      const instruction = this.code[index];
      if (instruction !== undefined)
        instruction.offset = inRange(target - index - 1, -0x8000, 0x7fff, `jump to ${label}`);
    }
    const bytes = new Uint8Array(this.code.length * INSTRUCTION_BYTES);
    const view = new DataView(bytes.buffer);
    for (const [index, instruction] of this.code.entries()) {
      const at = index * INSTRUCTION_BYTES;
      view.setUint8(at, instruction.opcode);
      view.setUint8(at + 1, instruction.destination | (instruction.source << 4));
      view.setInt16(at + 2, instruction.offset, true);
      view.setInt32(at + 4, instruction.immediate | 0, true);
    }
    return { bytes, relocations: [...this.relocations] };
  }

  private alu(
    operationClass: number,
    operation: keyof typeof arithmetic,
    destination: Register,
    operand: AnyRegister | number,
  ) {
    const opcode = operationClass | arithmetic[operation];
    if (typeof operand === 'string')
      return this.emit(opcode | OPERAND_IS_REGISTER, number(destination), number(operand), 0, 0);
    return this.emit(opcode, number(destination), 0, 0, checkedImmediate(operand, operationClass === CLASS_ALU32));
  }

  private conditional(
    jumpClass: number,
    left: AnyRegister,
    condition: Condition,
    right: AnyRegister | number,
    label: string,
  ): this {
    this.jumps.push({ index: this.code.length, label });
    const opcode = jumpClass | conditions[condition];
    if (typeof right === 'string') return this.emit(opcode | OPERAND_IS_REGISTER, number(left), number(right), 0, 0);
    return this.emit(opcode, number(left), 0, 0, checkedImmediate(right, jumpClass === CLASS_JUMP32));
  }

  /** The only instruction of 16 bytes. */
  private loadRelocated(destination: Register, source: number, map: string, offset: number): this {
    this.relocations.push({ index: this.code.length, kind: 'map', name: map });
    return this.emit(LOAD_IMMEDIATE_64, number(destination), source, 0, 0).emit(0, 0, 0, 0, offset);
  }

  private emit(opcode: number, destination: number, source: number, offset: number, immediate: number): this {
    this.code.push({ opcode, destination, source, offset, immediate });
    return this;
  }
}

/** The program with the descriptors of its maps and the numbers of kernel functions. Throws RangeError when a name is missing. */
export function linkProgram(
  program: AssembledProgram,
  maps: ReadonlyMap<string, number>,
  functions: ReadonlyMap<string, KernelFunction>,
): Uint8Array {
  const bytes = program.bytes.slice();
  const view = new DataView(bytes.buffer);
  for (const { index, kind, name } of program.relocations) {
    const at = index * INSTRUCTION_BYTES;
    if (kind === 'map') {
      view.setInt32(at + 4, present(maps.get(name), `map ${name}`), true);
    } else {
      const { btfId, fdIndex } = present(functions.get(name), `function ${name}`);
      view.setInt16(at + 2, fdIndex, true);
      view.setInt32(at + 4, btfId, true);
    }
  }
  return bytes;
}

function present<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new RangeError(`bpf: the program needs ${what}`);
  return value;
}

function number(register: AnyRegister): number {
  return Number(register.slice(1));
}

/** A 64-bit operation sign-extends its number, so a number that would change is refused. */
function checkedImmediate(value: number, unsigned: boolean): number {
  return inRange(value, -0x8000_0000, unsigned ? 0xffff_ffff : 0x7fff_ffff, 'immediate');
}

/** The stack ends at r10 and grows downwards; the verifier checks all other memory. */
function checkedOffset(base: AnyRegister, offset: number, size: Size): number {
  if (base === 'r10') {
    const bytes = Number(size.slice(1)) / 8;
    inRange(offset, -STACK_BYTES, -bytes, 'stack offset');
    if (offset % bytes !== 0) throw new RangeError(`bpf: stack offset ${offset} is not aligned to ${bytes}`);
  }
  return inRange(offset, -0x8000, 0x7fff, 'offset');
}

function inRange(value: number, low: number, high: number, what: string): number {
  if (Number.isInteger(value) && value >= low && value <= high) return value;
  throw new RangeError(`bpf: ${what} ${value} is not in ${low}…${high}`);
}
