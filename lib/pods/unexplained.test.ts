import { expect, test } from 'vitest';
import type { CachedResult } from './cached-result.ts';
import { hostVethName } from './names.ts';
import type { NodeView, Port } from './node-view.ts';
import { findUnexplained, type Known, knownAs } from './unexplained.ts';

const own = knownAs('c1', 'eth0', undefined);
const ownName = hostVethName('c1', 'eth0');

function port(name: string, netnsId: number, mayBePods = true): Port {
  return { name, mac: undefined, netnsId, isOnBridge: mayBePods, mayBePods };
}

function known(cached: Partial<CachedResult>, ifname = 'eth0'): Known {
  const empty = { network: 'n', containerId: 'c2', ifname, netns: [], hostInterfaces: [], podMacs: [], ips: [] };
  return knownAs('c2', ifname, { ...empty, ...cached });
}

test.for<{ name: string; view: Partial<NodeView>; by: Known[]; want: string[] }>([
  { name: 'nothing where nothing is', view: {}, by: [], want: [] },
  { name: 'a port of nobody', view: { ports: [port('veth1', 1)] }, by: [own], want: ['veth1'] },
  { name: 'no port that has the name of one of ours', view: { ports: [port(ownName, 1)] }, by: [own], want: [] },
  {
    name: 'no port that the runtime remembers',
    view: { ports: [port('veth1', 1)] },
    by: [known({ hostInterfaces: ['cni0', 'veth1'] })],
    want: [],
  },
  { name: 'no port of others', view: { ports: [port('docker', 1, false)] }, by: [], want: [] },
  {
    name: 'a netns no device is joined to',
    view: { pins: [{ paths: ['/a'], netnsId: undefined }] },
    by: [],
    want: ['/a'],
  },
  {
    name: 'no netns that somebody was given, by any of its names',
    view: { pins: [{ paths: ['/x', '/run/netns/a'], netnsId: undefined }] },
    by: [known({ netns: ['/var/run/netns/a'] })],
    want: [],
  },
  {
    name: 'a netns of which only lo is known',
    view: { pins: [{ paths: ['/a'], netnsId: undefined }] },
    by: [known({ netns: ['/a'] }, 'lo')],
    want: ['/a'],
  },
  {
    name: 'no netns that is joined by a known port',
    view: { ports: [port(ownName, 1)], pins: [{ paths: ['/a'], netnsId: 1 }] },
    by: [own],
    want: [],
  },
  {
    name: 'no netns that is joined by others’ device',
    view: { ports: [port('docker', 1, false)], pins: [{ paths: ['/a'], netnsId: 1 }] },
    by: [],
    want: [],
  },
  {
    name: 'a netns that an unknown port leads to as well',
    view: { ports: [port(ownName, 1), port('veth1', 1)], pins: [{ paths: ['/a'], netnsId: 1 }] },
    by: [own],
    want: ['veth1', '/a'],
  },
])('findUnexplained tells $name', ({ view, by, want }) => {
  const { ports, pins } = findUnexplained({ ports: [], pins: [], ...view }, by);
  expect([...ports.map(({ name }) => name), ...pins.map(({ paths }) => paths[0])]).toEqual(want);
});
