// Rows 84–89, 94–98 and 106: a second interface, DEL in every state, masquerading, spoofing, many pods at once.

import type { Attachment, JsonObject } from '../attachment.ts';
import { type Case, casesOf, type Row } from '../case.ts';
import { bridge, ipam, layer2 } from '../configs.ts';
import { holds, same } from '../expect.ts';
import { addressesOf } from '../observe.ts';
import type { Trial } from '../trial.ts';

/** Requires that after DEL no address, no interface in `c1` and no port is left. */
async function allGone(trial: Trial): Promise<void> {
  same(trial.addresses(), [], 'addresses reserved');
  same(await trial.findLink('eth0', 'c1'), undefined, 'eth0');
  same(await trial.ports(), [], 'ports of cni0');
}

const rows: readonly Row[] = [
  {
    id: '84',
    referenceFrom: 'main',
    title: 'a second ADD for the same interface fails and does not change what the first one made',
    check: async (trial) => {
      const pod = trial.attachment(bridge(trial, { isGateway: true }));
      await pod.add();
      const msg = /^container veth name \("eth0"\) peer provided \("veth[0-9a-z]+"\) already exists$/;
      await pod.with({ container: 'c2' }).fails('ADD', { code: 999, msg });
      await pod.fails('ADD', { code: 999, msg });
      same(trial.addresses(), ['10.1.2.2'], 'addresses reserved');
      same(addressesOf(await trial.link('eth0', 'c1')), ['10.1.2.2/24'], 'addresses of eth0');
      same((await trial.ports()).length, 1, 'ports of cni0');
    },
  },
  {
    id: '85',
    title: 'two interfaces of one container get one address each',
    check: async (trial) => {
      const first = trial.attachment(bridge(trial));
      await first.add();
      await first.with({ ifname: 'eth1' }).add();
      same(trial.addresses(), ['10.1.2.2', '10.1.2.3'], 'addresses reserved');
      const connected = (await trial.routes(4, 'c1')).filter(({ dst }) => dst === '10.1.2.0/24');
      same(connected.map(({ dev }) => dev).sort(), ['eth0', 'eth1'], 'connected routes');
    },
  },
  {
    id: '86',
    title: 'a second DEL succeeds, and the container’s other interface stays',
    check: async (trial) => {
      const first = trial.attachment(bridge(trial));
      const second = first.with({ ifname: 'eth1' });
      await first.add();
      await second.add();
      await second.del();
      same(trial.addresses(), ['10.1.2.2'], 'addresses reserved');
      same(await trial.findLink('eth1', 'c1'), undefined, 'eth1');
      await second.del();
      await trial.link('eth0', 'c1');
      await first.del();
      await allGone(trial);
    },
  },
  {
    id: '87',
    title: 'DEL of a container that never existed succeeds',
    check: async (trial) => {
      const pod = trial.attachment(bridge(trial));
      await pod.add();
      await pod.with({ container: 'c2', netns: await trial.container('c2') }).del();
      same(trial.addresses(), ['10.1.2.2'], 'addresses reserved');
      await trial.link('eth0', 'c1');
      await pod.del();
      await allGone(trial);
    },
  },
  ...[
    { id: '88a', title: 'DEL frees the address although the network namespace is gone', netns: '/run/netns/c1' },
    { id: '88b', title: 'DEL with an empty CNI_NETNS frees the address', netns: '' },
  ].map(
    ({ id, title, netns }): Row => ({
      id,
      title,
      check: async (trial) => {
        const pod = trial.attachment(bridge(trial));
        await pod.add();
        same(trial.addresses(), ['10.1.2.2'], 'addresses reserved');
        await trial.sandbox.removeContainer('c1');
        await pod.with({ env: { CNI_NETNS: netns } }).del();
        same(trial.addresses(), [], 'addresses reserved');
      },
    }),
  ),
  {
    id: '89',
    title: 'DEL frees the address although CNI_NETNS is a plain file',
    differs: {
      reason: 'there is no namespace any more, and a DEL that always fails blocks the removal of the pod',
      reference: async (trial) => {
        const pod = trial.attachment(bridge(trial), {});
        await pod.add();
        const netns = trial.write('a-file', '');
        await pod.with({ netns }).fails('DEL', { code: 999, msg: /unknown FS magic on / });
        same(trial.addresses(), ['10.1.2.2'], 'addresses kept');
      },
    },
    check: async (trial) => {
      const pod = trial.attachment(bridge(trial));
      await pod.add();
      await pod.with({ netns: trial.write('a-file', '') }).del();
      same(trial.addresses(), [], 'addresses reserved');
    },
  },
  {
    id: '106',
    title: '16 pods that come and go at once all get different addresses, and nothing of them is left',
    check: crowd,
  },
];

