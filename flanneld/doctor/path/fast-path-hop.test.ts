import { expect, test } from 'vitest';
import { parseIp } from '../../../lib/ip.ts';
import type { Connection } from '../../../lib/netfilter/conntrack.ts';
import type { FastPathStatus } from '../../health/status/report.ts';
import type { Answers } from './answers.ts';
import { fastPathHop } from './fast-path-hop.ts';
import type { Place, PlaceKind } from './place.ts';

const status: FastPathStatus = {
  ...{ mode: 'full', on: true, pods: 2, peers: 1, fast: {}, slow: {} },
  addresses: ['10.244.1.2', '10.244.1.3'],
  byPeer: [{ subnet: '10.244.2.0/24', sent: 1, received: 1, slow: {} }],
};
const place = (kind: PlaceKind, text: string): Place => ({ kind, ip: parseIp(text), text });
const here = place('pod here', '10.244.1.2');
const there = place('pod there', '10.244.2.5');
const connection = (destinationPort: number): Connection =>
  ({ original: { destinationPort } }) as unknown as Connection;

/** Only the answers that this hop reads. */
function answered(change: Partial<Answers>): string | undefined {
  const target = change.target ?? change.to ?? there;
  const usual = { from: here, to: there, connections: [], transport: { protocol: 'tcp', port: 80, sourcePort: 1 } };
  const answers = { ...usual, family: 4, isPortGiven: true, fastPath: status, ...change, target } as unknown as Answers;
  return fastPathHop(answers)[0]?.answer;
}

test.for<{ name: string; change: Partial<Answers>; want: string }>([
  { name: 'to another node', change: {}, want: 'yes, full: programs encapsulate and decapsulate' },
  {
    name: 'from another node',
    change: { from: there, to: here },
    want: 'yes, full: programs encapsulate and decapsulate',
  },
  {
    name: 'to another node with redirect',
    change: { fastPath: { ...status, mode: 'redirect' } },
    want: 'yes, redirect: the tunnel’s device encapsulates and decapsulates',
  },
  {
    name: 'to another node with full that is not possible',
    change: { fastPath: { ...status, notFull: 'eth0 is down' } },
    want: 'yes, redirect: the tunnel’s device encapsulates and decapsulates, because eth0 is down',
  },
  {
    name: 'to another node some of whose packets go another way',
    change: {
      fastPath: { ...status, byPeer: [{ subnet: '10.244.2.0/24', sent: 1, received: 1, slow: { tracked: 3 } }] },
    },
    want: 'yes, full: programs encapsulate and decapsulate; so far, packets of that node that went another way: 3 tracked',
  },
  {
    name: 'on the node',
    change: { to: place('pod here', '10.244.1.3') },
    want: 'yes: straight from pod to pod, past the bridge',
  },
  {
    name: 'beside one to another port',
    change: { connections: [connection(81)] },
    want: 'yes, full: programs encapsulate and decapsulate',
  },
])('a flow $name is fast', ({ change, want }) => {
  expect(answered(change)).toBe(want);
});

test.for<{ name: string; change: Partial<Answers>; want: string }>([
  {
    name: 'while it is off',
    change: { fastPath: { ...status, on: false, reason: 'of rules' } },
    want: 'it is off, because of rules',
  },
  {
    name: 'of the node itself',
    change: { from: place('this node', '192.0.2.1') },
    want: 'it is for packets between pods only',
  },
  {
    name: 'to a Service',
    change: { to: place('pod there', '10.96.0.1'), target: there },
    want: 'the kernel translates 10.96.0.1 to 10.244.2.5',
  },
  {
    name: 'of a limited pod',
    change: { from: place('pod here', '10.244.1.9') },
    want: 'the pod 10.244.1.9 does not have it: its ADD is running, its rate is limited, or its device is not a plain port of the bridge',
  },
  {
    name: 'to a peer without it',
    change: { to: place('pod there', '10.244.3.3') },
    want: 'the node of 10.244.3.3 does not have it: its subnet is not reached through the tunnel alone',
  },
  {
    name: 'that is tracked',
    change: { connections: [connection(80)] },
    want: 'the kernel tracks 1 of its connections, which go on there; new ones are fast',
  },
])('a flow $name goes the classic way', ({ change, want }) => {
  expect(answered(change)).toBe(`no, the classic way: ${want}`);
});

test('nothing is said where no fast path is asked for', () => {
  expect(answered({ fastPath: undefined })).toBeUndefined();
});
