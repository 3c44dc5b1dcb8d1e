// Backends that leave the path to other nodes to other programs: extension, which runs commands for each peer, and alloc.

import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SUBNET_FILE } from '../lab/contract.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { failed } from '../lab/matrix.ts';
import { subnetOf } from '../lab/mesh.ts';
import { waitUntil } from '../lab/processes.ts';
import { dropLease, readLeaseText, writeLeaseText } from '../lab/support/leases.ts';
import { statusReport } from '../lab/support/status.ts';

const LOOK_MS = 10_000;
const LOG = '/run/extension.log';
const ghost = '10.244.200.0/24';

/** The commands of the extension backend. Each writes down its arguments and its stdin. */
const scripts: Readonly<Record<string, string>> = {
  pre: `read said; echo pre >>${LOG}; echo '  node data; $(touch /run/pwned) '`,
  post: `read said; echo "post $* $NETWORK $PUBLIC_IP [$said]" >>${LOG}`,
  add: `read data; echo "add $* $SUBNET [$data]" >>${LOG}; [ -e /run/refuse ] && { echo refused >&2; exit 7; }
    exec ip route replace $1 via $2`,
  remove: `read data; echo "remove $* $SUBNET [$data]" >>${LOG}; exec ip route del $1 via $2`,
  shutdown: `echo "shutdown $* $SUBNET" >>${LOG}`,
};

const netConf = {
  Network: '10.244.0.0/16',
  SubnetMax: '10.244.50.0',
  Backend: {
    Type: 'extension',
    PreStartupCommand: '/opt/ext/pre',
    PostStartupCommand: '/opt/ext/post $SUBNET',
    SubnetAddCommand: '/opt/ext/add $SUBNET $PUBLIC_IP',
    SubnetRemoveCommand: '/opt/ext/remove $SUBNET $PUBLIC_IP',
    ShutdownCommand: '/opt/ext/shutdown now',
  },
};

function writeGhost(lab: Lab, publicIp: string, data: unknown = 'its data'): void {
  const lease = { Subnet: ghost, PublicIP: publicIp, BackendType: 'extension', BackendData: data };
  writeLeaseText(lab, 'ghost', JSON.stringify(lease));
}

