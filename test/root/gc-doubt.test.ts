// Garbage collection must keep everything of a pod that may be alive, however little is known about it: silent pods with names and
// MACs of the reference plugins, another boot id, clocks that were changed, an ADD in progress, a folder from another node. After a
// boot everything old is freed. None of these pods has names that Weft would recognise as its own.

import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, rmSync, utimesSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { CNI_CACHE_FOLDER, LEASE_FOLDER, NET_CONF_FILE, SUBNET_FILE } from '../lab/contract.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { waitUntil } from '../lab/processes.ts';
import { builtAgent } from '../lab/programs.ts';
import { slowed } from '../support/slowness.ts';

const ADDRESSES = `${CNI_CACHE_FOLDER}/networks/cbr0`;
const SAVED = `${CNI_CACHE_FOLDER}/flannel`;
const RESULTS = `${CNI_CACHE_FOLDER}/results`;
const BOOT_ID = '/proc/sys/kernel/random/boot_id';

interface Item {
  readonly kind: string;
  readonly name: string;
  readonly why: string;
}

let lab: Lab;
let node: LabNode;
const living = new Set<ReferencePod>();

beforeAll(async () => {
  lab = await startLab({ nodes: 1, agent: false });
  node = lab.node('node-1');
});
afterAll(() => lab?.down());

// The subnet has five addresses, 10.244.1.2 to .6.
beforeEach(() =>
  node.writeFile(
    SUBNET_FILE,
    'FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/29\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n',
  ),
);
afterEach(async () => {
  for (const pod of [...node.pods]) await node.removePod(pod.name).catch(() => undefined);
  for (const pod of [...living]) await pod.end();
  await node.exec(['ip', 'link', 'del', 'cni0']);
  for (const folder of [ADDRESSES, SAVED, RESULTS]) {
    rmSync(node.pathFromOutside(folder), { recursive: true, force: true });
  }
});

async function gc(...flags: string[]): Promise<{ freed: Item[]; kept: Item[] }> {
  return JSON.parse(await node.run([builtAgent, 'gc', '--json', ...flags]));
}

function addresses(): string[] {
  const folder = node.pathFromOutside(ADDRESSES);
  return existsSync(folder) ? readdirSync(folder).filter((name) => /^[0-9]/.test(name)) : [];
}

async function sh(script: string): Promise<string> {
  return (await node.run(['sh', '-ec', script])).trim();
}

/** What keeps a network namespace alive. */
type Held = 'pinned' | 'by a process';

interface ReferencePod {
  readonly containerId: string;
  readonly ip: string;
  readonly netns: string;
  readonly port: string;
  end(): Promise<void>;
}

/** Makes a pod as the reference plugins do, with a random name and MAC. The pod sends nothing. */
async function makeReferencePod(ip: string, held: Held): Promise<ReferencePod> {
  const containerId = randomBytes(32).toString('hex');
  const port = `veth${randomBytes(4).toString('hex')}`;
  await node.exec(['ip', 'link', 'add', 'cni0', 'up', 'type', 'bridge']);
  const name = `cni-${containerId.slice(0, 8)}`;
  const make = {
    pinned: `ip netns add ${name}; echo ${name}`,
    'by a process': 'unshare --net sleep 1000 >/dev/null 2>&1 & echo $!',
  };
  const place = await sh(make[held]);
  if (held === 'by a process') {
    const isIn = async (): Promise<boolean> =>
      (await sh(`readlink /proc/${place}/ns/net`)) !== (await sh('readlink /proc/self/ns/net'));
    await waitUntil(isIn, 5000, 'the namespace');
  }
  await sh(`ip link add ${port} master cni0 up type veth peer name eth0 netns ${place}`);
  node.writeFile(`${ADDRESSES}/${ip}`, `${containerId}\r\neth0`);
  const isGone = async (): Promise<boolean> => (await node.exec(['ip', 'link', 'show', port])).exitCode !== 0;
  const pod: ReferencePod = {
    containerId,
    ip,
    port,
    netns: held === 'pinned' ? `/var/run/netns/${place}` : `/proc/${place}/ns/net`,
    async end() {
      await sh(held === 'pinned' ? `ip netns del ${place}` : `kill ${place}`);
      await waitUntil(isGone, 5000, 'the end of the namespace');
      living.delete(pod);
    },
  };
  living.add(pod);
  return pod;
}

