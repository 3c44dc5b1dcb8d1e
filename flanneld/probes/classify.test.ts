import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseIp } from '../../lib/ip.ts';
import { parseMac } from '../../lib/mac.ts';
import { place, target } from '../../test/support/probe-places.ts';
import { passed, type Reply } from './ask.ts';
import { type Context, classify } from './classify.ts';
import type { Evidence, Faults } from './examine.ts';
import { findingsOf } from './findings.ts';
import type { ProbePlace } from './target.ts';
import type { Answer, Heard, Identity } from './wire.ts';

const SILENT: Reply = { kind: 'silent' };
const CLOSED: Reply = { kind: 'refused', rttMs: 0.2, way: 'tunnel', by: target.vtep };
const NODE_CLOSED: Reply = { kind: 'refused', rttMs: 0.2, way: 'node', by: target.publicIp };
const peer: Identity = { vtep: target.vtep, mac: target.mac, vni: 1, port: 8472 };

function answered(identity: Identity = peer, heard: Heard = { agoMs: undefined, bytes: 0 }): Reply {
  const answer: Answer = { nonce: 1n, heldMs: 0, heard, identity, bytes: 64 };
  return { kind: 'answered', rttMs: 0.3, answer };
}

const context: Context = {
  node: 'node-1',
  target,
  place,
  heardAtMs: undefined,
  failingSinceMs: undefined,
  agentSilentMs: undefined,
};

/** Nothing passes through the tunnel, but the peer's own address answers. */
const blocked: Faults = {
  askedAtMs: 2000,
  kernel: SILENT,
  noChecksum: SILENT,
  hop: SILENT,
  agent: answered(),
  closed: NODE_CLOSED,
  tcp: NODE_CLOSED,
  frame: SILENT,
  broadcast: SILENT,
};

function silent(faults: Partial<Faults> = {}): Evidence {
  return { startedAtMs: 0, fullBytes: 1422, full: SILENT, small: SILENT, faults: { ...blocked, ...faults } };
}

const plain = { agent: NODE_CLOSED };

describe('one fault, one id', () => {
  test.for([
    { name: 'the port is blocked', evidence: silent(), want: 'tunnel-port-blocked' },
    { name: 'the same, towards plain flannel', evidence: silent(plain), want: 'tunnel-port-blocked' },
    { name: 'no port of the node answers', evidence: silent(gone()), want: 'peer-unreachable' },
    { name: 'ARP fails', evidence: silent({ ...gone(), tcp: { kind: 'no-neighbour' } }), want: 'peer-unreachable' },
    { name: '8472 is refused', evidence: silent({ ...plain, frame: NODE_CLOSED }), want: 'peer-port-closed' },
    {
      name: 'another port is used',
      evidence: silent({ agent: answered({ ...peer, port: 4789 }) }),
      want: 'peer-port-closed',
    },
    {
      name: 'own output chain',
      evidence: silent({ frame: { kind: 'unsent', code: 'EPERM' } }),
      want: 'firewall-drops-tunnel',
    },
    { name: 'own route of the tunnel', evidence: unsent('ENETUNREACH'), want: 'peer-tunnel-broken' },
    { name: 'own device loses packets', evidence: unsent('ENOBUFS'), want: 'peer-tunnel-broken' },
    {
      name: 'own route to the node',
      evidence: silent({ frame: { kind: 'unsent', code: 'EACCES' }, agent: { kind: 'unsent', code: 'EACCES' } }),
      want: 'peer-unreachable',
    },
    { name: 'only a packet made by hand passes', evidence: silent({ frame: answered() }), want: 'peer-tunnel-broken' },
    {
      name: 'only the broadcast MAC is answered',
      evidence: silent({ broadcast: answered() }),
      want: 'vtep-mac-mismatch',
    },
    {
      name: 'the agent says another MAC',
      evidence: silent({ agent: answered({ ...peer, mac: parseMac('02:00:00:00:99:99') }) }),
      want: 'vtep-mac-mismatch',
    },
    {
      name: 'the address is another node',
      evidence: silent({ agent: answered({ ...peer, vtep: parseIp('10.244.9.0') }) }),
      want: 'public-ip-conflict',
    },
    {
      name: 'ours arrive there',
      evidence: silent({ agent: answered(peer, { agoMs: 900, bytes: 64 }) }),
      want: 'tunnel-one-way',
    },
    { name: 'checksums, outward', evidence: silent({ noChecksum: answered() }), want: 'checksum-corruption' },
    {
      name: 'checksums, outward, plain flannel',
      evidence: silent({ noChecksum: CLOSED }),
      want: 'checksum-corruption',
    },
    {
      name: 'checksums, inward',
      evidence: silent({ noChecksum: answered(), kernel: CLOSED }),
      want: 'checksum-corruption',
    },
    {
      name: 'large packets are lost',
      evidence: { startedAtMs: 0, fullBytes: 1422, full: SILENT, small: answered(), largestBytes: 1272 },
      want: 'path-mtu-too-small',
    },
  ] as const)('$name: $want', ({ evidence, want }) => {
    expect(classify(evidence, context).problem?.id).toBe(want);
  });

  test('names the direction in which packets are lost', () => {
    const inbound = classify(silent({ agent: answered(peer, { agoMs: 900, bytes: 64 }) }), context);
    expect(inbound.problem?.cause).toBe(
      'UDP port 8472 is blocked from node-2 to node-1, but open in the other direction',
    );
    const outbound = classify(silent(), { ...context, heardAtMs: 1500, failingSinceMs: 1000 });
    expect(outbound.problem?.cause).toBe(
      'UDP port 8472 is blocked from node-1 to node-2, but open in the other direction',
    );
  });

  test('infers no direction from a probe that arrived before the fault', () => {
    const old = answered(peer, { agoMs: 6000, bytes: 64 });
    expect(classify(silent({ agent: old }), context).problem?.id).toBe('tunnel-port-blocked');
    const before = { ...context, heardAtMs: 500, failingSinceMs: 1000 };
    expect(classify(silent(), before).problem?.id).toBe('tunnel-port-blocked');
  });

  test('says the largest size and the MTU to set', () => {
    const evidence = { startedAtMs: 0, fullBytes: 1422, full: SILENT, small: answered(), largestBytes: 1272 };
    const { problem, state } = classify(evidence, context);
    expect(state).toBe('degraded');
    expect(problem?.evidence).toBe(
      'flannel.1: UDP packets with DF are answered up to 1300 bytes, and not from 1301 to 1450 bytes',
    );
    expect(problem?.fix).toContain('"MTU": 1350');
  });
});

