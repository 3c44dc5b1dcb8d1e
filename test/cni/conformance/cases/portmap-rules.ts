// Rows 149–155: portmap makes rules with iptables, and DEL removes them.

import { type Case, casesOf, type Row } from '../case.ts';
import { holds, same } from '../expect.ts';
import { chained, MAPPING } from '../portmap.ts';
import type { Trial } from '../trial.ts';

/** The chain name that portmap derives from the network `test` and the container `c1`. */
const CHAIN = 'CNI-DN-917f9005c929d67b6ac60';

const MAPPINGS = [
  MAPPING,
  { hostPort: 8081, containerPort: 81, protocol: 'tcp' },
  { hostPort: 8080, containerPort: 81, protocol: 'udp' },
  { hostPort: 8082, containerPort: 82, protocol: 'udp' },
  { hostPort: 8083, containerPort: 83, protocol: 'tcp', hostIP: '192.0.2.10' },
  { hostPort: 8084, containerPort: 84, protocol: 'tcp', hostIP: '0.0.0.0' },
];

/** The rules of a chain of iptables' nat table, as arguments without `-A <chain>`. */
async function rulesOf(trial: Trial, chain: string): Promise<string[]> {
  const prefix = `-A ${chain} `;
  return (await trial.natRules()).filter((line) => line.startsWith(prefix)).map((line) => line.slice(prefix.length));
}

/** What iptables-save prints for one mapping with SNAT. */
function mappingRules(protocol: string, host: number, container: number, daddr = ''): string[] {
  const match = `${daddr}-p ${protocol} -m ${protocol} --dport ${host}`;
  return [
    `-s 10.0.0.0/24 ${match} -j CNI-HOSTPORT-SETMARK`,
    `-s 127.0.0.1/32 ${match} -j CNI-HOSTPORT-SETMARK`,
    `${match} -j DNAT --to-destination 10.0.0.2:${container}`,
  ];
}

async function iptablesDump(trial: Trial): Promise<void> {
  await trial.attachment(await chained(trial, { runtimeConfig: { portMappings: MAPPINGS } })).add();
  same(
    await rulesOf(trial, CHAIN),
    [
      ...mappingRules('tcp', 8080, 80),
      ...mappingRules('tcp', 8081, 81),
      ...mappingRules('udp', 8080, 81),
      ...mappingRules('udp', 8082, 82),
      ...mappingRules('tcp', 8083, 83, '-d 192.0.2.10/32 ').map((rule) =>
        rule.replace(/(-s \S+) -d (\S+)/, '$1 -d $2'),
      ),
      ...mappingRules('tcp', 8084, 84),
    ],
    `rules of ${CHAIN}`,
  );
  const comment = '-m comment --comment "dnat name: \\"test\\" id: \\"c1\\"" -m multiport';
  same(
    await rulesOf(trial, 'CNI-HOSTPORT-DNAT'),
    [`-p tcp ${comment} --dports 8080,8081,8083,8084 -j ${CHAIN}`, `-p udp ${comment} --dports 8080,8082 -j ${CHAIN}`],
    'rules of CNI-HOSTPORT-DNAT',
  );
  same(
    await rulesOf(trial, 'CNI-HOSTPORT-SETMARK'),
    ['-m comment --comment "CNI portfwd masquerade mark" -j MARK --set-xmark 0x2000/0x2000'],
    'rules of CNI-HOSTPORT-SETMARK',
  );
  same(
    await rulesOf(trial, 'CNI-HOSTPORT-MASQ'),
    ['-m mark --mark 0x2000/0x2000 -j MASQUERADE'],
    'rules of CNI-HOSTPORT-MASQ',
  );
  for (const hook of ['PREROUTING', 'OUTPUT']) {
    same(await rulesOf(trial, hook), ['-m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT'], `rules of ${hook}`);
  }
  same(await trial.sysctl('net/ipv4/conf/cni0/route_localnet'), '1', 'route_localnet of cni0');
}

async function containerGone(trial: Trial): Promise<void> {
  const left = (await trial.natRules()).filter((line) => line.includes('CNI-DN-'));
  same(left, [], 'rules of the container');
}

