// The ordinary events of a cluster: leases come, change and go; agents end and start again; nodes reboot, change their address,
// leave and join; pods start and end.

import { setTimeout as sleep } from 'node:timers/promises';
import { UNDERLAY_DEVICE } from '../../lab/contract.ts';
import { UNDERLAY_GATEWAY } from '../../lab/host/underlay.ts';
import type { LabNode } from '../../lab/lab-node.ts';
import { dropLease, readLease } from '../../lab/support/leases.ts';
import type { Random } from './random.ts';
import type { World } from './world.ts';

const MAX_PODS = 4;
const NODES = { least: 4, most: 6 };

/** Returns what was done, or undefined when there was no object to do it to. */
export type Action = (world: World, random: Random) => Promise<string | undefined>;

interface Weighted {
  readonly weight: number;
  readonly action: Action;
}

const clusterChanges: readonly Weighted[] = [
  { weight: 6, action: (world, random) => Promise.resolve(world.addGhost(random)) },
  { weight: 6, action: (world, random) => Promise.resolve(world.changeGhost(random)) },
  { weight: 4, action: (world, random) => Promise.resolve(world.dropGhost(random)) },
  { weight: 2, action: (world, random) => Promise.resolve(world.toggleBroken(random)) },
  { weight: 2, action: onMortal(killAgent) },
  { weight: 2, action: onMortal(restartAgent) },
  { weight: 1, action: onMortal(upgradeAgent) },
  { weight: 1, action: onMortal(moveNode) },
  { weight: 1, action: rebootNode },
  { weight: 1, action: nodeLeaves },
  { weight: 1, action: nodeJoins },
];

export const changeCluster = choose(clusterChanges);
export const changePods = choose([
  { weight: 5, action: addPod },
  { weight: 4, action: removePod },
]);

function choose(actions: readonly Weighted[]): Action {
  const lots = actions.flatMap(({ weight, action }) => Array.from({ length: weight }, () => action));
  return async (world, random) => await random.pick(lots)?.(world, random);
}

/** Makes an action that happens on a node other than the witness, while nothing else happens on that node. */
function onMortal(act: (node: LabNode, world: World, random: Random) => Promise<string>): Action {
  return async (world, random) => {
    const node = world.mortalNode(random);
    if (node === undefined) return undefined;
    return await world.gate.together(node.name, async () => {
      if (!world.lab.nodes.includes(node)) return undefined;
      return `${node.name} ${await act(node, world, random)}`;
    });
  };
}

async function killAgent(node: LabNode, _: World, random: Random): Promise<string> {
  await node.agent.kill();
  await sleep(random.integer(0, 3000));
  await startAgent(node);
  return 'agent killed and started';
}

async function restartAgent(node: LabNode, _: World, random: Random): Promise<string> {
  await node.agent.stop();
  await sleep(random.integer(0, 1000));
  await startAgent(node);
  return 'agent stopped and started';
}

async function upgradeAgent(node: LabNode, { builds }: World): Promise<string> {
  builds.swap();
  await node.agent.stop();
  await startAgent(node);
  return `agent replaced by ${builds.version()}`;
}

async function startAgent(node: LabNode): Promise<void> {
  await node.agent.start();
  await node.agent.ready();
}

/** Gives the node another address on the underlay, as DHCP may do after a lease has expired. Then the agent is started again. */
async function moveNode(node: LabNode, world: World): Promise<string> {
  const old = readLease(world.lab, node.name).publicIp;
  const host = Number(old.split('.')[3]);
  const next = `192.168.50.${host < 100 ? host + 90 : host - 90}`;
  await node.agent.stop();
  const commands = [
    `address add ${next}/24 brd + dev ${UNDERLAY_DEVICE}`,
    `address del ${old}/24 dev ${UNDERLAY_DEVICE}`,
    // When the first address of a subnet is removed, the kernel also removes the second.
    `address replace ${next}/24 brd + dev ${UNDERLAY_DEVICE}`,
    `route replace default via ${UNDERLAY_GATEWAY}`,
  ];
  await node.run(['ip', '-batch', '-'], { input: `${commands.join('\n')}\n` });
  await startAgent(node);
  return `moves from ${old} to ${next}`;
}

async function rebootNode(world: World, random: Random): Promise<string | undefined> {
  return await world.gate.alone(async () => {
    const node = world.mortalNode(random);
    if (node === undefined) return undefined;
    await node.reboot();
    await startAgent(node);
    return `${node.name} rebooted`;
  });
}

async function nodeLeaves(world: World, random: Random): Promise<string | undefined> {
  return await world.gate.alone(async () => {
    const node = world.mortalNode(random);
    if (node === undefined || world.lab.nodes.length <= NODES.least) return undefined;
    await world.lab.removeNode(node.name);
    dropLease(world.lab, node.name);
    return `${node.name} leaves`;
  });
}

async function nodeJoins(world: World): Promise<string | undefined> {
  return await world.gate.alone(async () => {
    if (world.lab.nodes.length >= NODES.most) return undefined;
    const [node] = await world.lab.addNodes(1);
    return `${node?.name} joins`;
  });
}

async function addPod(world: World, random: Random): Promise<string | undefined> {
  const node = world.anyNode(random);
  return await world.gate.together(`${node.name} pods`, async () => {
    if (!world.lab.nodes.includes(node) || node.pods.length >= MAX_PODS) return undefined;
    return `${(await node.addPod()).name} starts`;
  });
}

async function removePod(world: World, random: Random): Promise<string | undefined> {
  const pod = random.pick(world.lab.pods);
  if (pod === undefined) return undefined;
  return await world.gate.together(`${pod.node.name} pods`, async () => {
    if (!world.lab.pods.includes(pod)) return undefined;
    await pod.remove();
    return `${pod.name} ends`;
  });
}
