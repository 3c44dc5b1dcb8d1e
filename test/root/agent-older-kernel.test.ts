// Two nodes on a kernel that has neither nexthop objects (before 5.3) nor strict dumps (before 4.20): the agent makes plain routes, and
// filters each list itself. Preflight says so. test/support/older-kernel.cjs makes the kernel refuse.

import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { NET_CONF_FILE } from '../lab/contract.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { waitUntil } from '../lab/processes.ts';
import { builtAgent } from '../lab/programs.ts';
import { dropLease, writeLease } from '../lab/support/leases.ts';
import { allPodsReach, statusReport } from '../lab/support/status.ts';

const LOOK_MS = 20_000;
const NODE_OPTIONS = `--require=${join(import.meta.dirname, '../support/older-kernel.cjs')}`;
const peer = { subnet: '10.244.200.0/24', publicIp: '192.168.50.99', mac: '02:00:00:00:0a:01' };

let lab: Lab;
let one: LabNode;
beforeAll(async () => {
  lab = await startLab({ nodes: 2, agent: { env: { NODE_OPTIONS } } });
  one = lab.node('node-1');
  for (const node of lab.nodes) await node.addPod();
});
afterAll(() => lab?.down());

const routes = async (): Promise<string> => await one.run(['ip', 'route', 'show', 'dev', 'flannel.1']);

test('pods reach each other by plain routes', async () => {
  await allPodsReach(lab);
  expect(await one.run(['ip', 'nexthop'])).toBe('');
  expect(await routes()).toMatch(/^10\.244\.\d+\.0\/24 via 10\.244\.\d+\.0 .*onlink/m);
  expect((await statusReport(one)).overlays).toMatchObject([{ peers: { wanted: 1, programmed: 1 }, problems: [] }]);
});

test('a peer that comes gets its route, and one that goes loses it', async () => {
  writeLease(lab, 'peer', peer);
  await waitUntil(async () => (await routes()).includes(peer.subnet), LOOK_MS, 'the route');
  dropLease(lab, 'peer');
  await waitUntil(async () => !(await routes()).includes(peer.subnet), LOOK_MS, 'its end');
});

test('a route and a neighbour that somebody removes come back', async () => {
  const before = await routes();
  const neighbours = ['ip', 'neigh', 'show', 'dev', 'flannel.1', 'nud', 'permanent'];
  const neighboursBefore = await one.run(neighbours);
  await one.run(['ip', 'route', 'flush', 'dev', 'flannel.1', 'proto', '138']);
  await one.run(['ip', 'neigh', 'flush', 'dev', 'flannel.1', 'nud', 'permanent']);
  await waitUntil(
    async () => (await routes()) === before && (await one.run(neighbours)) === neighboursBefore,
    LOOK_MS,
    'both',
  );
  await allPodsReach(lab);
});

test('preflight names both, and what the agent does instead', async () => {
  const argv = [builtAgent, 'preflight', `--net-config-path=${NET_CONF_FILE}`, '--iface=eth0'];
  const here = { PATH: process.env['PATH'] ?? '' };
  const older = await one.exec(argv, { env: { ...here, NODE_OPTIONS } });
  expect(older.stdout).toContain('the kernel lacks: nexthop objects');
  expect(older.stdout).toContain('the agent makes plain routes, which takes longer with thousands of nodes');
  expect(older.stdout).toContain('the kernel lacks: strict dumps');
  const control = await one.exec(argv, { env: here });
  expect(control.stdout).not.toContain('the kernel lacks');
});
