// What agents find out about each other by probes, with one fault of each kind. `npm run suite -- probes` makes every fault.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { becomesHealthy, dropTunnel, findingsIn, finds, reportOf, undo } from '../probes/probed-lab.ts';

describe('two agents that probe each other', () => {
  let lab: Lab;
  let one: LabNode;
  let two: LabNode;
  beforeAll(async () => {
    lab = await startLab({ nodes: 2 });
    [one, two] = [lab.node('node-1'), lab.node('node-2')];
    await becomesHealthy(lab.nodes, 1);
  });
  afterAll(() => lab?.down());

  test('find nothing wrong, with a round trip and no loss', async () => {
    expect(await findingsIn(lab)).toEqual([]);
    const { probes } = await reportOf(one);
    expect(probes?.peers).toMatchObject([{ peer: 'node-2', family: 4, state: 'reachable', loss: 0 }]);
    expect(probes?.peers[0]?.rttMs).toBeGreaterThan(0);
  });

  test('name the blocked port on both sides, with the command; stay ready; and forget it when it is open again', async () => {
    await dropTunnel(two, one, ['in', 'out']);
    const found = await finds(one, 'tunnel-port-blocked', 'node-2');
    expect(found.fix).toContain(`open UDP port 8472 between ${one.address} and ${two.address} in both directions`);
    await finds(two, 'firewall-drops-tunnel');
    expect((await one.agent.http('/readyz')).status).toBe(200);
    const { body } = await one.agent.http('/metrics');
    expect(body).toContain('flannel_findings{id="tunnel-port-blocked",severity="error"} 1\n');
    await undo(two);
    await becomesHealthy(lab.nodes, 1);
    expect(await findingsIn(lab)).toEqual([]);
  });
});
