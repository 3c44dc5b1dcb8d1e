// The tunnel's device: whether it exists, is up, is the one that our lease announces to the peers, and whether something else takes its
// place.

import { formatIp, sameIp } from '../../../lib/ip.ts';
import type { Link } from '../../../lib/rtnetlink/link.ts';
import { IFF_UP } from '../../../lib/rtnetlink/rtnetlink-constants.ts';
import { type Draft, run } from '../draft.ts';
import type { FamilyFacts, TunnelFacts } from '../view/facts.ts';
import type { View } from '../view/view.ts';

export function checkDevice(view: View): Draft[] {
  if (view.kernel === undefined) return [];
  return view.families.flatMap((family) => {
    const { tunnel } = family;
    // Without a subnet this node has never been part of the network, and the agent makes no device.
    if (tunnel === undefined || family.subnet === undefined) return [];
    const taken = [...rivals(view, tunnel), ...portUsers(view, tunnel)];
    return [...taken, ...ownDevice(view, family, tunnel)];
  });
}

/** Another VXLAN device with our VNI and port: the kernel allows only one. */
function rivals({ kernel, node }: View, { device: name, vni, port }: TunnelFacts): Draft[] {
  if (vni === undefined) return [];
  const others = (kernel?.links ?? []).filter(
    (link) => link.name !== name && link.vxlan?.vni === vni && link.vxlan.port === port && isSameFamily(link, name),
  );
  return others.map((link) => ({
    id: 'vxlan-port-taken',
    cause: `another device of this node has the tunnel’s VNI and UDP port, so the agent cannot make ${name}`,
    evidence: `${link.name}: vxlan id ${vni} dstport ${port}`,
    fix: run(node, `ip link del ${link.name}`, 'or set another "VNI" or "Port" for the whole cluster'),
  }));
}

/** flannel.N and flannel-v6.N share a VNI and a port, on sockets of different families. */
function isSameFamily({ vxlan }: Link, name: string): boolean {
  const isV6 = name.startsWith('flannel-v6.');
  return vxlan?.local === undefined || (vxlan.local.family === 6) === isV6;
}

/** A program that has the UDP port. While our device is up the kernel has the port, and no program can. */
function portUsers({ tables, node }: View, { device: name, port, link }: TunnelFacts): Draft[] {
  if (isUp(link)) return [];
  return tables.portUsers.map(({ pid, program }) => ({
    id: 'vxlan-port-taken',
    cause: `a program on this node uses the tunnel’s UDP port, so the agent cannot set ${name} up`,
    evidence: `UDP port ${port} is used by ${program}${pid === undefined ? '' : ` (process ${pid})`}`,
    fix: `on ${node}: stop ${program}, or set another "Port" for the whole cluster; the agent then makes the device`,
  }));
}

function isUp(link: Link | undefined): boolean {
  return link !== undefined && (link.flags & IFF_UP) !== 0;
}

function ownDevice(view: View, family: FamilyFacts, { device: name, link }: TunnelFacts): Draft[] {
  const { node } = view;
  const cause = 'the tunnel’s device has properties with which other nodes cannot use it';
  const restart = `on ${node}: restart the agent, which makes the device anew`;
  if (link === undefined) {
    return [
      {
        id: 'device-missing',
        cause: `the tunnel’s device ${name} is missing`,
        evidence: `no link ${name}`,
        fix: restart,
      },
    ];
  }
  if (!isUp(link)) {
    return [
      {
        id: 'device-missing',
        cause,
        evidence: `${name} is down`,
        fix: run(node, `ip link set ${name} up`, 'then restart the agent, which puts its routes back'),
      },
    ];
  }
  return [
    ...wrongMac(view, family, link),
    ...wrongPlace(view, family, link, cause, restart),
    ...noAddress(view, family, link),
  ];
}

/** Peers send to the MAC of our lease; the kernel drops frames for another one. */
function wrongMac({ node }: View, { vtepMac }: FamilyFacts, { name, mac }: Link): Draft[] {
  if (vtepMac === undefined || mac === vtepMac) return [];
  return [
    {
      id: 'vtep-mac-mismatch',
      cause: `${name} has another MAC than this node’s lease publishes, so the kernel drops what other nodes send`,
      evidence: `${name} has ${mac}, the lease says ${vtepMac}`,
      fix: run(
        node,
        `ip link set ${name} address ${vtepMac}`,
        'then restart the agent, because the kernel deletes all neighbours when a MAC is set',
      ),
    },
  ];
}

function wrongPlace({ underlay }: View, { tunnel }: FamilyFacts, link: Link, cause: string, fix: string): Draft[] {
  const { vxlan, name } = link;
  const wrong: string[] = [];
  // The kernel's names for kinds of devices are the backends' names in net-conf.json.
  if (link.kind !== tunnel?.type) wrong.push(`${name} is of kind ${link.kind ?? 'none'}, not ${tunnel?.type}`);
  if (vxlan === undefined || wrong.length > 0)
    return wrong.map((evidence) => ({ id: 'device-missing', cause, evidence, fix }));
  if (vxlan.vni !== tunnel?.vni) wrong.push(`${name} has VNI ${vxlan.vni}, not ${tunnel?.vni}`);
  else if (vxlan.port !== tunnel.port) wrong.push(`${name} has port ${vxlan.port}, not ${tunnel.port}`);
  else if (underlay?.link !== undefined && vxlan.lowerIndex !== undefined && vxlan.lowerIndex !== underlay.link.index)
    wrong.push(`${name} is not on ${underlay.name}`);
  return wrong.map((evidence) => ({ id: 'device-missing', cause, evidence, fix }));
}

/** The first address of the subnet must be on the device: this node uses it to talk to pods on other nodes, and it answers probes. */
function noAddress({ kernel, node }: View, { subnet }: FamilyFacts, { index, name }: Link): Draft[] {
  if (subnet === undefined) return [];
  const own = kernel?.addresses.some((address) => address.index === index && sameIp(address.ip, subnet.ip));
  if (own !== false) return [];
  const bits = subnet.ip.family === 4 ? 32 : 128;
  return [
    {
      id: 'device-missing',
      cause: `${name} does not have this node’s address in the pod network`,
      evidence: `no address ${formatIp(subnet.ip)}/${bits} on ${name}`,
      fix: run(node, `ip addr add ${formatIp(subnet.ip)}/${bits} dev ${name}`, 'find out who removed it'),
    },
  ];
}
