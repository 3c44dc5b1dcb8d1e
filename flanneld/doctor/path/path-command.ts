// `flanneld doctor path FROM TO [PORT]`: follows one packet through this node, hop by hop, with the kernel's own answers.

import { addToIp, networkOf } from '../../../lib/ip.ts';
import { openNetlink } from '../../../lib/netlink/connection.ts';
import { printableJson } from '../../../lib/printable.ts';
import { listAddresses } from '../../../lib/rtnetlink/address.ts';
import { openKoffiSyscalls } from '../../../lib/sys/koffi.ts';
import type { Environment } from '../../cli/flags.ts';
import { UsageError } from '../../cli/go-flags.ts';
import type { Options } from '../../cli/options.ts';
import { nftProgram } from '../../firewall/nft-program.ts';
import { podNetworkOf } from '../../pods/gc/gc-command.ts';
import type { Lease } from '../../subnet/manager.ts';
import { optionsOf } from '../doctor.ts';
import { finished } from '../draft.ts';
import { agentsInDetail } from '../view/agent-facts.ts';
import { readView } from '../view/read-view.ts';
import type { View } from '../view/view.ts';
import type { Hop } from './hop.ts';
import { hopsOf } from './hops.ts';
import { type PathStep, pathText } from './path-text.ts';
import { type Place, placesOf, type Surroundings } from './place.ts';
import { type Asked, knownPods, readAnswers } from './read-answers.ts';

const EXIT_STOPS = 1;

/**
 * Resolves to the exit code: 0 when the packet passes this node, 1 when it, or a large one, does not. Rejects when the kernel cannot be
 * asked.
 */
export async function doctorPath(
  {
    words,
    argv,
    env,
  }: { readonly words: readonly string[]; readonly argv: readonly string[]; readonly env: Environment },
  given: Options,
  write: (text: string) => void,
): Promise<number> {
  const [from = '', to = '', port] = words;
  const asked: Asked = { port: port === undefined ? undefined : parsePort(port) };
  const sys = openKoffiSyscalls();
  const netlink = openNetlink(sys);
  const processes = agentsInDetail();
  const flags = argv.filter((word) => word.startsWith('-') || !['path', ...words].includes(word));
  const options = optionsOf(given, flags, env, processes);
  const nft = nftProgram();
  const view = await readView(options, processes, { sys, netlink, nft, env });
  const around = surroundingsOf(view, knownPods(sys, options.cniStateDir), listAddresses(netlink));
  const ends = passable(placesOf(from, to, around), around);
  const scope = { pods: podNetworkOf(sys, options), cniStateDir: options.cniStateDir };
  const tools = { sys, netlink, nft, random: Math.random };
  const steps = hopsOf(await readAnswers(ends, asked, around, view, scope, tools)).map((hop) => stepOf(hop, view.node));
  const findings = steps.flatMap(({ finding }) => finding ?? []);
  const report = { from: ends.from.text, to: ends.to.text, node: view.node, findings, hops: steps };
  write(
    options.json
      ? `${printableJson(JSON.stringify(report, null, 2))}\n`
      : pathText(report.from, report.to, report.node, steps),
  );
  return findings.some(({ severity }) => severity === 'error') ? EXIT_STOPS : 0;
}

function stepOf({ draft, ...hop }: Hop, node: string): PathStep {
  return { ...hop, ...(draft && { finding: finished(draft, node) }) };
}

/** `443`, `443/tcp` or `53/udp`. Throws UsageError. */
export function parsePort(text: string): NonNullable<Asked['port']> {
  const found = /^([0-9]{1,5})(?:\/(tcp|udp))?$/.exec(text);
  const port = Number(found?.[1] ?? 0);
  if (found === null || port < 1 || port > 65_535) {
    throw new UsageError(`PORT: expected 1–65535, with /udp for UDP, got ${JSON.stringify(text.slice(0, 64))}`);
  }
  return { port, protocol: found[2] === 'udp' ? 'udp' : 'tcp' };
}

function surroundingsOf(
  view: View,
  pods: Surroundings['pods'],
  addresses: readonly { readonly ip: Place['ip'] }[],
): Surroundings {
  const snapshot = view.leases?.snapshot;
  return {
    node: view.node,
    networks: view.families.map(({ network }) => network),
    subnets: view.families.flatMap(({ subnet }) => (subnet === undefined ? [] : [networkOf(subnet)])),
    ownAddresses: addresses.map(({ ip }) => ip),
    ownKey: snapshot?.ownKey,
    leases: snapshot?.leases ?? new Map<string, Lease>(),
    pods,
  };
}

/** One end must be on this node, because only its kernel can be asked. Throws UsageError. */
function passable({ from, to }: { from: Place; to: Place }, { leases }: Surroundings): { from: Place; to: Place } {
  const isHere = ({ kind }: Place): boolean => kind === 'pod here' || kind === 'this node';
  if (isHere(from)) return { from, to };
  if (!isHere(to) || from.kind === 'outside' || from.kind === 'no node') {
    const where = from.peer === undefined ? 'the node of FROM' : from.peer;
    throw new UsageError(`FROM ${from.text} is not on this node: run the command on ${where}`);
  }
  // Packets from another node itself to pods have the address of its tunnel device.
  const lease = from.kind === 'other node' ? leases.get(from.peer ?? '') : undefined;
  const subnet = from.ip.family === 4 ? lease?.subnet : lease?.ipv6Subnet;
  return { from: subnet === undefined ? from : { ...from, ip: addToIp(networkOf(subnet).ip, 0) }, to };
}
