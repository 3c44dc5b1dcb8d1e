// Says what is wrong with a peer, from the replies of an examination: a pure function that names at most one cause. The causes are tried in
// this order: faults of this node, then what the peer's agent says, then faults of the network and the peer.

import { formatIp, sameIp } from '../../lib/ip.ts';
import { spellCarrier } from '../dataplane/tunnel-way.ts';
import type { ProbedState } from '../health/status/probes-status.ts';
import { passed, type Reply } from './ask.ts';
import type { Evidence, Faults } from './examine.ts';
import type { ProbePlace, Target } from './target.ts';
import type { Identity } from './wire.ts';

/** What is wrong, without the names of the nodes. `isLocal`: the cause is on this node, so it is the same for every peer. */
export interface Problem {
  readonly id: string;
  readonly severity: 'error' | 'warning' | 'info';
  readonly cause: string;
  readonly evidence: string;
  readonly fix: string;
  readonly isLocal?: boolean;
}

export interface Verdict {
  readonly state: ProbedState;
  readonly problem?: Problem;
  /** The round trip of a packet through the tunnel. */
  readonly rttMs?: number;
  /** Whether the peer's agent answers probes. */
  readonly isAgent: boolean;
}

/** What is known besides the evidence. */
export interface Context {
  readonly node: string;
  readonly target: Target;
  readonly place: ProbePlace;
  /** When a probe from the peer last arrived through the tunnel, on the evidence's clock. */
  readonly heardAtMs: number | undefined;
  /** Since when this node has seen the peer fail; undefined when it did not fail before. */
  readonly failingSinceMs: number | undefined;
  /** How long the peer's agent has been silent although it answered before; undefined when it answers, or never did. */
  readonly agentSilentMs: number | undefined;
}

/** Headers of IP and UDP: they count in the path MTU, but not in the payload. */
const HEADERS = { 4: 28, 6: 48 } as const;
/** An agent that restarts does not answer for some seconds, which is not worth a message. */
const AGENT_AWAY_MS = 10_000;
/** Two packets that are sent together arrive within this time. */
const SLACK_MS = 100;

export function classify(evidence: Evidence, context: Context): Verdict {
  const { full, small, faults } = evidence;
  if (passed(full)) return healthy(full, context);
  if (passed(small)) return tooSmall(evidence, context);
  if (faults === undefined) return { state: 'unknown', isAgent: false };
  return silent(faults, evidence, context);
}

function healthy(reply: Reply, context: Context): Verdict {
  const isAgent = reply.kind === 'answered';
  const rttMs = 'rttMs' in reply ? { rttMs: reply.rttMs } : {};
  const problem = isAgent ? undefined : agentDown(context);
  return { state: 'reachable', isAgent, ...rttMs, ...(problem && { problem }) };
}

/** A plain flannel node never answers as an agent does, so a silent agent is no fault there. */
function agentDown({ target, agentSilentMs }: Context): Problem | undefined {
  if (agentSilentMs === undefined || agentSilentMs < AGENT_AWAY_MS) return undefined;
  return {
    id: 'peer-agent-down',
    severity: 'info',
    cause: `the agent of ${target.peer} does not answer, but its node forwards`,
    evidence: `its kernel answers through the tunnel, but its agent has been silent for ${seconds(agentSilentMs)}`,
    fix: `look at the agent on ${target.peer} with flanneld status and kubectl logs -p`,
  };
}

function tooSmall({ small, fullBytes, largestBytes }: Evidence, { target, place }: Context): Verdict {
  const isAgent = small?.kind === 'answered';
  const rttMs = small !== undefined && 'rttMs' in small ? { rttMs: small.rttMs } : {};
  const headers = HEADERS[target.family];
  const fullMtu = fullBytes + headers;
  if (largestBytes === undefined || largestBytes >= fullBytes - 1) {
    // Every smaller size passed too, so the large packets were lost by chance.
    return { state: 'reachable', isAgent, ...rttMs };
  }
  const largest = largestBytes + headers;
  const underlay = largest + place.tunnel.overheadBytes;
  const problem: Problem = {
    id: 'path-mtu-too-small',
    severity: 'error',
    cause: `the network to ${target.peer} carries packets of at most ${largest} bytes, but pods send ${fullMtu}`,
    evidence: `${place.tunnel.device}: UDP packets with DF are answered up to ${largest} bytes, and not from ${largest + 1} to ${fullMtu} bytes`,
    fix: `make the network carry ${fullMtu + place.tunnel.overheadBytes} bytes between ${formatIp(place.local)} and ${formatIp(target.publicIp)}, or set "MTU": ${underlay} in the Backend of net-conf.json, then restart agents and pods`,
  };
  return { state: 'degraded', problem, isAgent, ...rttMs };
}

