// What a first packet costs more than the next one, cause by cause: a pod that runs already pings one on another node
// after one thing was forgotten, each time one thing only, with all else known. The kernel at the other end answers,
// so that no program there must wake up.

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
  /** Makes the next packet the first one in this respect. */
  forget(site: CauseSite): Promise<unknown>;
  /** Of its packets; as ping(8) sends them when absent. */
  readonly payloadBytes?: number;
}

/** Packets of this size are not tracked; four bytes more than the others, which costs nothing that can be measured. */
const UNTRACKED_BYTES = 60;
const ICMP_HEADERS_BYTES = 28;
/** UDP, VXLAN and Ethernet headers in front of the packet: RFC 7348. */
const TUNNEL_BYTES = 30;
const EXEMPT_TABLE = 'bench';

const forgetIn = (node: LabNode, ip: string, dev: string) => node.exec(['ip', 'neigh', 'delete', ip, 'dev', dev]);
const flushIn = (pod: LabPod) => pod.exec(['ip', 'neigh', 'flush', 'dev', 'eth0']);

/** Every ping is a flow of its own. */
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

/** Figures in ms: the round trip in a flow that is known, and with each cause. Failures are lines. */
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

/** The first round trip after `forget`, and the next one of the same flow; or what went wrong. */
async function pingTwice(site: CauseSite, { forget, payloadBytes }: Cause): Promise<[number, number] | string> {
  const { pod, target } = site;
  const options = payloadBytes === undefined ? {} : { payloadBytes };
  await pod.ping([target.ip], options);
  await forget(site);
  // To its own address first: what the pinging program does for the first time is no network's cost.
  const answers = await pod.ping([pod.ip, target.ip, target.ip], options);
  const failure = answers.find((answer) => answer.failure !== undefined)?.failure;
  return failure ?? [answers[1]?.rttMs ?? Number.NaN, answers[2]?.rttMs ?? Number.NaN];
}

/** Neither pings of UNTRACKED_BYTES nor the tunnel's packets around them; all else is tracked as ever. */
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

/** A line unless rules of both kinds took packets. */
async function checkExempted(node: LabNode): Promise<string[]> {
  const listed = await node.run(['nft', 'list', 'table', 'ip', EXEMPT_TABLE]);
  return ['icmp', 'udp'].flatMap((protocol) =>
    new RegExp(`${protocol} .*counter packets [1-9]`).test(listed)
      ? []
      : [`first packet: no ${protocol} packet was exempted from connection tracking`],
  );
}

/** The tunnel's own entries are there before any pod: what they would cost is not part of a first packet. */
async function describeTunnel({ node }: CauseSite): Promise<string> {
  const [neighbours, entries] = [
    await node.run(['ip', 'neigh', 'show', 'dev', 'flannel.1', 'nud', 'permanent']),
    await node.run(['bridge', 'fdb', 'show', 'dev', 'flannel.1']),
  ].map((text) => text.trim().split('\n').filter(Boolean).length);
  return `VTEP neighbour and FDB entry are permanent (${neighbours} and ${entries} on the node): no first packet asks for them`;
}
