// Whether this node's own firewall drops the tunnel's packets. Rules have sets, jumps and marks, so they are not interpreted: while some
// peers are made to send packets, these are counted on arrival and after all rules, and traced.

import { createSocket } from 'node:dgram';
import { addToIp, type Family, formatIp, type Ip } from '../../../lib/ip.ts';
import { NFNLGRP_NFTRACE, readTraceEvent } from '../../../lib/netfilter/trace-event.ts';
import { NETLINK_NETFILTER } from '../../../lib/netlink/constants.ts';
import { nodeErrorCode } from '../../../lib/node-error-node.ts';
import { keepWatching } from '../../dataplane/keep-watching.ts';
import { vxlanProbe } from '../../pods/refusal/packet.ts';
import { isIptablesChain, spelledRefusal } from '../../pods/refusal/refusal-text.ts';
import { type Refusal, Refusals, DOCTOR_TABLE as TABLE } from '../../pods/refusal/trace.ts';
import { type Draft, run } from '../draft.ts';
import type { FamilyFacts } from '../view/facts.ts';
import type { View } from '../view/view.ts';
import type { TryTools } from './try-tools.ts';

const PEERS = 8;
/** How long to wait for the peers' answers, and how often to read the counters. */
const ANSWERS_MS = 800;
const LOOK_MS = 100;

interface Asked {
  readonly peer: string;
  readonly to: Ip;
  readonly port: number;
  readonly payloads: readonly Uint8Array[];
}

/** What happened to the packets to and from one peer. */
interface Fate {
  readonly asked: Asked;
  readonly sendError: string | undefined;
  readonly arrived: number;
  readonly passed: number;
}

export async function tunnelDrops(view: View, tools: TryTools): Promise<Draft[]> {
  const drafts: Draft[] = [];
  for (const facts of view.families) {
    const asked = askedOf(facts);
    const local = view.underlay?.locals.find(({ family }) => family === facts.publicIp?.family);
    const device = view.underlay?.link?.name;
    if (asked.length === 0 || local === undefined || device === undefined) continue;
    const refusals = new Refusals();
    const fates = await watched(asked, local, device, refusals, tools);
    drafts.push(...(await outgoing(view, fates, refusals.of(formatIp(local)), tools)));
    drafts.push(...(await incoming(view, facts.family, fates, refusals, tools)));
  }
  return drafts;
}

/** Packets that a peer's kernel answers: one whose hop limit ends there, and one to a closed port at its VTEP's address. */
function askedOf({ subnet, tunnel, peers }: FamilyFacts): Asked[] {
  if (tunnel?.link === undefined || subnet === undefined) return [];
  const { vni, port } = tunnel;
  // For other tunnels no packet can be made by hand that a peer answers.
  if (vni === undefined || port === undefined) return [];
  return peers.slice(0, PEERS).flatMap(({ key, publicIp, subnet: theirs, mac }) => {
    if (mac === undefined) return [];
    const packet = { from: subnet.ip, toMac: mac };
    const payloads = [
      vxlanProbe(vni, { ...packet, to: addToIp(theirs.ip, 1), hops: 1 }),
      vxlanProbe(vni, { ...packet, to: theirs.ip }),
    ];
    return [{ peer: key, to: publicIp, port, payloads }];
  });
}

/** Runs `send` while the tables exist, and removes them in any case. */
async function watched(
  asked: readonly Asked[],
  local: Ip,
  device: string,
  refusals: Refusals,
  tools: TryTools,
): Promise<Fate[]> {
  const watch = keepWatching(tools, {
    protocol: NETLINK_NETFILTER,
    groups: [NFNLGRP_NFTRACE],
    onMessage(message) {
      const event = readTraceEvent(message);
      if (event !== undefined) refusals.see(event);
    },
    onOverflow: () => undefined,
  });
  try {
    await tools.nft.apply(tables(asked, device));
    const errors = await sendAll(asked, local);
    return await countedFates(asked, errors, tools);
  } finally {
    await tools.nft.apply(NO_TABLES).catch(() => undefined);
    await watch.close();
  }
}

const NO_TABLES = ['netdev', 'inet']
  .map((family) => `table ${family} ${TABLE}\ndelete table ${family} ${TABLE}\n`)
  .join('');

/** The trace begins at the device, so that it shows rules at every hook. */
function tables(asked: readonly Asked[], device: string): string {
  const match = ({ to, port }: Asked, side: 'saddr' | 'daddr'): string =>
    `${to.family === 4 ? 'ip' : 'ip6'} ${side} ${formatIp(to)} udp dport ${port}`;
  const counters = (name: string): string => asked.map((_, n) => `  counter ${name}${n} { }\n`).join('');
  const chain = (name: string, hook: string, rules: readonly string[]): string =>
    `  chain ${name} {\n    type filter hook ${hook}; policy accept;\n${rules.map((rule) => `    ${rule}\n`).join('')}  }\n`;
  return [
    NO_TABLES,
    `table netdev ${TABLE} {\n${counters('in')}`,
    chain(
      'first',
      `ingress device "${device}" priority -500`,
      asked.map((one, n) => `${match(one, 'saddr')} counter name in${n} meta nftrace set 1`),
    ),
    `}\ntable inet ${TABLE} {\n${counters('end')}`,
    chain(
      'sent',
      'output priority -400',
      asked.map((one) => `${match(one, 'daddr')} meta nftrace set 1`),
    ),
    chain(
      'last',
      'input priority 2147483647',
      asked.map((one, n) => `${match(one, 'saddr')} counter name end${n}`),
    ),
    '}\n',
  ].join('');
}

