import { expect, test } from 'vitest';
import { pinnedNetns } from './node-view.ts';

test('pinnedNetns finds network namespaces, wherever they are mounted', () => {
  const lines = [
    '21 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw',
    '99 25 0:4 net:[4026532] /run/netns/cni-1 rw shared:9 - nsfs nsfs rw',
    '98 25 0:4 net:[4026533] /run/docker/netns/a\\040b\\134c rw - nsfs nsfs rw',
    '97 25 0:4 mnt:[4026534] /run/mnt rw - nsfs nsfs rw',
    '96 25 0:4 net:[] /run/none rw - nsfs nsfs rw',
    '',
  ];
  expect(pinnedNetns(lines.join('\n'))).toEqual([
    { inode: 4026532, path: '/run/netns/cni-1' },
    { inode: 4026533, path: '/run/docker/netns/a b\\c' },
  ]);
});
