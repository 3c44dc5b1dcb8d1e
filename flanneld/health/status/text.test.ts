import { describe, expect, test } from 'vitest';
import { overlayStatus, statusReport } from '../../../test/support/status-report.ts';
import type { DriftEntry } from '../drift-ledger.ts';
import type { StatusReport } from './report.ts';
import { statusText } from './text.ts';

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

  test('says what keeps the node from being ready, and that it advertises another address', () => {
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

  test('shows the newest of many, and how many there are', () => {
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

  test('says so when nothing had to be repaired, and counts what was noted as one', () => {
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

  test('shows what followed from one cause under it', () => {
    const followed = { address: 1, route: 2 } as const;
    const cause: DriftEntry = { ...drift, object: 'link', what: 'flannel.1', followed };
    const text = statusText({ ...report, drift: { totals: { link: 1, address: 1, route: 2 }, entries: [cause] } });
    expect(text).toContain('link of flannel.1 (flannel.1) missing, and with it 1 address, 2 route: ');
    expect(text).toContain('drift repaired: 1 link, 1 address, 2 route\n');
  });

  test('shows what is wrong first, the worst of it before the rest', () => {
    const checks = [
      { name: 'firewall', required: true },
      { name: 'peer node-9', problem: 'has no VtepMAC', required: false },
      { name: 'CNI files', problem: 'gone', required: true },
    ];
    const text = statusText({ ...report, checks });
    expect(text).toContain('\nproblems\n  - CNI files: gone\n  ! peer node-9: has no VtepMAC\n\ndevice ');
    expect(text).toContain('\nchecks\n  + firewall\n');
  });

  test('lets no control character of a lease reach the terminal', () => {
    const problems = [{ key: 'x\u001b[2J', reason: 'a\nb' }];
    expect(statusText({ ...report, overlays: [{ ...overlayStatus, problems }] })).toContain('  ! x\\x1b[2J: a\\x0ab\n');
  });
});