/** The error for each peer's packets; undefined where the kernel sent them. */
async function sendAll(asked: readonly Asked[], local: Ip): Promise<(string | undefined)[]> {
  const socket = createSocket(local.family === 4 ? 'udp4' : 'udp6');
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.bind({ address: formatIp(local), port: 0 }, resolve);
    });
    const send = ({ to, port }: Asked, payload: Uint8Array): Promise<string | undefined> =>
      new Promise((resolve) => {
        socket.send(payload, port, formatIp(to), (error) =>
          resolve(error ? (nodeErrorCode(error) ?? 'error') : undefined),
        );
      });
    return await Promise.all(
      asked.map(async (one) => {
        const errors = await Promise.all(one.payloads.map((payload) => send(one, payload)));
        return errors.find((error) => error !== undefined);
      }),
    );
  } finally {
    socket.close();
  }
}

/** Reads the counters until every peer's packets have arrived and passed, or the time is over. */
async function countedFates(
  asked: readonly Asked[],
  errors: readonly (string | undefined)[],
  { nft, clock }: TryTools,
): Promise<Fate[]> {
  const until = clock.now() + ANSWERS_MS;
  for (;;) {
    await new Promise<void>((resolve) => void clock.after(LOOK_MS, resolve));
    const counts = new Map([...(await countersIn(nft, 'netdev')), ...(await countersIn(nft, 'inet'))]);
    const fates = asked.map((one, n) => ({
      asked: one,
      sendError: errors[n],
      arrived: counts.get(`in${n}`) ?? 0,
      passed: counts.get(`end${n}`) ?? 0,
    }));
    const isDone = fates.every(
      ({ arrived, passed, sendError }) => sendError !== undefined || (arrived > 0 && passed > 0),
    );
    if (isDone || clock.now() >= until) return fates;
  }
}

async function countersIn(nft: TryTools['nft'], family: string): Promise<Map<string, number>> {
  const { nftables } = JSON.parse((await nft.list(family, TABLE)) ?? '{"nftables":[]}') as {
    nftables: { counter?: { name?: string; packets?: number } }[];
  };
  return new Map(
    nftables.flatMap(({ counter }) => (counter ? [[counter.name ?? '', counter.packets ?? 0] as const] : [])),
  );
}

/** A rule at the hook output makes sendto(2) fail. */
async function outgoing({ node }: View, fates: readonly Fate[], refusal: Refusal | undefined, { nft }: TryTools) {
  const refused = fates.filter(({ sendError }) => sendError === 'EPERM');
  const [first] = refused;
  if (first === undefined) return [];
  const { to, port } = first.asked;
  const rule =
    refusal === undefined
      ? 'a rule that nft does not show (see iptables-legacy-save)'
      : await spelledRefusal(refusal, nft);
  return [
    {
      id: 'firewall-drops-tunnel' as const,
      cause: `this node’s own firewall drops the packets that the tunnel sends: ${rule}`,
      evidence: `a packet to ${formatIp(to)}, UDP port ${port}, of ${names(refused)}: EPERM`,
      fix: run(node, acceptCommand(refusal, port, to.family, 'OUTPUT'), 'and make the rule permanent'),
    },
  ];
}

async function incoming(
  { node, paths }: View,
  family: Family,
  fates: readonly Fate[],
  refusals: Refusals,
  { nft }: TryTools,
): Promise<Draft[]> {
  const dropped = fates.filter(({ arrived, passed }) => arrived > 0 && passed === 0);
  const [first] = dropped;
  // A strict reverse path filter also drops between the two counters, and is reported by another finding.
  if (first === undefined || paths.refused.some(({ form }) => form === 'reverse')) return [];
  const { port, to } = first.asked;
  const refusal = dropped.map(({ asked }) => refusals.of(formatIp(asked.to))).find((one) => one !== undefined);
  const rule =
    refusal === undefined
      ? 'a rule that nft does not show (see iptables-legacy-save)'
      : await spelledRefusal(refusal, nft);
  return [
    {
      id: 'firewall-drops-tunnel',
      cause: `this node’s own firewall drops the packets that other nodes send to the tunnel: ${rule}`,
      evidence: `${first.arrived} packets from ${formatIp(to)} to UDP port ${port} arrived, and none passed the rules (${names(dropped)})`,
      fix: run(node, acceptCommand(refusal, port, family, 'INPUT'), 'and make the rule permanent'),
    },
  ];
}

function names(fates: readonly Fate[]): string {
  const peers = fates.map(({ asked }) => asked.peer);
  return peers.length > 3 ? `${peers.length} peers` : peers.join(', ');
}

/** A command for the tool that made the chain. An accept before the rule that drops, in the same chain, lets the packet pass that rule. */
function acceptCommand(refusal: Refusal | undefined, port: number, family: Family, hook: 'INPUT' | 'OUTPUT'): string {
  const tool = family === 4 ? 'iptables' : 'ip6tables';
  if (refusal === undefined) return `${tool}-legacy -I ${hook} -p udp --dport ${port} -j ACCEPT`;
  const { family: of, table, chain } = refusal;
  if (table === 'firewalld') return `firewall-cmd --permanent --add-port=${port}/udp && firewall-cmd --reload`;
  if (chain.startsWith('ufw')) return `ufw allow ${port}/udp`;
  if (isIptablesChain(refusal)) return `${tool} -t ${table} -I ${chain} -p udp --dport ${port} -j ACCEPT`;
  return `nft insert rule ${of} ${table} ${chain} udp dport ${port} accept`;
}