type Cache = 'nothing' | 'CNI 0.2.0 in containerd 1.6' | 'containerd 1.6' | 'containerd 2';

/** Writes the cached result as libcni in that runtime does. */
function remember({ containerId, ip, netns, port }: ReferencePod, cache: Cache): void {
  if (cache === 'nothing') return;
  const interfaces = [{ name: 'cni0' }, { name: port }, { name: 'eth0', sandbox: netns }];
  const old = { cniVersion: '0.2.0', ip4: { ip: `${ip}/29` } };
  const result = { cniVersion: '0.3.1', interfaces, ips: [{ version: '4', address: `${ip}/29`, interface: 2 }] };
  const entry = {
    kind: 'cniCacheV1',
    containerId,
    ifName: 'eth0',
    networkName: 'cbr0',
    ...(cache === 'containerd 2' ? { netns } : {}),
    result: cache === 'CNI 0.2.0 in containerd 1.6' ? old : result,
  };
  node.writeFile(`${RESULTS}/cbr0-${containerId}-eth0`, JSON.stringify(entry));
}

/** Leaves the folder as an earlier version of Weft did after Weft, flannel and Weft again, with a reboot between them. */
function stampEarlierBoot(): void {
  node.writeFile(`${ADDRESSES}/.boot`, 'a0000000-0000-4000-8000-000000000000 replaced\n');
}

async function runAgentOnce(): Promise<string> {
  const flags = [`--net-config-path=${NET_CONF_FILE}`, `--subnet-dir=${LEASE_FOLDER}`, '--node-name=node-1'];
  await sh(`${builtAgent} ${flags.join(' ')} --iface=eth0 >/run/agent.log 2>&1 & echo $! >/run/agent.pid`);
  const status = async (): Promise<number | null> => (await node.exec([builtAgent, 'status'])).exitCode;
  await waitUntil(
    async () => /"msg":"ready"|freed what/.test(node.readFile('/run/agent.log')) || (await status()) === 0,
    20_000,
    'the agent',
  );
  await sh('kill $(cat /run/agent.pid)');
  await waitUntil(
    async () => (await node.exec(['sh', '-c', 'kill -0 $(cat /run/agent.pid)'])).exitCode !== 0,
    10_000,
    'its end',
  );
  return node.readFile('/run/agent.log');
}

const everything = (['pinned', 'by a process'] as const).flatMap((held) =>
  (['nothing', 'CNI 0.2.0 in containerd 1.6', 'containerd 1.6', 'containerd 2'] as const).map((cache) => ({
    held,
    cache,
  })),
);