describe('what is no fault', () => {
  test.for([
    { name: 'a plain flannel node, whose kernel answers', evidence: full(CLOSED) },
    {
      name: 'a host that takes nothing for itself, and forwards',
      evidence: silent({ ...gone(), hop: { kind: 'expired', by: undefined } }),
    },
    { name: 'an agent that hangs', evidence: silent({ ...gone(), kernel: CLOSED }) },
    { name: 'an agent that was replaced by plain flannel a moment ago', evidence: full(CLOSED), away: 3000 },
  ] as const)('$name', ({ evidence, ...more }) => {
    const agentSilentMs = 'away' in more ? more.away : undefined;
    const verdict = classify(evidence, { ...context, agentSilentMs });
    expect([verdict.state, verdict.problem]).toEqual(['reachable', undefined]);
  });

  test('probes that this node itself refuses to send say nothing about the peer', () => {
    const verdict = classify(unsent('EPERM'), context);
    expect([verdict.state, verdict.problem]).toEqual(['unknown', undefined]);
  });

  test('an agent that has been silent for long is information, not an error', () => {
    const { state, problem } = classify(full(CLOSED), { ...context, agentSilentMs: 60_000 });
    expect([state, problem?.id, problem?.severity]).toEqual(['reachable', 'peer-agent-down', 'info']);
  });
});

describe('whatever comes back', () => {
  const reply = fc.oneof(
    fc.constantFrom(SILENT, CLOSED, NODE_CLOSED, answered(), answered(peer, { agoMs: 10, bytes: 64 })),
    fc.constantFrom<Reply>({ kind: 'connected' }, { kind: 'no-neighbour' }, { kind: 'expired', by: undefined }),
    fc.constantFrom('EPERM', 'EMSGSIZE', 'EINVAL', 'ENETUNREACH').map((code): Reply => ({ kind: 'unsent', code })),
    fc.constant<Reply>({ kind: 'error', what: 'host unreachable', by: undefined }),
  );
  const faults: fc.Arbitrary<Faults> = fc.record({
    ...{ askedAtMs: fc.constant(2000), kernel: reply, agent: reply, closed: reply, tcp: reply, frame: reply },
    ...{ broadcast: reply, noChecksum: reply, hop: reply },
  });
  const evidence: fc.Arbitrary<Evidence> = fc.record(
    {
      startedAtMs: fc.constant(0),
      fullBytes: fc.constant(1422),
      full: reply,
      small: reply,
      largestBytes: fc.nat(1422),
      faults,
    },
    { requiredKeys: ['startedAtMs', 'fullBytes', 'full'] },
  );
  const about: fc.Arbitrary<Context> = fc.record({
    ...{ node: fc.constant('node-1'), target: fc.constant(target), place: fc.constant(place) },
    heardAtMs: fc.option(fc.nat(3000), { nil: undefined }),
    failingSinceMs: fc.option(fc.nat(3000), { nil: undefined }),
    agentSilentMs: fc.option(fc.nat(60_000), { nil: undefined }),
  });

  test('there is no error when the full-size packet is answered', () => {
    fc.assert(
      fc.property(evidence, about, fc.constantFrom(CLOSED, answered()), (seen, known, full) => {
        const { state, problem } = classify({ ...seen, full }, known);
        expect([state, problem?.severity === 'error']).toEqual(['reachable', false]);
      }),
    );
  });

  test('an error is named if and only if the peer is unreachable or degraded, in one line each', () => {
    fc.assert(
      fc.property(evidence, about, (seen, known) => {
        const { state, problem } = classify(seen, known);
        expect(state === 'unreachable' || state === 'degraded').toBe(problem?.severity === 'error');
        for (const text of [problem?.cause, problem?.evidence, problem?.fix]) expect(text ?? 'x').toMatch(/^[^\n]+$/);
      }),
    );
  });

  test('a peer that answered a packet through the tunnel is not unreachable', () => {
    fc.assert(
      fc.property(evidence, about, (seen, known) => {
        const through = [seen.full, seen.small, seen.faults?.kernel];
        if (through.some(passed)) expect(classify(seen, known).state).not.toBe('unreachable');
      }),
    );
  });

  test('a cause is named once, however many peers have it', () => {
    const peers = fc.array(fc.tuple(fc.constantFrom('a', 'b', 'c', 'd'), evidence), { maxLength: 40 });
    fc.assert(
      fc.property(peers, about, (all, known) => {
        const affected = all.flatMap(([name, seen]) => {
          const { problem } = classify(seen, known);
          return problem === undefined ? [] : [{ peer: name, problem }];
        });
        const keys = findingsOf('node-1', affected, all.length).map(({ id, peer: about }) => `${id} ${about}`);
        expect(new Set(keys).size).toBe(keys.length);
      }),
    );
  });
});

