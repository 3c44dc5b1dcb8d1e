// The built agent on a real etcd and on a real kube-apiserver: it takes a lease, goes on without the server, and never
// hides a lost lease behind exit code 0.

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { renderLeaseValue } from '../../../flanneld/subnet/etcd/lease-key.ts';
import { builtAgent } from '../../lab/programs.ts';
import { Background } from '../../support/background.ts';
import { startEtcd } from '../../support/etcd.ts';
import { type HeldNetns, holdNetns } from '../../support/held-netns.ts';
import { apiserverNeeded, hasKubeApiserver, startKubeApiserver } from '../../support/kube-apiserver.ts';
import { makeKubeSite } from '../../support/kube-site.ts';
import { needs } from '../../support/needs.ts';
import { startRelay } from '../../support/netns-relay.ts';
import { never, nodeAttributes } from '../../support/store-contract.ts';
import { makeEtcdSite } from './etcd-site.ts';

const netConf = { Network: '10.244.0.0/16', Backend: { Type: 'vxlan' } };
const peer = '10.244.200.0/24';
const LOOK = { timeout: 30_000, interval: 100 };

/** A server with the cluster's state, as the agent sees it. */
interface Store {
  readonly url: URL;
  readonly flags: readonly string[];
  readonly nodeName: string;
  putPeer(host: number): Promise<void>;
  /** The store's data about this node for peers: its public IP and VTEP MAC. */
  published(): Promise<{ publicIp: unknown; data: string }>;
  /** Gives this node's subnet to another node. */
  steal(subnet: string): Promise<void>;
  stop(): Promise<void>;
  start(): Promise<void>;
}

async function etcdStore(): Promise<Store> {
  const cluster = await startEtcd({ members: 1 });
  onTestFinished(async () => await cluster.stop());
  const [member] = cluster.members;
  if (member === undefined) throw new Error('no member');
  const site = await makeEtcdSite(cluster, netConf);
  return {
    url: member.url,
    flags: [`--etcd-endpoints=${member.url.origin}`, `--etcd-prefix=${site.prefix}`],
    nodeName: 'a',
    putPeer: (host) => site.putPeer('p', peer, nodeAttributes(host)),
    async published() {
      const own = [...(await site.stored())].find(([key]) => key !== site.keyOf('p', peer));
      const { PublicIP, BackendData } = JSON.parse(own?.[1].value ?? '{}');
      return { publicIp: PublicIP, data: JSON.stringify(BackendData) };
    },
    async steal(subnet) {
      // Deleted and created again, because the agent takes a new key for another node's claim, but would restore one that was overwritten.
      const key = `/subnets/${site.keyOf('thief', subnet)}`;
      const leaseId = await site.gateway.grantLease(3600, never);
      await site.remove('thief', subnet);
      await site.put(key, renderLeaseValue(nodeAttributes(66)), leaseId);
    },
    stop: () => member.kill(),
    start: () => member.start(),
  };
}

async function kubeStore(dir: string): Promise<Store> {
  needs.machine(hasKubeApiserver(), apiserverNeeded);
  const server = await startKubeApiserver();
  onTestFinished(async () => await server.stop());
  const site = makeKubeSite(server.admin, netConf, { prefixPath: '/9' });
  await site.createNode('a', ['10.244.1.0/24']);
  const netConfigPath = join(dir, 'net-conf.json');
  writeFileSync(netConfigPath, JSON.stringify(netConf));
  return {
    url: server.url,
    flags: [
      '--kube-subnet-mgr',
      `--kubeconfig-file=${server.agentKubeconfig}`,
      `--kube-annotation-prefix=${site.prefix.slice(0, -1)}`,
      `--net-config-path=${netConfigPath}`,
    ],
    nodeName: site.nodeName('a'),
    putPeer: (host) => site.putPeer('p', peer, nodeAttributes(host)),
    async published() {
      const annotations = await site.annotations('a');
      return { publicIp: annotations['public-ip'], data: String(annotations['backend-data']) };
    },
    async steal() {
      await site.deleteNode('a');
      await site.createNode('a', ['10.244.99.0/24']);
    },
    stop: () => server.kill(),
    start: () => server.start(),
  };
}

interface Scene {
  readonly store: Store;
  readonly netns: HeldNetns;
  readonly subnetFile: string;
  start(): Background;
  /** The peer's public IP in the kernel's FDB. */
  fdb(): string;
  subnet(): string;
}

