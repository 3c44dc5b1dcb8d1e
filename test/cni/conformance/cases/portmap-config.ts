// Rows 23 and 146–148: portmap's configuration, and that it must come after another plugin.

import type { JsonObject } from '../attachment.ts';
import { type Case, casesOf, type Row } from '../case.ts';
import { same } from '../expect.ts';
import { chained, MAPPING, prevResult } from '../portmap.ts';

function refused(id: string, title: string, keys: JsonObject, msg: string, ports: JsonObject = {}): Row {
  return {
    id,
    title,
    referenceFrom: 'main',
    check: async (trial) => {
      const runtimeConfig = { portMappings: [{ ...MAPPING, ...ports }] };
      const pod = trial.attachment(await chained(trial, { runtimeConfig, ...keys }));
      await pod.fails('ADD', { code: 999, msg: `failed to parse config: ${msg}` });
      same(await trial.natRules(), [], 'rules');
    },
  };
}

/** A row whose conditions are written in the syntax of the other backend. */
function mixed(id: string, backend: 'iptables' | 'nftables', keys: JsonObject): Row {
  const other = backend === 'iptables' ? 'nftables' : 'iptables';
  const msg = `${backend} backend was requested but configuration contains ${other}-specific options [${Object.keys(keys).join(' ')}]`;
  return refused(id, `conditions in the syntax of ${other} with the ${backend} backend`, { backend, ...keys }, msg);
}

const IPTABLES = ['-d', '192.0.2.0/24'];
const NFTABLES = ['ip', 'daddr', '192.0.2.0/24'];

const rows: readonly Row[] = [
  {
    id: '23',
    title: 'runtimeConfig with capitalised keys, as containerd sends it',
    needs: ['iptables'],
    check: async (trial) => {
      const portMappings = [{ HostPort: 8080, ContainerPort: 80, Protocol: 'tcp', HostIP: '' }];
      await trial.attachment(await chained(trial, { runtimeConfig: { portMappings } })).add();
      const dnat = (await trial.natRules()).filter((line) => line.includes('--to-destination 10.0.0.2:80'));
      same(dnat.length, 1, 'DNAT rules');
    },
  },
  {
    id: '146',
    since: '0.4.0',
    title: 'without prevResult ADD and CHECK fail, DEL succeeds',
    check: async (trial) => {
      const pod = trial.attachment({ ...(await chained(trial)), prevResult: undefined });
      await pod.fails('ADD', { code: 999, msg: 'must be called as chained plugin' });
      await pod.fails('CHECK', { code: 999, msg: 'Required prevResult missing' });
      await pod.del();
    },
  },
  {
    id: '147',
    title: 'without mappings prevResult is handed on and nothing is made',
    needs: ['iptables'],
    check: async (trial) => {
      const pod = trial.attachment(await chained(trial, { runtimeConfig: undefined }));
      const { dns: _, ...result } = await pod.add();
      same(result, prevResult(trial), 'result');
      same(await trial.natRules(), [], 'rules');
    },
  },
  refused('148a', 'a host port of 0', {}, 'Invalid host port number: 0', { hostPort: 0 }),
  refused('148b', 'a container port of 0', {}, 'Invalid container port number: 0', { containerPort: 0 }),
  refused(
    '148c',
    'both ways to mark',
    { externalSetMarkChain: 'X', markMasqBit: 5 },
    'Cannot specify externalSetMarkChain and markMasqBit',
  ),
  refused('148d', 'a mark bit of 32', { markMasqBit: 32 }, 'MasqMarkBit must be between 0 and 31'),
  refused('148e', 'an unknown backend', { backend: 'foo' }, 'unrecognized backend "foo"'),
  mixed('148f', 'iptables', { conditionsV4: NFTABLES }),
  mixed('148g', 'nftables', { conditionsV6: IPTABLES }),
  mixed('148h', 'nftables', { conditionsV4: IPTABLES, conditionsV6: IPTABLES }),
];

export const portmapConfigCases: readonly Case[] = casesOf('portmap', rows);
