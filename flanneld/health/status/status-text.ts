// The report of a running agent as lines for a terminal.

import { printable } from '../../../lib/printable.ts';
import type { DriftEntry } from '../drift-ledger.ts';
import type { Finding } from '../finding.ts';
import type { Check } from '../http-server.ts';
import { PEER_STATES, type ProbePeer, type ProbesStatus } from './probes-status.ts';
import type { FastPathStatus, FirewallStatus, GuardStatus, OverlayStatus, StatusReport, Stranger } from './report.ts';

/** How many problems of an overlay, and how many repairs, are shown at most; `--json` has all of them. */
const SHOWN = 20;

/** The report as about one page of lines. */
export function statusText(report: StatusReport, now: Date = new Date()): string {
  const { version, node, pid, startedAt, backend, ready, checks, overlays, firewall, probes, findings, drift } = report;
  const { fastPath } = report;
  const failing = checks.filter(({ problem }) => problem !== undefined);
  const troubles = [...failing.filter(({ required }) => required), ...failing.filter(({ required }) => !required)];
  const lines = [
    ...pairs([
      ['node', node],
      ['agent', `${version}, pid ${pid}, since ${startedAt}`],
      ['ready', ready ? 'yes' : 'no'],
      ['backend', backend],
    ]),
    // Problems come before everything else.
    ...(troubles.length === 0 ? [] : section('problems', troubles.map(checkLine))),
    ...(findings.length === 0 ? [] : section('findings', findings.slice(0, SHOWN).flatMap(findingLines))),
    ...overlays.flatMap((overlay) => ['', ...overlayLines(overlay)]),
    ...(firewall === undefined ? [] : ['', ...firewallLines(firewall)]),
    ...(fastPath === undefined ? [] : ['', ...fastPathLines(fastPath)]),
    ...(probes === undefined ? [] : ['', ...probeLines(probes)]),
    ...section('checks', checks.filter(({ required, problem }) => required && problem === undefined).map(checkLine)),
    ...section(
      driftTitle(report),
      drift.entries.slice(-SHOWN).map((entry) => driftLine(entry, now)),
    ),
  ];
  return `${lines.map(printable).join('\n')}\n`;
}

function overlayLines(overlay: OverlayStatus): string[] {
  const { subnet, network, publicIp, local, iface, peers, problems } = overlay;
  const advertised = publicIp === local ? '' : `, advertised as ${publicIp}`;
  const { direct, encrypted } = peers;
  const without = direct === undefined ? '' : ` (${direct} without a tunnel)`;
  const moved = encrypted === undefined ? '' : ` (${encrypted} encrypted)`;
  const shown = problems.slice(0, SHOWN).map(({ key, reason }) => `  ! ${key}: ${reason}`);
  if (problems.length > SHOWN) shown.push(`  ! and ${problems.length - SHOWN} more`);
  return [
    ...pairs([
      ['device', deviceText(overlay)],
      ['subnet', `${subnet} of ${network}`],
      ['underlay', `${iface}, ${local}${advertised}`],
      ['peers', `${peers.wanted} wanted, ${peers.programmed} programmed${without}${moved}, ${peers.failing} failing`],
    ]),
    ...shown,
  ];
}

function firewallLines({ flavour, why, places, guard }: FirewallStatus): string[] {
  const lines = pairs([
    ['firewall', `${flavour} (${why})`],
    ['rules in', places.length === 0 ? 'none' : places.join(', ')],
  ]);
  return guard === undefined ? lines : [...lines, ...guardLines(guard)];
}

/** How many peers are shown, the busiest first. */
const SHOWN_PEERS = 5;

function fastPathLines({
  mode,
  on,
  reason,
  pods,
  peers,
  fast,
  slow,
  notFull,
  byDevice,
  byPeer,
}: FastPathStatus): string[] {
  const but = notFull === undefined ? '' : `; as redirect, because ${notFull}`;
  const state = on ? `on, for ${pods} addresses of pods and ${peers} peers${but}` : `off: ${reason}`;
  const counts = (packets: Readonly<Record<string, number>>): string => {
    const texts = Object.entries(packets).map(([why, count]) => `${count} ${why}`);
    return texts.length === 0 ? 'none' : texts.join(', ');
  };
  return pairs([
    ['fast path', `${mode}: ${state}`],
    ['redirected', counts(fast)],
    ['classic', counts(slow)],
    ...(byDevice === undefined ? [] : [['by device', counts(byDevice)] as const]),
    ...byPeer.slice(0, SHOWN_PEERS).map(({ subnet, sent, received, slow: others }) => {
      return ['peer', `${subnet}: ${sent} sent, ${received} received; otherwise ${counts(others)}`] as const;
    }),
    ...(byPeer.length > SHOWN_PEERS ? [['', `${byPeer.length - SHOWN_PEERS} more: status --json`] as const] : []),
  ]);
}

