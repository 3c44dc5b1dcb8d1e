// Lists what an agent and its plugins keep on a node, with the usual tools: the rules of every firewall, devices, routes, files. So
// whatever one agent has left on a node of the other becomes visible. What belongs to single pods is left out.

import type { LabNode } from '../../lab/lab-node.ts';
import { devicesWithPrograms, PINS } from '../../support/fast-path.ts';

export interface NodeState {
  /** Keeps the rules of chains that are not built in, and the jumps to these chains. */
  readonly rules: readonly string[];
  readonly links: readonly string[];
  readonly routes: readonly string[];
  readonly nexthops: readonly string[];
  readonly files: readonly string[];
  /** The fast path's pins, and the devices that have a program. */
  readonly programs: readonly string[];
}

const SAVES = ['iptables-nft-save', 'ip6tables-nft-save', 'iptables-legacy-save', 'ip6tables-legacy-save'];
/** Tables that iptables creates on nf_tables. Their contents are printed by the two iptables-save commands above. */
const IPTABLES_TABLES = /^table ip6? (nat|filter|mangle|raw|security)$/;
const FOLDERS = ['/opt/cni', '/etc/cni', '/run/flannel', '/var/lib/cni'];
/** Files that belong to pods: addresses, saved configurations, results, and the lock of the addresses. */
const OF_PODS =
  /^\/var\/lib\/cni\/(results|flannel|networks\/cbr0\/([0-9a-f]*[.:]|lock|last_reserved_ip|\.[0-9a-f]{64}:))/;

export async function stateOf(node: LabNode): Promise<NodeState> {
  return {
    rules: await rulesOf(node),
    links: await linesOf(node, ['ip', '-o', 'link', 'show', 'type', 'vxlan'], /^\d+: |mtu \d+/g),
    routes: [...(await linesOf(node, ['ip', '-4', 'route'])), ...(await linesOf(node, ['ip', '-6', 'route']))]
      .filter((line) => line.includes(' dev flannel'))
      .sort(),
    nexthops: await linesOf(node, ['ip', 'nexthop']),
    files: await filesOf(node),
    programs: [...(await linesOf(node, ['find', PINS])), ...devicesWithPrograms(node)],
  };
}

/** Returns the rules, with the node's own subnets and addresses replaced by `OWN`, so that nodes can be compared. */
async function rulesOf(node: LabNode): Promise<string[]> {
  const saved: string[] = [];
  for (const program of SAVES) {
    const lines = (await linesOf(node, [program])).filter((line) => /^(-A|:\S+ -)/.test(line));
    saved.push(...lines.map((line) => `${program}: ${line.replace(/ \[\d+:\d+\]$/, '')}`));
  }
  const tables = (await linesOf(node, ['nft', 'list', 'tables'])).filter((line) => !IPTABLES_TABLES.test(line));
  for (const table of tables) saved.push(...(await linesOf(node, ['nft', 'list', ...table.split(' ')])));
  const subnets = [`10\\.244\\.${node.index}\\.[01](?:/24)?(?!\\d)`, `fd00:10:244:${node.index}::1?(?:/64)?`];
  const own = new RegExp(subnets.join('|'), 'g');
  return saved.map((line) => line.trim().replace(own, 'OWN'));
}

async function linesOf(node: LabNode, argv: readonly string[], unsteady = /(?!)/g): Promise<string[]> {
  const { stdout } = await node.exec(argv);
  return stdout
    .split('\n')
    .map((line) => line.replace(unsteady, '').trimEnd())
    .filter((line) => line !== '');
}

/** Lists every file with its checksum. */
async function filesOf(node: LabNode): Promise<string[]> {
  const sums = await linesOf(node, ['find', ...FOLDERS, '-type', 'f', '-exec', 'sha256sum', '{}', '+']);
  const others = await linesOf(node, ['find', ...FOLDERS, '-type', 'l,s', '-printf', '%y %p\n']);
  return [...sums, ...others].filter((line) => !OF_PODS.test(line.slice(line.indexOf('/')))).sort();
}
