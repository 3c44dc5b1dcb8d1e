// Rows 74–83, 90, 91, 93: configurations that are refused, bridges without addresses, VLANs, IPAM plugins that fail.

import type { JsonObject } from '../attachment.ts';
import { type Case, casesOf, type Release, type Row } from '../case.ts';
import { answering, bridge, ipam, layer2 } from '../configs.ts';
import { holds, same } from '../expect.ts';
import { addressesOf, isUp } from '../observe.ts';
import type { Trial } from '../trial.ts';

/** Requires that nothing is left in the container and on the host, except the bridge. */
async function nothingLeft(trial: Trial): Promise<void> {
  same(trial.addresses(), [], 'addresses reserved');
  same(await trial.findLink('eth0', 'c1'), undefined, 'eth0');
  const names = (await trial.links()).map(({ ifname }) => ifname);
  same(
    names.filter((name) => name !== 'lo' && name !== 'cni0'),
    [],
    'links left on the host',
  );
}

/** A row whose keys ADD must refuse with this message before it makes anything. */
function refused(id: string, title: string, keys: JsonObject, msg: string | RegExp, referenceFrom?: Release): Row {
  return {
    id,
    title,
    ...(referenceFrom === undefined ? {} : { referenceFrom }),
    check: async (trial) => {
      await trial.attachment(bridge(trial, keys)).fails('ADD', { code: 999, msg });
      await nothingLeft(trial);
      same(await trial.findLink('cni0'), undefined, 'the bridge');
    },
  };
}

const TOGETHER = 'minID and maxID should be configured simultaneously,';

const refusals: readonly Row[] = [
  refused(
    '74a',
    'hairpinMode together with promiscMode is refused',
    { hairpinMode: true, promiscMode: true },
    'cannot set hairpin mode and promiscuous mode at the same time',
    'main',
  ),
  refused('74b', 'vlan 5000 is refused', { vlan: 5000 }, 'invalid VLAN ID 5000 (must be between 0 and 4094)'),
  refused('74c', 'vlan -1 is refused', { vlan: -1 }, 'invalid VLAN ID -1 (must be between 0 and 4094)'),
  refused(
    '75a',
    'a trunk with minID and without maxID is refused',
    { vlanTrunk: [{ minID: 1 }] },
    `${TOGETHER} maxID is missing`,
    'main',
  ),
  refused(
    '75b',
    'a trunk with maxID and without minID is refused',
    { vlanTrunk: [{ maxID: 1 }] },
    `${TOGETHER} minID is missing`,
    'main',
  ),
  refused(
    '75c',
    'a trunk with id 5000 is refused',
    { vlanTrunk: [{ id: 5000 }] },
    'incorrect trunk id parameter',
    'main',
  ),
  refused(
    '75d',
    'a trunk whose minID is above its maxID is refused',
    { vlanTrunk: [{ minID: 9, maxID: 3 }] },
    'minID is greater than maxID in trunk parameter',
    'main',
  ),
  refused(
    '75e',
    'a trunk with minID 5000 is refused',
    { vlanTrunk: [{ minID: 5000, maxID: 5001 }] },
    'incorrect trunk minID parameter',
    'main',
  ),
  refused(
    '76',
    'disableContainerInterface together with IPAM is refused',
    { disableContainerInterface: true },
    'cannot use IPAM when DisableContainerInterface flag is set',
    'main',
  ),
  refused(
    '82',
    'a number that is given as text is refused',
    { mtu: '1400' },
    /^failed to load netconf: json: .*(mtu|int)/,
  ),
  {
    id: '96',
    title: 'an unknown ipMasqBackend is refused',
    referenceFrom: 'main',
    differs: {
      reason: 'Weft checks the configuration before it makes anything',
      reference: async (trial) => {
        await unknownBackend(trial);
        await trial.link('eth0', 'c1');
      },
    },
    check: async (trial) => {
      await unknownBackend(trial);
      await nothingLeft(trial);
    },
  },
];

async function unknownBackend(trial: Trial): Promise<void> {
  const pod = trial.attachment(bridge(trial, { ipMasq: true, ipMasqBackend: 'foo' }));
  await pod.fails('ADD', { code: 999, msg: 'unknown ipmasq backend "foo"' });
  same(trial.addresses(), [], 'addresses reserved');
}

