// Rows 31–47 and 53: subnet.env, and the delegate configuration that flannel generates from it (facts: flannel-io/cni-plugin).

import type { JsonObject } from '../attachment.ts';
import { type Case, type Check, casesOf, type Release, type Row } from '../case.ts';
import { answering, flannel, sentTo, stub, writeSubnetEnv } from '../configs.ts';
import { holds, present, same } from '../expect.ts';
import { addressesOf, routesOf } from '../observe.ts';
import type { Trial } from '../trial.ts';

type Keys = Readonly<Record<string, string | null>>;

const V6_ONLY: Keys = {
  FLANNEL_NETWORK: null,
  FLANNEL_SUBNET: null,
  FLANNEL_IPV6_NETWORK: 'fc00::/48',
  FLANNEL_IPV6_SUBNET: 'fc00::1/64',
};
const V6_TOO: Keys = { FLANNEL_IPV6_NETWORK: 'fc00::/48', FLANNEL_IPV6_SUBNET: 'fc00::1/64' };

/** The configuration that a delegate of another type receives, for this subnet.env, this `delegate` and these other keys. */
async function delegated(trial: Trial, env: Keys, delegate: JsonObject, keys: JsonObject = {}): Promise<JsonObject> {
  writeSubnetEnv(trial, env);
  const path = answering(trial, 'probe', { cniVersion: trial.version, ips: [] });
  await trial.attachment(flannel(trial, { delegate: { type: 'probe', ...delegate }, ...keys }), { path }).add();
  return present(sentTo(trial, 'probe', 'ADD'), 'what the delegate was sent');
}

const goodEnv: readonly Row[] = [
  {
    id: '31a',
    title: 'an IPv4 subnet.env gives the container its address, gateway, route to the network and MTU',
    check: async (trial) => {
      writeSubnetEnv(trial);
      const result = await trial.attachment(flannel(trial)).add();
      const [ip] = result.ips ?? [];
      same([ip?.address, ip?.gateway, ip?.interface], ['10.1.17.2/24', '10.1.17.1', 2], 'ips[0]');
      same(result.routes, [{ dst: '10.1.0.0/16' }], 'routes of the result');
      same(
        result.interfaces?.map(({ name }) => name.replace(/^veth.*/, 'veth')),
        ['cni0', 'veth', 'eth0'],
        'interfaces',
      );
      same(addressesOf(await trial.link('cni0')), ['10.1.17.1/24'], 'addresses of cni0');
      const eth0 = await trial.link('eth0', 'c1');
      same([addressesOf(eth0), eth0.mtu], [['10.1.17.2/24'], 1472], 'address and MTU of eth0');
      same(routesOf(await trial.routes(4, 'c1')), ['10.1.0.0/16 via 10.1.17.1'], 'routes in the container');
    },
  },
  {
    id: '31b',
    title: 'the delegate’s configuration has the values of subnet.env',
    check: async (trial) => {
      const sent = await delegated(trial, {}, { isDefaultGateway: true });
      same(
        sent,
        {
          cniVersion: trial.version,
          name: 'n1',
          type: 'probe',
          isDefaultGateway: true,
          ipMasq: false,
          mtu: 1472,
          ipam: {
            type: 'host-local',
            dataDir: trial.path('networks'),
            ranges: [[{ subnet: '10.1.17.0/24' }]],
            routes: [{ dst: '10.1.0.0/16' }],
          },
        },
        'what the delegate was sent',
      );
    },
  },
  {
    id: '32',
    title: 'a subnet.env with IPv6 alone gives the container an IPv6 address',
    needs: ['ipv6'],
    referenceFrom: 'main',
    check: async (trial) => {
      writeSubnetEnv(trial, V6_ONLY);
      const result = await trial.attachment(flannel(trial)).add();
      same(
        result.ips?.map(({ address, gateway }) => [address, gateway]),
        [['fc00::2/64', 'fc00::1']],
        'ips',
      );
      same(result.routes, [{ dst: 'fc00::/48' }], 'routes of the result');
      same(addressesOf(await trial.link('eth0', 'c1')), ['fc00::2/64'], 'addresses of eth0');
      same(routesOf(await trial.routes(6, 'c1')), ['fc00::/48 via fc00::1'], 'routes in the container');
    },
  },
  {
    id: '33',
    title: 'a dual-stack subnet.env gives the container two addresses, two routes and two range sets',
    needs: ['ipv6'],
    referenceFrom: 'main',
    check: async (trial) => {
      writeSubnetEnv(trial, V6_TOO);
      const result = await trial.attachment(flannel(trial)).add();
      same(
        result.ips?.map(({ address }) => address),
        ['10.1.17.2/24', 'fc00::2/64'],
        'ips',
      );
      same(result.routes, [{ dst: '10.1.0.0/16' }, { dst: 'fc00::/48' }], 'routes of the result');
      same(addressesOf(await trial.link('eth0', 'c1')), ['10.1.17.2/24', 'fc00::2/64'], 'addresses of eth0');
      same(trial.list('networks/n1').filter((name) => name.startsWith('last')).length, 2, 'range sets');
    },
  },
  {
    id: '34',
    title: 'each network in subnet.env gives one route, and a repeated network gives no second one',
    referenceFrom: 'main',
    check: async (trial) => {
      writeSubnetEnv(trial, { FLANNEL_NETWORK: '10.1.0.0/16,10.2.0.0/16,10.1.0.0/16' });
      const result = await trial.attachment(flannel(trial)).add();
      same(result.routes, [{ dst: '10.1.0.0/16' }, { dst: '10.2.0.0/16' }], 'routes of the result');
      same(routesOf(await trial.routes(4, 'c1')).length, 2, 'routes in the container');
    },
  },
  {
    id: '38',
    title: 'FLANNEL_IPMASQ=True does not count as true, so the delegate masquerades',
    check: async (trial) => same((await delegated(trial, { FLANNEL_IPMASQ: 'True' }, {}))['ipMasq'], true, 'ipMasq'),
  },
  {
    id: '39',
    title: 'comments, blank lines and unknown keys in subnet.env are ignored',
    check: async (trial) => {
      const path = writeSubnetEnv(trial);
      const text = trial.read('subnet.env') ?? '';
      trial.write('subnet.env', `# a comment\n\nno equals sign\nOTHER=1=2\n${text}\n`);
      const result = await trial.attachment(flannel(trial, { subnetFile: path })).add();
      same(result.ips?.[0]?.address, '10.1.17.2/24', 'address');
    },
  },
];