async function makeScene(openStore: (dir: string) => Promise<Store>): Promise<Scene> {
  needs.setUp(existsSync(builtAgent), builtAgent);
  const dir = mkdtempSync(join(tmpdir(), 'weft-agent-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  const store = await openStore(dir);
  const netns = await holdNetns();
  onTestFinished(() => netns.remove());
  netns.run('ip', 'link', 'set', 'lo', 'up');
  netns.run('ip', 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth0-far');
  netns.run('ip', 'link', 'set', 'eth0-far', 'up');
  netns.run('ip', 'address', 'add', '192.168.0.1/24', 'dev', 'eth0');
  netns.run('ip', 'link', 'set', 'eth0', 'up');
  netns.run('ip', 'route', 'add', 'default', 'via', '192.168.0.254');
  const stopRelay = await startRelay(netns.pid, store.url);
  onTestFinished(stopRelay);
  const subnetFile = join(dir, 'run/subnet.env');
  const inside: [string, ...string[]] = [
    'nsenter',
    '-t',
    String(netns.pid),
    '-n',
    'env',
    `NODE_NAME=${store.nodeName}`,
  ];
  return {
    store,
    netns,
    subnetFile,
    start() {
      const agent = new Background([
        ...inside,
        process.execPath,
        builtAgent,
        `--subnet-file=${subnetFile}`,
        ...store.flags,
      ]);
      onTestFinished(async () => await agent.stop());
      return agent;
    },
    fdb: () => /dst (\S+)/.exec(netns.run('bridge', 'fdb', 'show', 'dev', 'flannel.1'))?.[1] ?? 'none',
    subnet: () => /FLANNEL_SUBNET=(\S+)/.exec(readFileSync(subnetFile, 'utf8'))?.[1] ?? 'none',
  };
}

const stores = [
  { name: 'etcd', openStore: etcdStore },
  { name: 'Kubernetes', openStore: kubeStore },
];

describe.for(stores)('the agent on $name', ({ openStore }) => {
  test('forwards, goes on while the server is away, and ends with 1 when its lease is lost', {
    timeout: 240_000,
  }, async () => {
    const scene = await makeScene(openStore);
    const { store, netns, subnetFile, fdb, subnet } = scene;
    await store.putPeer(7);
    let agent = scene.start();
    await agent.ready(() => Promise.resolve(existsSync(subnetFile)), 60_000);
    await expect.poll(fdb, LOOK).toBe('192.168.0.7');
    const before = { subnet: subnet(), ...(await store.published()) };
    const mac = linkMac(netns);
    expect(before).toMatchObject({ publicIp: '192.168.0.1', data: `{"VNI":1,"VtepMAC":"${mac}"}` });
    await store.putPeer(8);
    await expect.poll(fdb, LOOK).toBe('192.168.0.8');

    // The server is down and a new agent process remembers nothing, so it has only the state that the old one saved.
    await agent.stop('SIGTERM');
    await store.stop();
    netns.run('ip', 'link', 'delete', 'flannel.1');
    rmSync(subnetFile);
    agent = scene.start();
    await agent.ready(() => Promise.resolve(existsSync(subnetFile)), 60_000);
    await expect.poll(fdb, LOOK).toBe('192.168.0.8');
    expect({ subnet: subnet(), mac: linkMac(netns) }).toEqual({ subnet: before.subnet, mac });

    await store.start();
    await store.putPeer(9);
    await expect.poll(fdb, LOOK).toBe('192.168.0.9');
    expect(await store.published()).toEqual({ publicIp: before.publicIp, data: before.data });

    // While the agent uses the remembered lease, it goes on asking the store for the real one.
    await expect.poll(() => agent.output, LOOK).toMatch(/"what":"lease","msg":"cluster state answers again"/);
    await store.steal(before.subnet.replace(/\.1\/24$/, '.0/24'));
    await expect.poll(() => agent.hasEnded, LOOK).toBe(true);
    expect(agent.exitCode).toBe(1);
    await expect.poll(() => agent.output, LOOK).toMatch(/: lost \(/);
  });
});

function linkMac(netns: HeldNetns): string {
  return String(netns.json('ip', '-j', 'link', 'show', 'flannel.1')[0]?.['address']);
}
