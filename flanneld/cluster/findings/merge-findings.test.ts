import { describe, expect, test } from 'vitest';
import type { Finding } from '../../health/finding.ts';
import { mergeFindings } from './merge-findings.ts';

function blocked(node: string, peer: string): Finding {
  return {
    id: 'tunnel-port-blocked',
    severity: 'error',
    node,
    peer,
    cause: `${node} cannot reach ${peer} by UDP 8472`,
    evidence: `seen on ${node}`,
    fix: `open UDP 8472 between ${node} and ${peer}`,
  };
}

function forwardOff(node: string): Finding {
  const cause = `net.ipv4.ip_forward is 0 on ${node}`;
  return { id: 'ip-forward-off', severity: 'error', node, cause, evidence: 'e', fix: `on ${node}: sysctl -w` };
}

const names = Array.from({ length: 9 }, (_, at) => `node-${at + 1}`);

describe('mergeFindings', () => {
  test('merges a column into “many nodes cannot reach one node”', () => {
    const findings = names.filter((name) => name !== 'node-7').map((name) => blocked(name, 'node-7'));
    const [merged, ...others] = mergeFindings(findings);
    expect(others).toEqual([]);
    expect(merged?.title).toBe('8 nodes cannot reach node-7 by UDP 8472');
    expect(merged?.nodes).toEqual(names.filter((name) => name !== 'node-7'));
    expect(merged?.peers).toEqual(['node-7']);
    expect(merged?.fixes).toEqual(['open UDP 8472 between node-1 and node-7 (and 7 more like this)']);
  });

  test('merges a row into “one node cannot reach many nodes”', () => {
    const merged = mergeFindings(['node-2', 'node-3', 'node-10'].map((peer) => blocked('node-1', peer)));
    expect(merged.map(({ title }) => title)).toEqual(['node-1 cannot reach 3 peers by UDP 8472']);
    expect(merged[0]?.peers).toEqual(['node-2', 'node-3', 'node-10']);
  });

  test('merges a column and its reverse into one cause', () => {
    const others = ['node-1', 'node-2', 'node-3'];
    const both = others.flatMap((name) => [blocked(name, 'node-7'), blocked('node-7', name)]);
    expect(mergeFindings(both).map(({ title }) => title)).toEqual([
      '3 nodes cannot reach node-7 by UDP 8472; found from both sides',
    ]);
  });

  test('does not merge the two directions when one was not found completely', () => {
    const findings = [blocked('node-1', 'node-7'), blocked('node-2', 'node-7'), blocked('node-7', 'node-1')];
    expect(mergeFindings(findings).map(({ title }) => title)).toEqual([
      '2 nodes cannot reach node-7 by UDP 8472',
      'node-7 cannot reach node-1 by UDP 8472',
    ]);
  });

  test('reports a sentence once when both nodes report it', () => {
    const oneWay = (node: string, peer: string, from: string, to: string): Finding => ({
      ...blocked(node, peer),
      id: 'tunnel-one-way',
      cause: `UDP 8472 is blocked from ${from} to ${to}, but open in the other direction`,
    });
    const others = ['node-1', 'node-2', 'node-4'];
    const both = others.flatMap((name) => [
      oneWay(name, 'node-3', name, 'node-3'),
      oneWay('node-3', name, name, 'node-3'),
    ]);
    expect(mergeFindings(both).map(({ title, peers }) => ({ title, peers }))).toEqual([
      {
        title: 'UDP 8472 is blocked from 3 nodes to node-3, but open in the other direction; found from both sides',
        peers: ['node-3'],
      },
    ]);
    const [, ...incomplete] = both;
    expect(mergeFindings(incomplete)).toHaveLength(2);
  });

  test('keeps one of two reports whose sentence names neither node', () => {
    const both = [blocked('a', 'b'), blocked('b', 'a')].map((finding) => ({
      ...finding,
      cause: 'the tunnel is silent',
    }));
    expect(mergeFindings(both).map(({ title }) => title)).toEqual([
      'a towards b: the tunnel is silent; found from both sides',
    ]);
  });

  test('does not mistake a node’s name for the beginning of a longer name', () => {
    const findings = [
      { ...blocked('node-1', 'node-10'), cause: 'node-1 cannot reach node-10 or node-1.example' },
      { ...blocked('node-2', 'node-10'), cause: 'node-2 cannot reach node-10 or node-1.example' },
    ];
    expect(mergeFindings(findings)[0]?.title).toBe('2 nodes cannot reach node-10 or node-1.example');
  });

  test('merges findings that nodes have about themselves, although names, addresses and numbers in them differ', () => {
    expect(mergeFindings(['a', 'b', 'c'].map(forwardOff)).map(({ title }) => title)).toEqual([
      'net.ipv4.ip_forward is 0 on 3 nodes',
    ]);
    const own = { ...forwardOff('a'), cause: 'no route to 10.0.0.1 after 3 s' };
    const other = { ...forwardOff('b'), cause: 'no route to 10.0.0.22 after 14 s' };
    expect(mergeFindings([own, other]).map(({ title, nodes }) => ({ title, nodes }))).toEqual([
      { title: '2 nodes: no route to 10.0.0.1 after 3 s', nodes: ['a', 'b'] },
    ]);
  });

  test('does not merge findings that differ in id, severity or words', () => {
    const one = forwardOff('a');
    const others: Finding[] = [
      { ...forwardOff('b'), severity: 'warning' },
      { ...forwardOff('b'), id: 'other' },
      { ...forwardOff('b'), cause: 'forwarding is off' },
    ];
    expect(mergeFindings([one, ...others])).toHaveLength(4);
  });

  test('adds the node’s name when the cause does not have it', () => {
    expect(mergeFindings([{ ...forwardOff('a'), cause: 'no default route' }])[0]?.title).toBe('a: no default route');
  });

  test('shows errors first, then findings that concern more nodes', () => {
    const warnings = ['a', 'b', 'c'].map((node): Finding => ({ ...forwardOff(node), severity: 'warning' }));
    const merged = mergeFindings([...warnings, blocked('a', 'b'), ...['a', 'b'].map(forwardOff)]);
    expect(merged.map(({ severity, nodes }) => [severity, nodes.length])).toEqual([
      ['error', 2],
      ['error', 1],
      ['warning', 3],
    ]);
  });
});
