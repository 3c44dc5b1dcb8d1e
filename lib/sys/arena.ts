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

/** UTF-8 as the engine offers it; both throw on text that is not well formed. */
export interface Utf8 {
  encode(text: string): Uint8Array;
  decode(bytes: Uint8Array): string;
}

/** Under a sanitizer each slot is followed by this many bytes nobody may touch. */
const REDZONE_BYTES = 32;
/** Address sanitizers tell 8-byte granules apart; every slot starts on one. */
const MIN_ALIGN = 8;

/** A bounds-checked window of the arena. Every access outside it throws a RangeError. */
export class Slot {
  readonly address: number;
  readonly length: number;
  readonly view: DataView;
  readonly #utf8: Utf8;

  constructor(memory: ArrayBuffer, base: number, offset: number, length: number, utf8: Utf8) {
    this.view = new DataView(memory, offset, length);
    this.address = base + offset;
    this.length = length;
    this.#utf8 = utf8;
  }

  /** The bytes `at` … `at + length`, as a view: copy what must outlive the slot. */
  bytes(at = 0, length = this.length - at): Uint8Array {
    if (at < 0 || length < 0 || at + length > this.length) {
      throw new RangeError(`arena: bytes ${at}+${length} outside a slot of ${this.length}`);
    }
    return new Uint8Array(this.view.buffer, this.view.byteOffset + at, length);
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
  readonly #utf8: Utf8;
  readonly #poison: Poison | undefined;
  /** Where the next scoped slot starts; grows upwards. */
  #top = 0;
  /** Where the lowest slot kept for good starts; grows downwards. */
  #kept: number;

  constructor(memory: ArrayBuffer, address: number, utf8: Utf8, poison?: Poison) {
    this.#memory = memory;
    this.address = address;
    this.#utf8 = utf8;
    this.#poison = poison;
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
  alloc(length: number, align = MIN_ALIGN): Slot {
    const slot = this.buffer(length, align);
    slot.bytes().fill(0);
    return slot;
  }

  /** As `alloc`, with whatever bytes were there: for what the kernel fills. */
  buffer(length: number, align = MIN_ALIGN): Slot {
    const offset = alignUp(this.#top, Math.max(align, MIN_ALIGN));
    const gap = this.#poison === undefined ? 0 : REDZONE_BYTES;
    if (length < 0 || offset + length + gap > this.#kept) throw this.#full(length);
    this.#top = offset + length + gap;
    this.#poison?.(offset, length, false);
    return this.#slot(offset, length);
  }

  /** A NUL-terminated string. Throws on text with a NUL or a lone surrogate in it. */
  cstring(text: string): Slot {
    if (text.includes('\0')) throw new RangeError(`arena: NUL in ${JSON.stringify(text)}`);
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
    const gap = this.#poison === undefined ? 0 : REDZONE_BYTES;
    const offset = (this.#kept - length - gap) & -16;
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

  #slot(offset: number, length: number): Slot {
    return new Slot(this.#memory, this.address, offset, length, this.#utf8);
  }

  #full(length: number): RangeError {
    return new RangeError(`arena: no room for ${length} bytes (${this.#kept - this.#top} free)`);
  }
}

function alignUp(value: number, align: number): number {
  return Math.ceil(value / align) * align;
}