/** A row in which ADD must fail because of this subnet.env, with this message. */
function badEnv(id: string, title: string, env: Keys, message: (file: string) => string, from?: Release): Row {
  return {
    id,
    title,
    ...(from === undefined ? {} : { referenceFrom: from }),
    check: async (trial) => {
      const file = writeSubnetEnv(trial, env);
      await trial.attachment(flannel(trial)).fails('ADD', { code: 999, msg: message(file) });
      same(await trial.findLink('cni0'), undefined, 'the bridge after the refusal');
    },
  };
}

const FAILED = "failed to load flannel 'subnet.env' file: ";
const CHECK_POD = '. Check the flannel pod log for this node.';
const NO_NETWORK = 'FLANNEL_NETWORK, FLANNEL_IPV6_NETWORK';
const NO_SUBNET = 'FLANNEL_SUBNET, FLANNEL_IPV6_SUBNET';

function missing(keys: string): (file: string) => string {
  return (file) => `${FAILED}${file} is missing ${keys}${CHECK_POD}`;
}

function noSubnetEnv(trial: Trial): string {
  return `${FAILED}open ${trial.path('subnet.env')}: no such file or directory${CHECK_POD}`;
}

const badEnvs: readonly Row[] = [
  badEnv(
    '35a',
    'a subnet.env without FLANNEL_NETWORK is refused',
    { FLANNEL_NETWORK: null },
    missing(NO_NETWORK),
    'main',
  ),
  badEnv('35b', 'a subnet.env without FLANNEL_SUBNET is refused', { FLANNEL_SUBNET: null }, missing(NO_SUBNET), 'main'),
  badEnv('35c', 'a subnet.env without FLANNEL_MTU is refused', { FLANNEL_MTU: null }, missing('FLANNEL_MTU'), 'main'),
  badEnv(
    '35d',
    'a subnet.env without FLANNEL_IPMASQ is refused',
    { FLANNEL_IPMASQ: null },
    missing('FLANNEL_IPMASQ'),
    'main',
  ),
  {
    id: '36a',
    title: 'ADD without subnet.env names the file and where to look, with the code for “try again later”',
    referenceFrom: 'main',
    differs: {
      reason: 'the agent will write the file, and code 11 of the specification tells the runtime to try again',
      reference: (trial) => trial.attachment(flannel(trial)).fails('ADD', { code: 999, msg: noSubnetEnv(trial) }),
    },
    check: async (trial) => {
      const details = /flanneld status/;
      await trial.attachment(flannel(trial)).fails('ADD', { code: 11, msg: noSubnetEnv(trial), details });
      same(await trial.findLink('cni0'), undefined, 'the bridge after the refusal');
    },
  },
  {
    id: '36b',
    title: 'DEL works without subnet.env',
    check: async (trial) => {
      writeSubnetEnv(trial);
      const pod = trial.attachment(flannel(trial));
      await pod.add();
      trial.remove('subnet.env');
      await pod.del();
      same(trial.addresses(), [], 'addresses reserved');
      same(await trial.findLink('eth0', 'c1'), undefined, 'eth0');
    },
  },
  badEnv(
    '37a',
    'a FLANNEL_MTU that is no number is refused',
    { FLANNEL_MTU: 'abc' },
    () => `${FAILED}strconv.ParseUint: parsing "abc": invalid syntax${CHECK_POD}`,
    'main',
  ),
  badEnv(
    '37b',
    'a FLANNEL_SUBNET that is no subnet is refused',
    { FLANNEL_SUBNET: 'foo' },
    () => `${FAILED}invalid CIDR address: foo${CHECK_POD}`,
    'main',
  ),
  badEnv(
    '37c',
    'a FLANNEL_NETWORK that is no network is refused',
    { FLANNEL_NETWORK: 'foo' },
    () => `${FAILED}invalid CIDR address: foo${CHECK_POD}`,
    'main',
  ),
  {
    id: '40',
    title: 'a known key without = in subnet.env gets an error',
    differs: {
      reason: 'the reference plugin crashes, so that the runtime can report no reason',
      reference: async (trial) => {
        trial.write(
          'subnet.env',
          'FLANNEL_NETWORK\nFLANNEL_SUBNET=10.1.17.1/24\nFLANNEL_MTU=1472\nFLANNEL_IPMASQ=true\n',
        );
        same((await trial.attachment(flannel(trial)).exec('ADD')).exitCode, 2, 'exit code');
      },
    },
    check: async (trial) => {
      trial.write(
        'subnet.env',
        'FLANNEL_NETWORK\nFLANNEL_SUBNET=10.1.17.1/24\nFLANNEL_MTU=1472\nFLANNEL_IPMASQ=true\n',
      );
      await trial.attachment(flannel(trial)).fails('ADD', { code: 999, msg: /FLANNEL_NETWORK/ });
    },
  },
];

