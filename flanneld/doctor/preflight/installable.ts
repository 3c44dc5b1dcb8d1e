// Decides whether Weft can be installed on a node, or can replace flannel there. Pure.

import { containsPrefix, formatIp, formatPrefix } from '../../../lib/ip.ts';
import { backendOfDevice } from '../../backend/registry.ts';
import type { Draft } from '../draft.ts';
import { FEATURES, type Feature } from './kernel-tries.ts';
import type { PreflightFacts } from './preflight-facts.ts';

type Judge = (facts: PreflightFacts) => Draft[];

export function judgePreflight(facts: PreflightFacts): Draft[] {
  return JUDGES.flatMap((judge) => judge(facts));
}

const JUDGES: readonly Judge[] = [
  kernelFeatures,
  programs,
  tunnelPort,
  healthPort,
  otherCnis,
  flannel,
  podCidr,
  store,
  firewalls,
  managers,
  forwarding,
  reversePath,
  sizes,
];

/** Features without which pods cannot work. The agent can do without the others; the finding says how. */
const NEEDED: ReadonlySet<Feature> = new Set(['vxlan', 'bridge', 'veth', 'wireguard', 'ipip']);
const WITHOUT: Readonly<Partial<Record<Feature, string>>> = {
  'nexthop objects': 'Weft works without it: the agent makes plain routes, which takes longer with thousands of nodes',
  nftables: 'set "EnableNFTables": false in net-conf.json, so that the agent uses iptables',
  masquerade:
    'load the module: `modprobe nft_masq`; otherwise, with --ip-masq, set "EnableNFTables": false in net-conf.json',
  'masquerade fully-random': 'Weft works without it: the agent masquerades without random source ports',
  'sets that rules fill': 'Weft works without it: the guard is off, and `flanneld status` says so',
  'connection states': 'load nf_conntrack: `modprobe nf_conntrack`',
  'fib expression': 'load it for host ports and for kube-proxy in mode nftables: `modprobe nft_fib_inet`',
  wireguard: 'load the module: `modprobe wireguard` (Linux 5.6 and later have it); otherwise use the backend vxlan',
  ipip: 'load the module: `modprobe ipip`; otherwise use the backend vxlan',
  'strict dumps': 'Weft works without it: the agent reads all entries and leaves out those of other devices',
};
const HARMLESS: ReadonlySet<Feature> = new Set(['nexthop objects', 'masquerade fully-random', 'strict dumps']);

function kernelFeatures({ kernel, tunnel, programs: { nft } }: PreflightFacts): Draft[] {
  return FEATURES.flatMap((feature): Draft[] => {
    const problem = kernel.problems.get(feature);
    if (problem === undefined || (feature === 'vxlan' && tunnel?.vni === undefined)) return [];
    // Without `nft` nothing is known about rules in this kernel.
    if (!nft && problem.includes('ENOENT')) return [];
    const severity = NEEDED.has(feature) ? 'error' : HARMLESS.has(feature) ? 'info' : 'warning';
    const fix = WITHOUT[feature] ?? `load the module: \`modprobe ${feature}\`; otherwise use a kernel that has it`;
    return [{ id: 'kernel-feature-missing', severity, cause: `the kernel lacks: ${feature}`, evidence: problem, fix }];
  });
}

function programs({ programs: { nft, iptables }, view }: PreflightFacts): Draft[] {
  const wantsNft = view.conf?.enableNftables !== false;
  if (wantsNft ? nft : iptables) return [];
  const name = wantsNft ? 'nft' : 'iptables';
  const other = wantsNft && iptables ? '; or set "EnableNFTables": false in net-conf.json' : '';
  return [
    {
      id: 'firewall-program-missing',
      cause: `${name}, with which the agent writes its rules, is not installed`,
      evidence: `no ${name} in PATH (the image of Weft has it)`,
      fix: `install ${wantsNft ? 'nftables' : 'iptables'}${other}`,
    },
  ];
}

function tunnelPort({ view, tunnel, portUsers }: PreflightFacts): Draft[] {
  if (tunnel === undefined) return [];
  const { vni, port } = tunnel;
  const rivals = (view.kernel?.links ?? []).filter(
    (link) =>
      link.vxlan !== undefined &&
      link.vxlan.vni === vni &&
      link.vxlan.port === port &&
      backendOfDevice(link) === undefined,
  );
  const other = 'or set another "VNI" or "Port" for the whole cluster';
  const devices = rivals.map(({ name }): Draft => {
    const cause = `the device ${name} has the VNI and the port that the tunnel needs`;
    const evidence = `${name}: vxlan id ${vni} dstport ${port}`;
    return { id: 'vxlan-port-taken', cause, evidence, fix: `on ${view.node}: \`ip link del ${name}\`; ${other}` };
  });
  const programsThere = portUsers.map((program): Draft => {
    const cause = `${program} uses the UDP port that the tunnel needs`;
    return {
      id: 'vxlan-port-taken',
      cause,
      evidence: `ss -lunp sport = :${port}: ${program}`,
      fix: `stop that program, ${other}`,
    };
  });
  return [...devices, ...programsThere];
}

