// Says whether the packets of a flow skip bridge, routing and netfilter, or go the classic way that the other hops describe, and why. Pure.
// Some reasons lie in a single packet, such as a fragment; `flanneld status` counts them all.

import { contains, formatIp, type Ip, parsePrefix, sameIp } from '../../../lib/ip.ts';
import type { FastPathStatus } from '../../health/status/report.ts';
import type { Answers } from './answers.ts';
import { type Hop, ok } from './hop.ts';

/** Empty where the fast path is not turned on. */
export function fastPathHop(answers: Answers): Hop[] {
  const { fastPath } = answers;
  if (fastPath === undefined) return [];
  const why = whyClassic(answers, fastPath);
  return [ok('fast path', why === undefined ? fastWay(answers, fastPath) : `no, the classic way: ${why}`)];
}

function whyClassic(
  { from, to, target, connections, transport, isPortGiven }: Answers,
  status: FastPathStatus,
): string | undefined {
  if (!status.on) return `it is off, because ${status.reason}`;
  const isHere = from.kind === 'pod here' || target.kind === 'pod here';
  if (!isHere || ![from, target].every(({ kind }) => kind === 'pod here' || kind === 'pod there')) {
    return 'it is for packets between pods only';
  }
  if (!sameIp(to.ip, target.ip)) return `the kernel translates ${formatIp(to.ip)} to ${formatIp(target.ip)}`;
  for (const { kind, ip } of [from, target]) {
    const why = kind === 'pod here' ? lacksPod(ip, status) : lacksPeer(ip, status);
    if (why !== undefined) return why;
  }
  const tracked = connections.filter(({ original }) => !isPortGiven || original.destinationPort === transport.port);
  if (tracked.length === 0) return undefined;
  return `the kernel tracks ${tracked.length} of its connections, which go on there; new ones are fast`;
}

function lacksPod(ip: Ip, { addresses }: FastPathStatus): string | undefined {
  if (addresses.includes(formatIp(ip))) return undefined;
  return `the pod ${formatIp(ip)} does not have it: its ADD is running, its rate is limited, or its device is not a plain port of the bridge`;
}

function lacksPeer(ip: Ip, { byPeer }: FastPathStatus): string | undefined {
  if (peerOf(ip, byPeer) !== undefined) return undefined;
  return `the node of ${formatIp(ip)} does not have it: its subnet is not reached through the tunnel alone`;
}

function peerOf(ip: Ip, byPeer: FastPathStatus['byPeer']): FastPathStatus['byPeer'][number] | undefined {
  return byPeer.find(({ subnet }) => {
    const prefix = parsePrefix(subnet);
    return prefix.ip.family === ip.family && contains(prefix, ip);
  });
}

function fastWay({ from, target, family }: Answers, { mode, notFull, byPeer }: FastPathStatus): string {
  const remote = from.kind === 'pod there' ? from : target.kind === 'pod there' ? target : undefined;
  if (remote === undefined) return 'yes: straight from pod to pod, past the bridge';
  const programs = mode === 'full' && notFull === undefined && family === 4;
  const way = programs
    ? 'yes, full: programs encapsulate and decapsulate'
    : `yes, redirect: the tunnel’s device encapsulates and decapsulates${notFull === undefined ? '' : `, because ${notFull}`}`;
  const { slow = {} } = peerOf(remote.ip, byPeer) ?? {};
  const others = Object.entries(slow).map(([reason, count]) => `${count} ${reason}`);
  return others.length === 0 ? way : `${way}; so far, packets of that node that went another way: ${others.join(', ')}`;
}
