import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatIp, parseIp } from '../../lib/ip.ts';
import type { Arrival } from '../../lib/sys/datagram.ts';
import { place, target } from '../../test/support/probe-places.ts';
import { Responder } from './responder.ts';
import { encodeAnswer, encodeQuestion, readAnswer } from './wire.ts';

function makeResponder(): Responder {
  const responder = new Responder(place);
  responder.setTargets([target]);
  return responder;
}

function arrival(over: Partial<Arrival> = {}): Arrival {
  return { from: target.vtep, port: 8477, payload: encodeQuestion(5n, 64), atMs: 1000, ifindex: 2, ...over };
}

describe('the responder', () => {
  test('answers a peer with its nonce, as long as the question, and says who it is', () => {
    const reaction = makeResponder().answer(arrival({ payload: encodeQuestion(5n, 1422) }), 'tunnel', 1002);
    expect(readAnswer(reaction?.answer ?? new Uint8Array())).toEqual({
      nonce: 5n,
      heldMs: 2,
      heard: { agoMs: undefined, bytes: 0 },
      identity: { vtep: place.subnet.ip, mac: place.mac, vni: 1, port: 8472 },
      bytes: 1422,
    });
  });

  test('follows a peer to its new address, and still knows another peer at the old address', () => {
    const responder = new Responder(place);
    const neighbour = { ...target, id: '4 neighbour', vtep: parseIp('10.244.77.0') };
    const moved = { ...target, publicIp: parseIp('203.0.113.9'), addresses: [parseIp('203.0.113.9')] };
    const isKnown = (from: string) =>
      responder.answer(arrival({ from: parseIp(from), ifindex: 3 }), 'node', 1000) !== undefined;
    const [old] = target.addresses.map(formatIp);
    responder.setTargets([target, neighbour]);
    responder.changeTargets([{ before: target, after: moved }], [moved, neighbour]);
    expect([isKnown('203.0.113.9'), isKnown(old ?? '')]).toEqual([true, true]);
    const gone = { ...neighbour, addresses: [parseIp('203.0.113.10')] };
    responder.changeTargets([{ before: neighbour, after: gone }], [moved, gone]);
    expect([isKnown('203.0.113.9'), isKnown('203.0.113.10'), isKnown(old ?? '')]).toEqual([true, true, false]);
  });

  test('says when the last probe came through the tunnel, in every answer', () => {
    const responder = makeResponder();
    responder.answer(arrival({ payload: encodeQuestion(5n, 200) }), 'tunnel', 1000);
    const reaction = responder.answer(arrival({ from: target.publicIp, ifindex: 3, atMs: 1300 }), 'node', 1300);
    expect(readAnswer(reaction?.answer ?? new Uint8Array())?.heard).toEqual({ agoMs: 300, bytes: 200 });
    expect(responder.heardAtMs(target.id)).toBe(1000);
  });

  test.for([
    { name: 'a stranger', over: { from: parseIp('198.51.100.7') } },
    { name: 'a pod of a peer', over: { from: parseIp('10.244.2.9') } },
    { name: 'the other family', over: { from: parseIp('fd00::1') } },
    { name: 'a packet of a pod of this node, with a forged source', over: { ifindex: 9 } },
    { name: 'source port 0', over: { port: 0 } },
    { name: 'an answer, so that two nodes never answer each other for ever', over: { payload: anAnswer() } },
    { name: 'a packet that is too short', over: { payload: encodeQuestion(5n, 64).subarray(0, 63) } },
    { name: 'nothing', over: { payload: new Uint8Array() } },
  ])('says nothing to $name', ({ over }) => {
    const responder = makeResponder();
    expect(responder.answer(arrival(over), 'tunnel', 1000)).toBeUndefined();
    // The control: the same responder answers a peer.
    expect(responder.answer(arrival(), 'tunnel', 1000)).toBeDefined();
  });

  test('does not confuse the underlay address of a peer with its tunnel address', () => {
    const responder = makeResponder();
    expect(responder.answer(arrival({ from: target.publicIp }), 'tunnel', 1000)).toBeUndefined();
    expect(responder.answer(arrival({ from: target.vtep }), 'node', 1000)).toBeUndefined();
  });

  test('answers at most 400 at once and 200 a second, and keeps no record of peers that have left', () => {
    const responder = makeResponder();
    const count = (ms: number, tries: number): number => {
      let answered = 0;
      for (let at = 0; at < tries; at++) if (responder.answer(arrival({ atMs: ms }), 'tunnel', ms)) answered++;
      return answered;
    };
    expect([count(1000, 1000), count(2000, 1000)]).toEqual([400, 200]);
    responder.setTargets([]);
    expect([count(9000, 1), responder.heardAtMs(target.id)]).toEqual([0, undefined]);
  });

  test('never answers with more bytes than the question has, whatever arrives', () => {
    const start = fc.constantFrom(new Uint8Array(), encodeQuestion(1n, 64), anAnswer());
    fc.assert(
      fc.property(start, fc.uint8Array({ maxLength: 300 }), fc.nat(400), (head, tail, cut) => {
        const payload = Buffer.concat([head, tail]).subarray(0, cut);
        const reaction = makeResponder().answer(arrival({ payload }), 'tunnel', 1000);
        expect(reaction?.answer.length ?? 0).toBeLessThanOrEqual(payload.length);
      }),
    );
  });
});

function anAnswer(): Uint8Array {
  const identity = { vtep: undefined, mac: undefined, vni: 1, port: 8472 };
  return encodeAnswer({ nonce: 5n, heldMs: 0, heard: { agoMs: undefined, bytes: 0 }, identity, bytes: 64 });
}