function silent(faults: Faults, evidence: Evidence, context: Context): Verdict {
  const isAgent = faults.agent.kind === 'answered';
  const verdict = (state: ProbedState, problem?: Problem): Verdict => ({ state, isAgent, ...(problem && { problem }) });
  const spoiled = spoiledChecksums(faults, context);
  if (spoiled !== undefined) return verdict('degraded', spoiled);
  // Something answered through the tunnel. So only the probes' port is silent, or the host's firewall refuses packets to the host itself.
  if (passed(faults.kernel)) return verdict('reachable', agentDown(context));
  if (faults.hop?.kind === 'expired') return verdict('reachable');
  // An echo made by hand is answered, so the tunnel works and the peer's host refuses everything else that is for itself. Whether pods'
  // packets pass is not known.
  if (faults.echo?.kind === 'echoed') return verdict('unknown');
  const local = localFault(faults, evidence, context);
  if (local === 'unknown') return verdict('unknown');
  return verdict('unreachable', local ?? foreignAddress(faults, context) ?? peerFault(faults, evidence, context));
}

/** Packets without a checksum pass and those with one do not. */
function spoiledChecksums({ noChecksum, kernel }: Faults, { target, place, node }: Context): Problem | undefined {
  if (!passed(noChecksum)) return undefined;
  // The peer's kernel answers with ICMP, whose checksum is computed in another way. So its answer arrives even where only the peer's own
  // UDP packets have wrong checksums.
  const isInbound = passed(kernel);
  if (isInbound && noChecksum?.kind !== 'answered') return undefined;
  const [from, to] = isInbound ? [target.peer, node] : [node, target.peer];
  return {
    id: 'checksum-corruption',
    severity: 'error',
    cause: `checksums of packets from ${from} to ${to} are wrong when they come out of the tunnel`,
    evidence: 'UDP packets without a checksum are answered, packets with one are not, in three tries',
    fix: `on ${from}: ethtool -K ${place.tunnel.device} tx-checksum-ip-generic off; a newer kernel or driver is better`,
  };
}

/** Faults of this node's own kernel. `unknown` when it refuses only probes, which says nothing about the peer. */
function localFault(faults: Faults, { full, small }: Evidence, context: Context): Problem | 'unknown' | undefined {
  const { frame, agent, kernel } = faults;
  if (frame.kind === 'unsent') {
    const isOnlyTunnel = agent.kind !== 'unsent';
    if (frame.code === 'EPERM') return ownFirewall(isOnlyTunnel, context);
    if (!isOnlyTunnel) return noRoute(frame.code, context, false);
  }
  if (kernel.kind !== 'unsent' || small?.kind !== 'unsent' || full.kind !== 'unsent') return undefined;
  return kernel.code === 'EPERM' ? 'unknown' : noRoute(kernel.code, context, true);
}

function ownFirewall(isOnlyTunnel: boolean, { target, place }: Context): Problem {
  const [carrier, address] = [spellCarrier(place.tunnel), formatIp(target.publicIp)];
  return {
    id: 'firewall-drops-tunnel',
    severity: 'error',
    // A rule about an address concerns this peer only; one about the tunnel's port concerns all.
    isLocal: isOnlyTunnel,
    cause: `this node's own firewall refuses to send to ${isOnlyTunnel ? carrier : `${address}, the address of ${target.peer}`}`,
    evidence: `sendto ${address} ${carrier}: EPERM; another port there is refused ${isOnlyTunnel ? 'not' : 'as well'}`,
    fix: `on this node: allow ${carrier} to ${address} in the output chain; nft list ruleset and iptables-save show who drops it`,
  };
}

/** The kernel cannot send to the peer: there is no route, the route refuses, or the device drops packets. */
function noRoute(code: string, { target, place }: Context, isTunnel: boolean): Problem {
  const address = formatIp(isTunnel ? target.vtep : target.publicIp);
  const device = isTunnel ? place.tunnel.device : place.iface;
  if (code === 'ENOBUFS') {
    return {
      id: isTunnel ? 'peer-tunnel-broken' : 'peer-unreachable',
      severity: 'error',
      cause: `this node's own ${device} loses packets that are sent to ${target.peer}`,
      evidence: `sendto ${address}: ${code}, so the device's queue or a rule at the device drops the packet`,
      fix: `on this node: tc -s qdisc show dev ${device}; tc -s filter show dev ${device} egress; nft list ruleset netdev`,
    };
  }
  return {
    id: isTunnel ? 'peer-tunnel-broken' : 'peer-unreachable',
    severity: 'error',
    cause: `this node has no usable route to ${target.peer}`,
    evidence: `sendto ${address}: ${code}`,
    fix: `on this node: ip route get ${address}; ip rule; is ${isTunnel ? place.tunnel.device : place.iface} up?`,
  };
}

