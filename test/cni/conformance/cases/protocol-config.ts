// Rows 14–30: the configuration on stdin, versions, CNI_NETNS (which must not be the plugin's own namespace), CNI_ARGS, output.

import { failsWith, resultOf } from '../attachment.ts';
import { type Case, casesOf, casesOfEach, type Row } from '../case.ts';
import { hostLocal, ipam, layer2, ordinary } from '../configs.ts';
import { holds, same, sameText } from '../expect.ts';
import type { Trial } from '../trial.ts';
import { ALL_VERSIONS } from '../versions.ts';
import { overlayPlugins } from './protocol-environment.ts';

function environment(trial: Trial, command: string): Record<string, string> {
  return {
    CNI_COMMAND: command,
    CNI_CONTAINERID: 'c1',
    CNI_NETNS: '/run/netns/c1',
    CNI_IFNAME: 'eth0',
    CNI_PATH: trial.bin,
  };
}

function unparsable(id: string, title: string, stdin: string): Row {
  return {
    id,
    title,
    check: async (trial) => {
      const outcome = await trial.call({ env: environment(trial, 'ADD'), stdin });
      failsWith(outcome, { code: 6, msg: /^error unmarshall network config: ./ }, 'ADD');
    },
  };
}

function refusedVersion(id: string, command: string, cniVersion: string, code: number, msg: string | RegExp): Row {
  return {
    id,
    title: `${command} with cniVersion ${cniVersion} is refused`,
    ...(command === 'STATUS' ? { since: '1.1.0' as const } : {}),
    check: async (trial) => trial.attachment(ordinary(trial, { cniVersion })).fails(command, { code, msg }),
  };
}

const ofEvery: readonly Row[] = [
  unparsable('14a', 'an empty stdin gets a decoding error', ''),
  unparsable('14b', 'a truncated JSON document on stdin gets a decoding error', '{'),
  {
    id: '15',
    title: 'a configuration without a name is refused',
    check: async (trial) => {
      const pod = trial.attachment(ordinary(trial, { name: undefined }));
      await pod.fails('ADD', { code: 7, msg: 'missing network name' });
    },
  },
  {
    id: '16',
    title: 'a network name with a blank is refused',
    check: async (trial) => {
      const pod = trial.attachment(ordinary(trial, { name: 'a b' }));
      await pod.fails('ADD', { code: 7, msg: 'invalid characters found in network name', details: 'a b' });
    },
  },
  {
    id: '17',
    title: 'a configuration without cniVersion gets a result in the form of 0.1.0',
    since: '0.1.0',
    check: oldestForm,
  },
  ...['0.5.0', 'adsf'].map(
    (cniVersion, at): Row => ({
      id: `18${'ab'[at]}`,
      title: `cniVersion ${cniVersion} is refused as incompatible`,
      check: async (trial) => {
        const details = new RegExp(`^config is "${cniVersion}", plugin supports \\["0.1.0" "0.2.0" .*"0.4.0".*\\]$`);
        const pod = trial.attachment(ordinary(trial, { cniVersion }));
        await pod.fails('ADD', { code: 1, msg: 'incompatible CNI versions', details });
      },
    }),
  ),
  refusedVersion('19', 'CHECK', '0.3.1', 1, 'config version does not allow CHECK'),
  refusedVersion('20', 'CHECK', 'adsf', 6, /./),
  refusedVersion('21', 'STATUS', '1.0.0', 1, 'config version does not allow STATUS'),
  { id: '22', title: 'keys of the configuration are recognised in upper and lower case', check: oddCase },
  {
    id: '24',
    title: 'unknown keys, the key capabilities and keys of value null are ignored',
    check: async (trial) => {
      const extra = { whatever: { deep: [1] }, capabilities: { portMappings: true }, args: null, dns: null };
      const result = await trial.attachment(ordinary(trial, extra)).add();
      same(result.ips?.length, 1, 'ips of the result');
    },
  },
  {
    id: '30a',
    title: 'ADD prints one JSON document, indented by 4 blanks, without a newline at the end',
    check: async (trial) => {
      const outcome = await trial.attachment(ordinary(trial)).exec('ADD');
      same(outcome.stdout, JSON.stringify(resultOf(outcome), null, 4), 'stdout');
    },
  },
  {
    id: '30b',
    since: '1.0.0',
    referenceFrom: 'main',
    title: 'the keys of a result of version 1.x are in alphabetical order',
    check: async (trial) => {
      const outcome = await trial.attachment(ordinary(trial)).exec('ADD');
      same(outcome.stdout, JSON.stringify(sorted(resultOf(outcome)), null, 4), 'stdout');
    },
  },
];

async function oldestForm(trial: Trial): Promise<void> {
  const result = await trial.attachment(ordinary(trial, { cniVersion: undefined })).add();
  same(result.cniVersion, '0.1.0', 'cniVersion of the result');
  const address = trial.plugin === 'flannel' ? '10.1.17.2/24' : '10.1.2.2/24';
  same(result.ip4?.ip, address, 'ip4.ip');
  same(result.ip4?.gateway, address.replace('.2/24', '.1'), 'ip4.gateway');
  same(result.dns, {}, 'dns');
  same([result.ips, result.interfaces, result.routes], [undefined, undefined, undefined], 'keys of newer forms');
}

async function oddCase(trial: Trial): Promise<void> {
  const { cniVersion, name, ipam: addresses, ...rest } = ordinary(trial);
  const { dataDir, ...ipamRest } = addresses as { dataDir: string };
  const odd = { ...rest, CNIVersion: cniVersion, NAME: name, IPAM: { ...ipamRest, DATADIR: dataDir } };
  const outcome = await trial.call({ env: environment(trial, 'ADD'), stdin: odd });
  same(resultOf(outcome).cniVersion, trial.version, 'cniVersion of the result');
  same(trial.addresses().length, 1, 'addresses reserved in DATADIR');
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, entry]) => [key, sorted(entry)]),
  );
}

