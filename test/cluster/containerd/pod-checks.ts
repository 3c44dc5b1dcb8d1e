// Checks of what kubelet relies on, in the order of a node's life: no network yet, pods, traffic, restarts, the end.

import { randomBytes } from 'node:crypto';
import { addToIp, contains, formatIp, parseIp, parsePrefix } from '../../../lib/ip.ts';
import { UNDERLAY_GATEWAY } from '../../lab/host/underlay.ts';
import { type Lab, startLab } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/lab-node.ts';
import { subnetOf } from '../../lab/mesh.ts';
import type { NodeOptions } from '../../lab/node-spec.ts';
import { waitUntil } from '../../lab/processes.ts';
import { builtAgent } from '../../lab/programs.ts';
import { type Check, holds, same } from './check.ts';
import { HOST_PORT, hostPortChecks, portMappings } from './host-ports.ts';
import { leftovers } from './leftovers.ts';
import { CriPod } from './pod.ts';
import { CONFLIST, type Site } from './site.ts';

const NODES = [1, 2, 3] as const;
const SUBNET_FILE = '/run/flannel/subnet.env';

/** Starts nodes with ready agents, except on the last node, which has no running agent and no conflist. */
export async function startNodes(options: NodeOptions): Promise<Lab> {
  const lab = await startLab({ nodes: NODES.length, ...options });
  const last = lab.nodes.at(-1);
  await last?.agent.kill();
  await last?.run(['rm', CONFLIST]);
  return lab;
}

function subnet(site: Site, index: number): string {
  return subnetOf(site.node(index)) ?? 'none';
}

function isIn(site: Site, index: number, ip: string): void {
  holds(contains(parsePrefix(subnet(site, index)), parseIp(ip)), `${ip} is not in ${subnet(site, index)}`);
}

const beginning: readonly Check<Site>[] = [
  {
    name: 'bin_dir has the plugins under test and nothing else',
    run: async (site) => {
      const names = (await site.node(1).run(['ls', '/opt/cni/bin'])).trim().split('\n');
      same('names', names.toSorted(), site.plugins.names.toSorted());
    },
  },
  {
    name: 'without a conflist the network is not ready',
    run: async (site) => same('ready', (await site.containerd(3).network()).ready, false),
  },
  {
    name: 'without a conflist no pod starts, and the error says so',
    run: async (site) => {
      const text = await CriPod.sandbox(site.containerd(3), 'early').then(
        () => 'it started',
        (error: Error) => error.message,
      );
      holds(text.includes('cni plugin not initialized'), text);
    },
  },
  {
    name: 'the agent installs the conflist when ready, and the network is ready without a restart',
    run: async (site) => {
      await site.node(3).agent.start();
      await site.node(3).agent.ready();
      const isReady = async (): Promise<boolean> => (await site.containerd(3).network()).ready;
      await waitUntil(isReady, 5000, `NetworkReady (${(await site.containerd(3).network()).message})`);
    },
  },
];

const pods: readonly Check<Site>[] = [
  {
    name: 'what the failed start left is removed once there is a network',
    run: async (site) => {
      const { cri } = site.containerd(3);
      const { items } = await cri.call('ListPodSandbox', {});
      for (const { id } of items) await cri.call('RemovePodSandbox', { podSandboxId: id });
      // containerd 1 keeps the sandbox until somebody removes it; containerd 2 removes it itself.
      const { runtimeVersion } = await cri.call('Version', { version: 'v1' });
      const kept = /^v?1\./.test(runtimeVersion) ? 1 : 0;
      same('left', [items.length, await leftovers(site.node(3), { ports: [HOST_PORT] })], [kept, []]);
    },
  },
  ...NODES.map(
    (index): Check<Site> => ({
      name: `a pod runs on node ${index}, its address from the node’s subnet`,
      run: async (site) => {
        const pod = await site.run(index, `web-${index}`, index === 1 ? { portMappings } : {});
        isIn(site, index, pod.ip);
        same('addresses in the result', await site.addresses(pod.name), [pod.ip]);
      },
    }),
  ),
  {
    name: 'a second pod on node 1 has another address',
    run: async (site) => {
      const pod = await site.run(1, 'near-1');
      isIn(site, 1, pod.ip);
      holds(pod.ip !== site.pod('web-1').ip, pod.ip);
    },
  },
  {
    name: 'a pod on the node’s own network needs no plugin',
    run: async (site) => {
      const pod = await CriPod.sandbox(site.containerd(1), 'host', { network: 'NODE' });
      same('address', pod.ip, '');
      await pod.stop();
      await pod.remove();
    },
  },
  {
    name: 'eth0 and lo are up, with the overlay’s MTU and a default route to the bridge',
    run: async (site) => {
      const { said } = await site.pod('web-1').exec('sh', '-c', 'ip -o link; ip route; ping -c1 -W1 127.0.0.1');
      const gateway = formatIp(addToIp(parsePrefix(subnet(site, 1)).ip, 1));
      for (const wanted of [/eth0.*\bUP\b.* mtu 1450|mtu 1450.*\bUP\b/, /: lo: <LOOPBACK,UP/, / 0% packet loss/]) {
        holds(wanted.test(said), `no ${wanted} in ${said}`);
      }
      holds(said.includes(`default via ${gateway} dev eth0`), said);
    },
  },
];