const bare: readonly Row[] = [
  {
    id: '77',
    title: 'disableContainerInterface leaves the container’s interface down',
    referenceFrom: 'main',
    check: async (trial) => {
      await trial.attachment(layer2(trial, { disableContainerInterface: true })).add();
      const eth0 = await trial.link('eth0', 'c1');
      holds(!eth0.flags.includes('UP'), 'eth0 is up');
      same((await trial.ports()).length, 1, 'ports of cni0');
    },
  },
  {
    id: '78',
    title: 'a configuration without IPAM gets a result with three interfaces and no addresses',
    check: async (trial) => {
      const result = await trial.attachment(layer2(trial)).add();
      same([result.interfaces?.length, result.ips], [3, undefined], 'interfaces and ips');
      const eth0 = await trial.link('eth0', 'c1');
      same([isUp(eth0), addressesOf(eth0)], [true, []], 'whether eth0 is up, and its addresses');
    },
  },
  {
    id: '79',
    title: 'a configuration without IPAM is refused with cniVersion 0.2.0, whose result cannot lack addresses',
    since: '0.2.0',
    differs: {
      reason: 'Weft finds this out before it makes anything',
      reference: async (trial) => {
        const msg = 'cannot convert: no valid IP addresses';
        await trial.attachment(layer2(trial, { cniVersion: '0.2.0' })).fails('ADD', { code: 999, msg });
        await trial.link('eth0', 'c1');
      },
    },
    check: async (trial) => {
      const msg = 'cannot convert: no valid IP addresses';
      await trial.attachment(layer2(trial, { cniVersion: '0.2.0' })).fails('ADD', { code: 999, msg });
      await nothingLeft(trial);
    },
  },
];

async function vlansOf(trial: Trial, port: string): Promise<string[]> {
  const text = await trial.sandbox.must(['bridge', '-j', '-compressvlans', 'vlan', 'show', 'dev', port]);
  const [entry] = JSON.parse(text || '[]') as { vlans: { vlan: number; vlanEnd?: number; flags?: string[] }[] }[];
  return (entry?.vlans ?? []).map(({ vlan, vlanEnd, flags = [] }) =>
    [vlanEnd ? `${vlan}-${vlanEnd}` : vlan, ...flags].join(' '),
  );
}

function vlanRow(id: string, title: string, keys: JsonObject, want: readonly string[], from?: Release): Row {
  return {
    id,
    title,
    needs: ['vlan-filtering'],
    ...(from === undefined ? {} : { referenceFrom: from }),
    check: async (trial) => {
      await trial.attachment(layer2(trial, keys)).add();
      same(await vlansOf(trial, (await trial.ports())[0] ?? ''), want, 'VLANs of the port');
    },
  };
}

const NATIVE = 'PVID Egress Untagged';
const TRUNK = [{ id: 101 }, { minID: 200, maxID: 210 }];

const vlans: readonly Row[] = [
  vlanRow('80a', 'vlan makes that VLAN the port’s only one', { vlan: 100 }, [`100 ${NATIVE}`], 'main'),
  vlanRow(
    '80b',
    'preserveDefaultVlan keeps VLAN 1 on the port',
    { vlan: 100, preserveDefaultVlan: true },
    ['1 Egress Untagged', `100 ${NATIVE}`],
    'main',
  ),
  {
    id: '80c',
    title: 'the gateway of a VLAN is on an interface of its own, which is the fourth in the result',
    needs: ['vlan-filtering'],
    check: async (trial) => {
      const result = await trial.attachment(bridge(trial, { vlan: 100, isGateway: true })).add();
      same(result.interfaces?.[3]?.name, 'cni0.100', 'interfaces[3]');
      same(addressesOf(await trial.link('cni0.100')), ['10.1.2.1/24'], 'addresses of cni0.100');
      same(addressesOf(await trial.link('cni0')), [], 'addresses of cni0');
    },
  },
  {
    id: '80d',
    own: true,
    title: 'vlan on a kernel without VLAN filtering gets a clear error, and nothing is left',
    needs: ['no-vlan-filtering'],
    differs: { reason: 'the reference plugin fails with an errno and leaves its bridge' },
    check: async (trial) => {
      const outcome = await trial.attachment(layer2(trial, { vlan: 100 })).exec('ADD');
      same(outcome.exitCode, 1, 'exit code');
      holds(/vlan/i.test(outcome.stdout), `no word of VLANs in ${outcome.stdout}`);
      await nothingLeft(trial);
    },
  },
  vlanRow(
    '81a',
    'vlanTrunk alone makes the port carry these VLANs tagged and VLAN 1 untagged',
    { vlanTrunk: TRUNK },
    [`1 ${NATIVE}`, '101', '200-210'],
    'main',
  ),
  vlanRow(
    '81b',
    'vlanTrunk together with vlan makes the port carry the trunk tagged and vlan untagged',
    { vlanTrunk: TRUNK, vlan: 100 },
    [`100 ${NATIVE}`, '101', '200-210'],
    'main',
  ),
];

