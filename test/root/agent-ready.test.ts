// When and how the agent reports that its node forwards: to probes, in subnet.env, by the conflist, to the service manager.

import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CONFLIST_FOLDER, SUBNET_FILE } from '../lab/contract.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { waitUntil } from '../lab/processes.ts';
import { builtAgent } from '../lab/programs.ts';
import { writeLease } from '../lab/support/leases.ts';

const LOOK_MS = 10_000;
const CONFLIST = '10-flannel.conflist';
/** The first folder in the agent's PATH. */
const BIN = '/run/bin';

/** SubnetMax keeps the node's own subnet apart from those that the tests give to peers. */
const netConf = { Network: '10.244.0.0/16', SubnetMax: '10.244.50.0', Backend: { Type: 'vxlan' } };

let lab: Lab;
let node: LabNode;

beforeAll(async () => {
  const path = `${BIN}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`;
  lab = await startLab({ nodes: 1, netConf, agent: { env: { PATH: path } } });
  node = lab.node('node-1');
});
afterAll(() => lab?.down());

/** Makes nft fail, so that the agent cannot become ready. */
async function breakNft(): Promise<void> {
  node.writeFile(`${BIN}/nft`, '#!/bin/sh\necho "nft is broken" >&2\nexit 1\n');
  await node.run(['chmod', '+x', `${BIN}/nft`]);
}

function repairNft(): void {
  rmSync(node.pathFromOutside(`${BIN}/nft`));
}

function confFiles(): string[] {
  const folder = node.pathFromOutside(CONFLIST_FOLDER);
  return existsSync(folder) ? readdirSync(folder) : [];
}

describe('readiness', () => {
  test('comes last: as long as a part fails, nothing is installed, and the agent says which part and why', async () => {
    await node.agent.stop();
    rmSync(node.pathFromOutside(SUBNET_FILE));
    await breakNft();
    await node.agent.start();
    await waitUntil(async () => (await readyz()).includes('nft is broken'), LOOK_MS, 'the reason');
    expect(await answers('/healthz')).toBe(200);
    expect(await node.agent.http('/readyz?verbose')).toMatchObject({
      status: 503,
      body: expect.stringMatching(
        /\[\+\] device flannel.1 and its peers: ok\n\[-\] firewall: exec: nft .*\(nft is broken\)\n\[-\] subnet.env: not done yet/,
      ),
    });
    expect(existsSync(node.pathFromOutside(SUBNET_FILE))).toBe(false);
    expect(confFiles()).not.toContain(CONFLIST);
    repairNft();
    await node.agent.ready();
    expect(confFiles()).toContain(CONFLIST);
    expect(node.readFile(SUBNET_FILE)).toMatch(
      /^FLANNEL_NETWORK=10\.244\.0\.0\/16\nFLANNEL_SUBNET=10\.244\.\d+\.1\/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n$/,
    );
  });

  test('puts subnet.env back when somebody removes it', async () => {
    const before = node.readFile(SUBNET_FILE);
    rmSync(node.pathFromOutside(SUBNET_FILE));
    // A new lease makes the agent check its state.
    writeLease(lab, 'peer', { subnet: '10.244.200.0/24', publicIp: '192.168.50.99', mac: '02:00:00:00:0a:01' });
    await waitUntil(() => existsSync(node.pathFromOutside(SUBNET_FILE)), LOOK_MS, 'subnet.env');
    expect(node.readFile(SUBNET_FILE)).toBe(before);
  });

  test('ignores an earlier subnet.env that has no CIDR where one should be, and writes it anew', async () => {
    const before = node.readFile(SUBNET_FILE);
    await node.agent.stop();
    node.writeFile(SUBNET_FILE, before.replace(/^FLANNEL_SUBNET=.*$/m, 'FLANNEL_SUBNET=10.244.7.1/24,foo'));
    await node.agent.start();
    await node.agent.ready();
    expect(node.agent.log()).toContain('subnet.env of an earlier agent ignored');
    expect(node.readFile(SUBNET_FILE)).toBe(before);
  });

  test('follows the underlay’s MTU, on the device and in subnet.env', async () => {
    await node.run(['ip', 'link', 'set', 'eth0', 'mtu', '1400']);
    await waitUntil(() => node.readFile(SUBNET_FILE).includes('FLANNEL_MTU=1350\n'), LOOK_MS, 'the smaller MTU');
    expect(await node.run(['ip', 'link', 'show', 'flannel.1'])).toContain('mtu 1350');
    await node.run(['ip', 'link', 'set', 'eth0', 'mtu', '1500']);
    await waitUntil(() => node.readFile(SUBNET_FILE).includes('FLANNEL_MTU=1450\n'), LOOK_MS, 'the larger MTU');
  });

  test('is lost with the external interface, and comes back with it', async () => {
    await node.run(['sh', '-c', 'ip link set eth0 down; ip link set eth0 name eth9; ip link set eth9 up']);
    const body = async (): Promise<string> => (await node.agent.http('/readyz')).body;
    await waitUntil(
      async () => (await body()).includes('[-] external interface: eth0 has gone; '),
      LOOK_MS,
      'the reason',
    );
    expect(await answers('/readyz')).toBe(503);
    await node.run(['sh', '-c', 'ip link set eth9 down; ip link set eth9 name eth0; ip link set eth0 up']);
    await waitUntil(async () => (await answers('/readyz')) === 200, LOOK_MS, 'readiness');
  });

  test('is reported to the service manager once', async () => {
    await node.agent.stop();
    const listener = [
      'import os, socket, sys',
      's = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)',
      "s.bind('/run/notify')",
      's.settimeout(15)',
      'print(s.recv(100).decode(), flush=True)',
    ].join('\n');
    const heard = node.exec(['python3', '-c', listener], { timeoutMs: 20_000 });
    await waitUntil(() => existsSync(node.pathFromOutside('/run/notify')), LOOK_MS, 'the listener');
    const state = node.exec(
      ['timeout', '-s', 'TERM', '4', builtAgent, '--iface=eth0', '--subnet-dir=/run/lab/leases', '--node-name=node-1'],
      { env: { PATH: process.env['PATH'] ?? '', NOTIFY_SOCKET: '/run/notify' }, timeoutMs: 20_000 },
    );
    expect((await heard).stdout).toBe('READY=1\n');
    await state;
  });
});

