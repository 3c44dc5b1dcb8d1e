// Programs nodes by hand in the way of flannel, with ip(8) and bridge(8) (flannel, pkg/backend/vxlan). Tests use this for a lab
// without an agent, and as the other end when they test our agent.

import { SUBNET_FILE } from '../contract.ts';
import type { LabNode } from '../lab-node.ts';

/** What a peer has to know about a node that was programmed by hand. */
export interface HandMadeVtep {
  readonly node: LabNode;
  readonly mac: string;
}

/** Returns `10.244.3.0` for the node with index 3. */
function handMadeSubnet(node: LabNode): string {
  return `10.244.${node.index}.0`;
}

/** Makes flannel.1 with a /32 address, and subnet.env, as flanneld leaves them. */
export async function makeVtepByHand(node: LabNode): Promise<HandMadeVtep> {
  const mac = `02:00:00:00:01:${node.index.toString(16).padStart(2, '0')}`;
  const vxlan = `vxlan id 1 local ${node.address} dev eth0 dstport 8472 nolearning`;
  await ipBatch(node, [
    `link add flannel.1 txqueuelen 0 address ${mac} mtu 1450 type ${vxlan}`,
    `address add ${handMadeSubnet(node)}/32 dev flannel.1`,
    'link set flannel.1 up',
  ]);
  node.writeFile(SUBNET_FILE, subnetEnv(node));
  return { node, mac };
}

/** Adds the neighbour, the FDB entry and the route to a peer. */
export async function addPeerByHand(
  node: LabNode,
  peer: { subnet: string; mac: string; publicIp: string },
): Promise<void> {
  await ipBatch(node, [`neigh replace ${peer.subnet} lladdr ${peer.mac} dev flannel.1 nud permanent`]);
  await node.run(['bridge', 'fdb', 'replace', peer.mac, 'dev', 'flannel.1', 'dst', peer.publicIp, 'self', 'permanent']);
  await ipBatch(node, [`route replace ${peer.subnet}/24 via ${peer.subnet} dev flannel.1 onlink`]);
}

/** Makes every node a VTEP, and every VTEP a peer of every other. */
export async function makeMeshByHand(nodes: readonly LabNode[]): Promise<HandMadeVtep[]> {
  const vteps = await Promise.all(nodes.map(makeVtepByHand));
  for (const { node } of vteps) {
    for (const peer of vteps.filter((other) => other.node !== node)) {
      await addPeerByHand(node, { subnet: handMadeSubnet(peer.node), mac: peer.mac, publicIp: peer.node.address });
    }
  }
  return vteps;
}

async function ipBatch(node: LabNode, commands: readonly string[]): Promise<void> {
  await node.run(['ip', '-batch', '-'], { input: `${commands.join('\n')}\n` });
}

function subnetEnv(node: LabNode): string {
  const gateway = handMadeSubnet(node).replace(/0$/, '1');
  return [
    'FLANNEL_NETWORK=10.244.0.0/16',
    `FLANNEL_SUBNET=${gateway}/24`,
    'FLANNEL_MTU=1450',
    'FLANNEL_IPMASQ=true',
    '',
  ].join('\n');
}