describe('two nodes with extension', () => {
  let lab: Lab;
  let one: LabNode;
  let two: LabNode;
  const said = (): string[] => (existsSync(one.pathFromOutside(LOG)) ? one.readFile(LOG).trim().split('\n') : []);
  const says = (line: string): Promise<void> => waitUntil(() => said().includes(line), LOOK_MS, line);

  beforeAll(async () => {
    lab = await startLab({ nodes: 2, netConf, agent: { start: false } });
    [one, two] = [lab.node('node-1'), lab.node('node-2')];
    for (const node of lab.nodes) {
      for (const [name, text] of Object.entries(scripts)) {
        node.writeFile(`/opt/ext/${name}`, `#!/bin/sh\n${text}\n`);
        await node.run(['chmod', '755', `/opt/ext/${name}`]);
      }
    }
    for (const node of lab.nodes) await node.agent.start();
    for (const node of lab.nodes) await node.agent.ready();
    await waitUntil(async () => (await statusReport(one)).overlays[0]?.peers.programmed === 1, LOOK_MS, 'the peer');
    for (const node of lab.nodes) await node.addPod();
  });
  afterAll(() => lab?.down());

  test('advertise what the first command prints, and pass it to the peers’ commands', () => {
    expect(JSON.parse(readLeaseText(lab, 'node-2'))).toMatchObject({
      BackendType: 'extension',
      BackendData: 'node data; $(touch /run/pwned)',
    });
    const [own, other] = [subnetOf(one), subnetOf(two)];
    expect(said()).toEqual([
      'pre',
      `post ${own} 10.244.0.0/16 ${one.address} []`,
      `add ${other} ${two.address} ${other} [node data; $(touch /run/pwned)]`,
    ]);
    expect(existsSync(one.pathFromOutside('/run/pwned'))).toBe(false);
  });

  test('carry traffic by what the commands set up, with the underlay’s MTU', async () => {
    await waitUntil(
      async () => (await statusReport(two)).overlays[0]?.peers.programmed === 1,
      LOOK_MS,
      'the peer of node-2',
    );
    expect(failed(await lab.matrix())).toEqual([]);
    expect(one.readFile(SUBNET_FILE)).toContain('FLANNEL_MTU=1500\n');
    expect(await statusReport(one)).toMatchObject({
      backend: 'extension',
      overlays: [{ peers: { wanted: 1, failing: 0 } }],
    });
  });

  test('try a failed command again, separately from others, and show why', async () => {
    one.writeFile('/run/refuse', '');
    writeGhost(lab, '192.168.50.99');
    const problem = async () =>
      (await statusReport(one)).overlays[0]?.problems.find(({ key }) => key === 'ghost')?.reason;
    await waitUntil(async () => (await problem()) !== undefined, LOOK_MS, 'the problem');
    expect(await problem()).toMatch(/^exec: \/opt\/ext\/add 10\.244\.200\.0\/24 192\.168\.50\.99: exit 7 \(refused\)/);
    await one.run(['rm', '/run/refuse']);
    await waitUntil(async () => (await problem()) === undefined, LOOK_MS, 'no problem');
    expect(await one.run(['ip', 'route', 'show', ghost])).toContain('192.168.50.99');
  });

  test('run both commands for a peer that changed, with its old and its new values', async () => {
    writeGhost(lab, '192.168.50.98', 'other data');
    await says(`add ${ghost} 192.168.50.98 ${ghost} [other data]`);
    expect(said()).toContain(`remove ${ghost} 192.168.50.99 ${ghost} [its data]`);
  });

  test('refuse data that is no text', async () => {
    writeGhost(lab, '192.168.50.98', { a: 1 });
    await says(`remove ${ghost} 192.168.50.98 ${ghost} [other data]`);
    const { overlays } = await statusReport(one);
    expect(overlays[0]?.problems).toEqual([{ key: 'ghost', reason: 'backend data is an object, not a string' }]);
    writeGhost(lab, '192.168.50.98', 'other data');
    await waitUntil(async () => (await statusReport(one)).overlays[0]?.peers.programmed === 2, LOOK_MS, 'the peer');
  });

  test('run the last commands at the end, and after a start run nothing twice and remove who left meanwhile', async () => {
    await one.agent.stop();
    expect(said().at(-1)).toBe(`shutdown now ${subnetOf(one)}`);
    dropLease(lab, 'ghost');
    const before = said().length;
    await one.agent.start();
    await one.agent.ready();
    await says(`remove ${ghost} 192.168.50.98 ${ghost} [other data]`);
    await waitUntil(async () => (await statusReport(one)).overlays[0]?.peers.programmed === 1, LOOK_MS, 'one peer');
    expect(
      said()
        .slice(before)
        .map((line) => line.split(' ')[0]),
    ).toEqual(['pre', 'post', 'remove']);
    expect(await one.run(['ip', 'route', 'show', ghost])).toBe('');
    expect(failed(await lab.matrix())).toEqual([]);
  });

  test('run the commands to end and to start when this node’s address changes, and the peer learns of it', async () => {
    const before = said().length;
    await one.run(['sysctl', '-qw', 'net.ipv4.conf.eth0.promote_secondaries=1']);
    await one.run(['ip', 'address', 'add', '192.168.50.201/24', 'dev', 'eth0']);
    await one.run(['ip', 'address', 'del', `${one.address}/24`, 'dev', 'eth0']);
    const own = subnetOf(one);
    await says(`post ${own} 10.244.0.0/16 192.168.50.201 []`);
    expect(said().slice(before)).toEqual([`shutdown now ${own}`, 'pre', `post ${own} 10.244.0.0/16 192.168.50.201 []`]);
    await waitUntil(() => two.readFile(LOG).includes(`add ${own} 192.168.50.201 `), LOOK_MS, 'the peer’s command');
    await waitUntil(async () => failed(await lab.matrix()).length === 0, LOOK_MS, 'all pairs');
  });
});

test('alloc takes a lease and writes subnet.env and rules, and nothing else', async () => {
  const lab = await startLab({ nodes: 1, netConf: { Network: '10.244.0.0/16', Backend: { Type: 'alloc' } } });
  try {
    const node = lab.node('node-1');
    writeLeaseText(lab, 'peer', JSON.stringify({ Subnet: ghost, PublicIP: '192.168.50.99', BackendType: '' }));
    const { Subnet, ...lease } = JSON.parse(readLeaseText(lab, 'node-1')) as Record<string, unknown>;
    expect([Subnet, lease]).toEqual([subnetOf(node), { PublicIP: node.address, BackendType: '' }]);
    expect(node.readFile(SUBNET_FILE)).toContain('FLANNEL_MTU=1500\n');
    expect(await node.run(['nft', 'list', 'tables'])).toContain('table ip weft');
    expect(await node.run(['ip', 'route', 'show', 'proto', '138'])).toBe('');
    expect(await statusReport(node)).toMatchObject({
      backend: 'alloc',
      ready: true,
      overlays: [{ peers: { wanted: 0 } }],
    });
  } finally {
    await lab.down();
  }
});