/** Checks that the search for leftovers does find things. Only then does an empty result prove that nothing is left. */
const search: readonly Check<Site>[] = [
  {
    name: 'the search for leftovers sees a running pod’s files, result, device and namespace',
    run: async (site) => {
      const { id, ip } = site.pod('web-1');
      const ofPod = await leftovers(site.node(1), { id, ip, ports: [] });
      const all = (await leftovers(site.node(1), { ports: [] })).join(' ');
      for (const file of [`networks/cbr0/${ip}`, `cni/flannel/${id}`, `results/cbr0-${id}-eth0`, `${ip} answers`]) {
        holds(
          ofPod.some((line) => line.includes(file)),
          `no ${file} in ${ofPod.join(' ')}`,
        );
      }
      for (const kind of ['device veth', '/run/netns/cni-']) holds(all.includes(kind), `no ${kind} in ${all}`);
    },
  },
  {
    name: 'the search for leftovers sees the host port’s rule',
    needs: ['portmap'],
    run: async (site) => {
      const rules = (await leftovers(site.node(1), { ports: [HOST_PORT] })).filter((line) => line.startsWith('rule'));
      holds(
        rules.some((line) => line.includes(String(HOST_PORT))),
        `rules: ${rules.join(' ')}`,
      );
    },
  },
];

const everyPair: readonly Check<Site>[] = [...pairs(['web-1', 'web-2', 'web-3', 'near-1'])].map(([from, to]) => ({
  name: `${from} reaches ${to}`,
  needs: from.at(-1) === to.at(-1) ? [] : ['overlay'],
  run: async (site) => site.pod(from).ping(site.pod(to).ip),
}));

function* pairs(names: readonly string[]): Generator<[string, string]> {
  for (const from of names) for (const to of names) if (from !== to) yield [from, to];
}

const nodesAndPods: readonly Check<Site>[] = NODES.map((index) => ({
  name: `node ${index} reaches every pod, and every pod node ${index}`,
  needs: ['overlay'],
  run: async (site) => {
    for (const name of ['web-1', 'web-2', 'web-3']) {
      const [answer] = await site.node(index).ping([site.pod(name).ip]);
      same(`ping ${name}`, answer?.failure, undefined);
      await site.pod(name).ping(site.node(index).address);
    }
  },
}));

const outside: Check<Site> = {
  name: 'a pod reaches what is outside the cluster, which knows no pod’s address',
  needs: ['masquerade'],
  run: async (site) => site.pod('web-2').ping(UNDERLAY_GATEWAY),
};

const runtimeRestart: readonly Check<Site>[] = [
  {
    name: 'containerd is killed with -9 and restarted: the pod is ready and has its address',
    needs: ['overlay'],
    run: async (site) => {
      const { ip } = site.pod('web-1');
      await site.containerd(1).kill();
      try {
        await site.pod('web-2').ping(ip);
      } finally {
        await site.containerd(1).start();
      }
      const { status } = await site.pod('web-1').status();
      same('status', [status.state, status.network?.ip], ['SANDBOX_READY', ip]);
    },
  },
  {
    name: 'after the restart the pod reaches the others and they reach it',
    needs: ['overlay'],
    run: async (site) => {
      await site.pod('web-1').ping(site.pod('web-3').ip);
      await site.pod('web-3').ping(site.pod('web-1').ip);
    },
  },
];

const agentGone: readonly Check<Site>[] = [
  {
    name: 'with the agent killed the pods still reach each other',
    needs: ['overlay'],
    run: async (site) => {
      await site.node(1).agent.kill();
      await site.pod('web-1').ping(site.pod('web-2').ip);
      await site.pod('web-2').ping(site.pod('web-1').ip);
    },
  },
  {
    name: 'with the agent killed a new pod starts and reaches another node’s',
    needs: ['overlay'],
    run: async (site) => {
      const pod = await site.run(1, 'late-1');
      try {
        isIn(site, 1, pod.ip);
        await pod.ping(site.pod('web-3').ip);
      } finally {
        await site.end('late-1');
      }
    },
  },
  {
    name: 'without subnet.env the plugin’s own words are the runtime’s error',
    run: async (site) => {
      const node = site.node(1);
      await node.run(['mv', SUBNET_FILE, '/run/subnet.env']);
      try {
        const said = await pluginSays(site);
        const text = await CriPod.sandbox(site.containerd(1), 'refused').then(
          () => 'it started',
          (error: Error) => error.message,
        );
        holds(said.includes(SUBNET_FILE), `the plugin says ${said}`);
        holds(text.includes(said), `expected ${said} in ${text}`);
      } finally {
        await node.run(['mv', '/run/subnet.env', SUBNET_FILE]);
      }
    },
  },
  {
    name: 'the agent comes back and is ready',
    run: async (site) => {
      await site.node(1).agent.start();
      await site.node(1).agent.ready();
    },
  },
];

