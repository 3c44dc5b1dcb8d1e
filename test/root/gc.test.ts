// `flanneld gc` and the agent's start free what dead pods hold, and keep and report what may belong to a live pod. The pods are made by the
// real executables (ours and the reference ones) in real namespaces.

import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { CNI_CACHE_FOLDER, LEASE_FOLDER, NET_CONF_FILE, SUBNET_FILE } from '../lab/contract.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import type { LabPod } from '../lab/lab-pod.ts';
import { waitUntil } from '../lab/processes.ts';
import { builtAgent } from '../lab/programs.ts';
import { REFERENCE_BIN } from '../support/cni-node.ts';
import { needs } from '../support/needs.ts';
import { slowed } from '../support/slowness.ts';

const ADDRESSES = `${CNI_CACHE_FOLDER}/networks/cbr0`;
const SAVED = `${CNI_CACHE_FOLDER}/flannel`;

interface Item {
  readonly kind: string;
  readonly name: string;
  readonly holder: string;
  readonly why: string;
}

let lab: Lab;
let node: LabNode;

beforeAll(async () => {
  lab = await startLab({ nodes: 1, agent: false });
  node = lab.node('node-1');
  // With systemd, /run/netns is a mount like this. The lab's nodes do not propagate mounts.
  await node.run(['mount', '--bind', '/run/netns', '/run/netns']);
  await node.run(['mount', '--make-shared', '/run/netns']);
});
afterAll(() => lab?.down());

beforeEach(() => {
  node.writeFile(
    SUBNET_FILE,
    'FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n',
  );
});
afterEach(async () => {
  for (const pod of [...node.pods]) await node.removePod(pod.name).catch(() => undefined);
  await node.exec(['ip', 'link', 'del', 'cni0']);
  rmSync(node.pathFromOutside(CNI_CACHE_FOLDER), { recursive: true, force: true });
});

async function gc(...flags: string[]): Promise<{ freed: Item[]; kept: Item[]; dryRun: boolean }> {
  return JSON.parse(await node.run([builtAgent, 'gc', '--json', ...flags]));
}

/** Removes the pod as if the runtime and all its processes had died, without a DEL. */
async function die({ netns }: LabPod): Promise<void> {
  const veths = async (): Promise<number> =>
    (await node.run(['ip', '-o', 'link', 'show', 'type', 'veth'])).split('\n').filter((line) => line.includes('cni0'))
      .length;
  const before = await veths();
  await node.run(['sh', '-c', `umount ${netns} && rm ${netns}`]);
  await waitUntil(async () => (await veths()) < before, 5000, 'the end of the namespace');
}

function names(folder: string): string[] {
  const outside = node.pathFromOutside(folder);
  return existsSync(outside) ? readdirSync(outside).sort() : [];
}

/** The address files and their index, without files that have no holder. */
function held(): string[] {
  return names(ADDRESSES).filter((name) => !['lock', 'last_reserved_ip.0'].includes(name));
}

function heldBy(pod: LabPod): string[] {
  return [`.${pod.containerId}:eth0:0`, pod.ip];
}

/** Runs a reference plugin, as another runtime would, and keeps its result as libcni does. */
async function reference(plugin: string, cid: string, netns: string): Promise<void> {
  const config = {
    cniVersion: '1.0.0',
    name: 'cbr0',
    type: plugin,
    bridge: 'cni0',
    isGateway: true,
    ipam: { type: 'host-local', ranges: [[{ subnet: '10.244.1.0/24' }]] },
  };
  const env = {
    CNI_COMMAND: 'ADD',
    CNI_CONTAINERID: cid,
    CNI_NETNS: netns,
    CNI_IFNAME: 'eth0',
    CNI_PATH: REFERENCE_BIN,
  };
  const result = await node.run([`${REFERENCE_BIN}/${plugin}`], { env, input: JSON.stringify(config) });
  mkdirSync(node.pathFromOutside(`${CNI_CACHE_FOLDER}/results`), { recursive: true });
  remember(cid, netns, JSON.parse(result));
}

function remember(cid: string, netns: string, result: object): void {
  const entry = { kind: 'cniCacheV1', containerId: cid, ifName: 'eth0', networkName: 'cbr0', netns, result };
  writeFileSync(node.pathFromOutside(`${CNI_CACHE_FOLDER}/results/cbr0-${cid}-eth0`), JSON.stringify(entry));
}

async function answers(ip: string): Promise<boolean> {
  return (await node.ping([ip]))[0]?.rttMs !== undefined;
}

