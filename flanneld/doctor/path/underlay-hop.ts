// The hop on the underlay: the route to the peer's node, the interface, and the neighbour that gets the packet next.

import { formatIp } from '../../../lib/ip.ts';
import type { Link } from '../../../lib/rtnetlink/link.ts';
import { type Route, spellRoute } from '../../../lib/rtnetlink/route.ts';
import { IF_OPER_DOWN, IF_OPER_LOWERLAYERDOWN, IFF_UP } from '../../../lib/rtnetlink/rtnetlink-constants.ts';
import { spellRule } from '../../../lib/rtnetlink/rule.ts';
import { type Draft, run } from '../draft.ts';
import { type Answers, type OuterAnswer, peerOf } from './answers.ts';
import { type Hop, isSilent, ok, stop } from './hop.ts';

export function underlayHop(answers: Answers): Hop[] {
  const { outer, tunnel } = answers;
  if (outer === undefined) return [];
  const { route, link, neigh, nextHop } = outer;
  if (route.route === undefined || link === undefined) return [stop('underlay', noWay(answers, outer))];
  const wrong = ledIntoPods(answers, outer, route.route, link) ?? carriesNothing(answers, outer, link);
  if (wrong !== undefined) return [stop('underlay', wrong)];
  const next = `ip neigh show ${formatIp(nextHop)} dev ${link.name}`;
  if (isSilent(neigh?.state)) return [stop('underlay', silent(answers, nextHop, link, next))];
  const heard = `${next}: ${neigh?.mac === undefined ? 'its MAC has not been asked for yet' : `lladdr ${neigh.mac}`}`;
  return [ok('underlay', tunnel === undefined ? heard : `${route.spelled}: dev ${link.name}; ${heard}`)];
}

function noWay(answers: Answers, { to, route }: OuterAnswer): Draft {
  const { node } = answers;
  const evidence = `${route.spelled}: ${route.refused ?? 'no device'}`;
  const { rule } = route;
  if (rule !== undefined) {
    const cause = `ip rule ${rule.priority} (${spellRule(rule)}) refuses packets to ${formatIp(to)}`;
    const fix = run(node, `ip rule del priority ${rule.priority}`);
    return { id: 'policy-rule-diverts', ...peerOf(answers), cause, evidence, fix };
  }
  const fix = 'look at `ip route`: a route was removed, or the interface has lost its address';
  return { id: 'underlay-down', cause: `${node} has no route to ${formatIp(to)}`, evidence, fix };
}

function ledIntoPods(
  answers: Answers,
  { to, route: answer }: OuterAnswer,
  route: Route,
  link: Link,
): Draft | undefined {
  const { node, deviceName, bridge } = answers;
  if (link.name !== deviceName && link.name !== bridge.name) return undefined;
  const cause = `a route sends packets to ${formatIp(to)}, the node's own address, into the pod network`;
  const evidence = `${answer.spelled}: ${spellRoute(route, link.name)}`;
  const fix = run(node, `ip route del ${spellRoute(answer.entry ?? route, link.name)}`);
  return { id: 'route-shadowed', ...peerOf(answers), cause, evidence, fix };
}

function carriesNothing({ node }: Answers, { to }: OuterAnswer, { name, flags, operState }: Link): Draft | undefined {
  const isUp = (flags & IFF_UP) !== 0;
  if (isUp && operState !== IF_OPER_DOWN && operState !== IF_OPER_LOWERLAYERDOWN) return undefined;
  const cause = `${name}, the interface to ${formatIp(to)}, carries no packets`;
  const evidence = `ip link show dev ${name}: ${isUp ? 'NO-CARRIER' : 'DOWN'}`;
  return {
    id: 'underlay-down',
    cause,
    evidence,
    fix: run(node, `ip link set ${name} up`, 'check cable, bond and network card'),
  };
}

function silent(answers: Answers, nextHop: OuterAnswer['nextHop'], link: Link, next: string): Draft {
  const who = answers.target.peer ?? formatIp(nextHop);
  const fix = `find out whether ${who} is up; if it is gone, delete its Node or lease`;
  const cause = `${formatIp(nextHop)} does not answer on ${link.name}`;
  return { id: 'peer-unreachable', ...peerOf(answers), cause, evidence: `${next}: FAILED or INCOMPLETE`, fix };
}
