// `flanneld doctor`, `doctor path` and the agents' probes on nodes with IPIP: nothing is found on healthy nodes, each fault is named, and
// nothing is left when it is over.

import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import type { Lab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { subnetOf } from '../lab/mesh.ts';
import { commandOf, doctor, expectHealthy, FLAGS_OF_LAB, findingOf } from '../support/doctor.ts';
import { needs } from '../support/needs.ts';
import { backAgain, dropBetween, healthyNodes, startNodes } from './diagnosed-nodes.ts';
import { hasLinkKind } from './has-link-kind.ts';

const hasIpip = hasLinkKind('ipip', 'local', '192.0.2.1');

describe('two nodes with IPIP', () => {
  let lab: Lab;
  let one: LabNode;
  let two: LabNode;
  beforeEach(() => needs.machine(hasIpip, 'IPIP in the kernel'));
  beforeAll(async () => {
    if (!hasIpip) return;
    lab = await startNodes({ Type: 'ipip' });
    [one, two] = [lab.node('node-1'), lab.node('node-2')];
  });
  afterAll(() => lab?.down());

  healthyNodes(() => ({ lab, one, two }));

  test.for([
    { name: 'a blocked protocol', match: 'ip protocol 4', id: 'tunnel-port-blocked', says: 'IP protocol 4' },
    { name: 'a path with a smaller MTU', match: 'ip length > 1400', id: 'path-mtu-too-small', says: '1380 bytes' },
    { name: 'a peer that nothing reaches', match: '', id: 'peer-unreachable', says: '192.168.50.12' },
  ])('names $name', async ({ match, id, says }) => {
    const end = dropBetween(lab, one, two, match);
    const finding = await findingOf(one, id);
    expect(finding.peer).toBe('node-2');
    expect(finding.cause + finding.evidence).toContain(says);
    end();
    for (const node of lab.nodes) await expectHealthy(node);
  });

  test('prints for a missing route the command that ends it', async () => {
    await one.agent.kill();
    onTestFinished(() => backAgain(one));
    await one.run(['ip', 'route', 'del', subnetOf(two) ?? '']);
    const command = commandOf(await findingOf(one, 'route-missing', FLAGS_OF_LAB));
    expect(command).toContain(`via ${two.address} dev flannel.ipip onlink`);
    await one.run(['sh', '-c', command ?? 'false']);
    const { findings } = await doctor(one, FLAGS_OF_LAB);
    expect(findings.map((finding) => finding.id)).not.toContain('route-missing');
  });
});