function healthPort({ healthPortTaken: port, flannel: left }: PreflightFacts): Draft[] {
  if (port === undefined || left.some((what) => what.startsWith('a running'))) return [];
  const cause = `another program listens on TCP port ${port}, at which the agent answers probes`;
  const fix = 'give --healthz-port and both probes of the DaemonSet another port (chart: flannel.healthz.port)';
  return [{ id: 'health-port-taken', cause, evidence: `ss -ltnp sport = :${port}`, fix }];
}

function otherCnis({ otherConfs, otherCnis: signs, view }: PreflightFacts): Draft[] {
  const before = otherConfs.filter(({ file }) => file < '10-flannel.conflist');
  const shadows = before.map(({ file, types }): Draft => {
    const cause = `${file} sorts before 10-flannel.conflist, so the runtime would use it for new pods, with ${types.length === 0 ? 'no plugin that can be read' : `the plugins ${types.join(', ')}`}`;
    const evidence = `${view.cni.confDir}/${file}`;
    return { id: 'cni-conflist-shadowed', cause, evidence, fix: 'remove the other CNI first, with its file' };
  });
  const after = otherConfs.filter((conf) => !before.includes(conf)).map(({ file }) => file);
  const seen = [...signs, ...after];
  if (seen.length === 0) return shadows;
  const cause = 'another CNI is or was installed on this node';
  const fix = 'remove it first; a node that has none of its pods can be cleaned by a reboot';
  return [...shadows, { id: 'other-cni', cause, evidence: seen.join(', '), fix }];
}

function flannel({ flannel: left }: PreflightFacts): Draft[] {
  if (left.length === 0) return [];
  const cause =
    'flannel is or was installed on this node; Weft takes over its device, subnet and pods, and removes its rules';
  const fix = 'nothing has to be done now; replace flannel one node at a time, as manifests/README.md says';
  return [{ id: 'flannel-here', cause, evidence: left.join(', '), fix }];
}

function podCidr({ podCidrs, view }: PreflightFacts): Draft[] {
  if (podCidrs === undefined) return [];
  const { conf, node } = view;
  const fix =
    'start kube-controller-manager with --allocate-node-cidrs, and with the Network of net-conf.json as --cluster-cidr';
  if (podCidrs.length === 0) {
    const evidence = `kubectl get node ${node} -o jsonpath={.spec.podCIDRs}: empty`;
    return [{ id: 'pod-cidr-unusable', cause: `the Node ${node} has no podCIDR`, evidence, fix }];
  }
  const networks = [conf?.network, conf?.ipv6Network].filter((network) => network !== undefined);
  return podCidrs
    .filter((cidr) => {
      const network = networks.find(({ ip }) => ip.family === cidr.ip.family);
      return network !== undefined && !containsPrefix(network, cidr);
    })
    .map((cidr) => {
      const cause = `the podCIDR of ${node} lies outside the pod network`;
      const evidence = `podCIDR ${formatPrefix(cidr)}, Network ${networks.map(formatPrefix).join(', ')}`;
      return { id: 'pod-cidr-unusable', cause, evidence, fix };
    });
}

function store({ storeProblem }: PreflightFacts): Draft[] {
  if (storeProblem === undefined) return [];
  const cause = 'the store of leases does not answer';
  const fix = 'check the server’s address, the credentials and the network from this node to it';
  // A running agent goes on with what it knows; a new one knows nothing.
  return [{ id: 'store-unreachable', severity: 'error', cause, evidence: storeProblem, fix }];
}