/** Compares the identity that the agent answers with the lease. */
function foreignAddress({ agent }: Faults, { target, place }: Context): Problem | undefined {
  if (agent.kind !== 'answered') return undefined;
  const { identity } = agent.answer;
  const address = formatIp(target.publicIp);
  if (identity.vtep !== undefined && !sameIp(identity.vtep, target.vtep)) {
    return {
      id: 'public-ip-conflict',
      severity: 'error',
      cause: `the address that ${target.peer} advertises is another node's`,
      evidence: `${address} answers as the node with ${describe(identity)}, but the lease of ${target.peer} says ${formatIp(target.vtep)}`,
      fix: `on ${target.peer}: set --iface or --public-ip, or the annotation public-ip-overwrite`,
    };
  }
  if (target.mac !== undefined && identity.mac !== undefined && identity.mac !== target.mac)
    return macMismatch(target, `has ${identity.mac}`);
  const { port = 0 } = place.tunnel;
  if (identity.port !== port) {
    const evidence = `its agent uses UDP port ${identity.port}, this node port ${port}`;
    return portClosed(target, place, evidence);
  }
  return undefined;
}

function describe({ vtep, mac }: Identity): string {
  return [vtep && formatIp(vtep), mac].filter((one) => one !== undefined).join(' and ');
}

function macMismatch(target: Target, evidence: string): Problem {
  return {
    id: 'vtep-mac-mismatch',
    severity: 'error',
    cause: `the tunnel device of ${target.peer} has another MAC than its lease says`,
    evidence: `lease ${target.mac}, device ${evidence}`,
    fix: `restart the agent on ${target.peer}, so that it publishes its MAC anew`,
  };
}

function portClosed(target: Target, place: ProbePlace, evidence: string): Problem {
  return {
    id: 'peer-port-closed',
    severity: 'error',
    cause: `${target.peer} does not accept tunnel packets at ${spellCarrier(place.tunnel)}`,
    evidence,
    fix: `on ${target.peer}: ip -d link show type ${place.tunnel.type}; compare ${place.tunnel.hasKeys === true ? '"ListenPort"' : '"Port"'} in both net-conf.json; is ${formatIp(target.publicIp)} its address? does its firewall reject the port?`,
  };
}

function peerFault(faults: Faults, evidence: Evidence, context: Context): Problem {
  const { target, place } = context;
  const { frame, broadcast, broadcastEcho } = faults;
  const address = formatIp(target.publicIp);
  if (frame.kind === 'refused' && frame.way === 'node') {
    return portClosed(target, place, `${address} answers port unreachable for ${spellCarrier(place.tunnel)}`);
  }
  if (passed(frame)) return brokenHere(context);
  if (passed(broadcast) || broadcastEcho?.kind === 'echoed') {
    return macMismatch(target, 'which answers packets to the broadcast MAC but not to that one');
  }
  if (!isThere(faults)) return unreachable(faults, context);
  return oneWay(faults, evidence, context) ?? blocked(faults, context);
}

/** Whether anything at the peer's own address answered. */
function isThere({ agent, closed, tcp, frame }: Faults): boolean {
  return [agent, closed, tcp, frame].some(
    ({ kind }) => kind === 'answered' || kind === 'refused' || kind === 'connected',
  );
}

function unreachable(faults: Faults, { target }: Context): Problem {
  const { agent, closed, tcp } = faults;
  const address = formatIp(target.publicIp);
  const told = [agent, closed, tcp].map(explain).find((text) => text !== undefined);
  return {
    id: 'peer-unreachable',
    severity: 'error',
    cause: `nothing answers at ${address}, the address of ${target.peer}`,
    evidence: `${address}: ${told ?? 'no answer to UDP and TCP'}, and nothing through the tunnel`,
    fix: `start ${target.peer} if it is down; if it is gone, remove its Node or lease; if ${address} is wrong, set public-ip-overwrite on that node`,
  };
}

function explain(reply: Reply): string | undefined {
  if (reply.kind === 'no-neighbour')
    return 'no machine on this network has the address (ARP or neighbour discovery failed)';
  if (reply.kind === 'error') return `${reply.what}${reply.by === undefined ? '' : ` from ${formatIp(reply.by)}`}`;
  if (reply.kind === 'unsent') return `not sent: ${reply.code}`;
  return undefined;
}

