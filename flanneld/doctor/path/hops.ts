// Judges the kernel's answers about one path, hop by hop: where a packet stops, and why. Pure. The path ends at the first hop where nothing
// passes, because the packet does not reach those behind it.

import { formatIp, formatPrefix } from '../../../lib/ip.ts';
import { IFF_UP, NUD_FAILED } from '../../../lib/rtnetlink/rtnetlink-constants.ts';
import { run } from '../draft.ts';
import type { Answers, PodAnswer } from './answers.ts';
import { fastPathHop } from './fast-path-hop.ts';
import { type Hop, limit, ok, stop } from './hop.ts';
import { routeHop } from './route-hop.ts';
import { rulesHop } from './rules-hop.ts';
import { mtuHop, outputHop, tunnelHops } from './tunnel-hops.ts';
import { underlayHop } from './underlay-hop.ts';

export function hopsOf(answers: Answers): Hop[] {
  const hops: Hop[] = [];
  for (const judge of STEPS) {
    for (const hop of judge(answers)) {
      hops.push(hop);
      if (hop.result === 'stop') return hops;
    }
  }
  return hops;
}

type Judge = (answers: Answers) => readonly Hop[];

const STEPS: readonly Judge[] = [
  ({ fromPod, ...rest }) => (fromPod === undefined ? [] : podHops(fromPod, rest)),
  (answers) => (touchesBridge(answers) ? [bridgeHop(answers)] : []),
  forwardingHop,
  serviceHop,
  routeHop,
  rulesHop,
  connectionHop,
  ({ toPod, ...rest }) => (toPod === undefined ? [] : podHops(toPod, rest)),
  tunnelHops,
  underlayHop,
  outputHop,
  mtuHop,
  answerHop,
  fastPathHop,
];

function touchesBridge({ fromPod, toPod }: Answers): boolean {
  return fromPod !== undefined || toPod !== undefined;
}

type Around = Pick<Answers, 'node' | 'bridge'>;

function podHops({ ip, names, port, neigh }: PodAnswer, { node, bridge }: Around): Hop[] {
  const address = formatIp(ip);
  if (names.length === 0) {
    const evidence = `neither the runtime's cache nor the plugin's address files name ${address}`;
    const cause = `no pod of ${node} has the address ${address}`;
    return [
      stop('pod', {
        id: 'address-unused',
        cause,
        evidence,
        fix: '`kubectl get pods -A -o wide` shows the pod’s present address',
      }),
    ];
  }
  const attach = `ip link set ${port?.name ?? names[0]} master ${bridge.name} up`;
  if (port === undefined) {
    const cause = `the device of the pod ${address} is gone`;
    const evidence = `ip link show dev ${names.join(', ')}: there is no such device`;
    return [
      stop('pod', {
        id: 'pod-port-detached',
        cause,
        evidence,
        fix: `delete the pod, so that its replacement is attached anew`,
      }),
    ];
  }
  if ((port.flags & IFF_UP) === 0) {
    const cause = `the device of the pod ${address} is down`;
    return [
      stop('pod', {
        id: 'pod-port-detached',
        cause,
        evidence: `ip link show dev ${port.name}: DOWN`,
        fix: run(node, attach),
      }),
    ];
  }
  if (bridge.link !== undefined && port.master !== bridge.link.index) {
    const cause = `the device of the pod ${address} is not on ${bridge.name}`;
    const evidence = `ip link show dev ${port.name}: ${(port.master ?? 0) === 0 ? 'no master' : 'another master'}`;
    return [stop('pod', { id: 'pod-port-detached', cause, evidence, fix: run(node, attach) })];
  }
  const state = neigh?.state ?? 0;
  const heard = neigh?.mac === undefined ? 'its MAC has not been asked for yet' : `lladdr ${neigh.mac}`;
  if ((state & NUD_FAILED) !== 0) {
    const cause = `the pod ${address} does not answer on ${bridge.name}`;
    const evidence = `${port.name} is on ${bridge.name}; ip neigh show ${address} dev ${bridge.name}: FAILED`;
    return [
      stop('pod', {
        id: 'pod-port-detached',
        cause,
        evidence,
        fix: 'find out whether the pod’s interface is up and has this address',
      }),
    ];
  }
  return [ok('pod', `${address} is behind ${port.name} on ${bridge.name}, ${heard}`)];
}

function bridgeHop({ node, bridge }: Answers): Hop {
  const { name, link, addresses, gateway } = bridge;
  if (link === undefined) {
    const cause = `${name}, to which the pods of ${node} are attached, is gone`;
    const evidence = `ip link show dev ${name}: there is no bridge of that name`;
    return stop('bridge', {
      id: 'bridge-down',
      cause,
      evidence,
      fix: 'delete the pods of this node; the next pod makes the bridge anew',
    });
  }
  if ((link.flags & IFF_UP) === 0) {
    const cause = `somebody has set ${name} down`;
    return stop('bridge', {
      id: 'bridge-down',
      cause,
      evidence: `ip link show dev ${name}: DOWN`,
      fix: run(node, `ip link set ${name} up`),
    });
  }
  const has = addresses.map(({ ip, length }) => formatPrefix({ ip, length }));
  if (gateway !== undefined && !addresses.some(({ ip }) => formatIp(ip) === formatIp(gateway))) {
    const cause = `${name} does not have the address ${formatIp(gateway)}, which is the pods' gateway`;
    const evidence = `ip addr show dev ${name}: ${has.length === 0 ? 'no address' : has.join(', ')}`;
    const length = addresses[0]?.length ?? (gateway.family === 4 ? 24 : 64);
    const fix = run(node, `ip addr add ${formatIp(gateway)}/${length} dev ${name}`);
    return stop('bridge', { id: 'bridge-address-wrong', cause, evidence, fix });
  }
  return ok('bridge', `${name} is up, ${has.join(', ')}`);
}

