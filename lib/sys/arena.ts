// The one piece of memory whose addresses the kernel is given: structs, strings, netlink buffers, iovecs, argv. A binding maps it once for
// the life of the process, so garbage collection never moves it. Every other ArrayBuffer may move, and the kernel would then write into
// someone else's memory.

/**
 * How much address space a binding maps for the arena, in bytes. Pages cost nothing until they are touched: the CNI executable uses a few,
 * an agent that reads dumps of thousands of peers a megabyte.
 */
export const ARENA_BYTES = 16 * 1024 * 1024;

/** Tells a sanitizer which bytes may be used; absent outside the sanitizer build. */
export type Poison = (offset: number, length: number, poisoned: boolean) => void;

/** The engine's UTF-8 functions; all throw on text that is not well formed. */
export interface Utf8 {
  encode(text: string): Uint8Array;
  /** Writes the text's bytes at `at` and returns how many; throws a RangeError when they do not fit. */
  encodeInto(text: string, bytes: Uint8Array, at: number): number;
  decode(bytes: Uint8Array): string;
}

/** With a sanitizer each slot is followed by this many bytes that must not be touched. */
const REDZONE_BYTES = 32;
/** Sufficient for every struct of the kernel, and address sanitizers distinguish granules of 8 bytes. */
const ALIGN = 8;
/** A UTF-16 unit takes at most this many bytes of UTF-8. */
const MOST_BYTES_A_UNIT = 3;

/**
 * A bounds-checked window of the arena. Every access outside it throws a RangeError. It ends with the scope in which it was made;
 * afterwards the object and its bytes are used for other slots.
 */
export class Slot {
  address = 0;
  length = 0;
  /** Where it begins in the arena. */
  offset = 0;
  private readonly memory: Memory;

  constructor(memory: Memory, offset: number, length: number) {
    this.memory = memory;
    this.place(offset, length);
  }

  /** Makes this the slot for other bytes. */
  place(offset: number, length: number): void {
    this.address = this.memory.address + offset;
    this.offset = offset;
    this.length = length;
  }

  /** A view for what the accessors below do not offer. */
  get view(): DataView {
    return new DataView(this.memory.bytes.buffer, this.offset, this.length);
  }

  /** A view of the bytes `at` … `at + length`. Copy what must outlive the slot. */
  bytes(at = 0, length = this.length - at): Uint8Array {
    return new Uint8Array(this.memory.bytes.buffer, this.need(at, length), length);
  }

  u8(at: number): number {
    return this.memory.view.getUint8(this.need(at, 1));
  }
  u16(at: number): number {
    return this.memory.view.getUint16(this.need(at, 2), true);
  }
  u32(at: number): number {
    return this.memory.view.getUint32(this.need(at, 4), true);
  }
  i32(at: number): number {
    return this.memory.view.getInt32(this.need(at, 4), true);
  }
  /** A 64-bit unsigned value; above 2^53 it loses precision, which no caller's field reaches. */
  u64(at: number): number {
    const from = this.need(at, 8);
    const { view } = this.memory;
    return view.getUint32(from, true) + view.getUint32(from + 4, true) * 0x1_0000_0000;
  }
  setU8(at: number, value: number): void {
    this.memory.view.setUint8(this.need(at, 1), value);
  }
  setU16(at: number, value: number): void {
    this.memory.view.setUint16(this.need(at, 2), value, true);
  }
  setU32(at: number, value: number): void {
    this.memory.view.setUint32(this.need(at, 4), value, true);
  }
  setI32(at: number, value: number): void {
    this.memory.view.setInt32(this.need(at, 4), value, true);
  }
  /** Writes a non-negative integer below 2^53 as a 64-bit value: addresses, lengths, sizes. */
  setU64(at: number, value: number): void {
    const from = this.need(at, 8);
    const { view } = this.memory;
    view.setUint32(from, value >>> 0, true);
    view.setUint32(from + 4, Math.floor(value / 0x1_0000_0000), true);
  }
  /** Copies bytes in; throws when they do not fit. */
  set(source: Uint8Array, at = 0): void {
    this.memory.bytes.set(source, this.need(at, source.length));
  }
  /** Strict UTF-8 text of `length` bytes at `at`; throws when it is not well formed. */
  text(at = 0, length = this.length - at): string {
    return this.memory.utf8.decode(this.bytes(at, length));
  }

  /** The place of `length` bytes at `at` in the arena; throws when some of them are outside. */
  private need(at: number, length: number): number {
    if (!(at >= 0 && length >= 0 && at + length <= this.length)) {
      throw new RangeError(`arena: bytes ${at}+${length} outside a slot of ${this.length}`);
    }
    return this.offset + at;
  }
}

/** What all slots of an arena share. */
interface Memory {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView;
  readonly address: number;
  readonly utf8: Utf8;
}

