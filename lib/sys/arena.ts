// The one piece of memory whose addresses the kernel is given: structs, strings, netlink buffers,
// iovecs, argv. A binding maps it once for the life of the process, so no collection ever moves it;
// every other ArrayBuffer may move, and the kernel would then write into someone else's memory.

/**
 * How much address space a binding maps for the arena, in bytes. Pages cost nothing until touched:
 * the CNI executable uses a few, an agent receiving dumps of thousands of peers a megabyte.
 */
export const ARENA_BYTES = 16 * 1024 * 1024;

/** Tells a sanitizer which bytes may be used; absent outside the sanitizer build. */
export type Poison = (offset: number, length: number, poisoned: boolean) => void;

/** UTF-8 as the engine offers it; all throw on text that is not well formed. */
export interface Utf8 {
  encode(text: string): Uint8Array;
  /** Writes the text's bytes at `at` and returns how many; throws a RangeError when they do not fit. */
  encodeInto(text: string, bytes: Uint8Array, at: number): number;
  decode(bytes: Uint8Array): string;
}

/** Under a sanitizer each slot is followed by this many bytes nobody may touch. */
const REDZONE_BYTES = 32;
/** Enough for every struct of the kernel's, and address sanitizers tell 8-byte granules apart. */
const ALIGN = 8;
/** A UTF-16 unit becomes at most so many bytes of UTF-8. */
const MOST_BYTES_A_UNIT = 3;

/** A bounds-checked window of the arena. Every access outside it throws a RangeError. */
export class Slot {
  readonly address: number;
  readonly length: number;
  readonly #memory: ArrayBuffer;
  readonly #offset: number;
  readonly #utf8: Utf8;
  /** Made when first needed: of many slots only the address is. */
  #view: DataView | undefined;

  constructor(memory: ArrayBuffer, base: number, offset: number, length: number, utf8: Utf8) {
    this.address = base + offset;
    this.length = length;
    this.#memory = memory;
    this.#offset = offset;
    this.#utf8 = utf8;
  }

  get view(): DataView {
    this.#view ??= new DataView(this.#memory, this.#offset, this.length);
    return this.#view;
  }

  /** The bytes `at` … `at + length`, as a view: copy what must outlive the slot. */
  bytes(at = 0, length = this.length - at): Uint8Array {
    if (at < 0 || length < 0 || at + length > this.length) {
      throw new RangeError(`arena: bytes ${at}+${length} outside a slot of ${this.length}`);
    }
    return new Uint8Array(this.#memory, this.#offset + at, length);
  }

  u8(at: number): number {
    return this.view.getUint8(at);
  }
  u16(at: number): number {
    return this.view.getUint16(at, true);
  }
  u32(at: number): number {
    return this.view.getUint32(at, true);
  }
  i32(at: number): number {
    return this.view.getInt32(at, true);
  }
  /** A 64-bit unsigned value; above 2^53 it loses precision, which no caller's field reaches. */
  u64(at: number): number {
    return this.view.getUint32(at, true) + this.view.getUint32(at + 4, true) * 0x1_0000_0000;
  }
  setU8(at: number, value: number): void {
    this.view.setUint8(at, value);
  }
  setU16(at: number, value: number): void {
    this.view.setUint16(at, value, true);
  }
  setU32(at: number, value: number): void {
    this.view.setUint32(at, value, true);
  }
  setI32(at: number, value: number): void {
    this.view.setInt32(at, value, true);
  }
  /** A 64-bit value from a non-negative integer below 2^53: addresses, lengths, sizes. */
  setU64(at: number, value: number): void {
    this.view.setUint32(at, value >>> 0, true);
    this.view.setUint32(at + 4, Math.floor(value / 0x1_0000_0000), true);
  }
  /** Copies bytes in; throws when they do not fit. */
  set(source: Uint8Array, at = 0): void {
    this.bytes(at, source.length).set(source);
  }
  /** Strict UTF-8 text of `length` bytes at `at`; throws when it is not well formed. */
  text(at = 0, length = this.length - at): string {
    return this.#utf8.decode(this.bytes(at, length));
  }
}

/** Mark/release allocation, as a stack, over memory a binding mapped. */
export class Arena {
  readonly address: number;
  readonly #memory: ArrayBuffer;
  readonly #bytes: Uint8Array;
  readonly #utf8: Utf8;
  readonly #poison: Poison | undefined;
  /** Behind each slot. */
  readonly #gap: number;
  /** Where the next scoped slot starts; grows upwards. */
  #top = 0;
  /** Where the lowest slot kept for good starts; grows downwards. */
  #kept: number;