const SAME_NETNS = "plugin's netns and netns from CNI_NETNS should not be the same";

const ofBridge: readonly Row[] = [
  {
    id: '25a',
    referenceFrom: 'main',
    title: 'a CNI_NETNS that is the plugin’s own network namespace is refused',
    differs: {
      reason: 'Weft refuses its own namespace before it makes anything, and prints one document on stdout',
      reference: async (trial) => {
        const outcome = await trial.attachment(layer2(trial), { netns: trial.sandbox.hostNetns }).exec('ADD');
        same(outcome.exitCode, 1, 'exit code');
        holds(outcome.stdout.includes(SAME_NETNS), `no word of the netns in ${outcome.stdout}`);
        await trial.link('eth0');
      },
    },
    check: async (trial) => {
      const pod = trial.attachment(layer2(trial), { netns: trial.sandbox.hostNetns });
      await pod.fails('ADD', { code: 8, msg: SAME_NETNS });
      same(await trial.findLink('eth0'), undefined, 'eth0 on the host');
      same(await trial.findLink('cni0'), undefined, 'the bridge');
    },
  },
  {
    id: '26a',
    title: 'CNI_NETNS_OVERRIDE allows the plugin’s own network namespace',
    check: async (trial) => {
      const env = { CNI_NETNS_OVERRIDE: 'true' };
      await trial.attachment(layer2(trial), { netns: trial.sandbox.hostNetns, env }).add();
      await trial.link('eth0');
    },
  },
];

const ofHostLocal: readonly Row[] = [
  {
    id: '25b',
    referenceFrom: 'main',
    title: 'a CNI_NETNS that is the plugin’s own network namespace is refused',
    differs: {
      reason: 'Weft refuses its own namespace before it makes anything, and prints one document on stdout',
      reference: async (trial) => {
        const outcome = await trial.attachment(hostLocal(trial), { netns: trial.sandbox.hostNetns }).exec('ADD');
        same(outcome.exitCode, 1, 'exit code');
        sameText(outcome.stdout, /^\{[\s\S]*\}\s*\{[\s\S]*"code": 8,[\s\S]*\}$/, 'stdout, two documents');
        same(trial.addresses(), ['10.1.2.2'], 'addresses reserved');
      },
    },
    check: async (trial) => {
      const pod = trial.attachment(hostLocal(trial), { netns: trial.sandbox.hostNetns });
      await pod.fails('ADD', { code: 8, msg: SAME_NETNS });
      same(trial.addresses(), [], 'addresses reserved');
    },
  },
  {
    id: '26b',
    title: 'CNI_NETNS_OVERRIDE allows the plugin’s own network namespace',
    check: async (trial) => {
      const env = { CNI_NETNS_OVERRIDE: 'true' };
      const result = await trial.attachment(hostLocal(trial), { netns: trial.sandbox.hostNetns, env }).add();
      same(result.ips?.[0]?.address, '10.1.2.2/24', 'address');
    },
  },
  ...[
    { id: '27', args: 'FOO=1', msg: 'ARGS: unknown args ["FOO=1"]' },
    { id: '29a', args: 'IgnoreUnknown=1;', msg: 'ARGS: invalid pair ""' },
    { id: '29b', args: 'IgnoreUnknown=1;A=b=c', msg: 'ARGS: invalid pair "A=b=c"' },
  ].map(({ id, args, msg }): Row => ({ id, title: `CNI_ARGS "${args}" is refused`, check: refusedArgs(args, msg) })),
  {
    id: '28',
    title: 'IgnoreUnknown=1 makes the plugin ignore unknown CNI_ARGS',
    check: async (trial) => {
      await trial.attachment(hostLocal(trial), { args: 'FOO=1;IgnoreUnknown=true' }).add();
      same(trial.addresses(), ['10.1.2.2'], 'addresses reserved');
    },
  },
];

function refusedArgs(args: string, msg: string) {
  return async (trial: Trial): Promise<void> => {
    await trial.attachment(hostLocal(trial), { args }).fails('ADD', { code: 999, msg });
    same(trial.addresses(), [], 'addresses reserved');
  };
}

const versions: readonly Row[] = ALL_VERSIONS.map(
  (cniVersion, at): Row => ({
    id: `V${at + 1}`,
    own: true,
    since: cniVersion,
    ...(cniVersion === '1.0.0' ? { referenceFrom: 'main' } : {}),
    title: `a result of version ${cniVersion} has the form of that version`,
    check: async (trial) => {
      const result = await trial.attachment(ordinary(trial, { cniVersion, ipam: versionIpam(trial) })).add();
      same(result.cniVersion, cniVersion, 'cniVersion of the result');
      if (at < 2) same(result.ip4?.routes, [{ dst: '10.9.0.0/16', gw: '10.1.2.1' }], 'ip4.routes');
      else same(result.ips?.[0]?.version, at < 5 ? '4' : undefined, 'ips[0].version');
      same('dns' in result, at < 5, 'whether an empty dns is printed');
    },
  }),
);

function versionIpam(trial: Trial) {
  return ipam(trial, { routes: [{ dst: '10.9.0.0/16', gw: '10.1.2.1' }] });
}

export const configCases: readonly Case[] = [
  ...casesOfEach(overlayPlugins, ofEvery),
  ...casesOf('bridge', ofBridge),
  ...casesOf('host-local', ofHostLocal),
  ...casesOfEach(['bridge', 'host-local'], versions),
];
