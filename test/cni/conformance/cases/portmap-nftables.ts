// Rows 156 and 157, and cases of our own: portmap with nftables. The reference makes a rule for each mapping, ours a map element.

import type { JsonObject } from '../attachment.ts';
import { type Case, casesOf, type Row } from '../case.ts';
import { holds, same } from '../expect.ts';
import { chained, MAPPING, prevResult } from '../portmap.ts';
import type { Trial } from '../trial.ts';

const NFT: JsonObject = { backend: 'nftables' };
const REASON = 'the reference plugin makes rules for each mapping, which takes longer with every pod';

/** The lines of a table, without handles and indentation; empty when there is no such table. */
async function table(trial: Trial, name: string): Promise<string[]> {
  const { stdout } = await trial.sandbox.run(['sh', '-c', `nft list table ${name}`]);
  return stdout.split('\n').map((line) => line.trim());
}

const goTable = (trial: Trial): Promise<string[]> => table(trial, 'ip cni_hostport');

async function goRules(trial: Trial): Promise<void> {
  const pod = trial.attachment(await chained(trial, NFT));
  await pod.add();
  const rules = await goTable(trial);
  const wanted = [
    'tcp dport 8080 dnat to 10.0.0.2:80 comment "c1"',
    'fib daddr type local jump hostports_all',
    'ip saddr 10.0.0.2 ip daddr 10.0.0.2 masquerade comment "c1"',
    'ip saddr 127.0.0.1 ip daddr 10.0.0.2 masquerade comment "c1"',
  ];
  for (const rule of wanted) holds(rules.includes(rule), `no rule ${rule} in ${rules.join('; ')}`);
  same(await trial.sysctl('net/ipv4/conf/cni0/route_localnet'), '1', 'route_localnet of cni0');
  await pod.del();
  same(
    (await goTable(trial)).filter((line) => line.includes('comment "c1"')),
    [],
    'rules left',
  );
}

async function goCheck(trial: Trial): Promise<void> {
  const pod = trial.attachment(await chained(trial, NFT));
  await pod.add();
  await pod.check(undefined);
  await trial.sh('nft flush chain ip cni_hostport masquerading');
  await pod.fails('CHECK', { code: 999, msg: /./ });
}

/** The elements of all maps and sets, one on each line, without the names of their owners. */
async function elements(trial: Trial): Promise<string[]> {
  const text = (await table(trial, 'inet weft_portmap')).join(' ');
  const lists = [...text.matchAll(/(?:map|set) (\S+) \{[^{]*elements = \{([^}]*)\}/g)];
  return lists.flatMap(([, name = '', list = '']) =>
    list.split(',').map((one) => `${name}: ${one.trim().replace(/[0-9a-f]{15}/g, 'OWNER')}`),
  );
}

const OURS = [
  'attachments: "OWNER" comment "1 OWNER test c1 eth0"',
  'dnat4: tcp . 8080 comment "OWNER test c1 eth0" : 10.0.0.2 . 80',
  'mark4: tcp . 8080 : jump from_10.0.0.0/24_13',
];

async function others(trial: Trial): Promise<void> {
  await trial.container('c2');
  const config = await chained(trial, NFT);
  const first = trial.attachment(config);
  const second = trial
    .attachment({ ...config, runtimeConfig: { portMappings: [{ ...MAPPING, containerPort: 81 }] } })
    .with({ container: 'c2' }, { prevResult: prevResult(trial, 'c1', '10.0.0.2') });
  await first.add();
  await second.add();
  await first.del();
  const dnat = (await elements(trial)).filter((line) => line.startsWith('dnat4'));
  same(dnat, ['dnat4: tcp . 8080 comment "OWNER test c2 eth0" : 10.0.0.2 . 81'], 'mapping of the second');
  await second.del();
  same(await elements(trial), [], 'elements left');
}

const rows: readonly Row[] = [
  {
    id: '156',
    title: 'ADD makes one element of a map for each mapping, and DEL removes those of the container',
    differs: { reason: REASON, reference: goRules },
    check: async (trial) => {
      const pod = trial.attachment(await chained(trial, NFT));
      await pod.add();
      same(await elements(trial), OURS, 'elements');
      same(await trial.sysctl('net/ipv4/conf/cni0/route_localnet'), '1', 'route_localnet of cni0');
      await pod.del();
      same(await elements(trial), [], 'elements left');
    },
  },
  {
    id: '157',
    since: '0.4.0',
    title: 'CHECK fails when a rule, an element or the masquerading is gone, and a further ADD makes them again',
    differs: { reason: REASON, reference: goCheck },
    check: async (trial) => {
      const pod = trial.attachment(await chained(trial, NFT));
      for (const damage of [
        'flush chain inet weft_portmap postrouting',
        'flush chain inet weft_portmap ports4',
        'flush map inet weft_portmap mark4',
        'flush map inet weft_portmap dnat4',
        'delete table inet weft_portmap',
      ]) {
        await pod.add();
        await pod.check(undefined);
        await trial.sh(`nft ${damage}`);
        await pod.fails('CHECK', { code: 999, msg: /missing hostport rule/ });
      }
      await pod.add();
      await pod.check(undefined);
    },
  },
  {
    id: '156b',
    own: true,
    title: 'nftables is used when the configuration names no backend',
    differs: { reason: 'the reference plugin prefers iptables' },
    check: async (trial) => {
      await trial.attachment(await chained(trial, { backend: undefined })).add();
      same(await elements(trial), OURS, 'elements');
    },
  },
  {
    id: '156c',
    own: true,
    title: 'a second ADD changes nothing, and one with other mappings replaces the first ones',
    differs: { reason: REASON },
    check: async (trial) => {
      const pod = trial.attachment(await chained(trial, NFT));
      await pod.add();
      const before = await table(trial, 'inet weft_portmap');
      await pod.add();
      same(await table(trial, 'inet weft_portmap'), before, 'table after the second ADD');
      await pod.with({}, { runtimeConfig: { portMappings: [{ ...MAPPING, hostPort: 8090 }] } }).add();
      same(
        await elements(trial),
        OURS.map((line) => line.replace('8080', '8090')),
        'elements',
      );
    },
  },
  {
    id: '156d',
    own: true,
    title: 'DEL does not remove a port that another attachment has taken over',
    differs: { reason: REASON },
    check: others,
  },
  {
    id: '156e',
    own: true,
    title: 'DEL works without a network namespace, without mappings and with a wrong configuration',
    differs: { reason: 'rules that are left behind would send packets to the pod that gets the address next' },
    check: async (trial) => {
      const pod = trial.attachment(await chained(trial, NFT));
      const gone = { env: { CNI_NETNS: '' } };
      for (const config of [
        { runtimeConfig: undefined, prevResult: undefined },
        { runtimeConfig: { portMappings: [{ ...MAPPING, hostPort: 9999 }] } },
        { backend: 'foo', markMasqBit: 99 },
      ]) {
        await pod.add();
        holds((await elements(trial)).length > 0, 'there are no elements');
        await pod.with(gone, config).del();
        same(await elements(trial), [], 'elements left');
      }
      await pod.with(gone).del();
    },
  },
];

export const portmapNftablesCases: readonly Case[] = casesOf(
  'portmap',
  rows.map((row): Row => ({ ...row, needs: ['nft'], referenceFrom: 'main' })),
);