  constructor(memory: ArrayBuffer, address: number, utf8: Utf8, poison?: Poison) {
    this.#memory = memory;
    this.#bytes = new Uint8Array(memory);
    this.address = address;
    this.#utf8 = utf8;
    this.#poison = poison;
    this.#gap = poison === undefined ? 0 : REDZONE_BYTES;
    this.#kept = memory.byteLength;
    poison?.(0, memory.byteLength, true);
  }

  /** Runs `body`; every slot allocated meanwhile is released when it returns or throws. */
  scope<T>(body: () => T): T {
    const mark = this.#top;
    try {
      return body();
    } finally {
      this.#release(mark);
    }
  }

  /** A zeroed slot, released with the scope around it. Throws a RangeError when the arena is full. */
  alloc(length: number): Slot {
    const offset = this.#reserve(length);
    this.#bytes.fill(0, offset, offset + length);
    return this.#slot(offset, length);
  }

  /** As `alloc`, with whatever bytes were there: for what the kernel fills. */
  buffer(length: number): Slot {
    return this.#slot(this.#reserve(length), length);
  }

  /**
   * The address of a NUL-terminated string: what a path needs, without a slot. Throws on text with a NUL or a
   * lone surrogate in it.
   */
  textAddress(text: string): number {
    refuseNul(text);
    const room = text.length * MOST_BYTES_A_UNIT + 1;
    const offset = this.#reserve(room);
    const length = this.#utf8.encodeInto(text, this.#bytes, offset);
    this.#bytes[offset + length] = 0;
    this.#poison?.(offset + length + 1, room - length - 1, true);
    return this.address + offset;
  }

  /** A NUL-terminated string as a slot. Throws on text with a NUL or a lone surrogate in it. */
  cstring(text: string): Slot {
    refuseNul(text);
    return this.copy(this.#utf8.encode(text), 1);
  }

  /** The bytes of `source`, and `padding` zero bytes behind them. */
  copy(source: Uint8Array, padding = 0): Slot {
    const slot = this.buffer(source.length + padding);
    const bytes = slot.bytes();
    bytes.set(source);
    if (padding > 0) bytes.fill(0, source.length);
    return slot;
  }

  /** A zeroed slot for the life of the process: for what outlives every scope. */
  keep(length: number): Slot {
    const offset = (this.#kept - length - this.#gap) & -16;
    if (length < 0 || offset < this.#top) throw this.#full(length);
    this.#kept = offset;
    this.#poison?.(offset, length, false);
    const slot = this.#slot(offset, length);
    slot.bytes().fill(0);
    return slot;
  }

  /** Strict UTF-8 of bytes that need no address. */
  decode(bytes: Uint8Array): string {
    return this.#utf8.decode(bytes);
  }

  /** UTF-8 bytes of text without lone surrogates. */
  encode(text: string): Uint8Array {
    return this.#utf8.encode(text);
  }

  /** The sanitizer sees a use after release only while the bytes are nobody else's: they are reused late. */
  #release(mark: number): void {
    this.#poison?.(mark, this.#top - mark, true);
    if (this.#poison === undefined || this.#top > this.#kept / 2) this.#top = mark;
  }

  #reserve(length: number): number {
    const offset = (this.#top + ALIGN - 1) & -ALIGN;
    const end = offset + length + this.#gap;
    if (length < 0 || end > this.#kept) throw this.#full(length);
    this.#top = end;
    if (this.#poison !== undefined) this.#poison(offset, length, false);
    return offset;
  }

  #slot(offset: number, length: number): Slot {
    return new Slot(this.#memory, this.address, offset, length, this.#utf8);
  }

  #full(length: number): RangeError {
    return new RangeError(`arena: no room for ${length} bytes (${this.#kept - this.#top} free)`);
  }
}

function refuseNul(text: string): void {
  if (text.includes('\0')) throw new RangeError(`arena: NUL in ${JSON.stringify(text)}`);
}
