// A short test of the fast path on two nodes of the lab: pods' packets take it, it is off while somebody else's rules filter packets, and
// programs that somebody detaches come back. `npm run suite -- fast-path` shows the rest.

import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { linkInfo } from '../../lib/bpf/bpf-link.ts';
import { openKoffiSyscalls } from '../../lib/sys/koffi.ts';
import { startFlow } from '../faults/probe/flow.ts';
import type { Lab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { waitUntil } from '../lab/processes.ts';
import {
  addTable,
  ask,
  counted,
  detachLink,
  fastPathOf,
  giveNext,
  linkPins,
  podsOf,
  serve,
  since,
  startFastLab,
  untilOff,
  untilOn,
  withPin,
} from '../support/fast-path.ts';

const sys = openKoffiSyscalls();

let lab: Lab;
let one: LabNode;
let two: LabNode;

beforeAll(async () => {
  lab = await startFastLab();
  [one, two] = [lab.node('node-1'), lab.node('node-2')];
});
afterAll(() => lab?.down());

test('pods reach pods of other nodes and of their own by the fast path, and no packet is lost', async () => {
  const [[a, b], [c]] = [podsOf(one), podsOf(two)];
  const ways = [
    { to: c, counters: [{ node: one, reason: 'to-peer' } as const, { node: two, reason: 'from-peer' } as const] },
    { to: b, counters: [{ node: one, reason: 'to-pod' } as const] },
  ];
  for (const { to, counters } of ways) {
    const before = new Map(lab.nodes.map((node) => [node, counted(node)]));
    const flow = await startFlow(a, to);
    await flow.untilInRow(500, 20_000);
    const { lost, sent } = await flow.stop();
    expect(lost).toBe(0);
    for (const { node, reason } of counters) {
      expect(since(node, before.get(node) ?? new Map(), reason)).toBeGreaterThanOrEqual(sent);
    }
  }
  await serve(c);
  const before = counted(two);
  expect(await ask(a, 'tcp', c.ip)).toMatch(new RegExp(`@(::ffff:)?${a.ip}$`));
  expect(since(two, before, 'from-peer')).toBeGreaterThan(2);
  expect((await fastPathOf(one)).fast).toMatchObject({ 'to-peer': expect.any(Number), 'to-pod': expect.any(Number) });
  expect((await one.agent.http('/metrics')).body).toMatch(
    /^flannel_fast_path_packets_total\{way="fast",reason="to-peer"\} [1-9]/m,
  );
});

test('it is off while a rule of somebody else filters what is forwarded, which is obeyed, and then on again', async () => {
  const [[a], [c]] = [podsOf(one), podsOf(two)];
  await serve(c);
  expect(await ask(a, 'udp', c.ip)).toContain(c.name);
  const rules = `type filter hook forward priority 0; ip daddr ${c.ip} drop;`;
  await addTable(one, `table inet policies { chain f { ${rules} } }`);
  await untilOff(one, /nftables chain inet policies f has rules of another program/);
  expect(await ask(a, 'udp', c.ip)).toBe('');
  await one.run(['nft', 'delete table inet policies']);
  await untilOn(one);
  expect(await ask(a, 'udp', c.ip)).toContain(c.name);
});

test('programs that somebody detaches come back', async () => {
  const names = linkPins(one);
  const isAttached = (name: string): boolean =>
    linkPins(one).includes(name) && withPin(one, name, (fd) => linkInfo(sys, fd)?.ifindex ?? 0) > 0;
  expect(names).toHaveLength(3);
  expect(names.every(isAttached)).toBe(true);
  for (const name of names) {
    withPin(one, name, (fd) => {
      expect(detachLink(fd)).toBe(0);
      // The agent may be about to replace the link.
      expect(linkInfo(sys, fd)?.ifindex).toBe(0);
    });
  }
  await waitUntil(() => names.every(isAttached), 20_000, 'the programs');
});

test('a new pod with the address of one that is gone is reached', async () => {
  const [c] = podsOf(two);
  const gone = await one.addPod();
  await untilOn(one);
  await gone.remove();
  giveNext(one, gone.ip);
  const next = await one.addPod();
  expect(next.ip).toBe(gone.ip);
  onTestFinished(async () => void (await next.remove()));
  await serve(next);
  expect(await ask(c, 'udp', next.ip)).toContain(next.name);
  await untilOn(one);
  expect(await ask(c, 'udp', next.ip)).toContain(next.name);
});
