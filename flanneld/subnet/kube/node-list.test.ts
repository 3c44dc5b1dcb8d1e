import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readNode } from './node.ts';
import { JsonListReader, type ListEnd, NodeListReader } from './node-list.ts';
import { eachField } from './proto.ts';

/** A field with a length: tag, length, value. */
function field(number: number, value: string | Uint8Array): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value;
  return Buffer.concat([varint(number * 8 + 2), varint(bytes.length), bytes]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Buffer.from([...bytes, rest]);
    bytes.push((rest % 128) + 128);
  }
}

const madeAt = '2026-03-04T05:06:07Z';
const madeAtSec = Date.parse(madeAt) / 1000;

interface Sent {
  readonly name: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly podCidrs: readonly string[];
  readonly addresses: readonly string[];
}

/** Every node has a name among its addresses, too. */
const addressesOf = (addresses: readonly string[]) => [
  { type: 'Hostname', address: 'node' },
  ...addresses.map((address) => ({ type: address.startsWith('192.') ? 'ExternalIP' : 'InternalIP', address })),
];

/** As the server writes it, with all kinds of fields that the agent does not read. */
function encodeNode({ name, annotations, podCidrs, addresses }: Sent): Buffer {
  const generation = Buffer.concat([
    varint(7 * 8),
    Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
  ]);
  const fixed = Buffer.concat([varint(900 * 8 + 1), Buffer.alloc(8), varint(901 * 8 + 5), Buffer.alloc(4)]);
  const pairs = Object.entries(annotations).map(([key, value]) =>
    field(12, Buffer.concat([field(1, key), field(2, value)])),
  );
  const labels = field(11, Buffer.concat([field(1, 'kubernetes.io/os'), field(2, 'linux')]));
  const time = Buffer.concat([varint(8), varint(madeAtSec), varint(2 * 8), varint(0)]);
  const known = [field(1, name), field(5, `uid of ${name}`), field(6, '17'), field(8, time)];
  const metadata = Buffer.concat([...known, generation, labels, ...pairs, fixed]);
  const spec = Buffer.concat([
    field(1, podCidrs[0] ?? ''),
    field(3, 'metal://1'),
    ...podCidrs.map((cidr) => field(7, cidr)),
  ]);
  const status = Buffer.concat([
    field(1, Buffer.concat([field(1, 'cpu'), field(2, field(1, '4'))])),
    ...addressesOf(addresses).map(({ type, address }) => field(5, Buffer.concat([field(1, type), field(2, address)]))),
    field(8, Buffer.concat([field(1, 'registry/image'), varint(2 * 8), varint(300)])),
  ]);
  return Buffer.concat([field(1, metadata), field(2, spec), field(3, status)]);
}

function encodeList(nodes: readonly Sent[], { resourceVersion, next }: ListEnd): Buffer {
  const metadata = field(1, Buffer.concat([field(2, resourceVersion), field(3, next)]));
  const list = Buffer.concat([metadata, ...nodes.map((node) => field(2, encodeNode(node)))]);
  const type = field(1, Buffer.concat([field(1, 'v1'), field(2, 'NodeList')]));
  return Buffer.concat([Buffer.from('k8s\0'), type, field(2, list), field(3, ''), field(4, '')]);
}

function encodeJson(nodes: readonly Sent[], { resourceVersion, next }: ListEnd): Buffer {
  const items = nodes.map(({ name, annotations, podCidrs, addresses }) => ({
    metadata: { name, uid: `uid of ${name}`, resourceVersion: '17', creationTimestamp: madeAt, annotations },
    spec: { podCIDR: podCidrs[0], podCIDRs: podCidrs },
    status: { addresses: addressesOf(addresses), images: [{ names: ['registry/image'] }] },
  }));
  return Buffer.from(JSON.stringify({ metadata: { resourceVersion, continue: next }, items }));
}

