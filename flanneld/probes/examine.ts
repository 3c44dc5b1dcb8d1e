// Examines one peer. When all is well, this is one packet of full size. Without an answer, a second try and smaller packets follow, and
// then at once all questions that tell the causes apart. Here the replies are only collected; classify.ts says what they mean.

import type { Ip } from '../../lib/ip.ts';
import type { Mac } from '../../lib/mac.ts';
import type { TunnelWay } from '../dataplane/tunnel-way.ts';
import { type Asker, passed, type Reply } from './ask.ts';
import { BROADCAST_MAC } from './frame.ts';
import { type Target, unusedAddress } from './target.ts';
import { HEADER_BYTES } from './wire.ts';

/** The replies of one examination. Only `full` is always there; the others are asked for when needed. */
export interface Evidence {
  /** When the examination began, on the clock of the responder's notes. */
  readonly startedAtMs: number;
  /** UDP payload of a packet that fills the pods' MTU. */
  readonly fullBytes: number;
  /** The full-size packet through the tunnel: the better of two tries. */
  readonly full: Reply;
  /** Whether the first packet was lost and the next one was not. */
  readonly isSecondTry?: boolean;
  /** A small packet through the tunnel: the better of two tries. */
  readonly small?: Reply;
  /** The largest UDP payload that passes, when small passes and full does not. */
  readonly largestBytes?: number;
  readonly faults?: Faults;
}

/** The replies to what is asked when nothing passes through the tunnel. */
export interface Faults {
  /** When these were asked, on the clock of `startedAtMs`. */
  readonly askedAtMs: number;
  /** Through the tunnel to a port that no agent uses, so that the kernel answers. */
  readonly kernel: Reply;
  /** Small packets without a checksum, if they passed and those with one did not; IPv4 only. */
  readonly noChecksum?: Reply;
  /** A packet whose hop limit ends at the peer. */
  readonly hop?: Reply;
  /** The agent's port at the peer's own address, and two closed or well-known ports there. */
  readonly agent: Reply;
  readonly closed: Reply;
  readonly tcp: Reply;
  /**
   * A packet to the tunnel's port: a VXLAN packet made by hand for the lease's MAC. For tunnels where none can be made it is one without
   * meaning.
   */
  readonly frame: Reply;
  /** A VXLAN packet made by hand, to the broadcast MAC. */
  readonly broadcast?: Reply;
  /** Echoes made by hand to the same MACs. They are sent when no agent of the peer answers, because its kernel does. */
  readonly echo?: Reply;
  readonly broadcastEcho?: Reply;
}

/** A port that is closed on nearly every node and open in many firewalls: traceroute's. */
const CLOSED_PORT = 33_434;
/** The kubelet's port: an open and a refused one both show that the node is there. */
const KUBELET_PORT = 10_250;
const TRY_MS = 1000;
/**
 * The shortest time for each size that is tried when small packets are answered, in addition to four times their round trip. Agents with
 * many peers leave packets unread for up to READ_MS of prober.ts.
 */
const SIZE_MS = 550;
/** Headers of IP and UDP. */
const HEADERS = { 4: 28, 6: 48 } as const;

const SILENT: Reply = { kind: 'silent' };

export interface ExamineOptions {
  readonly target: Target;
  readonly ask: Asker;
  readonly tunnel: TunnelWay;
  /** MTU of pods. */
  readonly mtu: number;
  readonly nowMs: () => number;
  /** Only asks whether the peer answers again: its fault is known and many others wait. */
  readonly isBrief?: boolean;
  /** How long to wait for the answer to a packet, in milliseconds; a second when absent. */
  readonly tryMs?: number;
  /** Called with the number of packets that were sent beyond the first one. */
  readonly onExtra?: (packets: number) => void;
}

