import { describe, expect, test } from 'vitest';
import { podNetworkIn } from './pod-network.ts';

function conflist(name: string, flannel: object): string {
  return JSON.stringify({ name, plugins: [{ type: 'flannel', ...flannel }, { type: 'portmap' }] });
}

const flannels = {
  network: 'cbr0',
  bridge: 'cni0',
  isBridged: true,
  addressFolder: '/var/lib/cni/networks/cbr0',
  savedFolder: '/var/lib/cni/flannel',
};

describe('podNetworkIn', () => {
  test.for<{ name: string; conflists: string[]; want: object }>([
    { name: 'flannel’s names where there is no conflist', conflists: [], want: flannels },
    { name: 'flannel’s names where it says nothing', conflists: [conflist('cbr0', {})], want: flannels },
    { name: 'flannel’s names from what is no JSON', conflists: ['{'], want: flannels },
    {
      name: 'what it says',
      conflists: [
        conflist('pods', {
          dataDir: '/d',
          ipam: { dataDir: '/i' },
          delegate: { bridge: 'br1', ipam: { dataDir: '/x' } },
        }),
      ],
      want: { network: 'pods', bridge: 'br1', isBridged: true, addressFolder: '/i/pods', savedFolder: '/d' },
    },
    {
      name: 'the delegate’s folder for addresses',
      conflists: [conflist('pods', { delegate: { ipam: { dataDir: '/x' } } })],
      want: { ...flannels, network: 'pods', addressFolder: '/x/pods' },
    },
    {
      name: 'that pods of another delegate have no port',
      conflists: [conflist('cbr0', { delegate: { type: 'ptp' } })],
      want: { ...flannels, isBridged: false },
    },
    { name: 'no name that leads out of the folder', conflists: [conflist('../etc', {})], want: flannels },
    {
      name: 'the first of several',
      conflists: [conflist('a', {}), conflist('b', {})],
      want: { ...flannels, network: 'a', addressFolder: '/var/lib/cni/networks/a' },
    },
  ])('reads $name', ({ conflists, want }) => {
    expect(podNetworkIn(conflists, '/var/lib/cni')).toEqual(want);
  });
});
