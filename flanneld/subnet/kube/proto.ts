// The part of protobuf's wire format that is needed to read a few fields (protobuf.dev/programming-guides/encoding). Other
// fields are skipped by their length, without being parsed; JSON does not allow that.

/** The bytes are no protobuf message, or it was cut off. */
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
  for (let at = from; at < to; ) {
    const field = fieldAt(bytes, at, to);
    if (field === undefined || field.to > to) throw new ProtoError('ends in the middle of a field');
    if (field.hasLength) onField(field.number, field.from, field.to);
    at = field.to;
  }
}

/**
 * The number in `field` of the message from `from` to `to`; undefined when it is missing, negative or has more than 40 bits,
 * and so is no time. Throws ProtoError.
 */
export function readNumber(bytes: Uint8Array, from: number, to: number, field: number): number | undefined {
  for (let at = from; at < to; ) {
    const found = fieldAt(bytes, at, to);
    if (found === undefined || found.to > to) throw new ProtoError('ends in the middle of a field');
    if (found.number === field && !found.hasLength) return numberAt(bytes, found.from, found.to);
    at = found.to;
  }
  return undefined;
}

function numberAt(bytes: Uint8Array, from: number, to: number): number | undefined {
  let value = 0;
  for (let at = to - 1; at >= from; at--) value = value * 128 + ((bytes[at] ?? 0) & 0x7f);
  return value < 2 ** 40 ? value : undefined;
}

interface Field {
  readonly number: number;
  readonly hasLength: boolean;
  /** Where its value begins and ends; the end may lie beyond the bytes that have arrived. */
  readonly from: number;
  readonly to: number;
}

/** The field that begins at `at`; undefined when the bytes end before its length is known. Throws ProtoError. */
export function fieldAt(bytes: Uint8Array, at: number, end: number): Field | undefined {
  const tag = varintAt(bytes, at, end);
  if (tag === undefined) return undefined;
  const number = tag.value >>> 3;
  switch (tag.value & 7) {
    case VARINT: {
      const to = endOfVarint(bytes, tag.to, end);
      return to === undefined ? undefined : { number, hasLength: false, from: tag.to, to };
    }
    case FIXED64:
      return { number, hasLength: false, from: tag.to, to: tag.to + 8 };
    case FIXED32:
      return { number, hasLength: false, from: tag.to, to: tag.to + 4 };
    case LENGTH: {
      const length = varintAt(bytes, tag.to, end);
      return length === undefined
        ? undefined
        : { number, hasLength: true, from: length.to, to: length.to + length.value };
    }
    default:
      throw new ProtoError(`field ${number} has the unknown type ${tag.value & 7}`);
  }
}

function varintAt(bytes: Uint8Array, at: number, end: number): { value: number; to: number } | undefined {
  let value = 0;
  for (let bits = 0, to = at; to < end; bits += 7) {
    if (bits >= MAX_LENGTH_BITS) throw new ProtoError('has a number that is too large');
    const byte = bytes[to++] ?? 0;
    value |= (byte & 0x7f) << bits;
    if (byte < 0x80) return { value, to };
  }
  return undefined;
}

/** Where a varint of any size ends; 64 bits take ten bytes. */
function endOfVarint(bytes: Uint8Array, at: number, end: number): number | undefined {
  for (let to = at; to < end; to++) {
    if (to - at >= 10) throw new ProtoError('has a number that is too large');
    if ((bytes[to] ?? 0) < 0x80) return to + 1;
  }
  return undefined;
}
