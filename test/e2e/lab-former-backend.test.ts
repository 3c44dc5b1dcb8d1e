// A node whose backend was another one of Weft's before: the route of the whole network into that one's device goes, and one of somebody
// else stays.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { NET_CONF_FILE } from '../lab/contract.ts';
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

/** Starts the agent on a node that has such routes, and resolves with what is left of them. */
async function startWithRoutes(Type: string, protocol: string, destinations: readonly string[]): Promise<string> {
  await node.agent.stop();
  node.writeFile(NET_CONF_FILE, JSON.stringify({ Network: NETWORK, Backend: { Type } }));
  for (const to of destinations) await node.run(['ip', 'route', 'add', to, 'dev', 'eth0', 'proto', protocol]);
  await node.agent.start();
  await node.agent.ready();
  return (await node.run(['ip', 'route', 'show', 'root', NETWORK, 'dev', 'eth0', 'type', 'unicast'])).trim();
}

describe.each(['host-gw', 'vxlan'])('with the backend %s', (type) => {
  test('our own route of the former backend goes, and a route of somebody else stays', async () => {
    expect(await startWithRoutes(type, OURS, [NETWORK])).toBe('');
    expect(node.agent.log()).toContain('of a former backend');
    expect(await startWithRoutes(type, STRANGERS, [NETWORK])).toContain(`proto ${STRANGERS}`);
    await node.run(['ip', 'route', 'del', NETWORK, 'dev', 'eth0']);
  });
});

// This backend routes the network and no single peers, so the more specific routes of others would lead packets past it.
test('with the backend udp our own routes of the former backend go, those to single peers too', async () => {
  expect(await startWithRoutes('udp', OURS, [NETWORK, '10.244.99.0/24'])).toBe('');
  expect(await node.run(['ip', 'route', 'show', 'exact', NETWORK, 'type', 'unicast'])).toContain('dev flannel0');
});
