// Describes the rule that refuses pods' packets in the words of the tool that made it, and the command against it.

import { formatPrefix, type IpPrefix } from '../../../lib/ip.ts';
import type { Nft } from '../../firewall/nft-program.ts';
import type { Refusal } from './trace.ts';

/** The tables of iptables on nftables have these names, and chains in upper case. */
const IPTABLES_TABLES: ReadonlySet<string> = new Set(['filter', 'mangle', 'raw', 'security']);

/** Makes one line. `refusal` is undefined when the kernel's trace has shown none. Rejects with OpError. */
export async function refusalProblem(
  what: string,
  network: IpPrefix,
  devices: readonly string[],
  refusal: Refusal | undefined,
  nft: Pick<Nft, 'listChain'>,
): Promise<string> {
  if (refusal === undefined) {
    const tool = network.ip.family === 4 ? 'iptables-legacy-save' : 'ip6tables-legacy-save';
    return `${what} are refused at the hook forward by a rule that nft does not show: see ${tool}`;
  }
  const { family, table, chain, handle } = refusal;
  const where = `${family} ${table} ${chain}`;
  const rule = handle === undefined ? undefined : ruleWith(await listing(nft, refusal), handle);
  const cause = handle === undefined ? 'the policy drop' : `the rule "${rule ?? `handle ${handle}`}"`;
  return `${what} are refused by ${cause} of chain ${where}: ${adviceFor(refusal, network, devices)}`;
}

function adviceFor({ family, table, chain }: Refusal, network: IpPrefix, devices: readonly string[]): string {
  const prefix = formatPrefix(network);
  if (table === 'firewalld') {
    const interfaces = devices.map((device) => `--add-interface=${device}`).join(' ');
    return `firewall-cmd --permanent --zone=trusted ${interfaces} && firewall-cmd --reload`;
  }
  if (IPTABLES_TABLES.has(table) && /^[A-Z]/.test(chain)) {
    const tool = network.ip.family === 4 ? 'iptables' : 'ip6tables';
    const insert = `${tool} -t ${table} -I ${chain}`;
    return `${insert} -s ${prefix} -j ACCEPT; ${insert} -d ${prefix} -j ACCEPT`;
  }
  const ip = network.ip.family === 4 ? 'ip' : 'ip6';
  const insert = `nft insert rule ${family} ${table} ${chain} ${ip}`;
  return `${insert} saddr ${prefix} accept; ${insert} daddr ${prefix} accept`;
}

/** The listing of the chain; empty if somebody has removed it meanwhile. */
async function listing(nft: Pick<Nft, 'listChain'>, { family, table, chain }: Refusal): Promise<string> {
  return await nft.listChain(family, table, chain).catch(() => '');
}

/** The rule's text without its counters, from nft's listing with handles. */
function ruleWith(text: string, handle: bigint): string | undefined {
  const end = `# handle ${handle}`;
  const line = text.split('\n').find((one) => one.trimEnd().endsWith(end));
  return line
    ?.slice(0, line.lastIndexOf(end))
    .replace(/counter packets \d+ bytes \d+/, 'counter')
    .trim();
}
