// Rows 160–164: loopback, which runtimes call in addition to the main network.

import { type Case, casesOf, type Row } from '../case.ts';
import { holds, same } from '../expect.ts';
import type { Trial } from '../trial.ts';

function config(trial: Trial, keys: object = {}): { [key: string]: unknown } {
  return { cniVersion: trial.version, name: 'cni-loopback', type: 'loopback', ...keys };
}

async function isUp(trial: Trial): Promise<boolean> {
  return (await trial.link('lo', 'c1')).flags.includes('UP');
}

const rows: readonly Row[] = [
  ...(['0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const).map(
    (cniVersion, at): Row => ({
      id: `160${'abcd'[at]}`,
      since: cniVersion,
      title: `ADD with cniVersion ${cniVersion} sets lo up and returns its addresses`,
      needs: ['ipv6'],
      check: async (trial) => {
        const result = await trial.attachment(config(trial, { cniVersion }), { ifname: 'lo' }).add();
        holds(await isUp(trial), 'lo is not up');
        same(result.cniVersion, cniVersion, 'cniVersion of the result');
        const lo = { name: 'lo', mac: '00:00:00:00:00:00', sandbox: '/run/netns/c1' };
        same(result.interfaces, [lo], 'interfaces');
        const ips = result.ips?.map(({ address, interface: index }) => [address, index]);
        same(
          ips,
          [
            ['127.0.0.1/8', 0],
            ['::1/128', 0],
          ],
          'ips',
        );
      },
    }),
  ),
  {
    id: '161',
    since: '0.1.0',
    title: 'a configuration without cniVersion gets a result in the form of 0.1.0',
    check: async (trial) => {
      const result = await trial.attachment(config(trial, { cniVersion: undefined }), { ifname: 'lo' }).add();
      same([result.ip4?.ip, result.ip6?.ip, result.ips], ['127.0.0.1/8', '::1/128', undefined], 'ip4, ip6 and ips');
    },
  },
  {
    id: '162',
    title: 'ADD with a prevResult returns that result',
    check: async (trial) => {
      const prevResult = {
        cniVersion: trial.version,
        interfaces: [{ name: 'eth0', mac: 'c2:11:22:33:44:55', sandbox: '/run/netns/c1' }],
        ips: [{ ...(trial.version < '1' ? { version: '4' } : {}), address: '10.1.2.9/24', interface: 0 }],
      };
      const { dns: _, ...result } = await trial.attachment(config(trial), { ifname: 'lo' }).add({ prevResult });
      same(result, prevResult, 'result');
      holds(await isUp(trial), 'lo is not up');
    },
  },
  {
    id: '163',
    title: 'DEL sets lo down, and succeeds without a network namespace',
    check: async (trial) => {
      const pod = trial.attachment(config(trial), { ifname: 'lo' });
      await pod.add();
      await pod.del();
      holds(!(await isUp(trial)), 'lo is up');
      await pod.with({ netns: '/run/netns/none' }).del();
      await pod.with({ env: { CNI_NETNS: '' } }).del();
    },
  },
  {
    id: '164',
    since: '0.4.0',
    title: 'CHECK fails when lo is down',
    check: async (trial) => {
      const pod = trial.attachment(config(trial), { ifname: 'lo' });
      const prevResult = await pod.add();
      await pod.check(prevResult);
      await trial.sh('ip link set lo down', 'c1');
      await pod.fails('CHECK', { code: 999, msg: 'loopback interface is down' }, { prevResult });
    },
  },
];

export const loopbackCases: readonly Case[] = casesOf('loopback', rows);
