// Rows 165–169: bandwidth, token buckets on the host end of a veth and on an ifb.

import { slowed } from '../../../support/slowness.ts';
import type { Attachment, JsonObject } from '../attachment.ts';
import { type Case, casesOf, type Row } from '../case.ts';
import { holds, present, same } from '../expect.ts';
import { transfer } from '../traffic.ts';
import type { Trial } from '../trial.ts';

/** The name that the plugin derives from network n1 and container c1. */
const IFB = 'bwp7be53730afe4';

interface Qdisc {
  readonly kind: string;
  readonly options: { readonly rate?: number; readonly burst?: number; readonly lat?: number; readonly limit?: number };
}

/** Makes a veth to the container, and a configuration of the plugin as if it came after the plugin that made the veth. */
async function chained(
  trial: Trial,
  keys: JsonObject,
  options: { name?: string; container?: string } = {},
): Promise<Attachment> {
  await trial.sh(
    'ip link add vethhost type veth peer name eth0 netns c1 && ip link set vethhost up && ip -n c1 link set eth0 up',
  );
  const prevResult = {
    cniVersion: trial.version,
    interfaces: [
      { name: 'vethhost', mac: (await trial.link('vethhost')).address },
      { name: 'eth0', mac: (await trial.link('eth0', 'c1')).address, sandbox: '/run/netns/c1' },
    ],
    ips: [{ ...(trial.version < '1' ? { version: '4' } : {}), address: '10.0.0.2/24', interface: 1 }],
  };
  const config = { cniVersion: trial.version, name: options.name ?? 'n1', type: 'bandwidth', prevResult, ...keys };
  return trial.attachment(config, { container: options.container ?? 'c1' });
}

async function bucket(trial: Trial, device: string): Promise<Qdisc['options']> {
  const text = await trial.sandbox.must(['tc', '-j', 'qdisc', 'show', 'dev', device]);
  const list = JSON.parse(text) as Qdisc[];
  return present(
    list.find(({ kind }) => kind === 'tbf'),
    `tbf on ${device}`,
  ).options;
}

const LIMITS = { ingressRate: 8_000_000, ingressBurst: 80_000, egressRate: 16_000_000, egressBurst: 80_000 };

function refused(id: string, title: string, keys: JsonObject, msg: string): Row {
  return {
    id,
    title,
    check: async (trial) => (await chained(trial, keys)).fails('ADD', { code: 999, msg }),
  };
}

const rows: readonly Row[] = [
  {
    id: '165',
    title: 'limits for both directions make a token bucket on the host’s end and one on an ifb, which the result names',
    needs: ['ifb'],
    check: async (trial) => {
      const result = await (await chained(trial, LIMITS)).add();
      same(
        result.interfaces?.map(({ name }) => name),
        ['vethhost', 'eth0', IFB],
        'interfaces',
      );
      // tc reports bytes per second.
      const inward = await bucket(trial, 'vethhost');
      same([inward.rate, inward.burst], [1_000_000, 10_000], 'rate and burst of the host end');
      const outward = await bucket(trial, IFB);
      same([outward.rate, outward.burst], [2_000_000, 10_000], `rate and burst of ${IFB}`);
      const filters = await trial.sandbox.must(['tc', 'filter', 'show', 'dev', 'vethhost', 'ingress']);
      holds(filters.includes(`Redirect to device ${IFB}`), `no redirection to ${IFB} in ${filters}`);
    },
  },
  {
    id: '165b',
    title: 'limits in runtimeConfig are read with capitalised keys, as containerd sends them',
    check: async (trial) => {
      const runtimeConfig = { bandwidth: { IngressRate: 8_000_000, IngressBurst: 80_000 } };
      await (await chained(trial, { runtimeConfig })).add();
      same((await bucket(trial, 'vethhost')).rate, 1_000_000, 'rate of the host end');
    },
  },
  {
    id: '166',
    title: 'the smallest rate is accepted, and the ifb has the reference plugin’s name',
    needs: ['ifb'],
    check: async (trial) => {
      const names = { name: 'cni-plugin-bandwidth-test', container: 'dummy' };
      await (await chained(trial, { egressRate: 8, egressBurst: 8 }, names)).add();
      const { rate, burst } = await bucket(trial, 'bwpa8eda89404b7');
      same([rate, burst], [1, 1], 'rate and burst');
    },
  },
  refused('167a', 'a rate without a burst is refused', { ingressRate: 8000 }, 'if rate is set, burst must also be set'),
  refused(
    '167b',
    'a burst without a rate is refused',
    { ingressBurst: 8000 },
    'if burst is set, rate must also be set',
  ),
  refused(
    '167c',
    'a burst of 4 GB is refused',
    { ingressRate: 8000, ingressBurst: 2 ** 35 },
    'burst cannot be more than 4GB',
  ),
  {
    id: '168',
    title: 'DEL removes the ifb, and succeeds when there is none',
    needs: ['ifb'],
    check: async (trial) => {
      const pod = await chained(trial, LIMITS);
      await pod.add();
      await trial.link(IFB);
      await pod.del();
      same(await trial.findLink(IFB), undefined, 'the ifb');
      await pod.del();
    },
  },
  {
    id: '168b',
    own: true,
    title: 'CHECK fails when a limit is changed or gone, and a further ADD makes it again',
    since: '0.4.0',
    needs: ['ifb'],
    differs: { reason: 'a second ADD of the reference plugin fails' },
    check: async (trial) => {
      const pod = await chained(trial, LIMITS);
      for (const damage of [
        'tc qdisc del dev vethhost root',
        'tc qdisc replace dev vethhost root handle 1: tbf rate 9mbit burst 10000 latency 25ms',
        `tc qdisc del dev ${IFB} root`,
        `ip link del ${IFB}`,
      ]) {
        await pod.add();
        await pod.check(undefined);
        await trial.sh(damage);
        await pod.fails('CHECK', { code: 999, msg: /./ });
      }
      await pod.add();
      const filters = await trial.sandbox.must(['tc', 'filter', 'show', 'dev', 'vethhost', 'ingress']);
      same(filters.split('Redirect to device').length, 2, 'redirections');
    },
  },
  {
    id: '169',
    title: 'traffic to the container and from it is held to the configured rates',
    needs: ['ifb'],
    check: async (trial) => {
      // An emulated processor may be slower than 8 Mbit/s even without a limit.
      const rate = Math.round(8_000_000 / slowed(1));
      const pod = await chained(trial, { ...LIMITS, ingressRate: rate, egressRate: rate });
      await trial.sh('ip address add 10.0.0.1/24 dev vethhost && ip -n c1 address add 10.0.0.2/24 dev eth0');
      const inward = { to: 'c1', address: '10.0.0.2', bytes: 1_000_000 };
      const outward = { from: 'c1', address: '10.0.0.1', bytes: 1_000_000 };
      const free = (await transfer(trial, inward)) + (await transfer(trial, outward));
      await pod.add();
      // At 8 Mbit/s each transfer takes a second, minus the burst that a full bucket lets through at once.
      for (const way of [inward, outward]) {
        const limited = await transfer(trial, way);
        holds(limited > slowed(900) && limited > free, `1 MB took ${limited} ms, without limit ${free} ms both ways`);
      }
    },
  },
];

export const bandwidthCases: readonly Case[] = casesOf('bandwidth', rows);
