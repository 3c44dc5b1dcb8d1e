// What the kernel needs to reach each peer: a route, and for a tunnel a neighbour and an FDB entry. A running agent restores a missing one
// at once, so this is mostly about nodes without an agent. All peers are in one finding of each kind.

import { formatIp, formatPrefix, sameIp, samePrefix } from '../../../lib/ip.ts';
import { RT_TABLE_MAIN } from '../../../lib/rtnetlink/rtnetlink-constants.ts';
import { type Draft, run } from '../draft.ts';
import type { FamilyFacts, PeerFacts } from '../view/facts.ts';
import type { View } from '../view/view.ts';

interface Lack {
  readonly peer: string;
  readonly what: string;
  readonly command: string;
}

const NAMED = 5;

export function checkPeerObjects(view: View): Draft[] {
  const { kernel, families } = view;
  if (kernel === undefined) return [];
  return families.flatMap((facts) => {
    if (facts.tunnel !== undefined && facts.tunnel.link === undefined) return [];
    return [
      ...finding(view, 'route-missing', missingRoutes(view, facts)),
      ...finding(view, 'peer-entry-missing', missingEntries(view, facts)),
    ];
  });
}

function finding({ node }: View, id: 'route-missing' | 'peer-entry-missing', lacks: readonly Lack[]): Draft[] {
  const [first] = lacks;
  if (first === undefined) return [];
  const peers = [...new Set(lacks.map(({ peer }) => peer))];
  const more = lacks.length > NAMED ? ` and ${lacks.length - NAMED} more` : '';
  const what = id === 'route-missing' ? 'the route to' : 'an entry of the tunnel for';
  const commands = [...new Set(lacks.slice(0, NAMED).map(({ command }) => command))].join(' && ');
  return [
    {
      id,
      ...(peers.length === 1 && { peer: first.peer }),
      cause: `${what} ${peers.length === 1 ? first.peer : `${peers.length} nodes`} is missing or wrong`,
      evidence:
        lacks
          .slice(0, NAMED)
          .map(({ peer, what: lack }) => `${peer}: ${lack}`)
          .join('; ') + more,
      fix: run(node, commands, 'a running agent does this by itself'),
    },
  ];
}

function missingRoutes({ kernel, underlay }: View, { peers, tunnel, family, network }: FamilyFacts): Lack[] {
  if (tunnel?.hasKeys === true) return missingNetworkRoute(kernel, { peers, tunnel, network });
  const routes = new Map(
    (kernel?.routes ?? [])
      .filter((route) => route.family === family && route.table === RT_TABLE_MAIN)
      .map((route) => [formatPrefix(route.destination), route]),
  );
  return peers.flatMap(({ key, subnet, publicIp }) => {
    const destination = formatPrefix(subnet);
    // A route that leads elsewhere is reported by another finding.
    if (routes.has(destination)) return [];
    // VXLAN finds the node by the gateway's MAC, IPIP by the gateway's address itself.
    const gateway = formatIp(tunnel?.vni === undefined ? publicIp : subnet.ip);
    const hop = `via ${gateway} dev ${tunnel === undefined ? (underlay?.name ?? 'DEV') : `${tunnel.device} onlink`}`;
    return [{ peer: key, what: `no route to ${destination}`, command: `ip route replace ${destination} ${hop}` }];
  });
}

/** WireGuard chooses the peer by the pod's address, so one route leads to all peers. */
function missingNetworkRoute(
  kernel: View['kernel'],
  { peers, tunnel, network }: Pick<FamilyFacts, 'peers' | 'tunnel' | 'network'>,
): Lack[] {
  const destination = formatPrefix(network);
  const isThere = kernel?.routes.some(
    (route) =>
      route.table === RT_TABLE_MAIN && route.oif === tunnel?.link?.index && samePrefix(route.destination, network),
  );
  if (isThere !== false) return [];
  const command = `ip route replace ${destination} dev ${tunnel?.device}`;
  return peers.map(({ key }) => ({ peer: key, what: `no route to ${destination}`, command }));
}

function missingEntries({ kernel }: View, { peers, tunnel }: FamilyFacts): Lack[] {
  const link = tunnel?.link;
  if (link === undefined) return [];
  const { index, name } = link;
  const neighs = new Map(
    kernel?.neighs.filter((neigh) => neigh.index === index).map((neigh) => [formatIp(neigh.destination), neigh.mac]),
  );
  const fdb = new Map(kernel?.fdb.filter((entry) => entry.index === index).map((entry) => [entry.mac, entry]));
  const isDirect = directPeers(kernel?.routes ?? [], index);
  return peers
    .filter((peer) => !isDirect(peer))
    .flatMap(({ key, subnet, publicIp, mac }) => {
      if (mac === undefined) return [];
      const lacks: Lack[] = [];
      const gateway = formatIp(subnet.ip);
      const known = neighs.get(gateway);
      if (known !== mac) {
        const what = known === undefined ? `no neighbour ${gateway}` : `neighbour ${gateway} has ${known}, not ${mac}`;
        lacks.push({ peer: key, what, command: `ip neigh replace ${gateway} lladdr ${mac} dev ${name} nud permanent` });
      }
      const entry = fdb.get(mac);
      if (entry?.destination === undefined || !sameIp(entry.destination, publicIp)) {
        const to = entry?.destination === undefined ? 'none' : formatIp(entry.destination);
        const what = `FDB entry ${mac} leads to ${to}, not ${formatIp(publicIp)}`;
        lacks.push({
          peer: key,
          what,
          command: `bridge fdb replace ${mac} dev ${name} dst ${formatIp(publicIp)} self permanent`,
        });
      }
      return lacks;
    });
}

/** With DirectRouting some peers are reached over the external interface and need no entries at the tunnel. */
function directPeers(routes: NonNullable<View['kernel']>['routes'], tunnel: number) {
  const elsewhere = routes.filter(({ oif, gateway }) => oif !== tunnel && gateway !== undefined);
  return ({ subnet, publicIp }: PeerFacts): boolean =>
    elsewhere.some(
      ({ destination, gateway }) =>
        samePrefix(destination, subnet) && gateway !== undefined && sameIp(gateway, publicIp),
    );
}