function failingAdd(id: string, title: string, netns: string, msg: string): Row {
  return {
    id,
    title,
    check: async (trial) => {
      trial.write('a-file', '');
      const path = netns === 'a-file' ? trial.path(netns) : netns;
      const pod = trial.attachment(bridge(trial), { netns: path });
      await pod.fails('ADD', { code: 999, msg: msg.replaceAll('PATH', path) });
      same(trial.addresses(), [], 'addresses reserved');
    },
  };
}

const NOPE = { ipam: { type: 'nope' } };

const ipams: readonly Row[] = [
  failingAdd(
    '83a',
    'ADD into a network namespace that does not exist gets an error',
    '/run/netns/none',
    'failed to open netns "PATH": failed to Statfs "PATH": no such file or directory',
  ),
  {
    id: '83b',
    title: 'ADD into a file that is no network namespace gets an error',
    check: async (trial) => {
      const netns = trial.write('a-file', '');
      const msg = new RegExp(`^failed to open netns "${netns}": unknown FS magic on "${netns}": [0-9a-f]+$`);
      await trial.attachment(bridge(trial), { netns }).fails('ADD', { code: 999, msg });
      same(trial.addresses(), [], 'addresses reserved');
    },
  },
  {
    id: '90a',
    title: 'ADD with an IPAM plugin that is not installed gets an error with its name',
    differs: {
      reason: 'Weft undoes a failed ADD',
      reference: async (trial) => {
        const msg = `failed to find plugin "nope" in path [${trial.bin}]`;
        await trial.attachment(bridge(trial, NOPE)).fails('ADD', { code: 999, msg });
        await trial.link('eth0', 'c1');
      },
    },
    check: async (trial) => {
      const msg = `failed to find plugin "nope" in path [${trial.bin}]`;
      await trial.attachment(bridge(trial, NOPE)).fails('ADD', { code: 999, msg });
      await nothingLeft(trial);
    },
  },
  {
    id: '90b',
    title: 'DEL with an IPAM plugin that is not installed gets an error with its name and removes the interface',
    check: async (trial) => {
      await trial.attachment(layer2(trial)).add();
      const msg = `failed to find plugin "nope" in path [${trial.bin}]`;
      await trial.attachment(bridge(trial, NOPE)).fails('DEL', { code: 999, msg });
      same(await trial.findLink('eth0', 'c1'), undefined, 'eth0');
    },
  },
  {
    id: '91',
    title: 'ADD gets an error when the IPAM plugin gives no address',
    check: async (trial) => {
      const path = answering(trial, 'empty', { cniVersion: trial.version, ips: [] });
      const pod = trial.attachment(bridge(trial, { ipam: { type: 'empty' } }), { path });
      await pod.fails('ADD', { code: 999, msg: 'IPAM plugin returned missing IP config' });
      holds(trial.read('stub/empty.DEL.json') !== undefined, 'the IPAM plugin was not sent DEL');
    },
  },
  {
    id: '93',
    referenceFrom: 'main',
    title: 'the result has the nameservers of resolvConf, unless the configuration has dns of its own',
    check: dns,
  },
];

async function dns(trial: Trial): Promise<void> {
  const resolvConf = trial.write('resolv.conf', 'nameserver 192.0.2.3\nsearch one.example\n');
  const first = trial.attachment(bridge(trial, { ipam: ipam(trial, { resolvConf }) }));
  same((await first.add()).dns, { nameservers: ['192.0.2.3'], search: ['one.example'] }, 'dns of resolvConf');
  await first.del();
  const own = { nameservers: ['192.0.2.9'], domain: 'two.example' };
  same((await first.with({}, { dns: own }).add()).dns, own, 'dns of the configuration');
}

export const bridgeConfigCases: readonly Case[] = casesOf('bridge', [...refusals, ...bare, ...vlans, ...ipams]);