const end: ListEnd = { resourceVersion: '4711', next: 'more' };
const two: Sent[] = [
  {
    name: 'a',
    annotations: { 'p/public-ip': '192.168.0.1', 'p/kube-subnet-manager': 'true' },
    podCidrs: ['10.1.0.0/24'],
    addresses: ['10.0.0.1', '192.0.2.1', 'fd00::1'],
  },
  { name: 'ä', annotations: { other: 'x'.repeat(200) }, podCidrs: [], addresses: [] },
];

function readAll(reader: NodeListReader | JsonListReader, chunks: readonly Buffer[]): ListEnd {
  for (const chunk of chunks) reader.push(chunk);
  return reader.end();
}

describe.for([
  { form: 'protobuf', Reader: NodeListReader, encode: encodeList },
  { form: 'JSON', Reader: JsonListReader, encode: encodeJson },
])('a list in $form', ({ Reader, encode }) => {
  const sent = fc.record({
    name: fc.string({ minLength: 1, unit: 'grapheme' }),
    annotations: fc.dictionary(fc.constantFrom('p/public-ip', 'p/backend-data', '__proto__', 'q/other'), fc.string()),
    podCidrs: fc.array(fc.constantFrom('10.1.0.0/24', 'fd00::/64'), { maxLength: 2 }),
    addresses: fc.array(fc.constantFrom('10.0.0.1', '192.0.2.1', 'fd00::1'), { maxLength: 3 }),
  });

  test('gives every Node, wherever the bytes are split', () => {
    fc.assert(
      fc.property(fc.array(sent, { maxLength: 5 }), fc.array(fc.nat(70)), (nodes, cuts) => {
        const bytes = encode(nodes, end);
        const chunks: Buffer[] = [];
        let at = 0;
        for (const cut of [...cuts, bytes.length]) {
          chunks.push(bytes.subarray(at, at + cut));
          at += cut;
        }
        const seen: unknown[] = [];
        expect(readAll(new Reader((node) => seen.push(node)), chunks)).toEqual(end);
        const prefix = 'p/';
        expect(seen.map((node) => readNode(node, prefix))).toEqual(
          nodes.map(({ name, annotations, podCidrs, addresses }) => ({
            name,
            uid: `uid of ${name}`,
            resourceVersion: '17',
            creationTimestamp: madeAt,
            annotations: new Map(
              ['backend-data', 'public-ip'].flatMap((key) => {
                const value = annotations[prefix + key];
                return value === undefined ? [] : [[key, value] as const];
              }),
            ),
            podCidrs,
            addresses,
          })),
        );
      }),
    );
  });

  test('that is cut short is refused', () => {
    const bytes = encode(two, end);
    for (let length = 0; length < bytes.length - 4; length += 7) {
      expect(() => readAll(new Reader(() => undefined), [bytes.subarray(0, length)])).toThrow();
    }
  });
});

test.for([
  { name: 'another format', bytes: Buffer.from('{"kind":"NodeList"}'), want: 'is no Kubernetes object' },
  { name: 'an unknown wire type', bytes: Buffer.from('k8s\0\x0f'), want: 'field 1 has the unknown type 7' },
  { name: 'a length without end', bytes: Buffer.from('k8s\0\x12\xff\xff\xff\xff\xff', 'latin1'), want: 'too large' },
])('$name is refused', ({ bytes, want }) => {
  expect(() => readAll(new NodeListReader(() => undefined), [bytes])).toThrow(want);
});

test('an item that never ends is refused before it fills memory', () => {
  const reader = new NodeListReader(() => undefined);
  reader.push(
    Buffer.concat([Buffer.from('k8s\0'), varint(2 * 8 + 2), varint(2 ** 27), varint(2 * 8 + 2), varint(2 ** 26)]),
  );
  const megabyte = Buffer.alloc(1024 * 1024);
  expect(() => Array.from({ length: 5 }, () => reader.push(megabyte))).toThrow('an item of more than');
});

test('a field longer than its message is refused', () => {
  expect(() => eachField(Buffer.concat([field(1, 'abc')]), 0, 4, () => undefined)).toThrow('middle of a field');
});
