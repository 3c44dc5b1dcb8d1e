// `flanneld cleanup` on a real node: afterwards everything that an installation can change is as before (test/support/inventory.ts).

import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CommandResult } from '../lab/command.ts';
import {
  CNI_BIN_FOLDER,
  CNI_CACHE_FOLDER,
  CONFLIST_FOLDER,
  LEASE_FOLDER,
  NET_CONF_FILE,
  SUBNET_FILE,
} from '../lab/contract.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { waitUntil } from '../lab/processes.ts';
import { builtAgent } from '../lab/programs.ts';
import { writeLease } from '../lab/support/leases.ts';
import { inventory } from '../support/inventory.ts';

const CNI_CONF = '/etc/kube-flannel/cni-conf.json';
const PID_FILE = '/run/agent.pid';
const conflist = {
  name: 'cbr0',
  cniVersion: '1.0.0',
  plugins: [{ type: 'flannel', delegate: { hairpinMode: true, isDefaultGateway: true } }],
};
const flags = [
  `--net-config-path=${NET_CONF_FILE}`,
  `--subnet-dir=${LEASE_FOLDER}`,
  `--cni-bin-dir=${CNI_BIN_FOLDER}`,
  '--node-name=node-1',
  '--iface=eth0',
];

let lab: Lab;
let node: LabNode;

beforeAll(async () => {
  lab = await startLab({ nodes: 1, agent: false, conflist: false });
  node = lab.node('node-1');
  const bin = node.pathFromOutside(CNI_BIN_FOLDER);
  for (const name of readdirSync(bin)) rmSync(join(bin, name), { recursive: true });
  // A node in the state in which flannel leaves it: with flannel's plugin and the reference ones, which the agent replaces only when told
  // to.
  for (const name of ['flannel', 'bridge']) writeFileSync(join(bin, name), 'github.com/containernetworking/plugins');
  node.writeFile(CNI_CONF, JSON.stringify(conflist));
  node.writeFile(`${CONFLIST_FOLDER}/99-other.conflist`, '{}');
  writeLease(lab, 'peer', { subnet: '10.244.200.0/24', publicIp: '192.168.50.99', mac: '02:00:00:00:0a:01' });
});
afterAll(() => lab?.down());

async function startAgent(): Promise<void> {
  const install = [`--cni-conf=${CNI_CONF}`, '--cni-bin-replace=flannel', '--ip-masq'];
  const command = [builtAgent, ...flags, ...install].join(' ');
  await node.run(['sh', '-c', `${command} >/run/agent.log 2>&1 & echo $! >${PID_FILE}`]);
  await waitUntil(
    () => readdirSync(node.pathFromOutside(CONFLIST_FOLDER)).includes('10-flannel.conflist'),
    20_000,
    'the agent',
  );
}

async function stopAgent(): Promise<void> {
  const pid = node.readFile(PID_FILE).trim();
  await node.run(['kill', pid]);
  await waitUntil(async () => (await node.exec(['kill', '-0', pid])).exitCode !== 0, 10_000, 'the agent’s end');
}

async function cleanup(): Promise<CommandResult> {
  return await node.exec([builtAgent, 'cleanup', ...flags], { timeoutMs: 20_000 });
}

