// The pods' bridge and its ports, by the agent's own comparison: whatever the agent would repair is a finding here.

import { IFF_UP } from '../../../lib/rtnetlink/rtnetlink-constants.ts';
import { comparePodSide, type PodSideProblem, type Repair } from '../../pods/side/compare-pod-side.ts';
import { type Draft, run } from '../draft.ts';
import type { View } from '../view/view.ts';

const CAUSES: Readonly<Record<PodSideProblem, string>> = {
  'bridge-address-wrong':
    'the pods’ bridge does not have the first address of this node’s subnet, which is the gateway of all pods',
  'bridge-down': 'the pods’ bridge is down or missing, so no pod of this node reaches any address',
  'bridge-mtu-wrong': 'the pods’ bridge has a wrong MTU, so large packets of pods are lost or fragmented',
  'hairpin-off': 'pods do not reach themselves through a Service',
  'pod-mtu-stale': 'pods have another MTU than the one the network has now',
  'pod-port-detached':
    'pods are cut off, because their device on the node is not a port of the bridge, is down or is blocked',
};

const NAMED = 5;
/** br_forward.c: a port in any other state forwards nothing. */
const BR_STATE_FORWARDING = 3;

export function checkPodSide(view: View): Draft[] {
  const { podSide, node } = view;
  if (podSide === undefined) return [];
  const { wanted, observed, attachments } = podSide;
  const { repairs, findings } = comparePodSide(wanted, observed, (name) => attachments.get(name));
  const told = findings.map(
    ({ id = 'bridge-address-wrong', problem }): Draft => ({
      id,
      cause: CAUSES[id],
      evidence: problem,
      fix:
        id === 'pod-mtu-stale'
          ? `on ${node}: restart the pods: kubectl drain ${node}, then kubectl uncordon ${node}`
          : run(
              node,
              `ip link del ${wanted.bridge}`,
              `after kubectl drain ${node}; the next pod makes the bridge anew`,
            ),
    }),
  );
  return [...byProblem(repairs, node), ...told, ...blockedPorts(view)];
}

/** One finding for each kind of problem, with the commands for all ports. */
function byProblem(repairs: readonly Repair[], node: string): Draft[] {
  const groups = new Map<PodSideProblem, Repair[]>();
  for (const repair of repairs) groups.set(repair.id, [...(groups.get(repair.id) ?? []), repair]);
  return [...groups].map(([id, some]) => {
    const more = some.length > NAMED ? ` and ${some.length - NAMED} more` : '';
    const shown = some.slice(0, NAMED);
    const commands = shown.flatMap(({ requests }) =>
      requests.map((request) => request.command?.() ?? request.describe()),
    );
    return {
      id,
      cause: CAUSES[id],
      evidence: shown.map(({ what, was }) => `${what} ${was}`).join(', ') + more,
      fix: run(node, commands.join(' && '), 'a running agent does this by itself; find out who changed it'),
    };
  });
}

/** Ports that are on the bridge but do not forward. */
function blockedPorts({ podSide, node }: View): Draft[] {
  const { ports = [], bridge } = podSide?.observed ?? {};
  if (bridge === undefined || (bridge.flags & IFF_UP) === 0) return [];
  const pods = ports.filter(({ kind }) => kind === 'veth');
  const down = pods.filter(({ flags }) => (flags & IFF_UP) === 0);
  const blocked = pods.filter(({ flags, port }) => (flags & IFF_UP) !== 0 && isBlocked(port?.state));
  const commands = [
    ...down.map(({ name }) => `ip link set ${name} up`),
    ...blocked.map(({ name }) => `bridge link set dev ${name} state ${BR_STATE_FORWARDING}`),
  ];
  if (commands.length === 0) return [];
  const evidence = [
    ...down.map(({ name }) => `${name} is down`),
    ...blocked.map(({ name, port }) => `${name} is in state ${port?.state} of its bridge`),
  ];
  return [
    {
      id: 'pod-port-detached',
      cause: CAUSES['pod-port-detached'],
      evidence: evidence.slice(0, NAMED).join(', '),
      fix: run(node, commands.slice(0, NAMED).join(' && '), 'find out who changed it'),
    },
  ];
}

/** Disabled or blocking. Listening and learning end by themselves, where spanning tree is on. */
function isBlocked(state: number | undefined): boolean {
  return state === 0 || state === 4;
}
