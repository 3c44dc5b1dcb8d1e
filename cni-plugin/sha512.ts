// SHA-512 (FIPS 180-4), for names that the Go plugins derive from it. Its constants are computed when first needed and not written down:
// the first 64 bits of the fractions of square and cube roots of primes.

const MASK = (1n << 64n) - 1n;

function firstPrimes(count: number): number[] {
  const primes: number[] = [];
  for (let n = 2; primes.length < count; n++) if (primes.every((prime) => n % prime !== 0)) primes.push(n);
  return primes;
}

/** The largest integer whose `degree`-th power does not exceed `value`, by Newton's method from above. */
function integerRoot(value: bigint, degree: bigint, above: bigint): bigint {
  let root = above;
  for (;;) {
    const next = ((degree - 1n) * root + value / root ** (degree - 1n)) / degree;
    if (next >= root) return root;
    root = next;
  }
}

/** The first 64 bits after the point of the `degree`-th root of each prime; all roots are below 2^5. */
function rootFractions(primes: readonly number[], degree: bigint): bigint[] {
  return primes.map((prime) => integerRoot(BigInt(prime) << (64n * degree), degree, 1n << 69n) & MASK);
}

function rotate(value: bigint, bits: bigint): bigint {
  return ((value >> bits) | (value << (64n - bits))) & MASK;
}

/** The message with its padding: a 1 bit, zeros, and the length in bits as 128 bits. */
function padded(message: Uint8Array): DataView {
  const length = Math.ceil((message.length + 17) / 128) * 128;
  const bytes = new Uint8Array(length);
  bytes.set(message);
  bytes[message.length] = 0x80;
  const view = new DataView(bytes.buffer);
  view.setBigUint64(length - 8, BigInt(message.length) * 8n, false);
  return view;
}

function schedule(block: DataView, at: number): bigint[] {
  const words: bigint[] = [];
  for (let i = 0; i < 16; i++) words.push(block.getBigUint64(at + 8 * i, false));
  const word = (i: number): bigint => words[i] ?? 0n;
  for (let i = 16; i < 80; i++) {
    const a = word(i - 15);
    const b = word(i - 2);
    const s0 = rotate(a, 1n) ^ rotate(a, 8n) ^ (a >> 7n);
    const s1 = rotate(b, 19n) ^ rotate(b, 61n) ^ (b >> 6n);
    words.push((word(i - 16) + s0 + word(i - 7) + s1) & MASK);
  }
  return words;
}

type State = [bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint];

function compress(state: State, words: readonly bigint[], constants: readonly bigint[]): State {
  let [a, b, c, d, e, f, g, h] = state;
  for (let i = 0; i < 80; i++) {
    const s1 = rotate(e, 14n) ^ rotate(e, 18n) ^ rotate(e, 41n);
    const choice = (e & f) ^ (~e & MASK & g);
    const t1 = (h + s1 + choice + (constants[i] ?? 0n) + (words[i] ?? 0n)) & MASK;
    const s0 = rotate(a, 28n) ^ rotate(a, 34n) ^ rotate(a, 39n);
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) & MASK;
    [h, g, f, e, d, c, b, a] = [g, f, e, (d + t1) & MASK, c, b, a, (t1 + t2) & MASK];
  }
  const added = [a, b, c, d, e, f, g, h].map((value, i) => (value + (state[i] ?? 0n)) & MASK);
  return added as State;
}

/** The digest as 128 lower-case hexadecimal digits. */
export function sha512Hex(message: Uint8Array): string {
  const constants = rootFractions(firstPrimes(80), 3n);
  let state = rootFractions(firstPrimes(8), 2n) as State;
  const block = padded(message);
  for (let at = 0; at < block.byteLength; at += 128) state = compress(state, schedule(block, at), constants);
  return state.map((value) => value.toString(16).padStart(16, '0')).join('');
}
