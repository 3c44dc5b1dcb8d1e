// The hops from the tunnel's device to the underlay: device, nexthop, neighbour, FDB entry, this node's own rules about the tunnel's
// packets, and sizes.

import { formatIp, sameIp } from '../../../lib/ip.ts';
import { IFF_UP } from '../../../lib/rtnetlink/rtnetlink-constants.ts';
import { run } from '../draft.ts';
import { type Answers, peerOf, type TunnelAnswer } from './answers.ts';
import { type Hop, isSilent, limit, ok, stop, unknown } from './hop.ts';

export function tunnelHops(answers: Answers): Hop[] {
  const { tunnel } = answers;
  if (tunnel === undefined) return [];
  const { device, nexthopId } = tunnel;
  if ((device.flags & IFF_UP) === 0) {
    const cause = `somebody has set ${device.name} down`;
    const evidence = `ip link show dev ${device.name}: DOWN`;
    return [
      stop('device', {
        id: 'device-missing',
        cause,
        evidence,
        fix: run(answers.node, `ip link set ${device.name} up`),
      }),
    ];
  }
  const up = ok(
    'device',
    `${device.name} is up, mtu ${device.mtu}${device.mac === undefined ? '' : `, ${device.mac}`}`,
  );
  // The other tunnels find the node without a MAC.
  if (device.vxlan === undefined) return [up];
  const over = nexthopId === undefined ? [] : [nexthopHop(answers, tunnel, nexthopId)];
  return [up, ...over, neighbourHop(answers, tunnel), fdbHop(answers, tunnel)];
}

function restart(node: string): string {
  return `start the agent of ${node}, which makes the device; if the agent runs, \`flanneld status\` there says why it does not`;
}

function nexthopHop(answers: Answers, { nexthop, gateway }: TunnelAnswer, id: number): Hop {
  const what = `ip nexthop show id ${id}`;
  if (nexthop?.gateway !== undefined && sameIp(nexthop.gateway, gateway))
    return ok('nexthop', `${what}: via ${formatIp(gateway)}`);
  const evidence = `${what}: ${nexthop === undefined ? 'none' : 'has another gateway'}`;
  return stop('nexthop', {
    id: 'peer-entry-missing',
    ...peerOf(answers),
    cause: `the nexthop of ${answers.target.peer ?? 'the peer'} is missing or wrong`,
    evidence,
    fix: restart(answers.node),
  });
}

function neighbourHop(answers: Answers, { device, gateway, neigh, wanted }: TunnelAnswer): Hop {
  const what = `ip neigh show ${formatIp(gateway)} dev ${device.name}`;
  const who = answers.target.peer ?? 'the peer';
  const mac = neigh?.mac;
  const right = wanted === undefined ? '' : `, and its lease says ${wanted.mac}`;
  if (mac !== undefined && !isSilent(neigh?.state) && (wanted === undefined || wanted.mac === mac)) {
    return ok('neighbour', `${what}: lladdr ${mac}`);
  }
  const evidence = `${what}: ${mac === undefined ? 'none' : `lladdr ${mac}`}${right}`;
  const cause =
    mac === undefined
      ? `the neighbour entry of ${who} is missing`
      : `the neighbour entry of ${who} has another MAC than its lease`;
  const command = `ip neigh replace ${formatIp(gateway)} lladdr ${wanted?.mac ?? ''} dev ${device.name} nud permanent`;
  const fix =
    wanted === undefined ? restart(answers.node) : run(answers.node, command, 'a running agent does this by itself');
  return stop('neighbour', { id: 'peer-entry-missing', ...peerOf(answers), cause, evidence, fix });
}

function fdbHop(answers: Answers, { device, neigh, fdb, wanted }: TunnelAnswer): Hop {
  const mac = neigh?.mac ?? '';
  const what = `bridge fdb show dev ${device.name} | grep ${mac}`;
  const who = answers.target.peer ?? 'the peer';
  const found = fdb.map(({ destination }) => destination).filter((ip) => ip !== undefined);
  const to = found.map(formatIp).join(', ');
  if (found.length > 0 && (wanted === undefined || found.some((ip) => sameIp(ip, wanted.publicIp))))
    return ok('fdb', `${what}: dst ${to}`);
  const evidence = `${what}: ${found.length === 0 ? 'none' : `dst ${to}`}${wanted === undefined ? '' : `, and its lease says ${formatIp(wanted.publicIp)}`}`;
  const cause =
    found.length === 0
      ? `the FDB entry of ${who} is missing, so that the device sends its packets nowhere`
      : `the FDB entry of ${who} leads to another address than its lease`;
  const command = `bridge fdb replace ${mac} dev ${device.name} dst ${wanted === undefined ? '' : formatIp(wanted.publicIp)} self permanent`;
  const fix =
    wanted === undefined ? restart(answers.node) : run(answers.node, command, 'a running agent does this by itself');
  return stop('fdb', { id: 'peer-entry-missing', ...peerOf(answers), cause, evidence, fix });
}

