// Every problem the doctor names, as it is made in a lab: a row a finding.

import type { FindingId } from '../../flanneld/doctor/catalog.ts';
import { SUBNET_FILE } from '../lab/contract.ts';
import type { LabNode } from '../lab/lab-node.ts';

export interface Problem {
  readonly id: FindingId;
  /** How it is made, where an id has several rows. */
  readonly how: string;
  /** What the agent does meanwhile: it would put right at once what some rows break. */
  readonly agent: 'runs' | 'is killed' | 'is stopped';
  readonly make?: string;
  /** What ends it; absent where the fix that the finding prints is a command, which is then run. */
  readonly undo?: (node: LabNode) => Promise<unknown>;
  /** Words that the finding must have. */
  readonly says: readonly string[];
}

const restartAgent = async (node: LabNode): Promise<void> => {
  await node.agent.kill();
  await node.agent.start();
  await node.agent.ready();
};

export const PROBLEMS: readonly Problem[] = [
  {
    id: 'agent-not-running',
    how: 'killed',
    agent: 'is killed',
    undo: restartAgent,
    says: ['no process of flanneld'],
  },
  { id: 'agent-unresponsive', how: 'stopped by SIGSTOP', agent: 'is stopped', says: ['state T', 'kill -CONT'] },
  {
    id: 'ip-forward-off',
    how: 'for all',
    agent: 'runs',
    make: 'sysctl -qw net.ipv4.ip_forward=0',
    says: ['net.ipv4.ip_forward is 0'],
  },
  {
    id: 'ip-forward-off',
    how: 'for one device, while the agent is stopped',
    agent: 'is stopped',
    make: 'sysctl -qw net.ipv4.conf.flannel/1.forwarding=0',
    says: ['net.ipv4.conf.flannel/1.forwarding is 0'],
  },
  {
    id: 'subnet-env-missing',
    how: 'deleted while no agent runs',
    agent: 'is killed',
    make: `rm ${SUBNET_FILE}`,
    undo: restartAgent,
    says: ['no such file'],
  },
  {
    id: 'subnet-env-differs',
    how: 'written by another agent',
    agent: 'is killed',
    make: `sed -i 's|^FLANNEL_SUBNET=.*|FLANNEL_SUBNET=10.244.77.1/24|' ${SUBNET_FILE}`,
    undo: restartAgent,
    says: ['10.244.77.1/24'],
  },
];
