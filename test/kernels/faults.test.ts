// Every fault of the suite `faults` is repaired, and pods then reach each other. Packets are not counted here: on an emulated processor a
// lost packet only shows how slow it is.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { faults } from '../faults/faults.ts';
import { Site } from '../faults/site.ts';
import { allPodsReach } from '../lab/support/status.ts';

const HEAL_MS = 10_000;

let site: Site;
beforeAll(async () => {
  site = await Site.make();
});
afterAll(() => site?.lab.down());

test.for(faults)('is put right: $what', async (fault) => {
  await site.untilWhole(HEAL_MS);
  await fault.inflict(site);
  await site.untilWhole(HEAL_MS);
  await allPodsReach(site.lab);
});

test('without the agent a fault stays', async () => {
  await site.node.agent.stop();
  const [route] = faults;
  await route?.inflict(site);
  expect(await site.faults()).not.toEqual([]);
  await site.node.agent.start();
  await site.untilWhole(HEAL_MS);
});