/** Allocates like a stack, by mark and release, in memory that a binding has mapped. */
export class Arena {
  readonly address: number;
  private readonly memory: Memory;
  private readonly bytes: Uint8Array<ArrayBuffer>;
  private readonly utf8: Utf8;
  private readonly poison: Poison | undefined;
  /** Unused bytes behind each slot. */
  private readonly gap: number;
  /** Where the next scoped slot starts; grows upwards. */
  private top = 0;
  /** Where the lowest slot kept for good starts; grows downwards. */
  private kept: number;
  /** The scoped slots in use, followed by those that can be used again: an attachment needs fifty, six at the same time. */
  private readonly slots: Slot[] = [];
  private inUse = 0;

  constructor(memory: ArrayBuffer, address: number, utf8: Utf8, poison?: Poison) {
    this.bytes = new Uint8Array(memory);
    this.memory = { bytes: this.bytes, view: new DataView(memory), address, utf8 };
    this.address = address;
    this.utf8 = utf8;
    this.poison = poison;
    this.gap = poison === undefined ? 0 : REDZONE_BYTES;
    this.kept = memory.byteLength;
    poison?.(0, memory.byteLength, true);
  }

  /** Runs `body`; every slot allocated meanwhile is released when it returns or throws. */
  scope<T>(body: () => T): T {
    const mark = this.top;
    try {
      return body();
    } finally {
      this.release(mark);
    }
  }

  /** Marks where a scope begins; `release` ends it. For code that runs for every file, where a closure for `scope` would cost too much. */
  mark(): number {
    return this.top;
  }

  /** Releases every slot allocated since `mark`; call it in a `finally`. */
  release(mark: number): void {
    if (this.poison === undefined) {
      this.top = mark;
      while (this.inUse > 0 && (this.slots[this.inUse - 1]?.offset ?? 0) >= mark) this.inUse--;
      return;
    }
    // The sanitizer can report a use after release only until the bytes are handed out again, so they are reused as late as possible.
    this.poison(mark, this.top - mark, true);
    if (this.top > this.kept / 2) this.top = mark;
  }

  /** A zeroed slot, released with the scope around it. Throws a RangeError when the arena is full. */
  alloc(length: number): Slot {
    const slot = this.buffer(length);
    this.bytes.fill(0, slot.offset, slot.offset + length);
    return slot;
  }

  /** Like `alloc`, without zeroing: for what the kernel fills. */
  buffer(length: number): Slot {
    const offset = this.reserve(length);
    if (this.poison !== undefined) return new Slot(this.memory, offset, length);
    const used = this.slots[this.inUse];
    if (used !== undefined) {
      used.place(offset, length);
      this.inUse++;
      return used;
    }
    const slot = new Slot(this.memory, offset, length);
    this.slots[this.inUse++] = slot;
    return slot;
  }

  /** The address of a NUL-terminated string, such as a path, without a slot. Throws on text that contains a NUL or a lone surrogate. */
  textAddress(text: string): number {
    const room = text.length * MOST_BYTES_A_UNIT + 1;
    const offset = this.reserve(room);
    const bytes = this.bytes;
    const end = offset + this.utf8.encodeInto(text, bytes, offset);
    bytes[end] = 0;
    // The engine searches: a loop here, or a search in the text, would take several times as long.
    if (bytes.indexOf(0, offset) < end) throw nulIn(text);
    this.poison?.(end + 1, offset + room - end - 1, true);
    return this.address + offset;
  }

  /** A NUL-terminated string as a slot. Throws on text that contains a NUL or a lone surrogate. */
  cstring(text: string): Slot {
    if (text.includes('\0')) throw nulIn(text);
    return this.copy(this.utf8.encode(text), 1);
  }

  /** The bytes of `source`, and `padding` zero bytes behind them. */
  copy(source: Uint8Array, padding = 0): Slot {
    const slot = this.buffer(source.length + padding);
    this.bytes.set(source, slot.offset);
    if (padding > 0) this.bytes.fill(0, slot.offset + source.length, slot.offset + slot.length);
    return slot;
  }

  /** A zeroed slot for the life of the process, for what outlives every scope. */
  keep(length: number): Slot {
    const offset = (this.kept - length - this.gap) & -16;
    if (length < 0 || offset < this.top) throw this.full(length);
    this.kept = offset;
    this.poison?.(offset, length, false);
    this.bytes.fill(0, offset, offset + length);
    return new Slot(this.memory, offset, length);
  }

  /** Decodes strict UTF-8 in bytes that need no address. */
  decode(bytes: Uint8Array): string {
    return this.utf8.decode(bytes);
  }

  /** UTF-8 bytes of text without lone surrogates. */
  encode(text: string): Uint8Array {
    return this.utf8.encode(text);
  }

  /** Reserves the next `length` bytes. No two slots begin at the same place, so that `release` can tell them apart. */
  private reserve(length: number): number {
    const offset = (this.top + ALIGN - 1) & -ALIGN;
    const end = offset + length + this.gap;
    if (length < 0 || end > this.kept) throw this.full(length);
    this.top = length > 0 ? end : end + 1;
    if (this.poison !== undefined) this.poison(offset, length, false);
    return offset;
  }

  private full(length: number): RangeError {
    return new RangeError(`arena: no room for ${length} bytes (${this.kept - this.top} free)`);
  }
}

function nulIn(text: string): RangeError {
  return new RangeError(`arena: NUL in ${JSON.stringify(text)}`);
}
