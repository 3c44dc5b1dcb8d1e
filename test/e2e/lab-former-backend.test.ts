// A node of vxlan that had another backend of Weft before: the route of the whole network into that one's device goes, and one of somebody
// else stays.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';

const NETWORK = '10.244.0.0/16';
/** The protocol of Weft's own routes. */
const OURS = '138';
const STRANGERS = '203';

let lab: Lab;
let node: LabNode;
beforeAll(async () => {
  lab = await startLab({ nodes: 1, agent: { start: false } });
  node = lab.node('node-1');
});
afterAll(() => lab?.down());

/** Starts the agent on a node that has such a route, and resolves with what is left of it. */
async function startWithRoute(protocol: string): Promise<string> {
  await node.agent.stop();
  await node.run(['ip', 'route', 'add', NETWORK, 'dev', 'eth0', 'proto', protocol]);
  await node.agent.start();
  await node.agent.ready();
  return (await node.run(['ip', 'route', 'show', 'exact', NETWORK, 'type', 'unicast'])).trim();
}

test('our own route of the former backend goes, and a route of somebody else stays', async () => {
  expect(await startWithRoute(OURS)).toBe('');
  expect(node.agent.log()).toContain('of a former backend');
  expect(await startWithRoute(STRANGERS)).toContain(`proto ${STRANGERS}`);
});