function badDelegate(id: string, title: string, delegate: JsonObject, msg: string): Row {
  return {
    id,
    title,
    check: async (trial) => {
      writeSubnetEnv(trial);
      await trial.attachment(flannel(trial, { delegate })).fails('ADD', { code: 999, msg });
      same(await trial.findLink('cni0'), undefined, 'the bridge after the refusal');
    },
  };
}

const setByFlannel = (key: string): string =>
  `'delegate' dictionary must not have '${key}' field, it'll be set by flannel`;

const delegates: readonly Row[] = [
  badDelegate('41a', 'a delegate with the key name is refused', { name: 'x' }, setByFlannel('name')),
  badDelegate('41b', 'a delegate with the key ipam is refused', { ipam: {} }, setByFlannel('ipam')),
  badDelegate(
    '41c',
    'a delegate whose type is no text is refused',
    { type: 5 },
    "'delegate' dictionary, if present, must have (string) 'type' field",
  ),
  {
    id: '42',
    title: 'the plugin keeps what the delegate says: MTU, bridge, no gateway, masquerading',
    check: async (trial) => {
      writeSubnetEnv(trial);
      const delegate = { mtu: 1300, isGateway: false, bridge: 'brx' };
      await trial.attachment(flannel(trial, { delegate })).add();
      same((await trial.link('eth0', 'c1')).mtu, 1300, 'MTU of eth0');
      same(addressesOf(await trial.link('brx')), [], 'addresses of brx');
      same(await trial.findLink('cni0'), undefined, 'cni0');
      const sent = await delegated(trial, {}, { ipMasq: true, mtu: 1300, isGateway: false });
      same([sent['ipMasq'], sent['mtu'], sent['isGateway']], [true, 1300, false], 'what another delegate was sent');
    },
  },
  {
    id: '43',
    title: 'unknown keys of ipam are kept, its ranges are replaced, and its routes come before those of the networks',
    check: async (trial) => {
      const routes = [{ dst: '10.8.0.0/16' }, { dst: '10.9.0.0/16', gw: '10.1.17.9' }];
      const ipam = { type: 'other', unknown: 'v', ranges: [[{ subnet: '192.168.0.0/24' }]], routes };
      const sent = await delegated(trial, {}, {}, { ipam });
      const wanted = { ...ipam, ranges: [[{ subnet: '10.1.17.0/24' }]], routes: [...routes, { dst: '10.1.0.0/16' }] };
      same(sent['ipam'], wanted, 'ipam of the delegate');
    },
  },
  {
    id: '44',
    title: 'the delegate gets runtimeConfig, so that the container has the MAC that the runtime asked for',
    check: async (trial) => {
      writeSubnetEnv(trial);
      const mac = 'c2:11:22:33:44:55';
      await trial.attachment(flannel(trial, { runtimeConfig: { mac } })).add();
      same((await trial.link('eth0', 'c1')).address, mac, 'MAC of eth0');
    },
  },
  {
    id: '45',
    referenceFrom: 'main',
    title: 'a delegate that is not installed gets an error with its name and the searched folders',
    check: async (trial) => {
      writeSubnetEnv(trial);
      const msg = `failed to delegate add: failed to find plugin "nope" in path [/nowhere ${trial.bin}]`;
      const pod = trial.attachment(flannel(trial, { delegate: { type: 'nope' } }), { path: `/nowhere:${trial.bin}` });
      await pod.fails('ADD', { code: 999, msg });
    },
  },
  { id: '45b', own: true, title: 'an error of the delegate is returned unchanged', check: delegateError },
  { id: '47', title: 'the DEL after a failed ADD removes everything that the ADD left', check: failedAdd },
  ...(['0.2.0', '0.3.1'] as const).map(
    (cniVersion, at): Row => ({
      id: `53${'ab'[at]}`,
      since: cniVersion,
      title: `the result of version ${cniVersion} has the form of that version`,
      check: shapeOf(cniVersion),
    }),
  ),
];

