// Measures, cause by cause, why a first packet takes longer than the next one. A pod that already runs pings a pod on another node after
// exactly one entry (say, a neighbour) has been removed while everything else is still there. The kernel at the other end answers, so that
// no program has to wake up there.

import type { LabNode } from '../../test/lab/lab-node.ts';
import type { LabPod } from '../../test/lab/lab-pod.ts';
import { rotated } from '../cni/plan.ts';
import { figure } from '../figures.ts';
import type { Figure } from '../result.ts';

export interface CauseSite {
  readonly node: LabNode;
  readonly pod: LabPod;
  readonly other: LabNode;
  readonly target: LabPod;
}

interface Cause {
  readonly key: string;
  readonly name: string;
  /** Removes the one thing, so that the next packet is a first packet in this respect. */
  forget(site: CauseSite): Promise<unknown>;
  /** The payload of the pings. When absent, they have ping(8)'s usual size. */
  readonly payloadBytes?: number;
}

/** Connection tracking is off for packets of this size, four bytes more than the usual size, which makes no measurable difference. */
const UNTRACKED_BYTES = 60;
const ICMP_HEADERS_BYTES = 28;
/** The UDP, VXLAN and Ethernet headers that VXLAN puts in front of a packet (RFC 7348). */
const TUNNEL_BYTES = 30;
const EXEMPT_TABLE = 'bench';

const forgetIn = (node: LabNode, ip: string, dev: string) => node.exec(['ip', 'neigh', 'delete', ip, 'dev', dev]);
const flushIn = (pod: LabPod) => pod.exec(['ip', 'neigh', 'flush', 'dev', 'eth0']);

/** Removes nothing: every ping is a new flow anyway. */
const nothing = async (): Promise<void> => undefined;

const ONE_BY_ONE: readonly Cause[] = [
  { key: 'untracked', name: 'new flow that is not tracked', forget: nothing, payloadBytes: UNTRACKED_BYTES },
  { key: 'flow', name: 'new flow: connection tracking', forget: nothing },
  { key: 'gateway', name: 'pod asks for its gateway', forget: ({ pod }) => flushIn(pod) },
  {
    key: 'underlay',
    name: 'node asks for the other node',
    forget: ({ node, other }) => forgetIn(node, other.address, 'eth0'),
  },
  {
    key: 'target',
    name: 'other node asks for its pod',
    forget: ({ other, target }) => forgetIn(other, target.ip, 'cni0'),
  },
  { key: 'target-gateway', name: 'other pod asks for its gateway', forget: ({ target }) => flushIn(target) },
  { key: 'pod', name: 'node asks for the pod', forget: ({ node, pod }) => forgetIn(node, pod.ip, 'cni0') },
];

const CAUSES: readonly Cause[] = [
  ...ONE_BY_ONE,
  { key: 'all', name: 'all of these', forget: (site) => Promise.all(ONE_BY_ONE.map(({ forget }) => forget(site))) },
];

/** Figures in ms: the round trip in a known flow, and the round trip with each cause. Each failure is one line. */
export async function measureCauses(
  site: CauseSite,
  rounds: number,
  onStep: (done: number, total: number) => void,
): Promise<{ figures: Figure[]; failures: string[]; notes: string[] }> {
  const known: number[] = [];
  const samples = new Map(CAUSES.map(({ key }): [string, number[]] => [key, []]));
  const failures: string[] = [];
  for (const node of [site.node, site.other]) await exemptFromTracking(node);
  let done = 0;
  for (let round = 0; round < rounds; round += 1) {
    for (const cause of rotated(CAUSES, round)) {
      const { key, name } = cause;
      onStep(done, rounds * CAUSES.length);
      done += 1;
      const pair = await pingTwice(site, cause);
      if (typeof pair === 'string') failures.push(`first packet, ${name}, round ${round + 1}: ${pair}`);
      const [first, second] = typeof pair === 'string' ? [Number.NaN, Number.NaN] : pair;
      samples.get(key)?.push(first);
      if (key === 'flow') known.push(second);
    }
  }
  failures.push(...(await checkExempted(site.node)));
  const about = (key: string, name: string) =>
    ({ key: `first/${key}`, name, unit: 'ms', better: 'lower', role: 'detail' }) as const;
  const figures = [
    figure(about('known', 'round trip in a known flow'), known),
    ...CAUSES.map(({ key, name }) => figure(about(key, name), samples.get(key) ?? [])),
  ];
  return { figures, failures, notes: [await describeTunnel(site)] };
}

/** The first round trip after `forget` and the next one in the same flow, or what went wrong. */
async function pingTwice(site: CauseSite, { forget, payloadBytes }: Cause): Promise<[number, number] | string> {
  const { pod, target } = site;
  const options = payloadBytes === undefined ? {} : { payloadBytes };
  await pod.ping([target.ip], options);
  await forget(site);
  // The pod pings its own address first, so that the first use of the ping program does not count as the network's time.
  const answers = await pod.ping([pod.ip, target.ip, target.ip], options);
  const failure = answers.find((answer) => answer.failure !== undefined)?.failure;
  return failure ?? [answers[1]?.rttMs ?? Number.NaN, answers[2]?.rttMs ?? Number.NaN];
}

/** Exempts pings of UNTRACKED_BYTES, and the tunnel's packets around them, from connection tracking. */
async function exemptFromTracking(node: LabNode): Promise<void> {
  const ipBytes = UNTRACKED_BYTES + ICMP_HEADERS_BYTES;
  const rules = [
    `meta l4proto icmp ip length ${ipBytes} counter notrack`,
    `udp dport 8472 udp length ${ipBytes + TUNNEL_BYTES} counter notrack`,
  ];
  const chains = ['prerouting', 'output'].map(
    (hook) => `chain ${hook} { type filter hook ${hook} priority raw; ${rules.join('; ')}; }\n`,
  );
  await node.run(['nft', `table ip ${EXEMPT_TABLE} {\n${chains.join('')}}`]);
}

/** Returns a line when the rules of either kind matched no packet. */
async function checkExempted(node: LabNode): Promise<string[]> {
  const listed = await node.run(['nft', 'list', 'table', 'ip', EXEMPT_TABLE]);
  return ['icmp', 'udp'].flatMap((protocol) =>
    new RegExp(`${protocol} .*counter packets [1-9]`).test(listed)
      ? []
      : [`first packet: no ${protocol} packet was exempted from connection tracking`],
  );
}

/** Describes the tunnel's own entries. They exist before any pod, so a first packet does not wait for them. */
async function describeTunnel({ node }: CauseSite): Promise<string> {
  const [neighbours, entries] = [
    await node.run(['ip', 'neigh', 'show', 'dev', 'flannel.1', 'nud', 'permanent']),
    await node.run(['bridge', 'fdb', 'show', 'dev', 'flannel.1']),
  ].map((text) => text.trim().split('\n').filter(Boolean).length);
  return `VTEP neighbour and FDB entry are permanent (${neighbours} and ${entries} on the node): no first packet asks for them`;
}