/** A packet made by hand is answered, so the network and the peer work, and the fault is here. */
function brokenHere({ target, place }: Context): Problem {
  return {
    id: 'peer-tunnel-broken',
    severity: 'error',
    cause: `this node's own kernel does not send packets for ${target.peer} where its lease says`,
    evidence: `a VXLAN packet made by hand to ${formatIp(target.publicIp)} and ${target.mac} is answered, but a packet that leaves by ${place.tunnel.device} is not`,
    fix: `on this node: ip route get ${formatIp(target.vtep)}; ip neigh show ${formatIp(target.vtep)}; bridge fdb show dev ${place.tunnel.device} | grep ${target.mac}`,
  };
}

/** Packets pass in one direction only. */
function oneWay(faults: Faults, { startedAtMs }: Evidence, context: Context): Problem | undefined {
  const { agent } = faults;
  const { node, target, place, heardAtMs, failingSinceMs = startedAtMs } = context;
  const between = spellCarrier(place.tunnel);
  if (agent.kind === 'answered') {
    const { agoMs } = agent.answer.heard;
    // The probe that the peer heard was one of this examination.
    const arrived = agoMs !== undefined && agoMs <= faults.askedAtMs - startedAtMs + SLACK_MS;
    if (arrived) {
      const evidence = `${target.peer} received this node's probe through the tunnel ${seconds(agoMs)} ago, but its answer does not arrive`;
      return blockedFrom(target.peer, node, between, evidence);
    }
  }
  if (heardAtMs === undefined || heardAtMs <= failingSinceMs) return undefined;
  const evidence = `probes of ${target.peer} arrive through the tunnel, but those of this node are not answered`;
  return blockedFrom(node, target.peer, between, evidence);
}

function blockedFrom(from: string, to: string, port: string, evidence: string): Problem {
  return {
    id: 'tunnel-one-way',
    severity: 'error',
    cause: `${port} is blocked from ${from} to ${to}, but open in the other direction`,
    evidence,
    fix: `open ${port} from ${from} to ${to}: security groups, firewalls between them, the output chain of ${from}, the input chain of ${to}`,
  };
}

function blocked(faults: Faults, context: Context): Problem {
  const { node, target, place } = context;
  const carrier = spellCarrier(place.tunnel);
  const address = formatIp(target.publicIp);
  const evidence = `${address} answers (${answersOf(faults)}), but ${carrier} gets neither an answer nor "unreachable", and nothing passes through the tunnel`;
  if (place.tunnel.hasKeys === true) return noHandshake(evidence, context);
  const between = `between ${formatIp(place.local)} and ${address} in both directions: security groups, firewalls`;
  const isUdp = place.tunnel.port !== undefined;
  return {
    id: 'tunnel-port-blocked',
    severity: 'error',
    cause: `the network drops ${carrier} between ${node} and ${target.peer}`,
    evidence,
    fix: `open ${carrier} ${between}${isUdp ? NSX : '; many clouds have a rule of its own for it beside TCP, UDP and ICMP'}${compareDevices(faults, context)}`,
  };
}

const NSX = '; where NSX keeps 8472 for itself, set "Port": 4789 in the Backend of net-conf.json';

/**
 * When the peer's agent is silent, nothing says which VNI and MAC the peer's device has; a device with another VNI is as silent as a closed
 * port.
 */
function compareDevices({ agent }: Faults, { target, place }: Context): string {
  const { device, vni } = place.tunnel;
  if (agent.kind === 'answered' || vni === undefined) return '';
  return `; if the port is open, compare ip -d link show ${device} on ${target.peer} with VNI ${vni} and MAC ${target.mac}`;
}

function answersOf({ agent, closed, tcp }: Faults): string {
  return [
    agent.kind === 'answered' && 'its agent',
    closed.kind === 'refused' && 'its kernel (port unreachable)',
    (tcp.kind === 'refused' || tcp.kind === 'connected') && 'TCP',
  ]
    .filter((one) => one !== false)
    .join(', ');
}

/** A packet under a key that the other node does not know is as silent as a lost one. */
function noHandshake(evidence: string, { node, target, place }: Context): Problem {
  const carrier = spellCarrier(place.tunnel);
  return {
    id: 'wireguard-no-handshake',
    severity: 'error',
    cause: `${node} and ${target.peer} complete no handshake: ${carrier} is blocked between them, or one of them does not know the other's key or has another PSK`,
    evidence,
    fix: `open ${carrier} between ${formatIp(place.local)} and ${formatIp(target.publicIp)} in both directions; on both: compare wg show ${place.tunnel.device} with the leases, and "PSK" in net-conf.json`,
  };
}

function seconds(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${Math.round(ms / 1000)} s`;
}