describe('flanneld gc', () => {
  test('frees a pod whose netns disappeared without a DEL, and keeps a live one', async () => {
    const [alive, dead] = [await node.addPod(), await node.addPod()];
    await die(dead);
    const { freed, kept } = await gc();
    const why = `its netns ${dead.netns} is gone`;
    const holder = `${dead.containerId} eth0`;
    expect(freed).toMatchObject([
      { kind: 'address', name: dead.ip, holder, why },
      { kind: 'saved configuration', name: `${SAVED}/${dead.containerId}:eth0`, holder, why },
    ]);
    expect(kept.map(({ name, why: reason }) => [name, reason])).toEqual([
      [alive.ip, `its netns ${alive.netns} is there`],
      [`${SAVED}/${alive.containerId}:eth0`, `its netns ${alive.netns} is there`],
    ]);
    expect(held()).toEqual(heldBy(alive));
    expect(names(SAVED)).toEqual([alive.containerId, `${alive.containerId}:eth0`]);
    expect(await answers(alive.ip)).toBe(true);
    expect((await gc()).freed).toEqual([]);
  });

  test('changes nothing with --dry-run, and prints one line for each thing', async () => {
    const [alive, dead] = [await node.addPod(), await node.addPod()];
    await die(dead);
    const before = [held(), names(SAVED)];
    const text = await node.run([builtAgent, 'gc', '--dry-run']);
    const [deadId, aliveId] = [dead, alive].map(({ containerId }) => containerId.slice(0, 13));
    expect(text.trim().split('\n')).toEqual([
      `would free address ${dead.ip} of ${deadId} eth0: its netns ${dead.netns} is gone`,
      `would free saved configuration ${SAVED}/${deadId}:eth0 of ${deadId} eth0: its netns ${dead.netns} is gone`,
      `kept address ${alive.ip} of ${aliveId} eth0: its netns ${alive.netns} is there`,
      `kept saved configuration ${SAVED}/${aliveId}:eth0 of ${aliveId} eth0: its netns ${alive.netns} is there`,
      'would free 1 address and 1 saved configuration, kept 1 address and 1 saved configuration in network cbr0',
    ]);
    expect([held(), names(SAVED)]).toEqual(before);
  });

  test('frees a pod of which the runtime remembers nothing, beside a live one', async () => {
    const [alive, dead] = [await node.addPod(), await node.addPod()];
    await die(dead);
    rmSync(node.pathFromOutside(`${CNI_CACHE_FOLDER}/results`), { recursive: true });
    const { freed, kept } = await gc();
    expect(freed.map(({ name, why }) => [name, why])).toEqual([
      [dead.ip, 'every port and every pinned netns of this node is another’s'],
      [`${SAVED}/${dead.containerId}:eth0`, 'every port and every pinned netns of this node is another’s'],
    ]);
    expect(kept[0]?.why).toMatch(/but its port veth[0-9a-f]{11} is there$/);
    expect(held()).toEqual(heldBy(alive));
  });

  test('keeps what is still on the bridge, whatever the runtime remembers', async () => {
    const pod = await node.addPod();
    remember(pod.containerId, '/run/netns/never', {});
    const { freed, kept } = await gc();
    expect(freed).toEqual([]);
    expect(kept[0]?.why).toMatch(/^its netns \/run\/netns\/never is gone, but its port veth[0-9a-f]{11} is there$/);
  });

  test('concludes nothing when it may not see namespaces', async () => {
    const pod = await node.addPod();
    await die(pod);
    const private_ = ['unshare', '--mount', '--propagation', 'private', builtAgent, 'gc', '--json'];
    const { freed, kept } = JSON.parse(await node.run(private_)) as { freed: Item[]; kept: Item[] };
    expect(freed).toEqual([]);
    expect(kept[0]?.why).toMatch(/^\/run\/netns is mounted without propagation/);
    expect((await gc('--netns-dir=/run/elsewhere')).freed).toEqual([]);
    expect(held()).toEqual(heldBy(pod));
  });

  test('removes a port of the bridge that leads to no pod, and no other', async () => {
    const pod = await node.addPod();
    const add = (name: string, peer: string) =>
      node.run(['sh', '-c', `ip link add ${name} type veth peer name ${peer} && ip link set ${name} master cni0 up`]);
    await add('veth0123456789a', 'lone0');
    await add('veth0123456789b', 'used0');
    await node.run(['sh', '-c', 'ip link set used0 up']);
    await add('uplink0', 'uplink1');
    const { freed } = await gc();
    expect(freed).toMatchObject([{ kind: 'veth', name: 'veth0123456789a' }]);
    const left = await node.run(['ip', '-o', 'link', 'show', 'master', 'cni0']);
    expect(left).not.toContain('veth0123456789a');
    for (const name of ['veth0123456789b', 'uplink0']) expect(left).toContain(name);
    expect(await answers(pod.ip)).toBe(true);
    for (const name of ['veth0123456789b', 'uplink0']) await node.run(['ip', 'link', 'del', name]);
  });

  test('judges entries of the reference plugins together with ours', async () => {
    for (const name of ['host-local', 'bridge'])
      needs.machine(existsSync(`${REFERENCE_BIN}/${name}`), `${REFERENCE_BIN}/${name}`);
    const dead = await node.addPod();
    await node.run(['ip', 'netns', 'add', 'go-alive']);
    await reference('host-local', 'go-gone', '/run/netns/go-gone');
    await reference('bridge', 'go-alive', '/run/netns/go-alive');
    await die(dead);
    const { freed, kept } = await gc();
    expect(freed.map(({ kind, holder }) => `${kind} of ${holder}`).sort()).toEqual(
      [
        'address of go-gone eth0',
        `address of ${dead.containerId} eth0`,
        `saved configuration of ${dead.containerId} eth0`,
      ].sort(),
    );
    expect(kept.map(({ holder }) => holder)).toEqual(['go-alive eth0']);
    // This pod is idle and its MAC is unknown. Only the name of its host end, in the runtime's cache, shows that it is alive.
    const path = `${CNI_CACHE_FOLDER}/results/cbr0-go-alive-eth0`;
    node.writeFile(path, node.readFile(path).replaceAll('/run/netns/go-alive', '/run/netns/other'));
    expect((await gc()).kept[0]?.why).toMatch(/but its port veth[0-9a-f]{8} is there$/);
    await node.run(['ip', 'netns', 'del', 'go-alive']);
  });

  test(
    'frees nothing of a pod that is being attached meanwhile, and loses no address to both',
    async () => {
      const rounds = Array.from({ length: 12 }, async () => {
        const pod = await node.addPod();
        return pod;
      });
      const collecting = Array.from({ length: 6 }, () => gc());
      const pods = await Promise.all(rounds);
      const dead = pods.slice(0, 6);
      const collected = await Promise.all(collecting);
      expect(collected.flatMap(({ freed }) => freed)).toEqual([]);
      for (const pod of dead) await die(pod);
      const [, ...others] = await Promise.all([gc(), ...Array.from({ length: 6 }, () => node.addPod()), gc()]);
      const alive = [...pods.slice(6), ...others.slice(0, 6)] as LabPod[];
      expect(new Set(alive.map(({ ip }) => ip)).size).toBe(12);
      expect(held()).toEqual(alive.flatMap(heldBy).sort());
      for (const { ip } of alive) expect(await answers(ip)).toBe(true);
    },
    slowed(60_000),
  );
});

