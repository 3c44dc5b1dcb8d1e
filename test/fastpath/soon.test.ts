// How soon the fast path is off when a rule filters pods' packets, and on again when that rule is removed: counted by the packets of a flow
// of 1000 a second, so that 1000 packets are the promised second. Each count begins before the command that makes the change is started.

import { afterAll, afterEach, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest';
import { linkInfo } from '../../lib/bpf/bpf-link.ts';
import { openKoffiSyscalls } from '../../lib/sys/koffi.ts';
import { type Flow, startFlow } from '../faults/probe/flow.ts';
import type { Lab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { waitUntil } from '../lab/processes.ts';
import {
  addTable,
  counted,
  detachAll,
  linkPins,
  podsOf,
  since,
  startFastLab,
  untilFull,
  untilOff,
  withPin,
} from '../support/fast-path.ts';

const LOOK_MS = 20_000;
const A_SECOND = 1000;
const LOOSE = 'net.netfilter.nf_conntrack_tcp_loose';
const LEGACY_RULE = ['FORWARD', '-s', '192.0.2.1', '-j', 'DROP'];
const sys = openKoffiSyscalls();

let lab: Lab;
let one: LabNode;
let flow: Flow;
beforeAll(async () => {
  lab = await startFastLab({ mode: 'full' });
  one = lab.node('node-1');
  for (const node of lab.nodes) await untilFull(node);
});
afterAll(() => lab?.down());
beforeEach(async () => {
  // New ports for each packet: an entry of conntrack would keep the whole flow on the classic way.
  flow = await startFlow(podsOf(one)[0], podsOf(lab.node('node-2'))[0], { freshPorts: true });
});
afterEach(() => flow.abandon());

const removeTable = async (name: string): Promise<void> => void (await one.run(['nft', `delete table ${name}`]));

test.for([
  {
    name: 'packets are kept from tracking',
    on: () => addTable(one, 'table ip x { chain f { type filter hook prerouting priority raw; notrack; } }'),
    off: () => removeTable('ip x'),
    reason: /nftables chain ip x f/,
    most: A_SECOND,
  },
  {
    name: 'packets are tracked in a zone',
    on: () => addTable(one, 'table ip x { chain f { type filter hook prerouting priority raw; ct zone set 5; } }'),
    off: () => removeTable('ip x'),
    reason: /nftables chain ip x f/,
    most: A_SECOND,
  },
  {
    name: 'conntrack takes up no connections in their middle',
    on: () => one.run(['sysctl', '-qw', `${LOOSE}=0`]),
    off: () => one.run(['sysctl', '-qw', `${LOOSE}=1`]),
    reason: /nf_conntrack_tcp_loose is 0/,
    most: A_SECOND,
  },
  {
    name: 'an agent for policies comes',
    on: () => addTable(one, 'table inet policies { chain f { type filter hook forward priority 0; counter accept; } }'),
    off: () => removeTable('inet policies'),
    reason: /nftables chain inet policies f/,
    most: A_SECOND,
  },
  {
    name: 'a rule of legacy iptables comes',
    on: () => one.run(['iptables-legacy', '-w', '-A', ...LEGACY_RULE]),
    off: () => one.run(['iptables-legacy', '-w', '-D', ...LEGACY_RULE]),
    reason: /iptables-legacy chain filter FORWARD/,
    most: 5 * A_SECOND,
  },
])('when $name, at most $most packets take the fast path after that', async ({ name, on, off, reason, most }) => {
  const before = counted(one);
  await on();
  onTestFinished(async () => {
    await off();
    await untilFull(one);
  });
  await untilOff(one, reason);
  const went = counted(one);
  await flow.count(A_SECOND);
  const { sent, lost } = await flow.stop();
  const fast = since(one, before, 'encapsulated');
  process.stdout.write(`${name}: ${fast} packets of 1000 a second took the fast path after that\n`);
  expect(fast).toBeLessThanOrEqual(most);
  expect(since(one, went, 'encapsulated')).toBe(0);
  expect(sent).toBeGreaterThan(fast + 400);
  expect(lost).toBe(0);
});

test('programs that somebody detaches are back before 1000 packets have gone the classic way', async () => {
  const pins = linkPins(one);
  const { sent: sentBefore } = await flow.progress();
  const before = counted(one);
  await detachAll(one, []);
  const isAttached = (pin: string): boolean =>
    linkPins(one).includes(pin) && withPin(one, pin, (fd) => linkInfo(sys, fd)?.ifindex ?? 0) > 0;
  await waitUntil(() => pins.every(isAttached), LOOK_MS, 'the programs');
  await flow.untilInRow(1000, LOOK_MS);
  const { sent, lost } = await flow.stop();
  const classic = sent - sentBefore - since(one, before, 'encapsulated');
  process.stdout.write(`${classic} packets of 1000 a second went the classic way\n`);
  expect(classic).toBeGreaterThan(0);
  expect(classic).toBeLessThanOrEqual(A_SECOND);
  expect(lost).toBe(0);
});

test('a flow that somebody denies is denied at every moment, whatever becomes of the agent', async () => {
  const { ip } = podsOf(lab.node('node-2'))[0];
  // The form of kube-network-policies' table, which that program writes again as a whole for each change.
  const policy = `chain f { type filter hook postrouting priority srcnat - 5; ip daddr ${ip} drop; }`;
  const write = (): Promise<unknown> =>
    one.run(['nft', '-f', '-'], {
      input: `table inet policies\ndelete table inet policies\ntable inet policies { ${policy}\n}\n`,
    });
  const reason = /nftables chain inet policies f/;
  await write();
  onTestFinished(async () => {
    await removeTable('inet policies');
    await untilFull(one);
  });
  await untilOff(one, reason);
  const { received } = await flow.progress();
  for (let change = 0; change < 5; change++) await write();
  await addTable(one, 'table ip stranger { chain f { type filter hook forward priority 10; counter accept; } }');
  await removeTable('ip stranger');
  for (const end of ['stop', 'kill'] as const) {
    await one.agent[end]();
    await one.agent.start();
    await one.agent.ready();
    await untilOff(one, reason);
  }
  const { sent, received: receivedAtLast } = await flow.progress();
  expect(receivedAtLast).toBe(received);
  expect(sent).toBeGreaterThan(received + 1000);
});