describe('flanneld cleanup', () => {
  test('finds nothing on a node without objects of ours', async () => {
    expect(await cleanup()).toMatchObject({ exitCode: 0, stdout: 'before: nothing\nafter: nothing\n' });
  });

  test('leaves the node as it was before the installation', async () => {
    const before = await inventory(node);
    expect(before['sysctls']).toContain('net.ipv4.ip_forward = 1');
    await startAgent();
    const pod = await node.addPod();
    expect((await node.run(['ip', 'route'])).includes('10.244.200.0/24')).toBe(true);
    await node.removePod(pod.name);
    await stopAgent();
    expect(await inventory(node)).not.toEqual(before);
    const { exitCode, stdout } = await cleanup();
    expect(stdout).toContain('  link flannel.1\n');
    expect(stdout).toContain('  table ip weft\n');
    expect(stdout).toContain(`  file ${SUBNET_FILE}\n`);
    expect(stdout).toContain('after: nothing\n');
    expect(exitCode).toBe(0);
    expect(await inventory(node)).toEqual(before);
  });

  test('keeps the bridge while pods are attached, says so, and removes it the next time', async () => {
    const before = await inventory(node);
    await startAgent();
    const pod = await node.addPod();
    await stopAgent();
    const first = await cleanup();
    expect(first.stdout.split('after:')[1]).toContain('  link cni0 (stays: 1 pod is attached to cni0)\n');
    expect(first.exitCode).toBe(0);
    expect(await node.run(['ip', 'link', 'show', 'cni0'])).toContain('UP');
    await node.run(['ip', 'netns', 'del', pod.name]).catch(() => undefined);
    await node.run([
      'sh',
      '-c',
      'ip link show master cni0 | sed -n "s/^[0-9]*: \\([^@:]*\\).*/\\1/p" | xargs -rn1 ip link del',
    ]);
    expect((await cleanup()).stdout).toContain('after: nothing\n');
    expect(await inventory(node)).toEqual(before);
  });

  test('removes nothing that belongs to a flannel that has come back, and everything once flannel is gone', async () => {
    const before = await inventory(node);
    await startAgent();
    const pod = await node.addPod();
    await node.removePod(pod.name);
    await stopAgent();
    const route = '10.244.200.0/24 via 10.244.200.0 dev flannel.1 onlink'.split(' ');
    // flannel does this at its start. It replaces our route that uses a nexthop object.
    await node.run(['ip', 'route', 'replace', ...route]);
    const { exitCode, stdout } = await cleanup();
    const why = `(stays: flannel runs here and has route ${route.join(' ')})`;
    const left = stdout.split('after:\n')[1]?.split('\n').sort();
    const shared = [
      `file ${CONFLIST_FOLDER}/10-flannel.conflist`,
      'link flannel.1',
      'link cni0',
      `directory ${CNI_CACHE_FOLDER}/networks`,
      `directory ${CNI_CACHE_FOLDER}/networks/cbr0`,
      `directory ${CNI_CACHE_FOLDER}/flannel`,
      `file ${SUBNET_FILE}`,
    ];
    expect(left).toEqual(['', ...shared.map((text) => `  ${text} ${why}`)].sort());
    expect(exitCode).toBe(0);
    expect(await node.run(['nft', 'list', 'tables'])).toBe('');
    expect(await node.run(['ip', 'nexthop'])).toBe('');
    await node.run(['ip', 'route', 'del', ...route]);
    expect((await cleanup()).stdout).toContain('after: nothing\n');
    expect(await inventory(node)).toEqual(before);
  });
});

describe('flanneld cleanup beside a live agent', () => {
  const refusal = /^flanneld: cleanup: use this node: an agent runs on this node \(.*\) \(.*--force.*\)\n$/;

  async function isRunning(): Promise<boolean> {
    const state = await node.exec(['sh', '-c', `grep State: /proc/$(cat ${PID_FILE})/status`]);
    return state.exitCode === 0 && !state.stdout.includes('zombie');
  }

  test.for<{ name: string; before?: readonly string[]; launcher?: readonly string[] }>([
    { name: 'found by its socket' },
    { name: 'without a socket', before: ['rm', `${SUBNET_FILE}.sock`] },
    { name: 'stopped, so that it answers nothing', before: ['sh', '-c', `kill -STOP $(cat ${PID_FILE})`] },
    { name: 'in another container', launcher: ['unshare', '--pid', '--fork', '--mount-proc'] },
  ])(
    'is refused before it changes anything, and with --force ends the agent first: $name',
    async ({ before, launcher = [] }) => {
      const clean = await inventory(node);
      await startAgent();
      if (before !== undefined) await node.run(before);
      const installed = await inventory(node);
      const run = (...more: string[]): Promise<CommandResult> =>
        node.exec([...launcher, builtAgent, 'cleanup', ...flags, ...more], { timeoutMs: 40_000 });
      const refused = await run();
      expect([refused.exitCode, refused.stdout]).toEqual([1, '']);
      expect(refused.stderr).toMatch(refusal);
      expect(await inventory(node)).toEqual(installed);
      expect(await isRunning()).toBe(true);
      const forced = await run('--force');
      expect(forced.stdout).toMatch(/^ending the agent: .*\nbefore:\n(.*\n)+after: nothing\n$/);
      expect(forced.exitCode).toBe(0);
      expect(await isRunning()).toBe(false);
      expect(await inventory(node)).toEqual(clean);
    },
  );

  test('with --force reports and fails when somebody starts the agent again', async () => {
    const command = [builtAgent, ...flags].join(' ');
    await node.run(['sh', '-c', `while sleep 0.1; do ${command}; done >/run/agent.log 2>&1 & echo $! >${PID_FILE}`]);
    await waitUntil(async () => (await cleanup()).exitCode !== 0, 20_000, 'the agent');
    const forced = await node.exec([builtAgent, 'cleanup', ...flags, '--force'], { timeoutMs: 40_000 });
    expect([forced.exitCode, forced.stderr]).toEqual([1, expect.stringMatching(/it was started meanwhile: stop what/)]);
    await stopAgent();
    await node.exec([builtAgent, 'cleanup', ...flags, '--force'], { timeoutMs: 40_000 });
    expect((await cleanup()).exitCode).toBe(0);
  });
});