async function crowd(trial: Trial): Promise<void> {
  const pods: Attachment[] = [];
  for (let at = 1; at <= 16; at++) {
    const container = `pod${at}`;
    pods.push(
      trial.attachment(bridge(trial, { isGateway: true }), { container, netns: await trial.container(container) }),
    );
  }
  const results = await Promise.all(pods.map((pod) => pod.add()));
  same(new Set(results.map(({ ips }) => ips?.[0]?.address)).size, 16, 'distinct addresses');
  same((await trial.ports()).length, 16, 'ports of cni0');
  const { address } = await trial.link('cni0');
  // A pod that was added while the bridge was being made may report the MAC that the bridge had at that moment.
  await Promise.all(pods.map((pod) => pod.del()));
  same(trial.addresses(), [], 'addresses reserved');
  same(await trial.ports(), [], 'ports of cni0');
  same((await trial.link('cni0')).address, address, 'MAC of cni0');
}

function masquerading(trial: Trial, keys: JsonObject): JsonObject {
  return bridge(trial, { isGateway: true, ipMasq: true, ipam: ipam(trial), ...keys });
}

/** The rules of nftables and iptables that concern the pod or masquerade. */
async function masqueradeLines(trial: Trial): Promise<string[]> {
  const text = await trial.ruleset();
  return text.split('\n').filter((line) => /10\.1\.2\.2\b|masquerade|MASQUERADE|CNI-[0-9a-f]{24}/.test(line));
}

const NFT_RULE =
  /ip saddr 10\.1\.2\.2 ip daddr != 10\.1\.2\.0\/24 masquerade comment "43d91f8451058a70-f4d01f2ef4b92245, net: n1, if: eth0, id: c1"/;
const CHAIN = 'CNI-7be53730afe4dc6eb2178d03';