export async function examine(options: ExamineOptions): Promise<Evidence> {
  const { target, ask, mtu, nowMs, isBrief = false, tryMs = TRY_MS, onExtra = () => undefined } = options;
  const fullBytes = Math.max(HEADER_BYTES, mtu - HEADERS[target.family]);
  const startedAtMs = nowMs();
  const through = (bytes: number) => ask(target, { way: 'tunnel', bytes }, tryMs);
  const start = { startedAtMs, fullBytes };
  const first = await through(fullBytes);
  if (passed(first)) return { ...start, full: first };
  onExtra(2);
  const [small, second] = await Promise.all([through(HEADER_BYTES), through(fullBytes)]);
  if (passed(second)) return { ...start, full: second, isSecondTry: true };
  if (passed(small)) return { ...start, full: second, small, ...(await findLargest(options, small, fullBytes)) };
  if (isBrief) return { ...start, full: second, small };
  onExtra(9);
  const [faults, smallAgain] = await Promise.all([askFaults(options, tryMs), through(HEADER_BYTES)]);
  return { ...start, full: second, small: smallAgain, faults };
}

/** Bisects between a size that passes and one that does not. Undefined when the full size passes after all. */
async function findLargest(
  { target, ask, onExtra, tryMs = TRY_MS }: ExamineOptions,
  small: Reply,
  fullBytes: number,
): Promise<{ largestBytes?: number }> {
  const rttMs = 'rttMs' in small ? small.rttMs : 0;
  const timeoutMs = Math.min(tryMs, SIZE_MS + 4 * rttMs);
  let [passes, fails] = [HEADER_BYTES, fullBytes];
  while (fails - passes > 1) {
    const bytes = Math.floor((passes + fails) / 2);
    onExtra?.(1);
    if (passed(await ask(target, { way: 'tunnel', bytes }, timeoutMs))) passes = bytes;
    else fails = bytes;
  }
  // The fault may have ended meanwhile. Then the size found here is not a limit.
  return passed(await ask(target, { way: 'tunnel', bytes: fullBytes }, timeoutMs)) ? {} : { largestBytes: passes };
}

async function askFaults({ target, ask, tunnel, nowMs }: ExamineOptions, tryMs: number): Promise<Faults> {
  const askedAtMs = nowMs();
  const { mac } = target;
  const one = (what: Parameters<Asker>[1]) => ask(target, what, tryMs);
  const unused: Ip | undefined = unusedAddress(target);
  // A kernel sends about six ICMP errors at once to one address, then one a second. So the packets that say most are sent first.
  const [frame, agent, closed, tcp, broadcast, kernel, noChecksum, hop] = await Promise.all([
    // For a tunnel without MACs any packet will do: if nothing has the port, the peer's kernel says so.
    mac !== undefined
      ? one({ way: 'frame', mac })
      : tunnel.port === undefined
        ? SILENT
        : one({ way: 'node', port: tunnel.port }),
    one({ way: 'node' }),
    one({ way: 'node', port: CLOSED_PORT }),
    one({ way: 'tcp', port: KUBELET_PORT }),
    mac && one({ way: 'frame', mac: BROADCAST_MAC }),
    one({ way: 'tunnel', port: CLOSED_PORT }),
    target.family === 4 ? one({ way: 'tunnel', noChecksum: true }) : undefined,
    unused && one({ way: 'tunnel', to: unused, ttl: 1 }),
  ]);
  const optional = { ...(broadcast && { broadcast }), ...(noChecksum && { noChecksum }), ...(hop && { hop }) };
  const faults = { askedAtMs, kernel, agent, closed, tcp, frame, ...optional };
  return { ...faults, ...(mac !== undefined && needsEcho(faults) && (await askEchoes(target, mac, ask, tryMs))) };
}

/** Whether the peer is there but no agent of it answers, so that its kernel must be asked. */
function needsEcho({ kernel, hop, agent, closed, tcp, frame }: Faults): boolean {
  const isThere = closed.kind === 'refused' || tcp.kind === 'refused' || tcp.kind === 'connected';
  const isSilent = [kernel, frame].every(({ kind }) => kind === 'silent') && hop?.kind !== 'expired';
  return isThere && isSilent && agent.kind !== 'answered';
}

async function askEchoes(
  target: Target,
  mac: Mac,
  ask: Asker,
  tryMs: number,
): Promise<Pick<Faults, 'echo' | 'broadcastEcho'>> {
  const echo = await ask(target, { way: 'echo', mac }, tryMs);
  if (echo.kind === 'echoed') return { echo };
  return { echo, broadcastEcho: await ask(target, { way: 'echo', mac: BROADCAST_MAC }, tryMs) };
}