describe('the conflist', () => {
  test('is set aside at the first start after a boot until the node forwards again', async () => {
    if (!(await node.agent.state()).running) await node.agent.start();
    await node.agent.ready();
    await node.reboot();
    // The conflist is still on the disk, so the runtime would use it.
    expect(confFiles()).toContain(CONFLIST);
    await breakNft();
    await node.agent.start();
    await waitUntil(() => !confFiles().includes(CONFLIST), LOOK_MS, 'the conflist aside');
    expect(confFiles()).toContain(`${CONFLIST}.not-ready`);
    repairNft();
    await node.agent.ready();
    expect(confFiles()).toContain(CONFLIST);
    expect(confFiles()).not.toContain(`${CONFLIST}.not-ready`);
  });

  test('stays over a restart of the agent', async () => {
    await node.agent.kill();
    expect(confFiles()).toContain(CONFLIST);
    await node.agent.start();
    await node.agent.ready();
    expect(confFiles()).toContain(CONFLIST);
  });

  test('is put back when somebody deletes or damages it, and this is noted', async () => {
    const path = node.pathFromOutside(`${CONFLIST_FOLDER}/${CONFLIST}`);
    const whole = readFileSync(path, 'utf8');
    const isWhole = (): boolean => existsSync(path) && readFileSync(path, 'utf8') === whole;
    rmSync(path);
    await waitUntil(isWhole, LOOK_MS, 'the conflist');
    writeFileSync(path, whole.slice(0, 40));
    await waitUntil(isWhole, LOOK_MS, 'the whole conflist');
    const status = await node.run([builtAgent, 'status']);
    expect(status).toContain(`cni-file of ${CONFLIST} (${CONFLIST_FOLDER}) missing`);
    expect(status).toContain(`cni-file of ${CONFLIST} (${CONFLIST_FOLDER}) no JSON`);
  });

  test('stays as somebody has changed it; the change is shown, and so is another conflist that sorts before it', async () => {
    const path = node.pathFromOutside(`${CONFLIST_FOLDER}/${CONFLIST}`);
    const whole = readFileSync(path, 'utf8');
    const root = JSON.parse(whole) as { plugins: object[] };
    const changed = JSON.stringify({ ...root, plugins: [...root.plugins, { type: 'istio-cni' }] });
    writeFileSync(path, changed);
    node.writeFile(`${CONFLIST_FOLDER}/00-other.conflist`, '{}');
    const body = async (): Promise<string> => (await node.agent.http('/readyz?verbose')).body;
    await waitUntil(
      async () => (await body()).includes(`${CONFLIST} was changed by another program`),
      LOOK_MS,
      'the change',
    );
    await waitUntil(async () => (await body()).includes('00-other.conflist sorts before'), LOOK_MS, 'the other');
    expect(await answers('/readyz')).toBe(200);
    expect(readFileSync(path, 'utf8')).toBe(changed);
    rmSync(node.pathFromOutside(`${CONFLIST_FOLDER}/00-other.conflist`));
    writeFileSync(path, whole);
    await waitUntil(async () => !(await body()).includes('[!] cni'), LOOK_MS, 'no finding');
  });

  test('is removed by `flanneld withdraw`, and the running agent does not put it back', async () => {
    expect(await node.run([builtAgent, 'withdraw'])).toBe(`removed ${CONFLIST_FOLDER}/${CONFLIST}\n`);
    expect(confFiles()).not.toContain(CONFLIST);
    expect(await node.run([builtAgent, 'withdraw'])).toBe(`no ${CONFLIST} in ${CONFLIST_FOLDER}\n`);
    writeLease(lab, 'peer', { subnet: '10.244.201.0/24', publicIp: '192.168.50.99', mac: '02:00:00:00:0a:01' });
    await waitUntil(async () => (await node.run(['ip', 'route'])).includes('10.244.201.0/24'), LOOK_MS, 'the peer');
    const body = async (): Promise<string> => (await node.agent.http('/readyz?verbose')).body;
    await waitUntil(
      async () => (await body()).includes('was removed by flanneld withdraw'),
      LOOK_MS,
      'a look after it',
    );
    expect(confFiles()).not.toContain(CONFLIST);
  });
});

async function readyz(): Promise<string> {
  try {
    return (await node.agent.http('/readyz')).body;
  } catch {
    return ''; // nobody listens yet
  }
}

async function answers(path: string): Promise<number | undefined> {
  try {
    return (await node.agent.http(path)).status;
  } catch {
    return undefined; // nobody listens yet
  }
}
