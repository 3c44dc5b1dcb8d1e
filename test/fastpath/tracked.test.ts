// Tracked connections go the classic way: Services, host ports and masquerading work the same with the fast path, without it and while that
// changes, with the rules of a strict kube-proxy.

import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { startServer } from '../cni/conformance/traffic.ts';
import type { JsonObject } from '../lab/cni/conflist.ts';
import type { Lab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import type { LabPod } from '../lab/lab-pod.ts';
import { classicConflist } from '../lab/node-spec.ts';
import { addTable, ask, counted, podsOf, serve, since, startFastLab, untilOff, untilOn } from '../support/fast-path.ts';

const VIRTUAL = '10.96.0.10';
const HOST_PORT = 8080;
const PROTOCOLS = ['tcp', 'udp'] as const;

let lab: Lab;
let one: LabNode;
let two: LabNode;
beforeAll(async () => {
  lab = await startFastLab();
  [one, two] = [lab.node('node-1'), lab.node('node-2')];
});
afterAll(() => lab?.down());

/** The rules that kube-proxy would make for a Service with this pod, with its strict check. */
async function serviceOf(node: LabNode, { ip }: LabPod): Promise<void> {
  const own = `ct status dnat ip saddr ${ip} ip daddr ${ip} masquerade`;
  await node.run([
    'nft',
    `table ip kube-proxy {
      chain services { type nat hook prerouting priority dstnat; ip daddr ${VIRTUAL} dnat to ${ip}; }
      chain masquerading { type nat hook postrouting priority srcnat; ${own}; }
      chain strict { type filter hook forward priority 0; ct state invalid drop; }
    }`,
  ]);
  onTestFinished(async () => void (await node.run(['nft', 'delete table ip kube-proxy'])));
}

/** The answers that a pod receives at an address, by TCP and by UDP: `NAME@CLIENT`. */
async function fullAnswers(client: LabPod, address: string, port = 80): Promise<string[]> {
  const texts: string[] = [];
  for (const protocol of PROTOCOLS) texts.push((await ask(client, protocol, address, port)).replace('::ffff:', ''));
  return texts;
}

const nameOf = (answer: string): string => answer.split('@')[0] ?? '';
const answers = async (client: LabPod, address: string): Promise<string[]> =>
  (await fullAnswers(client, address)).map(nameOf);

const STRANGER = 'table ip stranger { chain f { type filter hook forward priority 10; counter accept; } }';

test.for([
  { name: 'another node', backend: () => podsOf(two)[0], isSeen: true },
  { name: 'the client’s node', backend: () => podsOf(one)[1], isSeen: true },
  { name: 'the client itself', backend: () => podsOf(one)[0], isSeen: false },
])(
  'a Service whose pod is on $name answers on the fast path, off it and while that changes',
  async ({ backend, isSeen }) => {
    const [client, pod] = [podsOf(one)[0], backend()];
    const want = [pod.name, pod.name];
    await serve(pod);
    await serviceOf(one, pod);
    await untilOn(one);
    const before = counted(one);
    expect(await answers(client, VIRTUAL)).toEqual(want);
    // The answers have the pod's own address as source, and only the kernel knows to which connection they belong.
    if (isSeen) expect(since(one, before, 'tracked')).toBeGreaterThan(2);
    await addTable(one, STRANGER);
    const changing = answers(client, VIRTUAL);
    await untilOff(one, /stranger/);
    expect(await changing).toEqual(want);
    expect(await answers(client, VIRTUAL)).toEqual(want);
    await one.run(['nft', 'delete table ip stranger']);
    const changingBack = answers(client, VIRTUAL);
    await untilOn(one);
    expect(await changingBack).toEqual(want);
  },
);

test.for([
  { name: 'with masquerading', snat: true },
  { name: 'without masquerading', snat: false },
])('a host port $name answers pods here, elsewhere and the pod itself as it does the classic way', async ({ snat }) => {
  const mappings = PROTOCOLS.map((protocol) => ({ hostPort: HOST_PORT, containerPort: 80, protocol }));
  const [flannel, portmap] = classicConflist['plugins'] as JsonObject[];
  const conflist = JSON.stringify({ ...classicConflist, plugins: [flannel, { ...portmap, snat }] });
  const mapped = await one.addPod({ capabilityArgs: { portMappings: mappings }, conflist });
  onTestFinished(async () => void (await mapped.remove()));
  await untilOn(one);
  await serve(mapped);
  const clients = [podsOf(one)[0], podsOf(two)[0], mapped];
  const all = (): Promise<string[][]> =>
    Promise.all(clients.map((client) => fullAnswers(client, one.address, HOST_PORT)));
  const fast = await all();
  await addTable(one, STRANGER);
  const changing = all();
  await untilOff(one, /stranger/);
  expect(await changing).toEqual(fast);
  const classic = await all();
  await one.run(['nft', 'delete table ip stranger']);
  const changingBack = all();
  await untilOn(one);
  expect([fast, await changingBack]).toEqual([classic, classic]);
  expect(classic.slice(0, 2).flat().map(nameOf)).toEqual(Array.from({ length: 4 }, () => mapped.name));
  if (snat) expect(classic[2]?.map(nameOf)).toEqual([mapped.name, mapped.name]);
});

test('a pod is seen under its node’s address outside the pod network, and under its own inside', async () => {
  const [[a], [c]] = [podsOf(one), podsOf(two)];
  const server = await startServer((argv) => ['nsenter', `--net=/proc/${two.pid}/ns/net`, ...argv], 'node@', 8181);
  onTestFinished(() => server.stop());
  await serve(c);
  expect(await ask(a, 'tcp', two.address, 8181)).toMatch(new RegExp(`^node@(::ffff:)?${one.address}$`));
  expect(await ask(a, 'tcp', c.ip)).toMatch(new RegExp(`@(::ffff:)?${a.ip}$`));
});