/** The message of the plugin when it is executed as the runtime does, for a container that does not exist. */
async function pluginSays(site: Site): Promise<string> {
  const node = site.node(1);
  const list = JSON.parse(node.readFile(CONFLIST)) as { name: string; cniVersion: string; plugins: object[] };
  const conf = { ...list.plugins[0], name: list.name, cniVersion: list.cniVersion };
  const env = {
    CNI_COMMAND: 'ADD',
    CNI_CONTAINERID: randomBytes(32).toString('hex'),
    CNI_NETNS: '/var/run/netns/none',
    CNI_IFNAME: 'eth0',
    CNI_PATH: '/opt/cni/bin',
  };
  await node.run(['ip', 'netns', 'add', 'none']);
  const { stdout } = await node.exec(['/opt/cni/bin/flannel'], { env, input: JSON.stringify(conf) });
  await node.run(['ip', 'netns', 'delete', 'none']);
  return (JSON.parse(stdout) as { msg: string }).msg;
}

/** Runs garbage collection and returns the names of what it frees of these pods. */
async function freedOf(node: LabNode, ...ids: readonly string[]): Promise<string[]> {
  const text = await node.run([builtAgent, 'gc', '--json']);
  const { freed } = JSON.parse(text) as { freed: readonly { readonly name: string; readonly holder: string }[] };
  return freed.filter(({ holder }) => ids.some((id) => holder.startsWith(id))).map(({ name }) => name);
}

const ends: readonly Check<Site>[] = [
  {
    name: 'a pod is stopped twice and removed: three DELs, each a success',
    needs: ['release'],
    run: async (site) => {
      const pod = site.pod('web-1');
      await pod.stop();
      await pod.stop();
      await pod.remove();
      site.forget('web-1');
      const teardowns = site
        .containerd(1)
        .log()
        .split('\n')
        .filter((line) => line.includes('TearDown network'));
      same('DELs', teardowns.filter((line) => line.includes(pod.id) && line.includes('successfully')).length, 3);
      same('left', await leftovers(site.node(1), { id: pod.id, ip: pod.ip, ports: [HOST_PORT] }), []);
    },
  },
  {
    name: 'a pod whose network namespace has vanished is stopped, and nothing of it stays',
    needs: ['release'],
    run: async (site) => {
      const pod = await site.run(2, 'crashed', { portMappings });
      const { netns, pid } = await site.sandboxPlace('crashed');
      await site.node(2).run(['sh', '-ec', `kill -9 ${pid}; umount -l ${netns}; rm ${netns}`]);
      await site.end('crashed');
      same('left', await leftovers(site.node(2), { id: pod.id, ip: pod.ip, ports: [HOST_PORT] }), []);
    },
  },
  {
    name: 'what flanneld gc frees is that of the pod that is gone, though another boot is noted: the runtime’s result names its netns',
    run: async (site) => {
      const node = site.node(2);
      const [alive, dead] = [await site.run(2, 'alive'), await site.run(2, 'dead')];
      node.writeFile('/var/lib/cni/networks/cbr0/.boot', 'a0000000-0000-4000-8000-000000000000 replaced\n');
      same('freed while both live', await freedOf(node, alive.id, dead.id), []);
      const { netns, pid } = await site.sandboxPlace('dead');
      await node.run(['sh', '-ec', `kill -9 ${pid}; umount -l ${netns}; rm ${netns}`]);
      const isGone = async (): Promise<boolean> => (await freedOf(node, dead.id)).length > 0;
      await waitUntil(isGone, 10_000, 'what the dead pod held is freed');
      same('freed of the live one', await freedOf(node, alive.id), []);
      await site.pod('web-3').ping(alive.ip);
      await site.end('dead');
      await site.end('alive');
    },
  },
  {
    name: 'twenty pods start at the same time on one node, each with an address of its own',
    needs: ['overlay'],
    run: async (site) => {
      const names = Array.from({ length: 20 }, (_, at) => `many-${at}`);
      const many = await Promise.all(names.map((name) => site.run(2, name)));
      same('addresses', new Set(many.map(({ ip }) => ip)).size, names.length);
      for (const { ip } of many) isIn(site, 2, ip);
      await Promise.all(many.map((pod) => site.pod('web-3').ping(pod.ip)));
    },
  },
  {
    name: 'the twenty are removed at the same time',
    run: async (site) => {
      const names = Array.from({ length: 20 }, (_, at) => `many-${at}`);
      await Promise.all(names.map((name) => site.end(name)));
    },
  },
  { name: 'every other pod is removed', run: (site) => site.endAll() },
  ...NODES.map(
    (index): Check<Site> => ({
      name: `node ${index} has no address, veth, rule, saved file, result or namespace of any pod`,
      needs: ['release'],
      run: async (site) => same('left', await leftovers(site.node(index), { ports: [HOST_PORT] }), []),
    }),
  ),
];

export const podChecks: readonly Check<Site>[] = [
  ...beginning,
  ...pods,
  ...everyPair,
  ...nodesAndPods,
  ...search,
  ...hostPortChecks('pods run'),
  outside,
  ...runtimeRestart,
  ...hostPortChecks('containerd restarted'),
  ...agentGone,
  ...ends,
];