const masquerade: readonly Row[] = [
  {
    id: '94',
    title: 'ipMasq with the iptables backend masquerades, and DEL removes all its rules',
    needs: ['iptables', 'nft'],
    check: async (trial) => {
      const pod = trial.attachment(masquerading(trial, { ipMasqBackend: 'iptables' }));
      await pod.add();
      const comment = '-m comment --comment "name: \\"n1\\" id: \\"c1\\""';
      same(
        (await trial.natRules()).filter((line) => line.includes(CHAIN) && line.startsWith('-A')).sort(),
        [
          `-A ${CHAIN} ! -d 224.0.0.0/4 ${comment} -j MASQUERADE`,
          `-A ${CHAIN} -d 10.1.2.0/24 ${comment} -j ACCEPT`,
          `-A POSTROUTING -s 10.1.2.2/32 ${comment} -j ${CHAIN}`,
        ],
        'rules of the nat table',
      );
      await pod.del();
      same(
        (await trial.natRules()).filter((line) => line.includes('CNI')),
        [],
        'rules left',
      );
    },
  },
  {
    id: '95',
    title: 'ipMasq with the nftables backend masquerades, and DEL removes its rule',
    needs: ['nft'],
    referenceFrom: 'main',
    check: async (trial) => {
      const pod = trial.attachment(masquerading(trial, { ipMasqBackend: 'nftables' }));
      await pod.add();
      const rules = await trial.ruleset();
      holds(NFT_RULE.test(rules), `no masquerade rule in ${rules}`);
      holds(rules.includes('table inet cni_plugins_masquerade'), 'no table inet cni_plugins_masquerade');
      holds(/type nat hook postrouting priority (srcnat|100)/.test(rules), 'no nat chain in postrouting');
      await pod.del();
      holds(!NFT_RULE.test(await trial.ruleset()), 'the rule is left');
    },
  },
  {
    id: '95b',
    own: true,
    title: 'ipMasq without a backend masquerades by iptables or nftables, and DEL removes the rules',
    needs: ['nft'],
    check: async (trial) => {
      const pod = trial.attachment(masquerading(trial, {}));
      await pod.add();
      const count = (await masqueradeLines(trial)).length;
      holds(count > 0, 'nothing masquerades the pod');
      await pod.del();
      const left = (await masqueradeLines(trial)).filter((line) => line.includes('10.1.2.2'));
      same(left, [], 'rules left');
    },
  },
  {
    id: '97',
    title: 'DEL removes the masquerading rules although the interface is gone',
    needs: ['iptables', 'nft'],
    differs: {
      reason: 'Weft finds its rules by name, not by the addresses of an interface that is gone',
      reference: async (trial) => {
        await delWithoutInterface(trial);
        same((await trial.natRules()).filter((line) => line.includes('CNI')).length, 4, 'lines leaked');
      },
    },
    check: async (trial) => {
      await delWithoutInterface(trial);
      same(
        (await masqueradeLines(trial)).filter((line) => /10\.1\.2\.2|CNI-/.test(line)),
        [],
        'rules left',
      );
    },
  },
  {
    id: '98a',
    title: 'macspoofchk makes rules for the host’s end of the veth pair, and DEL removes them',
    needs: ['nft'],
    check: spoofing,
  },
  {
    id: '98b',
    title: 'with macspoofchk a frame with another source MAC is dropped',
    needs: ['nft'],
    check: spoofedFrame,
  },
];

async function delWithoutInterface(trial: Trial): Promise<void> {
  const pod = trial.attachment(masquerading(trial, { ipMasqBackend: 'iptables' }));
  await pod.add();
  await trial.sh('ip link delete eth0', 'c1');
  await pod.del();
}

async function spoofing(trial: Trial): Promise<void> {
  const pod = trial.attachment(layer2(trial, { macspoofchk: true }));
  await pod.add();
  const [port = ''] = await trial.ports();
  const { address } = await trial.link('eth0', 'c1');
  // Newer versions of nft write names in quotes.
  const rules = (await trial.sandbox.must(['nft', 'list', 'table', 'bridge', 'nat'])).replaceAll('"', '');
  const chain = 'cni-br-iface-c1-eth0';
  for (const part of [`iifname ${port} jump ${chain}`, `jump ${chain}-mac`, `ether saddr ${address} return`, 'drop']) {
    holds(rules.includes(part), `no ${part} in ${rules}`);
  }
  await pod.del();
  holds(!(await trial.ruleset()).includes(chain), 'rules left');
}

/** Whether the bridge has learnt the MAC from a frame. It learns only from frames that the rules let through. */
async function learns(trial: Trial, mac: string): Promise<boolean> {
  // bash can send a datagram without another program. The kernel then first broadcasts an ARP request.
  await trial.sh(`bash -c 'echo x > /dev/udp/10.7.0.1/9'; sleep 0.1`, 'c1');
  const fdb = await trial.sandbox.must(['bridge', 'fdb', 'show', 'br', 'cni0']);
  return fdb.split('\n').some((line) => line.startsWith(mac) && !line.includes('permanent'));
}

async function spoofedFrame(trial: Trial): Promise<void> {
  await trial.attachment(layer2(trial, { macspoofchk: true })).add();
  await trial.sh('ip address add 10.7.0.2/24 dev eth0', 'c1');
  const { address } = await trial.link('eth0', 'c1');
  holds(await learns(trial, address), 'a frame with the right MAC does not pass');
  const another = 'c2:00:00:00:00:01';
  await trial.sh(`ip link set eth0 address ${another}`, 'c1');
  holds(!(await learns(trial, another)), 'a frame with another MAC passes');
}

export const bridgeDelCases: readonly Case[] = casesOf('bridge', [...rows, ...masquerade]);
