import { expect, test } from 'vitest';
import type { Problem } from './classify.ts';
import { type Affected, findingsOf } from './findings.ts';

const blocked: Problem = { id: 'tunnel-port-blocked', severity: 'error', cause: 'c', evidence: 'e', fix: 'f' };

function all(count: number, problem: Problem): Affected[] {
  return Array.from({ length: count }, (_, at) => ({ peer: `node-${at}`, problem }));
}

test('names each of a few peers', () => {
  const findings = findingsOf('me', all(3, blocked), 10);
  expect(findings.map(({ node, peer }) => [node, peer])).toEqual([0, 1, 2].map((at) => ['me', `node-${at}`]));
});

test('makes one finding of many peers, and says when it concerns all of them', () => {
  const [some, ...more] = findingsOf('me', all(9, blocked), 20);
  expect([some?.peer, more.length]).toEqual([undefined, 0]);
  expect(some?.cause).toBe('c; the same with 9 of 20 peers');
  expect(some?.evidence).toBe('e; 9 of 20 peers: node-0, node-1, node-2, node-3, node-4 and 4 more');
  expect(findingsOf('me', all(20, blocked), 20)[0]?.cause).toBe(
    'c; the same with all peers are concerned, so look at this node first',
  );
});

test('names a cause on this node once, also when it concerns few peers', () => {
  const own = { ...blocked, id: 'firewall-drops-tunnel', isLocal: true };
  expect(findingsOf('me', all(2, own), 2)).toMatchObject([{ id: 'firewall-drops-tunnel', cause: 'c' }]);
});

test('lists a peer of two families once, and errors before information', () => {
  const info: Problem = { ...blocked, id: 'peer-agent-down', severity: 'info' };
  const findings = findingsOf('me', [...all(1, info), ...all(1, blocked), ...all(1, blocked)], 2);
  expect(findings.map(({ id }) => id)).toEqual(['tunnel-port-blocked', 'peer-agent-down']);
});