describe('a pod of the reference plugins that sends nothing', () => {
  test.for(everything)(
    'held $held, remembered by $cache, keeps its address as long as it lives',
    { timeout: slowed(60_000) },
    async ({ held, cache }) => {
      const pods = [];
      for (const last of [2, 3, 4, 5, 6]) pods.push(await makeReferencePod(`10.244.1.${last}`, held));
      for (const pod of pods) remember(pod, cache);
      stampEarlierBoot();
      expect((await gc()).freed).toEqual([]);
      stampEarlierBoot();
      await expect(node.addPod()).rejects.toThrow('no IP addresses available');
      expect(addresses()).toHaveLength(5);
      // Control: addresses of pods that are really gone are freed once no namespace on the node could be theirs.
      for (const pod of pods.slice(1)) await pod.end();
      const { freed, kept } = await gc('--dry-run');
      const isKnown = cache === 'containerd 1.6' || cache === 'containerd 2';
      expect(freed).toHaveLength(isKnown ? 4 : 0);
      expect(kept.map(({ why }) => why).join('\n')).toMatch(
        isKnown ? /is there$/ : /port veth[0-9a-f]{8} on cni0 is no known pod’s and may be its/,
      );
      await pods[0]?.end();
      expect((await gc()).freed).toHaveLength(5);
    },
  );

  test('keeps it over an agent’s start, when the saved boot id differs from the present one', {
    timeout: slowed(60_000),
  }, async () => {
    const pod = await makeReferencePod('10.244.1.2', 'pinned');
    remember(pod, 'CNI 0.2.0 in containerd 1.6');
    stampEarlierBoot();
    node.writeFile('/run/another-boot', 'b0000000-0000-4000-8000-000000000000\n');
    await sh(`mount --bind /run/another-boot ${BOOT_ID}`);
    expect(await runAgentOnce()).not.toContain('freed');
    await sh(`umount ${BOOT_ID}`);
    expect(addresses()).toEqual([pod.ip]);
    // The file is removed, so that an earlier version that is installed again does not rely on it.
    expect(existsSync(node.pathFromOutside(`${ADDRESSES}/.boot`))).toBe(false);
    await pod.end();
    expect(await runAgentOnce()).toContain('freed what a dead pod had');
    expect(addresses()).toEqual([]);
  });

  test.for([
    { name: 'back', seconds: 1_000_000 },
    { name: 'forward', seconds: 4_000_000_000 },
  ])('keeps it when the clock was set $name', async ({ seconds }) => {
    const pod = await makeReferencePod('10.244.1.2', 'by a process');
    stampEarlierBoot();
    for (const name of [pod.ip, '.boot']) utimesSync(node.pathFromOutside(`${ADDRESSES}/${name}`), seconds, seconds);
    expect((await gc()).freed).toEqual([]);
    await pod.end();
    expect((await gc()).freed).toHaveLength(1);
  });

  test('keeps it when its port was removed from the bridge', async () => {
    const pod = await makeReferencePod('10.244.1.2', 'pinned');
    await sh(`ip link set ${pod.port} nomaster`);
    const { freed, kept } = await gc();
    expect(freed).toEqual([]);
    expect(kept[0]?.why).toContain(`port ${pod.port} on no bridge is no known pod’s and may be its`);
    await pod.end();
    expect((await gc()).freed).toHaveLength(1);
  });

  test('keeps it when the netns that the runtime remembers has no name any more but still has processes', async () => {
    const pod = await makeReferencePod('10.244.1.2', 'by a process');
    remember({ ...pod, netns: '/run/netns/cni-removed', port: 'veth-unknown' }, 'containerd 2');
    const { freed, kept } = await gc();
    expect(freed).toEqual([]);
    expect(kept[0]?.why).toContain('/run/netns/cni-removed is gone, but port');
    await pod.end();
    expect((await gc()).freed).toHaveLength(1);
  });

  test('keeps it when the folder came from another node, whose pods are gone', async () => {
    const pod = await makeReferencePod('10.244.1.2', 'pinned');
    remember(pod, 'containerd 2');
    node.writeFile(`${ADDRESSES}/${pod.ip}`, 'elsewhere\r\neth0');
    const copied = { ...pod, containerId: 'elsewhere', netns: '/run/netns/elsewhere', port: 'veth0123abcd' };
    remember(copied, 'containerd 2');
    const { freed, kept } = await gc();
    expect(freed).toEqual([]);
    expect(kept[0]?.why).toContain(`but the runtime’s cache has ${pod.ip} for ${pod.containerId} eth0`);
    await pod.end();
    expect((await gc()).freed).toHaveLength(1);
  });
});

