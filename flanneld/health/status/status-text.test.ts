import { describe, expect, test } from 'vitest';
import { overlayStatus, statusReport } from '../../../test/support/status-report.ts';
import type { DriftEntry } from '../drift-ledger.ts';
import type { GuardStatus, StatusReport } from './report.ts';
import { statusText } from './status-text.ts';

const drift: DriftEntry = {
  time: '2026-01-01T00:00:05.000Z',
  object: 'route',
  place: 'flannel.1',
  what: 'node-2',
  was: 'missing',
  cmd: 'ip route replace 10.244.2.0/24 nhid 1474297858 proto 138',
};

const report: StatusReport = { ...statusReport, drift: { totals: { route: 1 }, entries: [drift] } };

describe('statusText', () => {
  test('shows node, overlay, peers with reasons, checks and what was repaired', () => {
    expect(statusText(report, new Date('2026-01-01T00:03:06Z'))).toBe(`node      node-1
agent     1.2.3, pid 77, since 2026-01-01T00:00:00.000Z
ready     yes
backend   vxlan

problems
  ! peer node-9: has no VtepMAC

device    flannel.1  MAC 02:00:00:00:01:01  MTU 1450  VNI 1  port 8472
subnet    10.244.1.0/24 of 10.244.0.0/16
underlay  eth0, 192.168.50.11
peers     3 wanted, 2 programmed, 1 failing
  ! node-9: has no VtepMAC

checks
  + firewall

drift repaired: 1 route
  2026-01-01T00:00:05.000Z (3 min ago) route of node-2 (flannel.1) missing: ip route replace 10.244.2.0/24 nhid 1474297858 proto 138
`);
  });

  test('shows each problem with its fix, and which peers fail since when', () => {
    const text = statusText({
      ...report,
      findings: [
        {
          ...{ id: 'tunnel-port-blocked', severity: 'error', node: 'node-1', peer: 'node-2' },
          ...{ cause: 'the network drops UDP port 8472', evidence: '192.0.2.2 answers', fix: 'open UDP port 8472' },
        },
      ],
      probes: {
        port: 8477,
        states: { reachable: 3, degraded: 0, unreachable: 1, unknown: 0 },
        oldestSec: 4,
        peers: [
          { peer: 'node-2', family: 4, state: 'unreachable', loss: 1, finding: 'tunnel-port-blocked', failingSec: 70 },
          { peer: 'node-3', family: 4, state: 'reachable', loss: 0, rttMs: 0.2 },
        ],
      },
    });
    expect(text).toContain(`
findings
  ! error tunnel-port-blocked (node-2): the network drops UDP port 8472
      seen: 192.0.2.2 answers
      fix: open UDP port 8472
`);
    expect(text).toContain(`
probes    3 reachable, 0 degraded, 1 unreachable, 0 unknown, the oldest result 4 s old; UDP port 8477
  ! node-2 (IPv4): unreachable for 1 min, tunnel-port-blocked
`);
    expect(text).not.toContain('node-3');
  });

  test('shows why the node is not ready, and that it advertises another address', () => {
    const text = statusText({
      ...report,
      ready: false,
      checks: [{ name: 'firewall', problem: 'not done yet', required: true }],
      overlays: [{ ...overlayStatus, publicIp: '203.0.113.7' }],
    });
    expect(text).toContain('ready     no\n');
    expect(text).toContain('  - firewall: not done yet\n');
    expect(text).toContain('underlay  eth0, 192.168.50.11, advertised as 203.0.113.7\n');
  });

  test('shows the newest of many repairs, and how many there are', () => {
    const entries = Array.from({ length: 60 }, (_, n) => ({ ...drift, what: `node-${n}` }));
    const problems = Array.from({ length: 60 }, (_, n) => ({ key: `node-${n}`, reason: 'x' }));
    const text = statusText({
      ...report,
      overlays: [{ ...overlayStatus, problems }],
      drift: { totals: { route: 60 }, entries },
    });
    expect(text).toContain('drift repaired: 60 route, the last 20 of 60 remembered\n');
    expect(text).not.toContain('route of node-39 ');
    expect(text).toContain('route of node-40 ');
    expect(text).toContain('  ! and 40 more\n');
  });

  test('says when nothing had to be repaired, and counts every object of a joined entry', () => {
    expect(statusText({ ...report, drift: { totals: {}, entries: [] } })).toContain('\ndrift: none\n');
    const many = { totals: { route: 150 }, entries: [{ ...drift, count: 150 }] };
    expect(statusText({ ...report, drift: many })).toContain('route of node-2 and 149 more (flannel.1)');
  });

  test.for([
    { seconds: 4, want: '4 s' },
    { seconds: 61, want: '1 min' },
    { seconds: 7300, want: '2 h' },
    { seconds: 200_000, want: '2 d' },
  ])('says that something was repaired $want ago', ({ seconds, want }) => {
    const now = new Date(Date.parse(drift.time) + seconds * 1000);
    expect(statusText(report, now)).toContain(` (${want} ago) route of node-2 `);
  });

  test('shows the consequences of one cause in its line', () => {
    const followed = { address: 1, route: 2 } as const;
    const cause: DriftEntry = { ...drift, object: 'link', what: 'flannel.1', followed };
    const text = statusText({ ...report, drift: { totals: { link: 1, address: 1, route: 2 }, entries: [cause] } });
    expect(text).toContain('link of flannel.1 (flannel.1) missing, and as a consequence 1 address, 2 route: ');
    expect(text).toContain('drift repaired: 1 link, 1 address, 2 route\n');
  });

  test('shows failing checks first, the worst of them before the others', () => {
    const checks = [
      { name: 'firewall', required: true },
      { name: 'peer node-9', problem: 'has no VtepMAC', required: false },
      { name: 'CNI files', problem: 'gone', required: true },
    ];
    const text = statusText({ ...report, checks });
    expect(text).toContain('\nproblems\n  - CNI files: gone\n  ! peer node-9: has no VtepMAC\n\ndevice ');
    expect(text).toContain('\nchecks\n  + firewall\n');
  });

  test('names strangers, a peer among them, and which peers enforce would cut off', () => {
    const [time, later] = ['2026-01-01T00:00:00.000Z', '2026-01-01T00:01:00.000Z'];
    const guard = {
      mode: 'count' as const,
      packets: { strangers: 15, pods: 2, refused: 1 },
      strangers: [
        { address: '192.0.2.1', packets: 3, since: later },
        { address: '192.0.2.2', packets: 12, since: later, peer: { key: 'node-3', publishes: '10.0.0.3' } },
      ],
      isFull: false,
      watchedSince: time,
      wouldCut: ['node-3'],
    };
    const shown = (over: Partial<GuardStatus>): string =>
      statusText({ ...report, firewall: { flavour: 'nftables', why: 'x', places: [], guard: { ...guard, ...over } } });
    const seen = `15 packets of strangers and 2 of pods counted, 1 refused that would have changed routes or neighbours, since ${time}`;
    expect(shown({})).toContain(`rules in  none
guard     count: ${seen}; enforce would cut off node-3
  ! 192.0.2.1: 3 packets since ${later}, no peer
  ! 192.0.2.2: 12 packets since ${later}, by the inner MAC this is node-3, which publishes 10.0.0.3
`);
    expect(shown({ wouldCut: [] })).toContain('; enforce would cut off no peer\n');
    const { wouldCut, ...untold } = guard;
    expect(wouldCut).toEqual(['node-3']);
    const full = { ...untold, isFull: true };
    const text = statusText({ ...report, firewall: { flavour: 'nftables', why: 'x', places: [], guard: full } });
    expect(text).toContain('; which peers enforce would cut off is not known\n');
    expect(text).toContain('  ! there may be more strangers; the kernel keeps no more of them\n');
    expect(shown({ mode: 'enforce' })).toContain(
      `2 of pods dropped, 1 refused that would have changed routes or neighbours, since ${time}\n`,
    );
    expect(shown({ mode: 'off', strangers: [] })).toContain(
      'guard     off; 1 refused that would have changed routes or neighbours\n',
    );
    expect(shown({ problem: 'no nft' })).toContain('guard     count: no nft\n');
  });

  test('lets no control character of a lease reach the terminal', () => {
    const problems = [{ key: 'x\u001b[2J', reason: 'a\nb' }];
    expect(statusText({ ...report, overlays: [{ ...overlayStatus, problems }] })).toContain('  ! x\\x1b[2J: a\\x0ab\n');
  });
});
