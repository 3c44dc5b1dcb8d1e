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
  return refused(
    id,
    `conditions in the syntax of ${other} are refused with the ${backend} backend`,
    { backend, ...keys },
    msg,
  );
}

const IPTABLES = ['-d', '192.0.2.0/24'];
const NFTABLES = ['ip', 'daddr', '192.0.2.0/24'];

const rows: readonly Row[] = [
  {
    id: '23',
    title: 'port mappings in runtimeConfig are read with capitalised keys, as containerd sends them',
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
    title: 'without a prevResult ADD and CHECK fail, and DEL succeeds',
    check: async (trial) => {
      const pod = trial.attachment({ ...(await chained(trial)), prevResult: undefined });
      await pod.fails('ADD', { code: 999, msg: 'must be called as chained plugin' });
      await pod.fails('CHECK', { code: 999, msg: 'Required prevResult missing' });
      await pod.del();
    },
  },
  {
    id: '147',
    title: 'without port mappings ADD returns prevResult and makes no rule',
    needs: ['iptables'],
    check: async (trial) => {
      const pod = trial.attachment(await chained(trial, { runtimeConfig: undefined }));
      const { dns: _, ...result } = await pod.add();
      same(result, prevResult(trial), 'result');
      same(await trial.natRules(), [], 'rules');
    },
  },
  refused('148a', 'a host port of 0 is refused', {}, 'Invalid host port number: 0', { hostPort: 0 }),
  refused('148b', 'a container port of 0 is refused', {}, 'Invalid container port number: 0', { containerPort: 0 }),
  refused(
    '148c',
    'externalSetMarkChain together with markMasqBit is refused',
    { externalSetMarkChain: 'X', markMasqBit: 5 },
    'Cannot specify externalSetMarkChain and markMasqBit',
  ),
  refused('148d', 'a markMasqBit of 32 is refused', { markMasqBit: 32 }, 'MasqMarkBit must be between 0 and 31'),
  refused('148e', 'an unknown backend is refused', { backend: 'foo' }, 'unrecognized backend "foo"'),
  mixed('148f', 'iptables', { conditionsV4: NFTABLES }),
  mixed('148g', 'nftables', { conditionsV6: IPTABLES }),
  mixed('148h', 'nftables', { conditionsV4: IPTABLES, conditionsV6: IPTABLES }),
];

export const portmapConfigCases: readonly Case[] = casesOf('portmap', rows);
