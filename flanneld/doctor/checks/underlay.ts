// The interface to the other nodes: whether it is up, has a carrier, and has the address that the tunnel sends from.

import { formatIp, sameIp } from '../../../lib/ip.ts';
import {
  IF_OPER_DOWN,
  IF_OPER_LOWERLAYERDOWN,
  IFF_LOWER_UP,
  IFF_UP,
} from '../../../lib/rtnetlink/rtnetlink-constants.ts';
import { type Draft, run } from '../draft.ts';
import type { View } from '../view/view.ts';

export function checkUnderlay(view: View): Draft[] {
  const { underlay, kernel, node } = view;
  if (underlay === undefined || kernel === undefined) return [];
  const { name, link, locals } = underlay;
  const cause = `the interface to the other nodes, ${name}, does not work`;
  if (link === undefined) {
    return [
      {
        id: 'underlay-down',
        cause,
        evidence: `no link ${name}`,
        fix: `on ${node}: bring ${name} back, or name another interface by --iface`,
      },
    ];
  }
  if ((link.flags & IFF_UP) === 0) {
    return [
      {
        id: 'underlay-down',
        cause,
        evidence: `${name} is down`,
        fix: run(node, `ip link set ${name} up`, 'find out who set it down'),
      },
    ];
  }
  const isDead = link.operState === IF_OPER_DOWN || link.operState === IF_OPER_LOWERLAYERDOWN;
  if ((link.flags & IFF_LOWER_UP) === 0 || isDead) {
    return [
      {
        id: 'underlay-down',
        cause,
        evidence: `${name} has no carrier`,
        fix: `on ${node}: check the cable, bond, switch port or virtual network card of ${name}`,
      },
    ];
  }
  return locals
    .filter((local) => !kernel.addresses.some(({ ip, index }) => index === link.index && sameIp(ip, local)))
    .map((local) => ({
      id: 'underlay-down',
      cause: `the interface to the other nodes, ${name}, has lost its address`,
      evidence: `${name} does not have the address ${formatIp(local)}, from which the tunnel sends`,
      fix: `on ${node}: restore the address (DHCP, network scripts); the agent follows a new address by itself`,
    }));
}