function forwardingHop({ node, forwarding }: Answers): Hop[] {
  if (forwarding === undefined) return [];
  const { knob, isOn } = forwarding;
  if (isOn) return [ok('forwarding', `${knob} is 1`)];
  const cause = `${node} forwards no packets, because ${knob} is 0`;
  const fix = run(node, `sysctl -w ${knob}=1`, 'remove from /etc/sysctl.d what sets it to 0');
  return [stop('forwarding', { id: 'ip-forward-off', cause, evidence: `sysctl ${knob}: 0`, fix })];
}

/** A Service: the kernel translates the destination into the address of a pod. */
function serviceHop({ sent, to, target, transport, isPortGiven }: Answers): Hop[] {
  if ('unknown' in sent || !isPortGiven || to.kind !== 'outside') return [];
  const ends = new Set(sent.fates.filter(({ arrived }) => arrived).map((fate) => endText(fate.to, fate.port)));
  const asked = endText(to.ip, transport.port);
  if (ends.size === 0 || (ends.size === 1 && ends.has(asked))) return [];
  const others = ends.size === 1 ? '' : ` (seen: ${[...ends].join(', ')}); the one followed here`;
  return [
    ok('service', `${asked}/${transport.protocol} is translated to ${[...ends][0] ?? ''}${others}: ${target.text}`),
  ];
}

function endText(ip: Parameters<typeof formatIp>[0], port: number): string {
  return ip.family === 4 ? `${formatIp(ip)}:${port}` : `[${formatIp(ip)}]:${port}`;
}

/** A connection that the kernel tracks keeps its old way, whatever the rules say now. */
function connectionHop({ node, connections, tracked, from, to, transport, isPortGiven, sent }: Answers): Hop[] {
  if (tracked !== undefined && tracked.count >= tracked.max) {
    const cause = `the table of tracked connections of ${node} is full, so that new ones fail`;
    const evidence = `nf_conntrack_count ${tracked.count} of nf_conntrack_max ${tracked.max}`;
    return [
      stop('connection', {
        id: 'conntrack-full',
        cause,
        evidence,
        fix: run(node, `sysctl -w net.netfilter.nf_conntrack_max=${tracked.max * 2}`),
      }),
    ];
  }
  const such = connections.filter(({ original }) => !isPortGiven || original.destinationPort === transport.port);
  if (such.length === 0) return [];
  const now = 'unknown' in sent ? [] : sent.fates.filter(({ arrived }) => arrived).map((fate) => formatIp(fate.to));
  const stale = such.find(
    ({ isAnswered, reply }) => !isAnswered && now.length > 0 && !now.includes(formatIp(reply.source)),
  );
  if (stale !== undefined) {
    const old = formatIp(stale.reply.source);
    const cause = `the kernel tracks a connection of ${formatIp(from.ip)} and still sends it to ${old}, which does not answer`;
    const evidence = `conntrack -L -s ${formatIp(from.ip)} -d ${formatIp(to.ip)}: to ${old}, UNREPLIED; new ones go to ${now[0]}`;
    const fix = run(node, `conntrack -D -s ${formatIp(from.ip)} -d ${formatIp(to.ip)}`);
    return [limit('connection', { id: 'connection-stale', cause, evidence, fix })];
  }
  const answered = such.filter(({ isAnswered }) => isAnswered).length;
  return [
    ok(
      'connection',
      `conntrack -L -s ${formatIp(from.ip)} -d ${formatIp(to.ip)}: ${such.length}, of which ${answered} were answered`,
    ),
  ];
}

/** The answer arrives by the device that the packet left by, and needs a way to the sender. */
function answerHop({ back, bridge, from, links, node }: Answers): Hop[] {
  if (back === undefined) return [];
  const { route, spelled, rule } = back;
  const wanted = from.kind === 'pod here' ? bridge.link?.index : undefined;
  if (route !== undefined && (wanted === undefined || route.oif === wanted))
    return [ok('answer', `${spelled}: accepted`)];
  const got =
    route === undefined ? back.refused : `dev ${links.find(({ index }) => index === route.oif)?.name ?? route.oif}`;
  const cause = `${node} has no usable route for the answer to ${formatIp(from.ip)}`;
  const fix =
    rule === undefined
      ? 'look at `ip route`, and at rp_filter of the device at which the packet arrives'
      : run(node, `ip rule del priority ${rule.priority}`);
  const id = rule === undefined ? (route === undefined ? 'rp-filter-strict' : 'route-shadowed') : 'policy-rule-diverts';
  return [stop('answer', { id, cause, evidence: `${spelled}: ${got}`, fix })];
}
