// `flanneld preflight [ADDRESS…]`: checks whether a node is fit for Weft, before Weft is installed there or replaces flannel. It tries what
// it can and removes what it has made.

import { type Ip, parseIp } from '../../../lib/ip.ts';
import { openNetlink } from '../../../lib/netlink/connection.ts';
import { printableJson } from '../../../lib/printable.ts';
import { openKoffiSyscalls } from '../../../lib/sys/koffi.ts';
import { UsageError } from '../../cli/go-flags.ts';
import type { Options } from '../../cli/options.ts';
import { nftProgram } from '../../firewall/nft-program.ts';
import type { Finding } from '../../health/finding.ts';
import { findingsText } from '../doctor-text.ts';
import { finished } from '../draft.ts';
import { judgePreflight } from './installable.ts';
import type { PreflightFacts } from './preflight-facts.ts';
import { readPreflight } from './read-facts.ts';

const EXIT_NOT_FIT = 1;
const ORDER = ['error', 'warning', 'info'];

/** Resolves to the exit code: 0 when nothing prevents the installation, 1 with an error. Rejects when nothing can be examined. */
export async function preflight(
  words: readonly string[],
  options: Options,
  env: Readonly<Record<string, string | undefined>>,
  write: (text: string) => void,
): Promise<number> {
  const addresses = words.map(parseAddress);
  const sys = openKoffiSyscalls();
  const tools = { sys, netlink: openNetlink(sys), nft: nftProgram(), env, random: Math.random };
  const facts = await readPreflight(options, addresses, tools);
  expectRights(facts);
  const { node } = facts.view;
  const findings = judgePreflight(facts)
    .map((draft) => finished(draft, node))
    .toSorted((a, b) => ORDER.indexOf(a.severity) - ORDER.indexOf(b.severity));
  const isFit = findings.every(({ severity }) => severity !== 'error');
  const report = { node, fit: isFit, verdict: verdict(node, findings), kernel: kernelOf(facts), findings };
  write(options.json ? `${printableJson(JSON.stringify(report, null, 2))}\n` : textOf(report));
  return isFit ? 0 : EXIT_NOT_FIT;
}

function parseAddress(word: string): Ip {
  try {
    return parseIp(word);
  } catch {
    throw new UsageError(`ADDRESS: expected an address of another node, got ${JSON.stringify(word.slice(0, 64))}`);
  }
}

/** Without the right to make a device every try fails, which says nothing about the kernel. */
function expectRights({ kernel }: PreflightFacts): void {
  const problem = kernel.problems.get('bridge');
  if (problem?.includes('EPERM') === true) throw new Error(`preflight needs the capability NET_ADMIN: ${problem}`);
}

function kernelOf({ kernel }: PreflightFacts): Record<string, string> {
  return Object.fromEntries([...kernel.problems].map(([feature, problem]) => [feature, problem ?? 'works']));
}

function verdict(node: string, findings: readonly Finding[]): string {
  const count = (severity: string): number => findings.filter((finding) => finding.severity === severity).length;
  const [errors, warnings] = [count('error'), count('warning')];
  const more = warnings === 0 ? '' : `, ${warnings} warning${warnings === 1 ? '' : 's'}`;
  if (errors > 0) return `${node} is not fit for Weft: ${errors} error${errors === 1 ? '' : 's'}${more}`;
  return warnings === 0 ? `${node} is fit for Weft` : `${node} is fit for Weft${more}`;
}

function textOf({
  verdict: line,
  kernel,
  findings,
  node,
}: {
  verdict: string;
  kernel: Record<string, string>;
  findings: readonly Finding[];
  node: string;
}): string {
  const works = Object.entries(kernel).filter(([, result]) => result === 'works');
  const rest = findings.length === 0 ? '' : findingsText(node, findings).replace(/^.*\n/, '');
  return `${line}\nthe kernel has: ${works.map(([feature]) => feature).join(', ')}\n${rest}`;
}