function gone(): Partial<Faults> {
  return { agent: SILENT, closed: SILENT, tcp: SILENT };
}

function full(reply: Reply): Evidence {
  return { startedAtMs: 0, fullBytes: 1422, full: reply };
}

function unsent(code: string): Evidence {
  const reply: Reply = { kind: 'unsent', code };
  return { ...silent({ kernel: reply, noChecksum: reply, hop: reply }), full: reply, small: reply };
}

describe('tunnels for which no packet can be made by hand', () => {
  const { mac: _, ...bare } = target;
  const wireguard = { type: 'wireguard', device: 'flannel-wg', port: 51_820, overheadBytes: 80, hasKeys: true };
  const ipip = { type: 'ipip', device: 'flannel.ipip', overheadBytes: 20 };
  const identityOf = (port: number): Identity => ({ vtep: target.vtep, mac: undefined, vni: 0, port });
  const judge = (tunnel: ProbePlace['tunnel'], evidence: Evidence) => {
    const { mac: __, ...rest } = place;
    return classify(evidence, { ...context, target: bare, place: { ...rest, tunnel } });
  };
  const { broadcast: ___, ...others } = blocked;
  const nothing = (agent: Reply, frame: Reply = SILENT): Evidence => ({
    ...silent(),
    faults: { ...others, agent, frame },
  });

  test.for([
    {
      name: 'nothing comes through WireGuard',
      tunnel: wireguard,
      agent: answered(identityOf(51_820)),
      want: 'wireguard-no-handshake',
    },
    {
      name: 'nobody listens at its port',
      tunnel: wireguard,
      agent: NODE_CLOSED,
      frame: NODE_CLOSED,
      want: 'peer-port-closed',
    },
    {
      name: 'the peer listens at another port',
      tunnel: wireguard,
      agent: answered(identityOf(51_900)),
      want: 'peer-port-closed',
    },
    { name: 'nothing comes through IPIP', tunnel: ipip, agent: answered(identityOf(0)), want: 'tunnel-port-blocked' },
    { name: 'the same, towards plain flannel', tunnel: ipip, agent: NODE_CLOSED, want: 'tunnel-port-blocked' },
  ])('$name: $want', ({ tunnel, agent, frame, want }) => {
    const { state, problem } = judge(tunnel, nothing(agent, frame));
    expect([state, problem?.id]).toEqual(['unreachable', want]);
  });

  test('name the traffic that must pass, and nothing that only VXLAN has', () => {
    const { problem } = judge(ipip, nothing(answered(identityOf(0))));
    expect(problem?.cause).toBe('the network drops IP protocol 4 (IP in IP) between node-1 and node-2');
    expect(problem?.fix).not.toMatch(/VNI|NSX|undefined/);
    expect(judge(wireguard, nothing(NODE_CLOSED, NODE_CLOSED)).problem?.fix).toContain(
      'type wireguard; compare "ListenPort"',
    );
  });

  test('name an MTU that leaves room for their headers', () => {
    const evidence: Evidence = { startedAtMs: 0, fullBytes: 1452, full: SILENT, small: CLOSED, largestBytes: 1352 };
    const { problem } = judge(ipip, evidence);
    expect(problem?.fix).toMatch(/^make the network carry 1500 bytes .* set "MTU": 1400 in the Backend/);
  });

  test('are judged sound when the peer’s kernel answers', () => {
    expect(judge(wireguard, { startedAtMs: 0, fullBytes: 1392, full: CLOSED })).toEqual({
      state: 'reachable',
      isAgent: false,
      rttMs: 0.2,
    });
  });
});
