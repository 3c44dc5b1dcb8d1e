// The hop through the firewall's rules, judged by what happened to a test packet.

import { formatIp } from '../../../lib/ip.ts';
import type { Draft } from '../draft.ts';
import type { Answers } from './answers.ts';
import { type Hop, ok, stop, unknown } from './hop.ts';
import type { PacketFate } from './packet-fate.ts';

export function rulesHop(answers: Answers): Hop[] {
  const { sent, route } = answers;
  if ('unknown' in sent) return [unknown('rules', sent.unknown)];
  const [fate] = sent.fates;
  if (fate === undefined) return [];
  if (!fate.arrived) return [stop('rules', notArrived(answers))];
  if (fate.hasLeft || fate.isDelivered) return [ok('rules', passedText(answers, fate))];
  if (fate.refusedBy !== undefined) return [stop('rules', refusedBy(answers, fate.refusedBy, sent.refusal))];
  // A packet that the routing tables refuse is reported by another hop.
  return route?.refused === undefined ? [stop('rules', lost(fate))] : [];
}

function passedText({ links }: Answers, { hasLeft, oif, source }: PacketFate): string {
  if (!hasLeft) return 'a test packet passed all rules to a program of this node';
  const name = links.find(({ index }) => index === oif)?.name ?? 'a device';
  return `a test packet passed all rules and left by ${name}${source === undefined ? '' : `, from ${formatIp(source)}`}`;
}

function notArrived({ from, bridge, node }: Answers): Draft {
  const by = from.kind === 'pod here' ? bridge.name : 'the tunnel';
  return {
    id: 'firewall-refuses-pods',
    cause: `a packet that arrives at ${by} does not reach the rules of ${node}`,
    evidence: 'a test packet was not seen at the hook prerouting',
    fix: 'look at `nft list tables bridge`, `ebtables -L`, and the guard in `flanneld status`',
  };
}

function refusedBy({ node, target }: Answers, by: NonNullable<PacketFate['refusedBy']>, refusal = ''): Draft {
  const { family, table, chain } = by;
  const where = `chain ${family} ${table} ${chain}`;
  const evidence = `a test packet was refused by ${where}`;
  if (table === 'kube-proxy' || chain.startsWith('KUBE-')) {
    const cause = `kube-proxy refuses it, because no ready pod is behind ${target.text}`;
    const fix = 'run `kubectl get endpointslices -A`, and find out why the pods of that Service are not ready';
    return { id: 'service-without-pods', cause, evidence, fix };
  }
  const [cause, fix] = splitAdvice(refusal === '' ? `packets are refused by ${where}` : refusal);
  return {
    id: 'firewall-refuses-pods',
    cause,
    evidence,
    fix: fix === '' ? `see \`nft list ${where}\`` : `on ${node}: \`${fix}\``,
  };
}

const ADVICE = ['nft insert', 'iptables', 'ip6tables', 'firewall-cmd', 'ufw ', 'see '];

/** refusal-text.ts writes `what is wrong: what to do`, and the rule in it may have colons of its own. */
function splitAdvice(text: string): [string, string] {
  const at = Math.max(...ADVICE.map((word) => text.indexOf(`: ${word}`)));
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 2)];
}

function lost({ isForwarded }: PacketFate): Draft {
  const at = isForwarded ? 'after the hook forward' : 'before it was forwarded';
  return {
    id: 'firewall-refuses-pods',
    cause: 'packets are dropped by something that nft does not show',
    evidence: `a test packet was lost ${at}, and no rule of nftables refused it`,
    fix: 'look at `iptables-legacy-save`, and at net.ipv4.conf.*.rp_filter: the value 1 drops packets whose route back uses another device',
  };
}
