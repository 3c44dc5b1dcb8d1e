// Finds what pods that are gone have left on a node.

import { existsSync, readdirSync } from 'node:fs';
import type { LabNode } from '../../lab/lab-node.ts';

export interface Wanted {
  /** The pod to search for; when absent, any pod. */
  readonly id?: string;
  readonly ip?: string;
  readonly ports: readonly number[];
}

/** Returns one line for each thing that is left. */
export async function leftovers(node: LabNode, wanted: Wanted): Promise<string[]> {
  const files = pluginFiles(node).filter(({ path, holder }) => isPods(`${path} ${holder}`, wanted));
  const lines = [
    ...files.map(({ path }) => path),
    ...(await ruleLines(node)).filter((line) => isRuleOf(line, wanted)).map((line) => `rule ${line}`),
  ];
  if (wanted.ip === undefined) lines.push(...(await devices(node)));
  else lines.push(...(await routesTo(node, wanted.ip)));
  return lines;
}

function isPods(text: string, { id, ip }: Wanted): boolean {
  if (id === undefined || ip === undefined) return true;
  return text.includes(id) || text.split(/[/ ]/).includes(ip);
}

/** All files below /var/lib/cni, except those that belong to a network as a whole. */
function pluginFiles(node: LabNode): { path: string; holder: string }[] {
  const root = '/var/lib/cni';
  const outside = node.pathFromOutside(root);
  if (!existsSync(outside)) return [];
  return readdirSync(outside, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory() && !/^(lock|\.boot|last_reserved_ip\.\d+)$/.test(entry.name))
    .map((entry) => {
      const path = `${root}${entry.parentPath.slice(outside.length)}/${entry.name}`;
      return { path, holder: node.readFile(path) };
    });
}

/** The rules and set elements of nftables and iptables, each on a line. */
async function ruleLines(node: LabNode): Promise<string[]> {
  const tables = await Promise.all([
    node.run(['nft', 'list', 'ruleset']),
    node.run(['iptables-legacy-save']).catch(() => ''),
  ]);
  return tables.flatMap((text) => text.split('\n')).map((line) => line.trim());
}

/** Whether a rule is the pod's, by its ports (`dport 8080`, `. 8080 :`). A rule with only an address may be the agent’s. */
function isRuleOf(line: string, { id, ip, ports }: Wanted): boolean {
  if (ports.some((port) => new RegExp(`(dport|dports|\\.) ${port}\\b`).test(line))) return true;
  const names = [id, ip].filter((name) => name !== undefined);
  if (names.length > 0) return names.some((name) => line.includes(name));
  return /\b[0-9a-f]{64}\b|\b10\.244\.\d+\.([2-9]|\d\d+)\b(?!\/)/.test(line);
}

async function devices(node: LabNode): Promise<string[]> {
  const links = JSON.parse(await node.run(['ip', '-j', '-d', 'link'])) as {
    ifname: string;
    linkinfo?: { info_kind?: string };
  }[];
  const veths = links.filter(({ ifname, linkinfo }) => linkinfo?.info_kind === 'veth' && ifname !== 'eth0');
  const namespaces = (await node.run(['ls', '/run/netns'])).split('\n').filter(Boolean);
  return [...veths.map(({ ifname }) => `device ${ifname}`), ...namespaces.map((name) => `/run/netns/${name}`)];
}

/** Routes to the address. Neighbours do not count: they are a cache, and only one that still answers would be a pod. */
async function routesTo(node: LabNode, ip: string): Promise<string[]> {
  const [answer] = await node.ping([ip], { timeoutMs: 300 });
  return answer?.failure === undefined ? [`${ip} answers`] : [];
}
