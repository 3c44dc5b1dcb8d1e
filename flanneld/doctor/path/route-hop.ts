// The hop through the routing tables: whether the packet takes the way that the peer's lease and the backend mean it to take.

import { formatIp, formatPrefix, type Ip, sameIp } from '../../../lib/ip.ts';
import type { Route } from '../../../lib/rtnetlink/route.ts';
import { spellRoute } from '../../../lib/rtnetlink/route.ts';
import {
  RT_TABLE_MAIN,
  RTN_BLACKHOLE,
  RTN_LOCAL,
  RTN_PROHIBIT,
  RTN_UNREACHABLE,
} from '../../../lib/rtnetlink/rtnetlink-constants.ts';
import { spellRule } from '../../../lib/rtnetlink/rule.ts';
import { MOVE_PROTOCOL } from '../../backend/moving/moved-route.ts';
import { run } from '../draft.ts';
import { type Answers, linkOf, type RouteAnswer } from './answers.ts';
import { type Hop, ok, stop } from './hop.ts';

const REFUSING: readonly number[] = [RTN_BLACKHOLE, RTN_UNREACHABLE, RTN_PROHIBIT];

export function routeHop(answers: Answers): Hop[] {
  const { route: answer, links } = answers;
  if (answer === undefined) return [];
  const { route, spelled } = answer;
  if (route === undefined) return [refused(answers, answer)];
  const dev = linkOf({ links }, route.oif)?.name;
  const said = `${spelled}: ${route.type === RTN_LOCAL ? 'local' : spellRoute(route, dev)}, table ${route.table}`;
  // While a cluster moves to another backend, peers that are reached by the new one have routes of their own.
  const isMoved = answer.entry?.protocol === MOVE_PROTOCOL;
  return [isMoved || isRight(answers, route) ? ok('route', said) : led(answers, answer, said)];
}

/** A pod's address must lead to the bridge or the tunnel, or straight to the peer; any other address may leave by any other device. */
function isRight({ target, deviceName, links, bridge, peerAddress }: Answers, route: Route): boolean {
  const dev = linkOf({ links }, route.oif)?.name;
  switch (target.kind) {
    case 'pod here':
      return dev === bridge.name;
    case 'pod there':
      return dev === deviceName || isDirect(route, peerAddress);
    case 'this node':
      return route.type === RTN_LOCAL;
    case 'no node':
      return false;
    default:
      return dev !== bridge.name;
  }
}

/** Without a tunnel the route to the peer's subnet must lead straight to its node. */
function isDirect({ gateway, table, oif }: Route, peerAddress: Ip | undefined): boolean {
  if (table !== RT_TABLE_MAIN || oif === undefined || gateway === undefined) return false;
  return peerAddress === undefined || sameIp(gateway, peerAddress);
}

function led(answers: Answers, { rule, entry }: RouteAnswer, said: string): Hop {
  const { node, target, network } = answers;
  const peer = target.peer === undefined ? {} : { peer: target.peer };
  if (rule !== undefined) return byRule(answers, rule, said);
  if (target.kind === 'no node') return nobody(answers, said);
  const six = target.ip.family === 6 ? '-6 ' : '';
  if (entry === undefined || (network !== undefined && entry.destination.length < network.length)) {
    const cause = `the route to the subnet of ${target.peer ?? target.text} is missing, so that the kernel uses another route`;
    return stop('route', { id: 'route-missing', ...peer, cause, evidence: said, fix: startAgent(node) });
  }
  const spelled = formatPrefix(entry.destination);
  const cause = `the route ${spelled} of protocol ${entry.protocol} sends packets to ${target.text} to another device`;
  const fix = run(node, `ip ${six}route del ${spelled}`, 'find out who made it');
  return stop('route', { id: 'route-shadowed', ...peer, cause, evidence: said, fix });
}

function refused(answers: Answers, { refused: error, spelled, rule, entry }: RouteAnswer): Hop {
  const { node, target, network } = answers;
  const said = `${spelled}: ${error}`;
  const peer = target.peer === undefined ? {} : { peer: target.peer };
  if (rule !== undefined) return byRule(answers, rule, said);
  const isRefusing = entry !== undefined && REFUSING.includes(entry.type);
  const six = target.ip.family === 6 ? '-6 ' : '';
  if (isRefusing && (network === undefined || entry.destination.length > network.length)) {
    const spelledEntry = spellRoute({ ...entry });
    const cause = `the route "${spelledEntry}" refuses packets to ${target.text}`;
    const fix = run(node, `ip ${six}route del ${spelledEntry}`, 'find out who made it');
    return stop('route', { id: 'route-shadowed', ...peer, cause, evidence: said, fix });
  }
  if (target.kind === 'no node') return nobody(answers, said);
  if (target.kind === 'pod there') {
    const cause = `${node} has no route to the subnet of ${target.peer}`;
    return stop('route', { id: 'route-missing', ...peer, cause, evidence: said, fix: startAgent(node) });
  }
  if (error === 'EXDEV' || error === 'EINVAL') {
    const cause = `${node} refuses the packet, because its route back to the sender uses another device`;
    const fix = run(
      node,
      'sysctl -w net.ipv4.conf.all.rp_filter=2',
      'the kernel uses the larger value of all and the device',
    );
    return stop('route', { id: 'rp-filter-strict', ...peer, cause, evidence: said, fix });
  }
  const cause = `${node} has no route to ${formatIp(target.ip)}`;
  return stop('route', {
    id: 'route-missing',
    cause,
    evidence: said,
    fix: 'look at `ip route`: is there a default route?',
  });
}

function nobody({ target }: Answers, said: string): Hop {
  const cause = `${formatIp(target.ip)} lies in the pod network, but in no node’s subnet`;
  const fix = '`kubectl get pods -A -o wide` shows the pod’s present address';
  return stop('route', { id: 'address-unused', cause, evidence: said, fix });
}

function byRule({ node, target, network }: Answers, rule: NonNullable<RouteAnswer['rule']>, said: string): Hop {
  const six = target.ip.family === 6 ? '-6 ' : '';
  const cause = `ip rule ${rule.priority} (${spellRule(rule)}) sends packets to ${target.text} to another routing table`;
  const to = network === undefined ? formatIp(target.ip) : formatPrefix(network);
  const before = Math.max(rule.priority - 1, 1);
  const fix = run(
    node,
    `ip ${six}rule add to ${to} lookup main priority ${before}`,
    `or ip ${six}rule del priority ${rule.priority}`,
  );
  const peer = target.peer === undefined ? {} : { peer: target.peer };
  return stop('route', { id: 'policy-rule-diverts', ...peer, cause, evidence: said, fix });
}

function startAgent(node: string): string {
  return `start the agent of ${node}, which makes the route; \`flanneld status\` there says why it has not`;
}
