// Describes the rule that refuses pods' packets in the words of the tool that made it, with the command that helps.

import { formatPrefix, type IpPrefix } from '../../../lib/ip.ts';
import type { Nft } from '../../firewall/nft-program.ts';
import type { Refusal } from './trace.ts';

/** The tables of iptables on nftables have these names, and chains in upper case. */
const IPTABLES_TABLES: ReadonlySet<string> = new Set(['filter', 'mangle', 'raw', 'security']);

/** What refuses the packets, and the command that helps; for legacy iptables only where to find the rule. */
export interface RefusalParts {
  readonly cause: string;
  readonly advice: string;
}

/** `refusal` is undefined when the kernel's trace has shown none. Rejects with OpError. */
export async function refusalParts(
  what: string,
  network: IpPrefix,
  devices: readonly string[],
  refusal: Refusal | undefined,
  nft: Pick<Nft, 'listChain'>,
): Promise<RefusalParts> {
  if (refusal === undefined) {
    const tool = network.ip.family === 4 ? 'iptables-legacy-save' : 'ip6tables-legacy-save';
    return { cause: `a rule that nft does not show refuses ${what} at the hook forward`, advice: `see ${tool}` };
  }
  return {
    cause: `${what} are refused by ${await spelledRefusal(refusal, nft)}`,
    advice: adviceFor(refusal, network, devices),
  };
}

/** `the rule "…" of chain inet filter input`, or its policy. */
export async function spelledRefusal(refusal: Refusal, nft: Pick<Nft, 'listChain'>): Promise<string> {
  const { family, table, chain, handle } = refusal;
  const rule = handle === undefined ? undefined : ruleWith(await listing(nft, refusal), handle);
  const cause = handle === undefined ? 'the policy drop' : `the rule "${rule ?? `handle ${handle}`}"`;
  return `${cause} of chain ${family} ${table} ${chain}`;
}

/** Whether a chain is one of iptables on nftables. */
export function isIptablesChain({ table, chain }: Pick<Refusal, 'table' | 'chain'>): boolean {
  return IPTABLES_TABLES.has(table) && /^([A-Z]|ufw6?-)/.test(chain);
}

function adviceFor({ family, table, chain }: Refusal, network: IpPrefix, devices: readonly string[]): string {
  const prefix = formatPrefix(network);
  if (table === 'firewalld') {
    const interfaces = devices.map((device) => `--add-interface=${device}`).join(' ');
    return `firewall-cmd --permanent --zone=trusted ${interfaces} && firewall-cmd --reload`;
  }
  // ufw writes its chains again when it is reloaded, so only its own command lasts.
  if (/^ufw6?-/.test(chain)) return `ufw route prepend allow from ${prefix} && ufw route prepend allow to ${prefix}`;
  if (isIptablesChain({ table, chain })) {
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