async function delegateError(trial: Trial): Promise<void> {
  writeSubnetEnv(trial);
  const error = { code: 117, msg: 'no luck', details: 'today' };
  const path = stub(trial, 'probe', `echo '${JSON.stringify({ cniVersion: trial.version, ...error })}'\nexit 1`);
  await trial.attachment(flannel(trial, { delegate: { type: 'probe' } }), { path }).fails('ADD', error);
}

async function failedAdd(trial: Trial): Promise<void> {
  writeSubnetEnv(trial);
  const pod = trial.attachment(flannel(trial), { netns: '/run/netns/none' });
  const msg = 'failed to open netns "/run/netns/none": failed to Statfs "/run/netns/none": no such file or directory';
  await pod.fails('ADD', { code: 999, msg });
  await pod.del();
  same(trial.addresses(), [], 'addresses reserved');
  same(trial.list('flannel'), [], 'saved configurations');
}

function shapeOf(cniVersion: '0.2.0' | '0.3.1'): Check {
  return async (trial) => {
    writeSubnetEnv(trial);
    const result = await trial.attachment(flannel(trial, { cniVersion })).add();
    same(result.cniVersion, cniVersion, 'cniVersion');
    same(result.dns, {}, 'dns');
    if (cniVersion === '0.2.0') {
      const wanted = { ip: '10.1.17.2/24', gateway: '10.1.17.1', routes: [{ dst: '10.1.0.0/16' }] };
      same(result.ip4, wanted, 'ip4');
      return;
    }
    const [ip] = result.ips ?? [];
    same(ip, { version: '4', interface: 2, address: '10.1.17.2/24', gateway: '10.1.17.1' }, 'ips[0]');
    holds(
      result.interfaces?.every(({ mtu }) => mtu === undefined) === true,
      'an interface has mtu, which 0.3.1 has not',
    );
  };
}

export const flannelAddCases: readonly Case[] = casesOf('flannel', [...goodEnv, ...badEnvs, ...delegates]);
