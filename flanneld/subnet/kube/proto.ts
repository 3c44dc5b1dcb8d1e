// The part of protobuf's wire format that is needed to read a few fields (protobuf.dev/programming-guides/encoding). Other
// fields are skipped by their length, without being parsed; JSON does not allow that.

/** The bytes are not a protobuf message, or it was cut off. */
export class ProtoError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ProtoError';
  }
}

/** Called with the place of a value that has a length: a text or a nested message. */
export type OnField = (field: number, from: number, to: number) => void;

const VARINT = 0;
const FIXED64 = 1;
const LENGTH = 2;
const FIXED32 = 5;
/** A varint has seven bits in each byte; a length or tag of more than four bytes is refused. */
const MAX_LENGTH_BITS = 28;

/** Calls `onField` for every field with a length in `bytes` from `from` to `to`, in order. Throws ProtoError. */
export function eachField(bytes: Uint8Array, from: number, to: number, onField: OnField): void {
  const field = new FieldReader();
  for (let at = from; at < to; at = field.to) {
    field.mustRead(bytes, at, to);
    if (field.hasLength) onField(field.number, field.from, field.to);
  }
}

/**
 * The number in `field` of the message from `from` to `to`; undefined when it is missing, negative or has more than 40 bits, and so cannot
 * be a time. Throws ProtoError.
 */
export function readNumber(bytes: Uint8Array, from: number, to: number, field: number): number | undefined {
  const found = new FieldReader();
  for (let at = from; at < to; at = found.to) {
    found.mustRead(bytes, at, to);
    if (found.number === field && !found.hasLength) return numberAt(bytes, found.from, found.to);
  }
  return undefined;
}

function numberAt(bytes: Uint8Array, from: number, to: number): number | undefined {
  let value = 0;
  for (let at = to - 1; at >= from; at--) value = value * 128 + ((bytes[at] ?? 0) & 0x7f);
  return value < 2 ** 40 ? value : undefined;
}

/**
 * Reads one field after another into its own properties: thousands of Nodes have a hundred fields each, and an object for each field would
 * cost time.
 */
export class FieldReader {
  number = 0;
  hasLength = false;
  /** Where the value begins and ends; the end may lie beyond the bytes that have arrived. */
  from = 0;
  to = 0;
  /** Where the number that was read last ends. */
  private after = 0;

  /** Reads the field that begins at `at`. Throws ProtoError when it does not end before `end`. */
  mustRead(bytes: Uint8Array, at: number, end: number): void {
    if (!this.read(bytes, at, end) || this.to > end) throw new ProtoError('ends in the middle of a field');
  }

  /** Reads the field that begins at `at`. Returns false when the bytes end before its length is known. Throws ProtoError. */
  read(bytes: Uint8Array, at: number, end: number): boolean {
    const tag = this.varint(bytes, at, end);
    if (tag < 0) return false;
    this.number = tag >>> 3;
    this.from = this.after;
    this.hasLength = (tag & 7) === LENGTH;
    switch (tag & 7) {
      case VARINT:
        this.to = endOfVarint(bytes, this.from, end) ?? -1;
        return this.to >= 0;
      case FIXED64:
        this.to = this.from + 8;
        return true;
      case FIXED32:
        this.to = this.from + 4;
        return true;
      case LENGTH: {
        const length = this.varint(bytes, this.from, end);
        this.from = this.after;
        this.to = this.from + length;
        return length >= 0;
      }
      default:
        throw new ProtoError(`field ${this.number} has the unknown type ${tag & 7}`);
    }
  }

  /** The number that begins at `at`; −1 when the bytes end before it does. */
  private varint(bytes: Uint8Array, at: number, end: number): number {
    let value = 0;
    for (let bits = 0, to = at; to < end; bits += 7) {
      if (bits >= MAX_LENGTH_BITS) throw new ProtoError('has a number that is too large');
      const byte = bytes[to++] ?? 0;
      value |= (byte & 0x7f) << bits;
      if (byte < 0x80) {
        this.after = to;
        return value;
      }
    }
    return -1;
  }
}

/** Where a varint of any size ends; 64 bits take ten bytes. */
function endOfVarint(bytes: Uint8Array, at: number, end: number): number | undefined {
  for (let to = at; to < end; to++) {
    if (to - at >= 10) throw new ProtoError('has a number that is too large');
    if ((bytes[to] ?? 0) < 0x80) return to + 1;
  }
  return undefined;
}
