// No false alarm: with every backend and family the doctor finds no error on a healthy node.

import { describe, test } from 'vitest';
import { type LabOptions, startLab } from '../lab/lab.ts';
import { failed } from '../lab/matrix.ts';
import { waitUntil } from '../lab/processes.ts';
import { expectHealthy } from '../support/doctor.ts';

const LOOK_MS = 20_000;
const dual = { EnableIPv6: true, IPv6Network: 'fd00:244::/48' };

const LABS: readonly { readonly name: string; readonly netConf: NonNullable<LabOptions['netConf']> }[] = [
  { name: 'vxlan, both families', netConf: { Network: '10.244.0.0/16', ...dual, Backend: { Type: 'vxlan' } } },
  {
    name: 'vxlan over IPv6 alone',
    netConf: { EnableIPv4: false, ...dual, Backend: { Type: 'vxlan' } },
  },
  {
    name: 'vxlan with another VNI, port and MTU',
    netConf: { Network: '10.244.0.0/16', Backend: { Type: 'vxlan', VNI: 77, Port: 4789, MTU: 1400 } },
  },
  {
    name: 'vxlan with DirectRouting',
    netConf: { Network: '10.244.0.0/16', ...dual, Backend: { Type: 'vxlan', DirectRouting: true } },
  },
  { name: 'host-gw', netConf: { Network: '10.244.0.0/16', Backend: { Type: 'host-gw' } } },
  { name: 'udp', netConf: { Network: '10.244.0.0/16', Backend: { Type: 'udp' } } },
  {
    name: 'iptables in place of nftables',
    netConf: { Network: '10.244.0.0/16', EnableNFTables: false, Backend: { Type: 'vxlan' } },
  },
];

describe('no error with', () => {
  test.for(LABS)('$name', async ({ netConf }) => {
    // Some backends have no route to each peer, and startLab would wait for one.
    const lab = await startLab({ nodes: 3, netConf, agent: { start: false } });
    try {
      for (const node of lab.nodes) await node.agent.start();
      for (const node of lab.nodes) await node.agent.ready();
      for (const node of lab.nodes) await node.addPod();
      await waitUntil(async () => failed(await lab.matrix()).length === 0, LOOK_MS, 'every pod reaching every other');
      for (const node of lab.nodes) await expectHealthy(node);
    } finally {
      await lab.down();
    }
  });
});
