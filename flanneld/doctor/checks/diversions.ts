// What diverts pods' packets from the tunnel: longer or cheaper routes, policy routing rules, strict reverse path filters.

import { containsPrefix, formatPrefix, type IpPrefix } from '../../../lib/ip.ts';
import { type Route, spellRoute } from '../../../lib/rtnetlink/route.ts';
import {
  RT_TABLE_MAIN,
  RTN_BLACKHOLE,
  RTN_PROHIBIT,
  RTN_UNICAST,
  RTN_UNREACHABLE,
  RTPROT_KERNEL,
} from '../../../lib/rtnetlink/rtnetlink-constants.ts';
import { spellRule } from '../../../lib/rtnetlink/rule.ts';
import { MOVE_PROTOCOL } from '../../backend/moving/moved-route.ts';
import { WEFT_PROTOCOL } from '../../dataplane/objects/kind.ts';
import { type Draft, run } from '../draft.ts';
import type { FamilyFacts, PeerFacts } from '../view/facts.ts';
import { sysctlName } from '../view/node-facts.ts';
import type { View } from '../view/view.ts';

export function checkPaths(view: View): Draft[] {
  const shadows = view.families.flatMap((facts) => shadowing(view, facts));
  return [...shadows, ...diversions(view, shadows.length > 0), ...refusals(view), ...strictFilters(view)];
}

const TAKING: readonly number[] = [RTN_UNICAST, RTN_BLACKHOLE, RTN_PROHIBIT, RTN_UNREACHABLE];

/** Routes of others to a part of a peer's subnet, or to the whole of it with precedence over ours. */
function shadowing({ kernel, node }: View, facts: FamilyFacts): Draft[] {
  const { network, tunnel, peers } = facts;
  const foreign = (kernel?.routes ?? []).filter(
    (route) =>
      route.table === RT_TABLE_MAIN &&
      TAKING.includes(route.type) &&
      route.protocol !== WEFT_PROTOCOL &&
      route.protocol !== MOVE_PROTOCOL &&
      // The network of an interface is reported by another finding (network-overlap).
      route.protocol !== RTPROT_KERNEL &&
      (tunnel?.link === undefined || route.oif !== tunnel.link.index) &&
      containsPrefix(network, route.destination) &&
      route.destination.length > network.length,
  );
  return foreign.flatMap((route): Draft[] => {
    const peer = peers.find(({ subnet }) => containsPrefix(subnet, route.destination));
    if (peer === undefined || isHostGw(route, peer, facts) || !isBefore(route, peer.subnet, kernel?.routes ?? []))
      return [];
    const dev = kernel?.links.find(({ index }) => index === route.oif)?.name;
    const spelled = spellRoute({ ...route, flags: 0 }, dev);
    const family = route.family === 6 ? '-6 ' : '';
    return [
      {
        id: 'route-shadowed',
        peer: peer.key,
        cause: `the kernel uses a route of another program for packets to pods of ${peer.key}`,
        evidence: `ip ${family}route show has "${spelled}" of protocol ${route.protocol}, inside ${formatPrefix(peer.subnet)} of ${peer.key}`,
        fix: run(node, `ip ${family}route del ${spelled}`, 'and stop the program that made it'),
      },
    ];
  });
}

/** flannel's own route to a peer that it reaches without a tunnel. */
function isHostGw({ gateway }: Route, { publicIp }: PeerFacts, { tunnel }: FamilyFacts): boolean {
  return tunnel === undefined && gateway !== undefined && gateway.value === publicIp.value;
}

/** Whether the kernel prefers this route to ours. */
function isBefore(route: Route, subnet: IpPrefix, routes: readonly Route[]): boolean {
  if (route.destination.length > subnet.length) return true;
  const ours = routes.find(
    ({ protocol, destination, table }) =>
      protocol === WEFT_PROTOCOL && table === RT_TABLE_MAIN && formatPrefix(destination) === formatPrefix(subnet),
  );
  return ours === undefined || (route.priority ?? 0) < (ours.priority ?? 0);
}

/** What the kernel's route look-ups found, without the routes that were reported already. */
function diversions({ paths, node }: View, areRoutesKnown: boolean): Draft[] {
  return paths.diversions
    .filter(({ by }) => by === 'rule' || !areRoutesKnown)
    .map(({ by, what, isAll, cause, spelled, fixes: [first = '', second] }) => ({
      id: by === 'rule' ? 'policy-rule-diverts' : 'route-shadowed',
      cause: `${isAll ? '' : 'some '}${what} are led elsewhere by ${cause}`,
      evidence: spelled,
      fix: run(node, first, second === undefined ? 'find out who made it' : `or ${second}`),
    }));
}

/** Tunnel packets to a peer that the kernel refuses to send. */
function refusals({ paths, node }: View): Draft[] {
  const outer = paths.refused.filter(({ form }) => form === 'outer');
  const byRule = outer.filter(({ rule }) => rule !== undefined);
  const [first] = byRule;
  const byRoute = outer.filter(({ rule }) => rule === undefined);
  const rules = first?.rule === undefined ? [] : [first.rule];
  return [
    ...rules.map(
      (rule): Draft => ({
        id: 'policy-rule-diverts',
        ...(byRule.length === 1 && first && { peer: first.peer }),
        cause: `the kernel refuses packets of the tunnel to ${names(byRule)} because of ip rule ${rule.priority}: ${spellRule(rule)}`,
        evidence: `${first?.spelled}: ${first?.error}`,
        fix: run(
          node,
          `ip ${rule.family === 6 ? '-6 ' : ''}rule del priority ${rule.priority}`,
          'find out who made it',
        ),
      }),
    ),
    ...(byRoute.length === 0
      ? []
      : [
          {
            id: 'route-shadowed' as const,
            ...(byRoute.length === 1 && byRoute[0] && { peer: byRoute[0].peer }),
            cause: `this node has no route to ${names(byRoute)}, to which the tunnel sends`,
            evidence: `${byRoute[0]?.spelled}: ${byRoute[0]?.error}`,
            fix: `on ${node}: look at ip route show, and find out who removed the route or made one of type blackhole, prohibit or unreachable`,
          },
        ]),
  ];
}

function names(lookups: readonly { readonly peer: string }[]): string {
  const peers = [...new Set(lookups.map(({ peer }) => peer))];
  return peers.length > 3 ? `${peers.length} nodes` : peers.join(', ');
}

/** A reverse look-up can fail for other reasons too. The filter is to blame only where it is strict. */
function strictFilters({ paths, sysctls, node }: View): Draft[] {
  const devices = [...new Set(paths.refused.flatMap(({ form, device }) => (form === 'reverse' ? (device ?? []) : [])))];
  return devices.flatMap((device): Draft[] => {
    const name = `net.ipv4.conf.${sysctlName(device)}.rp_filter`;
    const [all, own] = ['net.ipv4.conf.all.rp_filter', name].map((knob) => Number(sysctls.get(knob) ?? 0));
    if (Math.max(all ?? 0, own ?? 0) !== 1) return [];
    const refused = paths.refused.filter((lookup) => lookup.form === 'reverse' && lookup.device === device);
    return [
      {
        id: 'rp-filter-strict',
        cause: `the kernel drops packets from ${names(refused)} that arrive at ${device}, because its route back to them uses another device`,
        evidence: `${name} is ${own}, all is ${all}; ${refused[0]?.spelled}: ${refused[0]?.error}`,
        fix: run(node, `sysctl -w ${name}=2`, 'and set it in /etc/sysctl.d, or correct the route back to them'),
      },
    ];
  });
}
