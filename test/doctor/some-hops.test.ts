// `flanneld doctor path` between pods of two nodes, with a few broken hops. `npm run suite -- doctor` breaks every one.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { builtAgent } from '../lab/programs.ts';
import { BROKEN_HOPS } from './broken-hops.ts';
import { expectPasses, type PathScene, pathText, seeBrokenHop, startPathScene } from './path-scene.ts';

let scene: PathScene;

beforeAll(async () => {
  scene = await startPathScene();
});
afterAll(() => scene?.lab.down());

test('a packet passes every hop, and the words say so', async () => {
  const { node, pod, far } = scene;
  const { hops } = await expectPasses(node, pod.ip, far.ip);
  const names = ['pod', 'bridge', 'forwarding', 'route', 'rules', 'device', 'nexthop', 'neighbour', 'fdb'];
  expect(hops.map(({ name }) => name).filter((name) => name !== 'connection')).toEqual([
    ...names,
    ...['underlay', 'firewall', 'mtu', 'answer'],
  ]);
  for (const { result } of hops) expect(result).toBe('ok');
  const { stdout, stderr } = await pathText(node, 'shop/web-1', far.ip, '443');
  expect(stdout, stderr).toContain(`pod shop/web-1 (${pod.ip}) to pod ${far.ip} of node-2, on node-1`);
  expect(stdout).toContain('passes node-1');
});

test.for([
  { words: ['10.244.1.2'], want: "missing required argument 'TO'" },
  { words: ['10.244.1.2', 'nobody'], want: '"nobody" is no address, no node with a lease, and no pod of this node' },
  { words: ['shop/web-1', '192.0.2.1', '0'], want: 'PORT: expected 1–65535, with /udp for UDP, got "0"' },
  { words: ['192.0.2.1', '192.0.2.2'], want: 'FROM 192.0.2.1 is not on this node' },
  { words: ['a', 'b', 'c', 'd'], want: 'doctor path takes FROM TO [PORT], got more' },
])('refuses $words with 2', async ({ words, want }) => {
  const { exitCode, stderr } = await pathText(scene.node, ...words);
  expect(exitCode).toBe(2);
  expect(stderr).toContain(want);
});

describe('stops', () => {
  const some = ['a longer route takes the packet', 'a rule of the firewall refuses it', 'the FDB entry is gone'];
  const rows = BROKEN_HOPS.filter(({ what }) => some.includes(what));
  test.for(rows)('$hop: $what', async (row) => await seeBrokenHop(scene, row));
});

test('preflight passes the node, and removes everything that it tried', async () => {
  const { node } = scene;
  const before = await node.run(['ip', '-br', 'link']);
  const { exitCode, stdout } = await node.exec([builtAgent, 'preflight', '--subnet-file=/run/none'], {
    env: { NODE_NAME: node.name, PATH: '/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bin' },
  });
  expect(exitCode, stdout).toBe(0);
  expect(stdout).toMatch(/^node-1 is fit for Weft.*\nthe kernel has: vxlan, bridge, veth/);
  expect(await node.run(['ip', '-br', 'link'])).toBe(before);
});

test('leaves nothing behind', async () => {
  expect(await scene.node.run(['nft', 'list', 'tables'])).not.toContain('weft_path');
  expect(await scene.node.run(['ip', 'link'])).not.toContain('weft-probe');
});
