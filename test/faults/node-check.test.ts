// Tests the check on which fault tests and soaks rely. While the agent is stopped, the check must report each change made to a node's
// kernel; an agent that starts undoes the change.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { faults } from './faults.ts';
import { Site } from './site.ts';

let site: Site;

beforeAll(async () => {
  site = await Site.make();
});
afterAll(() => site?.lab.down());

interface Harm {
  readonly name: string;
  readonly command: (site: Site) => string;
  readonly told: RegExp;
}

const leftovers: readonly Harm[] = [
  {
    name: 'a neighbour of a peer that is gone',
    command: () => 'ip neigh replace 10.244.177.0 lladdr 02:00:00:00:0a:77 dev flannel.1 nud permanent',
    told: /neigh left over/,
  },
  {
    name: 'an FDB entry of a peer that is gone',
    command: () => 'bridge fdb replace 02:00:00:00:0a:77 dev flannel.1 dst 192.168.50.77 self permanent',
    told: /fdb left over/,
  },
  {
    name: 'a route of a peer that is gone',
    command: () => 'ip route replace 10.244.177.0/24 via 10.244.177.0 dev flannel.1 onlink',
    told: /route left over/,
  },
  {
    name: 'a peer’s route led elsewhere',
    command: ({ peer }) => `ip route replace ${peer.subnet} via 192.168.50.1 dev eth0`,
    told: /stray route/,
  },
  {
    name: 'another address on the device',
    command: () => 'ip address add 10.244.99.9/32 dev flannel.1',
    told: /address is .*10\.244\.99\.9\/32/,
  },
  {
    name: 'another rule in the firewall',
    command: () => 'nft add rule ip weft postrouting counter accept',
    told: /firewall rules differ/,
  },
];

describe('the list of what is wrong with a node', () => {
  test('is empty while its agent runs', async () => {
    await site.untilWhole(10_000);
    expect(await site.faults()).toEqual([]);
  });

  test.for(faults.filter(({ control }) => control))('names the fault after: $what', async (fault) => {
    await site.node.agent.stop();
    await fault.inflict(site);
    expect(await site.faults()).not.toEqual([]);
    await site.node.agent.start();
    await site.untilWhole(10_000);
  });

  test.for(leftovers)('names the fault for $name', async ({ command, told }) => {
    await site.node.agent.stop();
    await site.node.run(['sh', '-c', command(site)]);
    expect((await site.faults()).join('; ')).toMatch(told);
    await site.node.agent.start();
    await site.untilWhole(10_000);
  });
});
