// A status report of an agent, for tests of the code that shows it: one VXLAN overlay with a peer that fails.

import type { OverlayStatus, StatusReport } from '../../flanneld/health/status/report.ts';

export const overlayStatus: OverlayStatus = {
  device: 'flannel.1',
  family: 4,
  network: '10.244.0.0/16',
  subnet: '10.244.1.0/24',
  mac: '02:00:00:00:01:01',
  vni: 1,
  port: 8472,
  mtu: 1450,
  iface: 'eth0',
  local: '192.168.50.11',
  publicIp: '192.168.50.11',
  peers: { wanted: 3, programmed: 2, failing: 1 },
  problems: [{ key: 'node-9', reason: 'has no VtepMAC' }],
};

/** The report of a node that forwards, on which nothing had to be repaired. */
export const statusReport: StatusReport = {
  version: '1.2.3',
  node: 'node-1',
  pid: 77,
  startedAt: '2026-01-01T00:00:00.000Z',
  backend: 'vxlan',
  ready: true,
  checks: [
    { name: 'firewall', required: true },
    { name: 'peer node-9', problem: 'has no VtepMAC', required: false },
  ],
  overlays: [overlayStatus],
  findings: [],
  drift: { totals: {}, entries: [] },
};