function guardLines(guard: GuardStatus): string[] {
  const { mode, problem, packets, strangers, isFull, watchedSince } = guard;
  const refused = `${packets.refused} refused that would have changed routes or neighbours`;
  if (problem !== undefined) return pairs([['guard', `${mode}: ${problem}`]]);
  if (mode === 'off') return pairs([['guard', `off; ${refused}`]]);
  const word = mode === 'enforce' ? 'dropped' : 'counted';
  const seen = `${packets.strangers} packets of strangers and ${packets.pods} of pods ${word}, ${refused}`;
  return [
    ...pairs([['guard', `${mode}: ${seen}, since ${watchedSince}${cutText(guard)}`]]),
    ...strangers.map(strangerLine),
    ...(isFull ? ['  ! there may be more strangers; the kernel keeps no more of them'] : []),
  ];
}

/** Says which peers `enforce` would cut off; empty when it is on already. */
function cutText({ mode, wouldCut }: GuardStatus): string {
  if (mode === 'enforce') return '';
  if (wouldCut === undefined) return '; which peers enforce would cut off is not known';
  return `; enforce would cut off ${wouldCut.length === 0 ? 'no peer' : wouldCut.join(', ')}`;
}

function strangerLine({ address, packets, since, peer }: Stranger): string {
  const who =
    peer === undefined ? 'no peer' : `by the inner MAC this is ${peer.key}, which publishes ${peer.publishes}`;
  return `  ! ${address}: ${packets} packets since ${since}, ${who}`;
}

function findingLines({ id, severity, peer, cause, evidence, fix }: Finding): string[] {
  const about = peer === undefined ? '' : ` (${peer})`;
  return [
    `${severity === 'info' ? '+' : '!'} ${severity} ${id}${about}: ${cause}`,
    `    seen: ${evidence}`,
    `    fix: ${fix}`,
  ];
}

function probeLines({ port, problem, states, oldestSec, peers }: ProbesStatus): string[] {
  const counts = PEER_STATES.map((state) => `${states[state]} ${state}`).join(', ');
  const age = oldestSec === undefined ? '' : `, the oldest result ${ageText(oldestSec * 1000)} old`;
  const worst = peers.filter(({ state }) => state === 'unreachable' || state === 'degraded');
  const shown = worst.slice(0, SHOWN).map(peerLine);
  if (worst.length > SHOWN) shown.push(`  ! and ${worst.length - SHOWN} more`);
  return [
    ...pairs([['probes', `${counts}${age}; UDP port ${port}`]]),
    ...(problem === undefined ? [] : [`  ! ${problem}`]),
    ...shown,
  ];
}

function peerLine({ peer, family, state, rttMs, finding, failingSec = 0 }: ProbePeer): string {
  const trip = rttMs === undefined ? '' : `, ${rttMs} ms`;
  return `  ! ${peer} (IPv${family}): ${state} for ${ageText(failingSec * 1000)}${trip}, ${finding ?? 'no cause found'}`;
}

function deviceText({ device, mac, mtu, vni, port }: OverlayStatus): string {
  const facts = Object.entries({ MAC: mac, MTU: mtu, VNI: vni, port });
  const known = facts.flatMap(([name, value]) => (value === undefined ? [] : [`${name} ${value}`]));
  return [device ?? 'none', ...known].join('  ');
}

function pairs(rows: readonly (readonly [string, string])[]): string[] {
  return rows.map(([name, value]) => `${name.padEnd(9)} ${value}`);
}

function section(title: string, lines: readonly string[]): string[] {
  return ['', title, ...lines.map((line) => `  ${line}`)];
}

function checkLine({ name, problem, required }: Check): string {
  return problem === undefined ? `+ ${name}` : `${required ? '-' : '!'} ${name}: ${problem}`;
}

function driftTitle({ drift: { totals, entries } }: StatusReport): string {
  const counts = Object.entries(totals).map(([object, count]) => `${count} ${object}`);
  if (counts.length === 0) return 'drift: none';
  const which = entries.length > SHOWN ? `, the last ${SHOWN} of ${entries.length} remembered` : '';
  return `drift repaired: ${counts.join(', ')}${which}`;
}

function driftLine({ time, object, place, what, was, cmd, count, followed = {} }: DriftEntry, now: Date): string {
  const others = count === undefined ? '' : ` and ${count - 1} more`;
  const after = Object.entries(followed).map(([each, number]) => `${number} ${each}`);
  const along = after.length === 0 ? '' : `, and as a consequence ${after.join(', ')}`;
  return `${time} (${ageText(now.getTime() - Date.parse(time))} ago) ${object} of ${what}${others} (${place}) ${was}${along}: ${cmd}`;
}

/** `40 s`, `3 min`, `2 h`, `5 d`. */
function ageText(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return seconds < 86_400 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86_400)} d`;
}
