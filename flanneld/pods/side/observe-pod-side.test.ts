import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { hostVethName } from '../../../lib/pods/names.ts';
import { openKoffiSyscalls } from '../../../lib/sys/koffi.ts';
import { listAttachments } from './observe-pod-side.ts';

test('listAttachments knows pods of our plugin by their names, those of flannel’s by what the runtime remembers', () => {
  const root = mkdtempSync(join(tmpdir(), 'weft-attachments-'));
  onTestFinished(() => rmSync(root, { recursive: true }));
  const [saved, results] = [join(root, 'flannel'), join(root, 'results')];
  for (const folder of [saved, results]) mkdirSync(folder);
  const state = { name: 'cbr0', type: 'bridge', hairpinMode: true };
  writeFileSync(join(saved, 'ours:eth0'), JSON.stringify(state));
  writeFileSync(join(saved, 'flannels'), JSON.stringify({ ...state, bridge: 'br7', hairpinMode: false }));
  writeFileSync(join(saved, 'cut:eth0'), '{"name":"cb');
  const remember = (name: string, container: string, network: string, veth: string): void => {
    const interfaces = [{ name: veth }, { name: 'eth0', sandbox: '/run/netns/x' }];
    const cached = { containerId: container, ifName: 'eth0', networkName: network, result: { interfaces } };
    writeFileSync(join(results, name), JSON.stringify(cached));
  };
  remember('cbr0-flannels-eth0', 'flannels', 'cbr0', 'veth77aabbcc');
  remember('other-flannels-eth0', 'flannels', 'other', 'veth00000000');
  remember('cbr0-gone-eth0', 'gone', 'cbr0', 'veth11111111');
  remember('cbr0-bad-eth0', '../flannels', 'cbr0', 'veth22222222');
  const pods = {
    network: 'cbr0',
    bridge: 'cni0',
    addressFolder: join(root, 'networks'),
    savedFolder: saved,
    isBridged: true,
  };
  expect([...listAttachments(openKoffiSyscalls(), pods, root)]).toEqual([
    [hostVethName('ours', 'eth0'), { containerId: 'ours', ifname: 'eth0', bridge: 'cni0', hairpin: true }],
    ['veth77aabbcc', { containerId: 'flannels', ifname: 'eth0', bridge: 'br7', hairpin: false }],
  ]);
});