describe('what may be a pod', () => {
  test('includes a netns that no known pod has, until it is gone', async () => {
    node.writeFile(`${ADDRESSES}/10.244.1.2`, 'somebody\r\neth0');
    await sh('ip netns add being-attached');
    const { freed, kept } = await gc();
    expect(freed).toEqual([]);
    expect(kept[0]?.why).toContain('netns /run/netns/being-attached is no known pod’s and may be its');
    await sh('ip netns del being-attached');
    expect((await gc()).freed).toHaveLength(1);
  });

  test('does not include what our own ports explain, and NET_ADMIN is enough to see that', async () => {
    const pod = await node.addPod();
    rmSync(node.pathFromOutside(RESULTS), { recursive: true });
    node.writeFile(`${ADDRESSES}/10.244.1.6`, 'somebody\r\neth0');
    const own = ['setpriv', '--bounding-set', '-all,+net_admin', builtAgent, 'gc', '--json'];
    const { freed, kept } = JSON.parse(await node.run(own)) as { freed: Item[]; kept: Item[] };
    expect(freed.map(({ name }) => name)).toEqual(['10.244.1.6']);
    expect(kept.map(({ name }) => name)).toContain(pod.ip);
  });

  test('includes an ADD that holds the lock on its address or on its saved file, until the ADD ends', async () => {
    node.writeFile(`${ADDRESSES}/10.244.1.2`, 'somebody\r\neth0');
    node.writeFile(`${SAVED}/another:eth0`, '{"name":"cbr0","type":"bridge"}');
    const lock = (path: string): Promise<string> => sh(`flock -x -F ${path} sleep 1000 >/dev/null 2>&1 & echo $!`);
    const pids = [await lock(`${ADDRESSES}/10.244.1.2`), await lock(`${SAVED}/another:eth0`)];
    const isLocked = async (): Promise<boolean> =>
      (await node.exec(['flock', '-n', `${SAVED}/another:eth0`, 'true'])).exitCode !== 0 &&
      (await node.exec(['flock', '-n', `${ADDRESSES}/10.244.1.2`, 'true'])).exitCode !== 0;
    await waitUntil(isLocked, 5000, 'the locks');
    const { freed, kept } = await gc();
    expect([freed, kept.map(({ why }) => why)]).toEqual([[], Array(2).fill('its ADD is running')]);
    await sh(`kill ${pids.join(' ')}`);
    await waitUntil(async () => !(await isLocked()), 5000, 'the end of the locks');
    expect((await gc()).freed).toHaveLength(2);
  });

  test('does not include other programs’ bridges, uplinks, and ports whose peers are on the node', async () => {
    node.writeFile(`${ADDRESSES}/10.244.1.2`, 'somebody\r\neth0');
    await sh(`ip link add docker0 up type bridge; ip link add cni0 up type bridge; ip netns add theirs
      ip link add veth12ab34c master docker0 up type veth peer name eth0 netns theirs
      ip link add here0 master cni0 up type veth peer name here1; ip link set here1 up`);
    expect((await gc()).freed).toHaveLength(1);
    await sh('ip netns del theirs; ip link del docker0; ip link del here0');
  });
});

describe('a running ADD', () => {
  test('holds the locks on its saved file and its address until its port exists', async () => {
    await sh('ip netns add traced');
    const log = '/run/strace.log';
    const env = { CNI_COMMAND: 'ADD', CNI_CONTAINERID: 'traced', CNI_NETNS: '/run/netns/traced', CNI_IFNAME: 'eth0' };
    const conflist = '{"cniVersion":"1.0.0","name":"cbr0","type":"flannel"}';
    const argv = ['strace', '-f', '-qq', '-o', log, '/opt/cni/bin/flannel'];
    await node.run(argv, { env: { ...env, CNI_PATH: '/opt/cni/bin', PATH: '/usr/bin:/bin' }, input: conflist });
    const calls = node.readFile(log).split('\n');
    const port = calls.findIndex((call) => call.includes('veth'));
    for (const name of [`${SAVED}/traced:eth0`, `${ADDRESSES}/10.244.1.2`]) {
      const opened = calls.findIndex((call) => call.includes(`"${name}"`) && /O_EXCL.* = \d+$/.test(call));
      const fd = /= (\d+)$/.exec(calls[opened] ?? '')?.[1];
      expect(calls[opened + 1]).toContain(`flock(${fd}, LOCK_EX)`);
      const closed = calls.findIndex((call, at) => at > opened && call.includes(`close(${fd})`));
      expect(port).toBeGreaterThan(opened);
      expect(closed === -1 || closed > port).toBe(true);
    }
    await sh('ip netns del traced');
  });
});

test.for(['nothing', 'CNI 0.2.0 in containerd 1.6', 'containerd 1.6', 'containerd 2'] as const)(
  'after a boot everything old is freed without a command, remembered by %s',
  { timeout: slowed(60_000) },
  async (cache) => {
    const own = await node.addPod();
    const pods = [await makeReferencePod('10.244.1.5', 'pinned'), await makeReferencePod('10.244.1.6', 'by a process')];
    for (const pod of pods) remember(pod, cache);
    if (cache === 'nothing') rmSync(node.pathFromOutside(RESULTS), { recursive: true });
    node.writeFile(`${ADDRESSES}/10.244.1.4`, '');
    expect(addresses().sort()).toEqual([own.ip, '10.244.1.4', '10.244.1.5', '10.244.1.6'].sort());
    await node.reboot();
    living.clear();
    expect(await runAgentOnce()).toContain('freed what a dead pod had');
    expect(addresses()).toEqual([]);
    expect(readdirSync(node.pathFromOutside(SAVED))).toEqual([]);
  },
);
