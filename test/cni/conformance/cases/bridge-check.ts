// Rows 102–105: CHECK says what is wrong; STATUS says whether ADD would work.

import type { Attachment, CniResult, JsonObject } from '../attachment.ts';
import { type Case, casesOf, type Row } from '../case.ts';
import { bridge, layer2 } from '../configs.ts';
import { same } from '../expect.ts';
import type { Trial } from '../trial.ts';

/** Adds a pod in 10.1.2.0/24. Returns it with the result of its ADD. */
async function added(trial: Trial, keys: JsonObject = {}): Promise<{ pod: Attachment; result: CniResult }> {
  const pod = trial.attachment(bridge(trial, { isGateway: true, ...keys }));
  return { pod, result: await pod.add() };
}

/** A change to the result or to the kernel's state after ADD, and what CHECK must say about it. */
interface Wrong {
  readonly id: string;
  readonly title: string;
  readonly msg: string | RegExp;
  readonly spoil?: (result: CniResult) => JsonObject;
  readonly break?: (trial: Trial) => Promise<unknown>;
}

function detects({ id, title, msg, spoil, break: breakIt }: Wrong): Row {
  return {
    id,
    title: `CHECK fails when ${title}`,
    since: '0.4.0',
    check: async (trial) => {
      const { pod, result } = await added(trial);
      await pod.check(result);
      await breakIt?.(trial);
      await pod.fails('CHECK', { code: 999, msg }, { prevResult: spoil?.(result) ?? result });
    },
  };
}

function withInterface(result: CniResult, at: number, keys: JsonObject): JsonObject {
  return {
    ...result,
    interfaces: result.interfaces?.map((entry, index) => (index === at ? { ...entry, ...keys } : entry)),
  };
}

const WRONG_MAC = 'c2:00:00:00:00:01';

const rows: readonly Row[] = [
  {
    id: '102',
    title: 'CHECK after ADD succeeds and prints nothing',
    since: '0.4.0',
    check: async (trial) => {
      const { pod, result } = await added(trial, { isDefaultGateway: true });
      await pod.check(result);
      await pod.del();
      await pod.fails('CHECK', { code: 999, msg: /./ }, { prevResult: result });
    },
  },
  {
    id: '103a',
    title: 'CHECK without a prevResult fails',
    since: '0.4.0',
    check: async (trial) => {
      const { pod } = await added(trial);
      await pod.fails('CHECK', { code: 999, msg: 'Required prevResult missing' });
    },
  },
  detects({
    id: '103b',
    title: 'the bridge has another MAC',
    msg: /^Bridge interface cni0 Mac doesn't match: /,
    spoil: (result) => withInterface(result, 0, { mac: WRONG_MAC }),
  }),
  detects({
    id: '103c',
    title: 'the container has another address',
    msg: 'Failed to match addr 10.1.2.99/24 on interface eth0',
    spoil: (result) => ({ ...result, ips: result.ips?.map((ip) => ({ ...ip, address: '10.1.2.99/24' })) }),
  }),
  detects({
    id: '103d',
    title: 'prevResult names another sandbox',
    msg: /^Sandbox in prevResult .*doesn't match configured netns: \/run\/netns\/c1/,
    spoil: (result) => withInterface(result, 2, { sandbox: '/run/netns/other' }),
  }),
  detects({
    id: '103e',
    title: 'prevResult names another host’s end of the veth pair',
    msg: 'Interface name vethnope not found',
    spoil: (result) => withInterface(result, 1, { name: 'vethnope' }),
  }),
  detects({
    id: '103f',
    title: 'a route of prevResult is missing',
    msg: /^Expected Route .*10\.9\.0\.0.* not found in routing table$/,
    spoil: (result) => ({ ...result, routes: [...(result.routes ?? []), { dst: '10.9.0.0/16', gw: '10.1.2.1' }] }),
  }),
  detects({
    id: '103g',
    title: 'the container’s interface is down',
    msg: 'Failed to find Gateway 10.1.2.1 for interface eth0',
    break: (trial) => trial.sh('ip link set eth0 down', 'c1'),
  }),
  detects({
    id: '103h',
    title: 'the container’s interface is gone',
    msg: /eth0/,
    break: (trial) => trial.sh('ip link delete eth0', 'c1'),
  }),
  {
    id: '103i',
    own: true,
    title: 'CHECK of a configuration without IPAM succeeds after ADD',
    since: '0.4.0',
    differs: { reason: 'the reference plugin fails with `no plugin name provided`' },
    check: async (trial) => {
      const pod = trial.attachment(layer2(trial));
      await pod.check(await pod.add());
    },
  },
  {
    id: '104a',
    title: 'a prevResult in the form of 0.x is refused with a cniVersion of 1.x',
    since: '1.0.0',
    check: async (trial) => {
      const { pod, result } = await added(trial);
      const msg =
        /^could not parse prevResult: result type supports \[1\.0\.0.*\] but unmarshalled CNIVersion is "0\.4\.0"$/;
      await pod.fails('CHECK', { code: 999, msg }, { prevResult: { ...result, cniVersion: '0.4.0' } });
    },
  },
  ...[
    { id: '104b', cniVersion: '1.1.0' },
    { id: '104c', cniVersion: undefined },
  ].map(
    ({ id, cniVersion }): Row => ({
      id,
      title: `a prevResult ${cniVersion === undefined ? 'without version' : `of ${cniVersion}`} is accepted with cniVersion 1.0.0`,
      since: '1.1.0',
      check: async (trial) => {
        const { pod, result } = await added(trial);
        await pod.check({ ...result, cniVersion });
        await pod.fails(
          'CHECK',
          { code: 999, msg: /./ },
          { prevResult: { ...withInterface(result, 0, { mac: WRONG_MAC }), cniVersion } },
        );
      },
    }),
  ),
  {
    id: '105',
    title: 'STATUS returns the status of the IPAM plugin',
    since: '1.1.0',
    check: async (trial) => {
      const pod = trial.attachment(bridge(trial, { cniVersion: '1.1.0' }));
      for (const ok of [pod, pod.with({}, { ipam: undefined })]) {
        const outcome = await ok.exec('STATUS');
        same([outcome.exitCode, outcome.stdout], [0, ''], 'STATUS');
      }
      const msg = /failed to find plugin "nope" in path/;
      await pod.with({}, { ipam: { type: 'nope' } }).fails('STATUS', { code: 999, msg });
    },
  },
];

export const bridgeCheckCases: readonly Case[] = casesOf('bridge', rows);
