// A node whose kernel lacks something: the agent says what, preflight says so before the installation, and the printed remedy works. `npm
// run suite -- kernels` boots a machine that does not find these modules.

import { spawnSync } from 'node:child_process';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Finding } from '../../flanneld/health/finding.ts';
import { NET_CONF_FILE } from '../lab/contract.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { waitUntil } from '../lab/processes.ts';
import { builtAgent } from '../lab/programs.ts';
import { readLeaseText } from '../lab/support/leases.ts';
import { allPodsReach } from '../lab/support/status.ts';
import { needs } from '../support/needs.ts';
import { hasLinkKind } from './has-link-kind.ts';

const LOOK_MS = 20_000;

/** Whether the kernel accepts a chain of nftables. It loads the modules that the chain needs, if it finds them. */
function takes(chain: string): boolean {
  const script = `table inet try { chain c { ${chain}; }; }`;
  return spawnSync('unshare', ['--net', 'nft', '-f', '-'], { input: script }).status === 0;
}
const hasMasquerade = takes('type nat hook postrouting priority 100; masquerade');
const hasFib = takes('type filter hook prerouting priority 0; fib daddr type local accept');

async function lab(options: Parameters<typeof startLab>[0]): Promise<Lab> {
  const made = await startLab(options);
  onTestFinished(() => made.down());
  return made;
}

interface Report {
  readonly fit: boolean;
  readonly findings: readonly Finding[];
}

async function preflight(node: LabNode): Promise<Report> {
  const argv = [builtAgent, 'preflight', `--net-config-path=${NET_CONF_FILE}`, '--json'];
  return JSON.parse((await node.exec(argv)).stdout) as Report;
}

describe.each([
  { type: 'wireguard', has: hasLinkKind('wireguard'), module: 'wireguard', name: 'WireGuard' },
  { type: 'ipip', has: hasLinkKind('ipip', 'local', '192.0.2.1'), module: 'ipip', name: 'IPIP' },
])('without the module $module', ({ type, has, module, name }) => {
  test('the agent of the backend names it, and preflight does', async () => {
    needs.machine(!has, `a kernel without ${name}`);
    const netConf = { Network: '10.244.0.0/16', Backend: { Type: type } };
    const made = await lab({ nodes: 1, netConf, agent: { start: false } });
    const node = made.node('node-1');
    await node.agent.start();
    await expect(node.agent.ready()).rejects.toThrow();
    expect(node.agent.log()).toMatch(new RegExp(`kernel has no ${name}: .*module ${module}`));
    const { fit, findings } = await preflight(node);
    expect(fit).toBe(false);
    const [finding] = findings.filter(({ cause }) => cause === `the kernel lacks: ${type}`);
    expect(finding).toMatchObject({ id: 'kernel-feature-missing', severity: 'error' });
    expect(finding?.fix).toContain(`\`modprobe ${module}\``);
  });
});

test('without the module wireguard a node whose cluster moves there stays with vxlan', async () => {
  needs.machine(!hasLinkKind('wireguard'), 'a kernel without WireGuard');
  const Backend = { Type: 'vxlan', MoveTo: { Type: 'wireguard' } };
  // By iptables, because the machine of the suite cannot masquerade in nftables either.
  const made = await lab({ nodes: 2, netConf: { Network: '10.244.0.0/16', EnableNFTables: false, Backend } });
  for (const node of made.nodes) await node.addPod();
  await allPodsReach(made);
  const node = made.node('node-1');
  expect(node.agent.log()).toContain('this node cannot move to wireguard, peers reach it by vxlan only');
  expect(readLeaseText(made, node.name)).not.toContain('MoveData');
});

describe('without nft_masq', () => {
  test('the agent is not ready and says why, and preflight names the way that works', async () => {
    needs.machine(!hasMasquerade, 'a kernel that cannot masquerade in nftables');
    const made = await lab({ nodes: 2, agent: { start: false } });
    const node = made.node('node-1');
    const { findings } = await preflight(node);
    const [finding] = findings.filter(({ cause }) => cause === 'the kernel lacks: masquerade');
    expect(finding).toMatchObject({ id: 'kernel-feature-missing', severity: 'warning' });
    expect(finding?.fix).toContain('"EnableNFTables": false');
    for (const each of made.nodes) await each.agent.start();
    const readyz = async (): Promise<string> =>
      await node.agent.http('/readyz?verbose').then(
        ({ body }) => body,
        () => '',
      );
    // At first the firewall is only not there yet.
    await waitUntil(async () => /^\[-\] firewall.*nft/m.test(await readyz()), LOOK_MS, 'the firewall to fail');
  });

  test('with "EnableNFTables": false the agent masquerades by iptables', async () => {
    needs.machine(!hasMasquerade, 'a kernel that cannot masquerade in nftables');
    const netConf = { Network: '10.244.0.0/16', EnableNFTables: false, Backend: { Type: 'vxlan' } };
    const made = await lab({ nodes: 2, netConf });
    for (const node of made.nodes) await node.addPod();
    await allPodsReach(made);
    const rules = await made.node('node-1').run(['iptables-save', '-t', 'nat']);
    expect(rules).toContain('-j MASQUERADE');
  });
});

test('without nft_fib preflight says what needs it', async () => {
  needs.machine(!hasFib, 'a kernel without the fib expression of nftables');
  const made = await lab({ nodes: 1, agent: { start: false } });
  const { findings } = await preflight(made.node('node-1'));
  const [finding] = findings.filter(({ cause }) => cause === 'the kernel lacks: fib expression');
  expect(finding?.fix).toContain('`modprobe nft_fib_inet`');
});
