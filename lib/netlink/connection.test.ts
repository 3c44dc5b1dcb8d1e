import { describe, expect, test } from 'vitest';
import { OpError } from '../errors.ts';
import { EEXIST, EINTR, EINVAL, ENOBUFS, ENODEV, ENOENT } from '../sys/errno.ts';
import { type Netlink, netlinkOver } from './connection.ts';
import { NLM_F_ACK, NLM_F_DUMP, NLM_F_ECHO, NLM_F_MULTI, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR } from './constants.ts';
import { type FakeAnswer, type FakeTransport, fakeMessage, openFakeNetlink } from './fake.ts';
import { MessageReader } from './reader.ts';
import { NetlinkError, type NetlinkRequest } from './request.ts';

const TYPE = 50;
const ANSWER = 51;

function request(value: number, more: Partial<NetlinkRequest> = {}): NetlinkRequest {
  return {
    type: TYPE,
    flags: 0,
    write: (writer) => writer.u32(value),
    describe: () => `add thing ${value}`,
    ...more,
  };
}

const valueIn = (message: MessageReader): number => message.view.getUint32(message.struct(4), true);

/** Every request sent: its value, flags and sequence number, by datagram. */
function sentBy(transport: FakeTransport): { value: number; flags: number; seq: number }[][] {
  return transport.sent.map((bytes) => {
    const message = new MessageReader(bytes);
    const all = [];
    while (message.next()) all.push({ value: valueIn(message), flags: message.flags, seq: message.seq });
    return all;
  });
}

const succeed: FakeAnswer = () => undefined;

