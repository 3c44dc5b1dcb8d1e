import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { firewalldOf, managersOf, otherCnisIn, otherConfsIn } from './node-files.ts';

function rootWith(files: Readonly<Record<string, string>>): string {
  const root = mkdtempSync(join(tmpdir(), 'weft-root-'));
  onTestFinished(() => rmSync(root, { recursive: true }));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

describe('managersOf', () => {
  test.for([
    { name: 'nobody', processes: ['init'], files: {}, want: [] },
    {
      name: 'NetworkManager that manages all',
      processes: ['NetworkManager'],
      files: { '/etc/NetworkManager/conf.d/a.conf': '[main]\nplugins=keyfile\n' },
      want: [{ name: 'NetworkManager', sparesDevices: false }],
    },
    {
      name: 'NetworkManager that was told',
      processes: ['NetworkManager'],
      files: {
        '/etc/NetworkManager/conf.d/a.conf':
          '[keyfile]\nunmanaged-devices=interface-name:cni*;interface-name:flannel*\n',
      },
      want: [{ name: 'NetworkManager', sparesDevices: true }],
    },
    {
      name: 'networkd that leaves the devices and takes the routes',
      processes: ['systemd-network'],
      files: { '/etc/systemd/network/10-cni.network': '[Match]\nName=flannel* cni*\n[Link]\nUnmanaged=yes\n' },
      want: [{ name: 'systemd-networkd', sparesDevices: false }],
    },
    {
      name: 'networkd that was told both',
      processes: ['systemd-network'],
      files: {
        '/etc/systemd/network/10-cni.network': '[Match]\nName=flannel* cni*\n[Link]\nUnmanaged=yes\n',
        '/etc/systemd/networkd.conf.d/a.conf': '[Network]\nManageForeignRoutes=no\n',
      },
      want: [{ name: 'systemd-networkd', sparesDevices: true }],
    },
  ])('$name', ({ processes, files, want }) => {
    expect(managersOf(processes, rootWith(files as Readonly<Record<string, string>>))).toEqual(want);
  });
});

test('firewalld trusts the pod network when its zone has both devices', () => {
  const zone = '<zone><interface name="cni0"/><interface name="flannel.1"/></zone>';
  const root = rootWith({ '/etc/firewalld/zones/trusted.xml': zone });
  expect(firewalldOf(['firewalld'], [], root)).toEqual({ isActive: true, trusts: true });
  expect(firewalldOf([], [], rootWith({}))).toEqual({ isActive: false, trusts: false });
});

test('other CNIs are known by their programs and devices, ours and pods’ are not among them', () => {
  const devices = ['eth0', 'cni0', 'flannel.1', 'veth12345678abc', 'docker0', 'cali1234567890a', 'cilium_vxlan'];
  expect(otherCnisIn(['flanneld', 'calico-node'], devices)).toEqual([
    'process calico-node',
    'device cali1234567890a',
    'device cilium_vxlan',
  ]);
});

test('configurations of others are those that do not call flannel', () => {
  const root = rootWith({
    '/net.d/05-a.conflist': '{"plugins":[{"type":"cilium-cni"}]}',
    '/net.d/08-b.conflist': '{"plugins":[{"type":"flannel"}]}',
    '/net.d/10-flannel.conflist': '{"plugins":[{"type":"calico"}]}',
    '/net.d/20-c.conf': '{"type":"bridge"}',
    '/net.d/30-lo.conf': '{"type":"loopback"}',
    '/net.d/notes.txt': '',
  });
  expect(otherConfsIn(join(root, 'net.d'))).toEqual([
    { file: '05-a.conflist', types: ['cilium-cni'] },
    { file: '20-c.conf', types: ['bridge'] },
  ]);
});