/** Whether this node's own rules let the tunnel's packets out. */
export function outputHop({ outer, node }: Answers): Hop[] {
  const sent = outer?.sent;
  if (outer === undefined || sent === undefined) return [];
  if ('unknown' in sent) return [unknown('firewall', sent.unknown)];
  const [fate] = sent.fates;
  const port = `UDP port ${outer.port} of ${formatIp(outer.to)}`;
  if (fate?.hasLeft === true) return [ok('firewall', `a packet to ${port} passed the rules of ${node}`)];
  if (fate?.refusedBy === undefined && fate?.arrived !== true)
    return [unknown('firewall', `a packet to ${port} was not seen`)];
  const by = fate.refusedBy;
  const where = by === undefined ? 'something that nft does not show' : `chain ${by.family} ${by.table} ${by.chain}`;
  const cause = `a rule of ${node} drops the tunnel's packets on their way out: ${where}`;
  const evidence = `a packet to ${port} was refused by ${where}${by?.handle === undefined ? '' : `, handle ${by.handle}`}`;
  const fix =
    by === undefined
      ? 'see `iptables-legacy-save`'
      : run(node, `nft insert rule ${by.family} ${by.table} ${by.chain} udp dport ${outer.port} accept`);
  return [stop('firewall', { id: 'firewall-drops-tunnel', cause, evidence, fix })];
}

/** Sizes along the path: the pod's device, the bridge, the tunnel, the underlay. */
export function mtuHop({ node, fromPod, toPod, bridge, tunnel, outer }: Answers): Hop[] {
  const device = tunnel?.device ?? outer?.link;
  if (device === undefined) return [];
  const under = tunnel === undefined ? undefined : outer?.link;
  const carries = under === undefined || tunnel === undefined ? undefined : under.mtu - tunnel.overheadBytes;
  const said = [fromPod?.port, toPod?.port, bridge.link, device, under].filter((link) => link !== undefined);
  const sizes = [...new Set(said.map(({ name, mtu }) => `${name} ${mtu}`))].join(', ');
  if (carries !== undefined && under !== undefined && device.mtu > carries) {
    const cause = `${device.name} accepts packets of ${device.mtu} bytes, but ${under.name} carries at most ${carries} bytes of them`;
    const fix = `set "MTU": ${under.mtu} in Backend of net-conf.json, or ${run(node, `ip link set ${under.name} mtu ${device.mtu + (tunnel?.overheadBytes ?? 0)}`)}`;
    return [limit('mtu', { id: 'path-mtu-too-small', cause, evidence: `mtu: ${sizes}`, fix })];
  }
  const port = fromPod?.port ?? toPod?.port;
  if (tunnel !== undefined && bridge.link !== undefined && port !== undefined && bridge.link.mtu !== device.mtu) {
    const cause = `${bridge.name} has an MTU of ${bridge.link.mtu}, but ${device.name} has ${device.mtu}`;
    return [
      limit('mtu', {
        id: 'bridge-mtu-wrong',
        cause,
        evidence: `mtu: ${sizes}`,
        fix: run(node, `ip link set ${bridge.name} mtu ${device.mtu}`),
      }),
    ];
  }
  if (tunnel !== undefined && port !== undefined && port.mtu > device.mtu) {
    const cause = `the pod has an MTU of ${port.mtu}, but the way to other nodes carries ${device.mtu}`;
    return [
      limit('mtu', {
        id: 'pod-mtu-stale',
        cause,
        evidence: `mtu: ${sizes}`,
        fix: `delete the pod, so that its replacement gets the present MTU`,
      }),
    ];
  }
  return [ok('mtu', sizes)];
}