function firewalls({ chains, firewalld, tunnel, view }: PreflightFacts): Draft[] {
  const port = tunnel?.port ?? 8472;
  const found: Draft[] = [];
  if (firewalld.isActive && !firewalld.trusts) {
    const trust = 'firewall-cmd --permanent --zone=trusted --add-interface=cni0 --add-interface=flannel.1';
    const fix = `on ${view.node}: \`${trust} && firewall-cmd --permanent --add-port=${port}/udp && firewall-cmd --reload\``;
    const cause = 'firewalld runs on this node, and refuses packets of pods and packets from the tunnel';
    found.push({ id: 'firewalld-active', cause, evidence: 'table inet firewalld', fix });
  }
  const dropping = chains.filter(
    ({ table, hook, policy }) => policy === 'drop' && ['forward', 'input'].includes(hook) && table !== 'firewalld',
  );
  for (const { family, table, name, hook } of dropping) {
    // The agent itself deals with the policy DROP of FORWARD, which Docker sets.
    if (table === 'filter' && name === 'FORWARD') continue;
    const where = `chain ${family} ${table} ${name}`;
    const what = hook === 'input' ? `packets to UDP port ${port}` : 'packets of pods';
    const rule = hook === 'input' ? `udp dport ${port} accept` : `ip saddr ${networkText(view)} accept`;
    found.push({
      id: hook === 'input' ? 'firewall-drops-tunnel' : 'firewall-refuses-pods',
      severity: 'warning',
      cause: `the policy of ${where} drops ${what}, unless a rule before it accepts them`,
      evidence: `nft list ${where}: policy drop`,
      fix: `on ${view.node}: \`nft insert rule ${family} ${table} ${name} ${rule}\``,
    });
  }
  return found;
}

function networkText({ conf }: PreflightFacts['view']): string {
  return conf?.network === undefined ? 'NETWORK' : formatPrefix(conf.network);
}

function managers({ managers: all, view }: PreflightFacts): Draft[] {
  return all
    .filter(({ sparesDevices }) => !sparesDevices)
    .map(({ name }) => {
      const fix =
        name === 'NetworkManager'
          ? 'a file in /etc/NetworkManager/conf.d with [keyfile] unmanaged-devices=interface-name:cni*;interface-name:flannel*;interface-name:veth*'
          : 'a file in /etc/systemd/network with [Match] Name=flannel* cni* veth* and [Link] Unmanaged=yes, and ManageForeignRoutes=no in networkd.conf';
      const cause = `${name} runs on this node, and may change or remove devices and routes of the pod network`;
      return { id: 'network-manager-meddles', cause, evidence: `process ${name}`, fix: `on ${view.node}: ${fix}` };
    });
}

function forwarding({ view, forwardingFiles }: PreflightFacts): Draft[] {
  if (forwardingFiles.length > 0) {
    const cause = 'a file switches forwarding off at every boot and at every `sysctl --system`';
    const fix = `on ${view.node}: remove the line from ${forwardingFiles.join(', ')}`;
    return [{ id: 'ip-forward-off', severity: 'warning', cause, evidence: forwardingFiles.join(', '), fix }];
  }
  if (view.sysctls.get('net.ipv4.ip_forward') !== '0') return [];
  const cause = 'the kernel does not forward yet; the CNI plugin switches forwarding on when the first pod starts';
  return [{ id: 'ip-forward-off', severity: 'info', cause, evidence: 'net.ipv4.ip_forward is 0', fix: 'nothing' }];
}

/** A strict filter matters only where packets may arrive by another interface than they leave by. */
function reversePath({ view }: PreflightFacts): Draft[] {
  const name = view.underlay?.name;
  const values = ['all', ...(name === undefined ? [] : [name.replaceAll('.', '/')])];
  const strict = values.some((each) => view.sysctls.get(`net.ipv4.conf.${each}.rp_filter`) === '1');
  const defaults = (view.kernel?.routes ?? []).filter(
    ({ family, destination, table }) => family === 4 && destination.length === 0 && table === 254,
  );
  const exits = new Set(defaults.flatMap(({ oif, hops }) => [oif, ...(hops ?? []).map((hop) => hop.oif)]));
  if (!strict || exits.size < 2) return [];
  const cause =
    'this node has several interfaces to other nodes, and the kernel drops a packet that arrives at another one than the answer would use';
  const fix = `on ${view.node}: \`sysctl -w net.ipv4.conf.all.rp_filter=2\``;
  return [{ id: 'rp-filter-strict', severity: 'warning', cause, evidence: 'rp_filter is 1', fix }];
}

function sizes({ sizes: tries, view }: PreflightFacts): Draft[] {
  const small = tries.filter(({ result }) => result === 'too large');
  const [first] = small;
  if (first === undefined) return [];
  return [
    {
      id: 'path-mtu-too-small',
      cause: `packets of the size that ${view.underlay?.name ?? 'the interface'} accepts do not reach ${small.length} of ${tries.length} other nodes`,
      evidence: small
        .map(({ peer, bytes }) => `packets of ${bytes} bytes to ${formatIp(peer)} are lost, small ones arrive`)
        .join('; '),
      fix: 'set "MTU" in Backend of net-conf.json to the size that the network carries, or raise the MTU of the network',
    },
  ];
}
