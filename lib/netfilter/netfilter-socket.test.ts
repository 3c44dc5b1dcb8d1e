import { describe, expect, test } from 'vitest';
import { NLMSG_ERROR } from '../netlink/constants.ts';
import { type FakeAnswer, fakeMessage, openFakeNetlink } from '../netlink/fake.ts';
import { MessageReader } from '../netlink/reader.ts';
import type { NetlinkRequest } from '../netlink/request.ts';
import { EEXIST, ENOBUFS, EPERM } from '../sys/errno.ts';
import { isOutdated, netfilterOver } from './netfilter-socket.ts';

const ERESTART = 85;
const BEGIN = 0x10;
const END = 0x11;
const ELEMENT = 0x0a0c;
const FIRST_SEQ = 0x4000_0000;

function open(answer: FakeAnswer) {
  const { transport } = openFakeNetlink(answer);
  return { netfilter: netfilterOver(transport), transport };
}

function request(name: string): NetlinkRequest {
  return {
    type: ELEMENT,
    flags: 0x400,
    write: (writer) => writer.u32(1),
    describe: () => `add element ${name}`,
  };
}

/** The type, flags, number within the transaction and payload of every message in a datagram. */
function messages(datagram: Uint8Array | undefined): string[] {
  const reader = new MessageReader(datagram ?? new Uint8Array(0));
  const found: string[] = [];
  while (reader.next()) {
    const payload = Buffer.from(reader.bytes.subarray(reader.at, reader.end)).toString('hex');
    found.push([reader.type.toString(16), reader.flags.toString(16), reader.seq - FIRST_SEQ, payload].join(' '));
  }
  return found;
}

/** An answer to the message of that number. */
function answer(place: number, errno: number): Uint8Array {
  return fakeMessage({ type: NLMSG_ERROR, seq: FIRST_SEQ + place }, (writer) => {
    writer.u32(-errno);
    for (let word = 0; word < 4; word++) writer.u32(0);
  });
}

describe('transact', () => {
  test('puts the requests between begin and end messages, and asks for one answer, to the last', () => {
    const { netfilter, transport } = open(() => undefined);
    netfilter.transact([request('a'), request('b')]);
    expect(messages(transport.sent[0])).toEqual([
      `${BEGIN.toString(16)} 1 0 0000000a`,
      'a0c 401 1 01000000',
      'a0c 405 2 01000000',
      `${END.toString(16)} 1 3 0000000a`,
    ]);
  });

  test('names the ruleset generation', () => {
    const { netfilter, transport } = open(() => undefined);
    netfilter.transact([request('a')], 0x01020304);
    expect(messages(transport.sent[0])[0]).toBe('10 1 0 0000000a0800010001020304');
  });

  test('sends nothing for an empty list', () => {
    const { netfilter, transport } = open(() => undefined);
    netfilter.transact([]);
    expect(transport.sent).toEqual([]);
  });

  test('throws the first refusal, which names its request', () => {
    const { netfilter } = open((message, replies) => {
      if (message.type === ELEMENT && message.seq !== FIRST_SEQ + 1) replies.error(EEXIST, 'taken');
    });
    expect(() => netfilter.transact(['a', 'b', 'c'].map(request))).toThrow('nftables: add element b: EEXIST (taken)');
  });

  test('ends when the begin message is refused, since nothing else is answered', () => {
    const { netfilter } = open((message, replies) => {
      if (message.type === BEGIN) replies.raw(answer(0, ERESTART));
    });
    let thrown: unknown;
    try {
      netfilter.transact([request('a')], 7);
    } catch (error) {
      thrown = error;
    }
    expect(isOutdated(thrown)).toBe(true);
  });

  test('reads a refusal of the whole before the answers to its parts', () => {
    const { netfilter } = open((message, replies) => {
      if (message.type === BEGIN) replies.raw(answer(0, EPERM));
    });
    expect(() => netfilter.transact([request('a'), request('b')])).toThrow('add element a: EPERM');
  });

  test('ignores answers to other requests', () => {
    const { netfilter } = open((message, replies) => {
      if (message.type !== BEGIN) return;
      replies.raw(answer(-5, EEXIST));
      replies.raw(answer(99, EEXIST));
      const foreign = answer(1, EEXIST);
      new DataView(foreign.buffer, foreign.byteOffset).setUint32(12, 1, true);
      replies.raw(foreign);
    });
    expect(() => netfilter.transact([request('a')])).not.toThrow();
  });

  test('fails when the socket fails or answers are lost', () => {
    const failing = open(() => undefined);
    failing.transport.failNextSend(EPERM);
    expect(() => failing.netfilter.transact([request('a')])).toThrow('add element a: EPERM');
    const lossy = open((message, replies) => {
      if (message.type === BEGIN) replies.fails(ENOBUFS);
    });
    expect(() => lossy.netfilter.transact([request('a')])).toThrow('add element a: ENOBUFS');
  });

  test('takes thousands of requests', () => {
    const { netfilter, transport } = open(() => undefined);
    netfilter.transact(Array.from({ length: 4000 }, (_, at) => request(String(at))));
    expect(messages(transport.sent[0])).toHaveLength(4002);
  });
});