function thrownBy(body: () => unknown): unknown {
  try {
    body();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
}

describe('run', () => {
  test('returns when the kernel acknowledges', () => {
    const { netlink, transport } = openFakeNetlink(succeed);
    netlink.run(request(7));
    expect(sentBy(transport)).toEqual([[{ value: 7, flags: NLM_F_REQUEST | NLM_F_ACK, seq: 1 }]]);
  });

  test('throws the kernel’s error with the name of the request', () => {
    const { netlink } = openFakeNetlink((_, replies) => replies.error(EEXIST, 'Already there'));
    const error = thrownBy(() => netlink.run(request(7))) as NetlinkError;
    expect(error).toBeInstanceOf(NetlinkError);
    expect(error).toMatchObject({
      message: 'rtnetlink: add thing 7: EEXIST (Already there)',
      op: 'add',
      object: 'thing 7',
      errno: EEXIST,
      code: 'EEXIST',
      kernelMessage: 'Already there',
    });
  });

  test('gives up when no answer comes', () => {
    const transport = openFakeNetlink(succeed).transport;
    const deaf = netlinkOver({
      ...transport,
      exchange: (out, into, body) => transport.exchange(out, into, (exchange) => body({ ...exchange, send: () => 0 })),
    });
    expect(() => deaf.run(request(1))).toThrow('rtnetlink: receive the answer to add thing 1: ETIMEDOUT');
  });

  test('reports a send that fails', () => {
    const { netlink, transport } = openFakeNetlink(succeed);
    transport.failNextSend(ENOBUFS);
    expect(() => netlink.run(request(1))).toThrow(/^rtnetlink: send add thing 1: ENOBUFS/);
    expect(() => netlink.run(request(1))).not.toThrow();
  });

  test('goes on waiting after a signal', () => {
    const { netlink } = openFakeNetlink((_, replies) => replies.fails(EINTR));
    expect(() => netlink.run(request(1))).not.toThrow();
  });

  test('asks the caller to read again when answers were lost', () => {
    const { netlink } = openFakeNetlink((_, replies) => replies.fails(ENOBUFS));
    const error = thrownBy(() => netlink.run(request(1)));
    expect(error).toBeInstanceOf(OpError);
    expect(String(error)).toContain('ENOBUFS (answers were lost: read the state again)');
  });

  test.for([
    { name: 'of another request', header: { type: NLMSG_ERROR, seq: 99 } },
    { name: 'to another port', header: { type: NLMSG_ERROR, seq: 1 }, portId: 5 },
    { name: 'of no type', header: { type: 1, seq: 1 } },
  ])('ignores an answer $name', ({ header, portId }) => {
    const { netlink } = openFakeNetlink((_, replies) => {
      const foreign = fakeMessage(header, (writer) => {
        writer.u32(-EEXIST);
        for (let i = 0; i < 4; i++) writer.u32(0);
      });
      if (portId !== undefined) new DataView(foreign.buffer).setUint32(12, portId, true);
      replies.raw(foreign);
    });
    expect(() => netlink.run(request(1))).not.toThrow();
  });

  test('close closes the transport', () => {
    const { netlink, transport } = openFakeNetlink(succeed);
    netlink.close();
    expect(transport.closed).toBe(true);
  });
});

describe('execute', () => {
  test('sends many messages at once and asks for one ack, on the last', () => {
    const { netlink, transport } = openFakeNetlink(succeed);
    expect(netlink.execute([request(1), request(2), request(3)])).toEqual([]);
    expect(sentBy(transport)).toEqual([
      [
        { value: 1, flags: NLM_F_REQUEST, seq: 1 },
        { value: 2, flags: NLM_F_REQUEST, seq: 2 },
        { value: 3, flags: NLM_F_REQUEST | NLM_F_ACK, seq: 3 },
      ],
    ]);
  });

  test('sends nothing for nothing', () => {
    const { netlink, transport } = openFakeNetlink(succeed);
    expect(netlink.execute([])).toEqual([]);
    expect(transport.sent).toEqual([]);
  });

  test('returns every failure with its own request, and the others go through', () => {
    const seen: number[] = [];
    const { netlink } = openFakeNetlink((message, replies) => {
      seen.push(valueIn(message));
      if (valueIn(message) % 2 === 1) replies.error(ENOENT);
    });
    const failures = netlink.execute([1, 2, 3, 4, 5].map((value) => request(value)));
    expect(seen).toEqual([1, 2, 3, 4, 5]);
    expect(failures.map((failure) => failure.message)).toEqual([
      'rtnetlink: add thing 1: ENOENT',
      'rtnetlink: add thing 3: ENOENT',
      'rtnetlink: add thing 5: ENOENT',
    ]);
  });

  test('splits by count, and each part is awaited before the next', () => {
    const { netlink, transport } = openFakeNetlink((message, replies) => {
      if (valueIn(message) === 450) replies.error(EEXIST);
    });
    const failures = netlink.execute(Array.from({ length: 500 }, (_, value) => request(value)));
    const sent = sentBy(transport);
    expect(sent.map((messages) => messages.length)).toEqual([200, 200, 100]);
    expect(sent.flat().map(({ value }) => value)).toEqual(Array.from({ length: 500 }, (_, value) => value));
    expect(sent.map((messages) => messages.filter(({ flags }) => (flags & NLM_F_ACK) !== 0).length)).toEqual([1, 1, 1]);
    expect(failures.map((failure) => failure.request.describe())).toEqual(['add thing 450']);
  });

  test('splits by size', () => {
    const { netlink, transport } = openFakeNetlink(succeed);
    const big = (value: number): NetlinkRequest =>
      request(value, {
        write(writer) {
          writer.u32(value);
          writer.attrBytes(1, new Uint8Array(1900));
        },
      });
    expect(netlink.execute(Array.from({ length: 100 }, (_, value) => big(value)))).toEqual([]);
    expect(transport.sent.length).toBeGreaterThan(1);
    for (const datagram of transport.sent) expect(datagram.length).toBeLessThanOrEqual(64 * 1024);
    expect(sentBy(transport).flat()).toHaveLength(100);
  });

  test('fails a request that cannot be written alone, wherever it stands', () => {
    const broken = request(0, { write: (writer) => writer.attrText(1, 'caf\u00e9') });
    for (const order of [
      [broken, request(1), request(2)],
      [request(1), broken, request(2)],
      [request(1), request(2), broken],
    ]) {
      const { netlink, transport } = openFakeNetlink(succeed);
      const failures = netlink.execute(order);
      expect(failures.map(String)).toEqual(['NetlinkError: rtnetlink: add thing 0: EINVAL (not plain ASCII: "café")']);
      expect(sentBy(transport)).toEqual([
        [
          { value: 1, flags: NLM_F_REQUEST, seq: 1 },
          { value: 2, flags: NLM_F_REQUEST | NLM_F_ACK, seq: 2 },
        ],
      ]);
    }
    const { netlink, transport } = openFakeNetlink(succeed);
    expect(netlink.execute([broken])).toHaveLength(1);
    expect(transport.sent).toEqual([]);
  });

  test('returns the answers of requests that ask for an echo', () => {
    const { netlink } = openFakeNetlink((message, replies) => {
      if ((message.flags & NLM_F_ECHO) === 0) return;
      const value = valueIn(message);
      replies.message(ANSWER, (writer) => writer.u32(value * 10));
    });
    const echoed: [string, number][] = [];
    const failures = netlink.execute(
      [request(1, { flags: NLM_F_ECHO }), request(2), request(3, { flags: NLM_F_ECHO })],
      (asked, message) => echoed.push([asked.describe(), valueIn(message)]),
    );
    expect(failures).toEqual([]);
    expect(echoed).toEqual([
      ['add thing 1', 10],
      ['add thing 3', 30],
    ]);
  });
});

describe('get', () => {
  const answerTwice: FakeAnswer = (message, replies) => {
    const value = valueIn(message);
    replies.message(ANSWER, (writer) => writer.u32(value * 2));
  };

  test('returns the object, without asking for an ack', () => {
    const { netlink, transport } = openFakeNetlink(answerTwice);
    expect(netlink.get(request(21), valueIn)).toBe(42);
    expect(sentBy(transport)[0]?.[0]?.flags).toBe(NLM_F_REQUEST);
  });

  test('reads an echo and its ack, so that nothing is left for the next request', () => {
    const { netlink } = openFakeNetlink(answerTwice);
    expect(netlink.get(request(1, { flags: NLM_F_ECHO }), valueIn)).toBe(2);
    expect(netlink.get(request(2), valueIn)).toBe(4);
  });

  test('returns undefined when a kernel acknowledges without an echo', () => {
    const { netlink } = openFakeNetlink(succeed);
    expect(netlink.get(request(1, { flags: NLM_F_ECHO }), valueIn)).toBeUndefined();
  });

  test('returns undefined for the errnos that mean absent, and throws the others', () => {
    const { netlink } = openFakeNetlink((_, replies) => replies.error(ENODEV));
    expect(netlink.get(request(1), valueIn, [ENODEV])).toBeUndefined();
    expect(() => netlink.get(request(1), valueIn, [ENOENT])).toThrow('rtnetlink: add thing 1: ENODEV');
  });

  test('refuses an answer that was cut off', () => {
    const { netlink } = openFakeNetlink((_, replies) => replies.raw(new Uint8Array(40_000)));
    expect(() => netlink.get(request(1), valueIn)).toThrow('EMSGSIZE');
  });
});

describe('dump', () => {
  const answerUpTo =
    (count: number): FakeAnswer =>
    (_, replies) => {
      for (let i = 0; i < count; i++) replies.message(ANSWER, (writer) => writer.u32(i));
    };

  test.for([0, 1, 2, 5, 1000])('returns all of %i objects, served in halves', (count) => {
    const { netlink, transport } = openFakeNetlink(answerUpTo(count));
    expect(netlink.dump(request(0), valueIn)).toEqual(Array.from({ length: count }, (_, i) => i));
    expect(sentBy(transport)[0]?.[0]?.flags).toBe(NLM_F_REQUEST | NLM_F_DUMP);
  });

  test('leaves out objects for which parse returns undefined', () => {
    const { netlink } = openFakeNetlink(answerUpTo(6));
    const even = netlink.dump(request(0), (message) => (valueIn(message) % 2 === 0 ? valueIn(message) : undefined));
    expect(even).toEqual([0, 2, 4]);
  });

  test('asks again when the state changed meanwhile, and returns the complete pass only', () => {
    let passes = 0;
    const { netlink } = openFakeNetlink((_, replies) => {
      passes++;
      if (passes < 3) replies.interrupted();
      replies.message(ANSWER, (writer) => writer.u32(passes));
    });
    expect(netlink.dump(request(0), valueIn)).toEqual([3]);
    expect(passes).toBe(3);
  });

  test('gives up after eight changed passes', () => {
    let passes = 0;
    const { netlink } = openFakeNetlink((_, replies) => {
      passes++;
      replies.interrupted();
    });
    expect(() => netlink.dump(request(0), valueIn)).toThrow(
      'rtnetlink: add thing 0: EINTR (changed during each of 8 dumps)',
    );
    expect(passes).toBe(8);
  });

  test('throws an error found at the end of the dump', () => {
    const { netlink } = openFakeNetlink((_, replies) => {
      replies.message(ANSWER, (writer) => writer.u32(1));
      replies.error(EINVAL);
    });
    expect(() => netlink.dump(request(0), valueIn)).toThrow('rtnetlink: add thing 0: EINVAL');
  });

  test('returns an empty list for the errnos that mean absent', () => {
    const { netlink } = openFakeNetlink((_, replies) => replies.error(ENOENT));
    expect(netlink.dump(request(0), valueIn, [ENOENT])).toEqual([]);
  });

  test('reads to the end after parse threw, so that the next dump is not disturbed', () => {
    const { netlink } = openFakeNetlink(answerUpTo(10));
    const failing = (message: MessageReader): number => {
      if (valueIn(message) === 2) throw new Error('two');
      return valueIn(message);
    };
    expect(() => netlink.dump(request(0), failing)).toThrow('two');
    expect(netlink.dump(request(0), valueIn)).toHaveLength(10);
  });

  test('names the request when an object is malformed', () => {
    const { netlink } = openFakeNetlink(answerUpTo(1));
    const deep = (message: MessageReader): number => message.struct(64);
    expect(() => netlink.dump(request(0), deep)).toThrow(
      'rtnetlink: add thing 0: EPROTO (message type 51 has 4 bytes of the 64 it needs)',
    );
  });

  test('takes a larger buffer when a packet was cut off', () => {
    const buffers: number[] = [];
    let passes = 0;
    const { transport } = openFakeNetlink((message, replies) => {
      passes++;
      if (passes > 1) return replies.message(ANSWER, (writer) => writer.u32(1));
      const big = fakeMessage({ type: ANSWER, flags: NLM_F_MULTI, seq: message.seq }, (writer) => writer.u32(0));
      const packet = new Uint8Array(100_000);
      packet.set(big);
      new DataView(packet.buffer).setUint32(0, packet.length, true);
      replies.raw(packet);
    });
    const netlink = netlinkOver({
      ...transport,
      exchange(out, into, body) {
        buffers.push(into);
        return transport.exchange(out, into, body);
      },
    });
    expect(netlink.dump(request(0), valueIn)).toEqual([1]);
    expect(buffers).toEqual([65536, 262144]);
  });

  test('does not wait twice for an end message that was cut off', () => {
    const { netlink } = openFakeNetlink((message, replies) => {
      const done = fakeMessage({ type: NLMSG_DONE, flags: NLM_F_MULTI, seq: message.seq }, (writer) => writer.u32(0));
      if (message.seq === 1) replies.raw(new Uint8Array(70_000));
      replies.raw(done);
    });
    expect(netlink.dump(request(0), valueIn)).toEqual([]);
  });
});

test.for([
  { name: 'run', ask: (netlink: Netlink) => netlink.run(request(1)) },
  { name: 'execute', ask: (netlink: Netlink) => netlink.execute([request(1)]) },
  { name: 'get', ask: (netlink: Netlink) => netlink.get(request(1), valueIn) },
  { name: 'dump', ask: (netlink: Netlink) => netlink.dump(request(1), valueIn) },
])('$name names the request when the lengths in its answer lie', ({ ask }) => {
  const { netlink } = openFakeNetlink((_, replies) => replies.raw(new Uint8Array(64).fill(0xff)));
  expect(() => ask(netlink)).toThrow(
    'rtnetlink: add thing 1: EPROTO (a message claims 4294967295 of the 64 bytes left)',
  );
});

test('sequence numbers start again before they overflow', () => {
  const { transport } = openFakeNetlink(succeed);
  const netlink = netlinkOver(transport, 'rtnetlink', 0x7fff_0000);
  netlink.execute([request(1), request(2)]);
  netlink.run(request(3));
  netlink.dump(request(4), valueIn);
  expect(
    sentBy(transport)
      .flat()
      .map(({ seq }) => seq),
  ).toEqual([0x7fff_0001, 0x7fff_0002, 1, 2]);
});
