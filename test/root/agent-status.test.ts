// What a running agent reports about itself: by `flanneld status`, which uses its socket and needs no port, and in /metrics.

import { rmSync, statSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { StatusReport } from '../../flanneld/health/status/report.ts';
import { SUBNET_FILE } from '../lab/contract.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { waitUntil } from '../lab/processes.ts';
import { builtAgent } from '../lab/programs.ts';
import { dropLease, writeLease } from '../lab/support/leases.ts';

const LOOK_MS = 10_000;
const peer = { subnet: '10.244.200.0/24', publicIp: '192.168.50.99', mac: '02:00:00:00:0a:01' };
const netConf = { Network: '10.244.0.0/16', SubnetMax: '10.244.50.0', Backend: { Type: 'vxlan' } };

let lab: Lab;
let node: LabNode;

beforeAll(async () => {
  lab = await startLab({ nodes: 1, netConf });
  node = lab.node('node-1');
  writeLease(lab, 'peer', peer);
  await waitUntil(async () => (await report()).overlays[0]?.peers.programmed === 1, LOOK_MS, 'the peer');
});
afterAll(() => lab?.down());

function status(...flags: string[]) {
  return node.exec([process.execPath, builtAgent, 'status', `--subnet-file=${SUBNET_FILE}`, ...flags]);
}

async function report(): Promise<StatusReport> {
  return JSON.parse((await status('--json')).stdout) as StatusReport;
}

/** Removes something by hand and waits for the agent's ledger entry about the repair. */
async function drifted(harm: readonly string[], object: string) {
  const before = (await report()).drift.entries.length;
  await node.run(harm);
  const newest = async () => (await report()).drift.entries.slice(before).filter((entry) => entry.object === object);
  await waitUntil(async () => (await newest()).length > 0, LOOK_MS, `the repair of a ${object}`);
  return await newest();
}

describe('flanneld status', () => {
  test('shows node, device and peers, and exits with 0 when the node forwards', async () => {
    const { exitCode, stdout } = await status();
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^node {6}node-1$/m);
    expect(stdout).toMatch(/^device {4}flannel\.1 {2}MAC ([0-9a-f]{2}:?){6} {2}MTU 1450 {2}VNI 1 {2}port 8472$/m);
    expect(stdout).toMatch(/^peers {5}1 wanted, 1 programmed, 0 failing$/m);
    expect(stdout).toMatch(/^ {2}\+ firewall$/m);
  });

  test('works for root only, by a socket beside subnet.env', () => {
    const stat = statSync(node.pathFromOutside(`${SUBNET_FILE}.sock`));
    expect([stat.isSocket(), stat.mode & 0o777, stat.uid]).toEqual([true, 0o600, 0]);
  });

  test.for([
    {
      object: 'route',
      harm: `ip route del ${peer.subnet}`,
      want: { what: 'peer', was: 'missing', cmd: expect.stringMatching(/^ip route replace 10\.244\.200\.0\/24 nhid /) },
    },
    {
      object: 'fdb',
      harm: `bridge fdb replace ${peer.mac} dev flannel.1 dst 192.168.50.77 self permanent`,
      want: { what: 'peer', was: 'had dst 192.168.50.77', cmd: expect.stringMatching(/^bridge fdb replace 02:/) },
    },
    {
      object: 'link',
      harm: 'ip link set flannel.1 mtu 1400',
      want: { was: 'had MTU 1400', cmd: 'ip link set flannel.1 mtu 1450' },
    },
    { object: 'firewall', harm: 'nft delete table ip weft', want: { place: 'ip weft', was: 'missing' } },
  ])('shows that a $object was repaired: what was found, when, and the command that does the same', async (row) => {
    const entries = await drifted(row.harm.split(' '), row.object);
    expect(entries).toMatchObject([row.want]);
    expect(Date.now() - Date.parse(entries[0]?.time ?? '')).toBeLessThan(60_000);
  });

  test.for([
    { harm: 'ip link del flannel.1', was: 'missing', followed: { address: 1, neigh: 1, fdb: 1, nexthop: 1, route: 1 } },
    { harm: 'ip link set flannel.1 down', was: 'was down', followed: { nexthop: 1, route: 1 } },
  ])('shows one cause for everything that followed from it: $harm', async ({ harm, was, followed }) => {
    const before = (await report()).drift.entries.length;
    await drifted(harm.split(' '), 'link');
    const entries = (await report()).drift.entries.slice(before).filter(({ place }) => place === 'flannel.1');
    expect(entries).toMatchObject([{ object: 'link', what: 'flannel.1', was, followed }]);
  });

  test('names a device that somebody renamed, and counts none of its peers as programmed', async () => {
    const rename =
      'ip link set flannel.1 name tunnel9 || { ip link set flannel.1 down && ip link set flannel.1 name tunnel9; }';
    await node.run(['sh', '-c', rename]);
    const says = async (text: string): Promise<boolean> => (await status()).stdout.includes(text);
    await waitUntil(() => says('rename it back: ip link set tunnel9 name flannel.1'), LOOK_MS, 'the name');
    expect(await says('1 wanted, 0 programmed, 0 failing')).toBe(true);
    await node.run([
      'sh',
      '-c',
      rename.replaceAll('flannel.1', 'NEW').replaceAll('tunnel9', 'flannel.1').replaceAll('NEW', 'tunnel9'),
    ]);
    await waitUntil(() => says('1 wanted, 1 programmed, 0 failing'), LOOK_MS, 'the peer');
  });

  test('names a peer that is left out and the reason', async () => {
    writeLease(lab, 'odd', { ...peer, subnet: '10.99.0.0/24', publicIp: '192.168.50.98' });
    await waitUntil(async () => (await report()).overlays[0]?.peers.failing === 1, LOOK_MS, 'the problem');
    expect((await status()).stdout).toContain('! odd: subnet 10.99.0.0/24 is outside the network 10.244.0.0/16\n');
    rmSync(`${lab.leaseFolder}/odd.json`);
    await waitUntil(async () => (await report()).overlays[0]?.peers.failing === 0, LOOK_MS, 'no problem');
  });

  test('a node that is removed is logged as its peer removed, in one line, and the own lease with no MTU but the device’s', async () => {
    const lines = (): Record<string, unknown>[] =>
      node.agent
        .log()
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>);
    writeLease(lab, 'leaver', { subnet: '10.244.201.0/24', publicIp: '192.168.50.97', mac: '02:00:00:00:0a:02' });
    await waitUntil(async () => (await report()).overlays[0]?.peers.programmed === 2, LOOK_MS, 'the second peer');
    const before = lines().length;
    dropLease(lab, 'leaver');
    await waitUntil(async () => (await report()).overlays[0]?.peers.programmed === 1, LOOK_MS, 'its removal');
    // About this peer alone: the other one does not answer, which is logged when its probes have failed, at any time.
    const ofLeaver = lines()
      .slice(before)
      .filter(({ peer }) => peer === 'leaver');
    expect(ofLeaver).toMatchObject([{ msg: 'peer removed' }]);
    const taken = lines().filter(({ msg }) => msg === 'lease taken');
    expect(taken).toHaveLength(1);
    expect([undefined, 1450]).toContain(taken[0]?.['mtu']);
  });

  test('has the same counts in /metrics as the ledger', async () => {
    const { drift } = await report();
    const { status: code, body } = await node.agent.http('/metrics');
    expect(code).toBe(200);
    expect(body).toContain(`flannel_drift_repaired_total{object="route"} ${drift.totals.route}\n`);
    expect(body).toContain('flannel_peers{family="4",state="programmed"} 1\n');
    expect(body).toContain('flannel_ready 1\n');
  });

  test('says that the agent does not run, after a stop and after a kill, and works again after a start', async () => {
    await node.agent.kill();
    const killed = await status();
    expect([killed.exitCode, killed.stderr]).toEqual([
      1,
      `flanneld: status: ask ${SUBNET_FILE}.sock: ECONNREFUSED (the agent is not running)\n`,
    ]);
    await node.agent.start();
    await node.agent.ready();
    expect((await status()).exitCode).toBe(0);
    await node.agent.stop();
    expect((await status()).stderr).toContain('ENOENT');
  });
});
