// Tests that the routes of a move follow the kernel's events, although vxlan's routes beside them are of the same kind of event.

import { expect, test } from 'vitest';
import { parseIp, parsePrefix } from '../../../lib/ip.ts';
import { EchoKernel } from '../../../test/support/echo-kernel.ts';
import { type Place, type WantedObject, wanted } from '../../dataplane/objects/kind.ts';
import { route } from '../../dataplane/objects/route.ts';
import { Reconciler } from '../../dataplane/reconciler.ts';
import { halvesOf, movedRouteKind } from './moved-route.ts';

const subnet = parsePrefix('10.244.2.0/24');
const FORMER = 'route 10.244.2.0/24';
const HALVES = ['route 10.244.2.0/25', 'route 10.244.2.128/25'];
const place: Place = {
  family: 4,
  network: parsePrefix('10.244.0.0/16'),
  tunnel: { index: 7, name: 'flannel.1' },
  underlay: { index: 3, name: 'eth0' },
};
const moved = movedRouteKind(() => ({ index: 9, name: 'flannel-wg' }));

interface Peer {
  readonly key: string;
  readonly isEncrypted: boolean;
}

function objects({ isEncrypted }: Peer): WantedObject[] {
  const former = wanted(route, { destination: subnet, gateway: parseIp('10.244.2.0'), by: 'tunnel' });
  return [former, ...(isEncrypted ? halvesOf(subnet) : []).map((destination) => wanted(moved, { destination }))];
}

/** A node with one peer. Everything is listed in the first run only, after that only the kernel's events say what is there. */
function node() {
  const kernel = new EchoKernel(7);
  const none = () => undefined;
  const log = { error: none, warn: none, info: none, debug: none };
  const clock = { now: () => 0, after: () => none };
  const reconciler = new Reconciler<Peer>({ kinds: [route, moved], objects }, { netlink: kernel.netlink, log, clock });
  kernel.hear = (event) => reconciler.hear(event);
  const run = async (isEncrypted: boolean): Promise<string[]> => {
    const plan = { peers: new Map([['two', { key: 'two', isEncrypted }]]), problems: [], doubts: [] };
    await reconciler.run({ place, plan: () => plan, settle: kernel.settle });
    return kernel.names('route');
  };
  return { kernel, reconciler, run };
}

test('a peer that goes back to vxlan and follows again loses and gets its routes at once', async () => {
  const { kernel, run } = node();
  expect(await run(true)).toEqual([FORMER, ...HALVES].sort());
  const { listed } = kernel;
  expect(await run(false)).toEqual([FORMER]);
  expect(await run(true)).toEqual([FORMER, ...HALVES].sort());
  expect(await run(false)).toEqual([FORMER]);
  expect(kernel.listed).toBe(listed);
});

test('a route that somebody removes is news, and comes back', async () => {
  const { kernel, reconciler, run } = node();
  await run(true);
  await kernel.settle();
  const { listed } = kernel;
  expect(reconciler.hasNews).toBe(false);
  kernel.remove('route 10.244.2.128/25');
  await kernel.settle();
  expect(reconciler.hasNews).toBe(true);
  expect(await run(true)).toEqual([FORMER, ...HALVES].sort());
  expect(kernel.listed).toBe(listed);
});