async function forgottenMappings(trial: Trial): Promise<void> {
  const pod = trial.attachment(await chained(trial));
  await pod.add();
  holds((await rulesOf(trial, CHAIN)).length > 0, 'there are no rules');
  await pod.with({}, { runtimeConfig: undefined }).del();
  holds((await rulesOf(trial, CHAIN)).length > 0, 'the rules are gone');
  await pod.del();
  await containerGone(trial);
  await pod.del();
}

const iptables: readonly Omit<Row, 'needs'>[] = [
  {
    id: '149',
    title: 'ADD with the iptables backend makes the same rules as the reference plugin',
    check: iptablesDump,
  },
  {
    id: '150',
    title: 'a second ADD adds no rule',
    check: async (trial) => {
      const pod = trial.attachment(await chained(trial));
      await pod.add();
      const first = await trial.natRules();
      holds(first.length > 0, 'there are no rules');
      await pod.add();
      same(await trial.natRules(), first, 'rules after the second ADD');
    },
  },
  {
    id: '151',
    title: 'DEL removes the rules although the runtime has forgotten the mappings, and a second DEL succeeds',
    differs: {
      reason: 'rules that are left behind would send packets to the pod that gets the address next',
      reference: forgottenMappings,
    },
    check: async (trial) => {
      const pod = trial.attachment(await chained(trial));
      for (const config of [{ runtimeConfig: undefined }, {}]) {
        await pod.add();
        holds((await rulesOf(trial, CHAIN)).length > 0, 'there are no rules');
        await pod.with({}, config).del();
        await containerGone(trial);
      }
      await pod.del();
    },
  },
  {
    id: '152a',
    title: 'with snat false only the destination is translated',
    check: async (trial) => {
      await trial.attachment(await chained(trial, { snat: false })).add();
      same(await rulesOf(trial, CHAIN), mappingRules('tcp', 8080, 80).slice(2), `rules of ${CHAIN}`);
    },
  },
  {
    id: '152b',
    referenceFrom: 'main',
    title: 'with masqAll packets from every source are marked for masquerading',
    check: async (trial) => {
      await trial.attachment(await chained(trial, { masqAll: true })).add();
      const [, , dnat] = mappingRules('tcp', 8080, 80);
      same(
        await rulesOf(trial, CHAIN),
        ['-p tcp -m tcp --dport 8080 -j CNI-HOSTPORT-SETMARK', dnat],
        `rules of ${CHAIN}`,
      );
    },
  },
  {
    id: '153',
    title: 'with externalSetMarkChain the rules jump to that chain instead of a chain of portmap’s own',
    check: async (trial) => {
      await trial.sh('iptables -t nat -N PLZ-SET-MARK');
      await trial.attachment(await chained(trial, { externalSetMarkChain: 'PLZ-SET-MARK' })).add();
      const rules = await rulesOf(trial, CHAIN);
      same(rules.filter((rule) => rule.endsWith('-j PLZ-SET-MARK')).length, 2, 'jumps to PLZ-SET-MARK');
      same(await rulesOf(trial, 'CNI-HOSTPORT-SETMARK'), [], 'rules of CNI-HOSTPORT-SETMARK');
    },
  },
  {
    id: '154',
    title: 'markMasqBit sets the bit of the mark',
    check: async (trial) => {
      await trial.attachment(await chained(trial, { markMasqBit: 5 })).add();
      same(
        await rulesOf(trial, 'CNI-HOSTPORT-MASQ'),
        ['-m mark --mark 0x20/0x20 -j MASQUERADE'],
        'rules of CNI-HOSTPORT-MASQ',
      );
    },
  },
  {
    id: '155',
    title: 'more than 15 ports are spread over several rules',
    check: async (trial) => {
      const portMappings = Array.from({ length: 20 }, (_, at) => ({ ...MAPPING, hostPort: 9000 + at }));
      await trial.attachment(await chained(trial, { runtimeConfig: { portMappings } })).add();
      const entries = await rulesOf(trial, 'CNI-HOSTPORT-DNAT');
      const ports = entries.flatMap((rule) => /--dports (\S+)/.exec(rule)?.[1]?.split(',') ?? []);
      same([entries.length, ports.length], [2, 20], 'entry rules, and ports in them');
    },
  },
];

export const portmapRuleCases: readonly Case[] = casesOf(
  'portmap',
  iptables.map((row): Row => ({ ...row, needs: ['iptables'] })),
);
