import { describe, expect, test } from 'vitest';
import { openKoffiSyscalls } from '../../../lib/sys/koffi.ts';
import { doubtAbout, netnsView } from './netns-view.ts';

const root = '21 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw';
const run = '25 21 0:22 / /run rw,nosuid shared:5 - tmpfs tmpfs rw';
const ours = '90 80 0:22 /netns /run/netns rw,nosuid master:5 - tmpfs tmpfs rw';
const privately = '91 80 0:22 /netns /run/netns rw,nosuid - tmpfs tmpfs rw';
const pod = '99 25 0:4 net:[4026532] /run/netns/cni-1 rw - nsfs nsfs rw';

describe('doubtAbout', () => {
  test.for([
    { name: 'a host whose /run is shared', lines: [root, run], trusts: true },
    {
      name: 'a host with a mount of its own for namespaces, as ip-netns makes it',
      lines: [run, ours, pod],
      trusts: true,
    },
    { name: 'a container that follows the host', lines: [root, ours], trusts: true },
    { name: 'a container without propagation', lines: [root, privately], trusts: false },
    { name: 'a container without the mount', lines: [root], trusts: false },
    { name: 'a mount over another one at the same place', lines: [ours, privately], trusts: false },
    { name: 'the same the other way round', lines: [privately, ours], trusts: true },
    { name: 'a deeper mount that is listed first', lines: [privately, run], trusts: false },
    { name: 'a place with the same beginning', lines: [root, ours.replace('/run/netns', '/run/net')], trusts: false },
    { name: 'nothing', lines: [''], trusts: false },
  ])('judges $name', ({ lines, trusts }) => {
    expect(doubtAbout(`${lines.join('\n')}\n`, '/run/netns') === undefined).toBe(trusts);
  });

  test('names the setting that is missing', () => {
    expect(doubtAbout(privately, '/run/netns')).toContain('HostToContainer');
  });
});

describe('netnsView', () => {
  const sys = openKoffiSyscalls();

  test.for([
    { name: 'of a process, whose number may be another’s', path: '/proc/1/ns/net' },
    { name: 'somewhere else', path: '/run/docker/netns/1' },
    { name: 'that leaves the folder', path: '/run/netns/../docker' },
  ])('concludes nothing from a path $name', ({ path }) => {
    expect(netnsView(sys, '/run/netns').look(path)).toMatchObject({ kind: 'unknown' });
  });

  test('concludes nothing when the folder is missing', () => {
    const folder = '/weft-no-such-folder';
    const view = netnsView(sys, folder);
    const why = `there is no folder ${folder} in this container`;
    expect([view.look(`${folder}/a`), view.blind]).toEqual([{ kind: 'unknown', why }, why]);
  });
});