describe('the agent’s start', () => {
  test('frees what dead pods hold, logs it, and shows it in its status', async () => {
    const dead = await node.addPod();
    await die(dead);
    const flags = [
      `--net-config-path=${NET_CONF_FILE}`,
      `--subnet-dir=${LEASE_FOLDER}`,
      '--node-name=node-1',
      '--iface=eth0',
    ];
    await node.run(['sh', '-c', `${builtAgent} ${flags.join(' ')} >/run/agent.log 2>&1 & echo $! >/run/agent.pid`]);
    await waitUntil(async () => (await node.exec([builtAgent, 'status'])).exitCode === 0, 20_000, 'the agent');
    expect(held()).toEqual([]);
    expect(node.readFile('/run/agent.log')).toContain('freed what a dead pod had');
    const status = JSON.parse(await node.run([builtAgent, 'status', '--json']));
    expect(status.drift.totals).toMatchObject({ attachment: 2 });
    expect(status.drift.entries[0]).toMatchObject({
      object: 'attachment',
      place: 'cbr0',
      what: `address ${dead.ip} ${dead.containerId} eth0`,
      was: `its netns ${dead.netns} is gone`,
      cmd: `rm ${ADDRESSES}/${dead.ip}`,
    });
    await node.run(['sh', '-c', 'kill $(cat /run/agent.pid)']);
    await waitUntil(async () => (await node.exec([builtAgent, 'status'])).exitCode !== 0, 10_000, 'its end');
  });

  test('does not wait for a lock that nobody releases', async () => {
    await node.addPod();
    const script = `exec 9<>${ADDRESSES}/lock; flock 9; sleep 60 & echo $!`;
    const pid = (await node.run(['sh', '-c', `${script.replace('sleep 60', 'sleep 60 >/dev/null 2>&1')}`])).trim();
    await waitUntil(
      async () => (await node.exec(['flock', '-n', `${ADDRESSES}/lock`, 'true'])).exitCode !== 0,
      5000,
      'the lock',
    );
    const { exitCode, stderr } = await node.exec([builtAgent, 'gc'], { timeoutMs: 30_000 });
    expect([exitCode, stderr]).toEqual([1, `flanneld: gc: lock ${ADDRESSES}/lock: EAGAIN (held)\n`]);
    await node.run(['sh', '-c', `kill ${pid}`]);
  });
});
