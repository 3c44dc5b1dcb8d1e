// The mode `full` on two nodes: programs encapsulate and decapsulate, leave both to the tunnel's device while a rule may filter the
// tunnel's packets, and lose no packet while that changes, when the agent dies and when routes change.

import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import type { Reason } from '../../flanneld/fastpath/programs/reasons.ts';
import { path } from '../doctor/path-scene.ts';
import { type Flow, startFlow } from '../faults/probe/flow.ts';
import type { Lab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import type { LabPod } from '../lab/lab-pod.ts';
import { waitUntil } from '../lab/processes.ts';
import { statusReport } from '../lab/support/status.ts';
import {
  addTable,
  ask,
  counted,
  fastPathOf,
  INPUT_RULE,
  podsOf,
  serve,
  since,
  startFastLab,
  untilFull,
  untilOff,
  untilRedirect,
} from '../support/fast-path.ts';
import { slowed } from '../support/slowness.ts';

const LIMIT_MS = slowed(300_000);
const STREAM_PORT = 7300;
const STREAM_BYTES = 16 << 20;
/** Prints the SHA-256 of the bytes that one client sends. */
const TAKE = `import hashlib, socket
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("", ${STREAM_PORT})); s.listen(1)
c, _ = s.accept(); h = hashlib.sha256(); b = c.recv(1 << 20)
while b: h.update(b); b = c.recv(1 << 20)
print(h.hexdigest())`;
/** Sends bytes that do not repeat, as soon as a server listens, and prints their SHA-256. argv: address. */
const GIVE = `import hashlib, socket, sys, time
data = b"".join(hashlib.sha256(i.to_bytes(4, "big")).digest() for i in range(${STREAM_BYTES} // 32))
for again in range(100):
  try: s = socket.create_connection((sys.argv[1], ${STREAM_PORT})); break
  except OSError: time.sleep(0.1)
s.sendall(data); s.close()
print(hashlib.sha256(data).hexdigest())`;

let lab: Lab;
let one: LabNode;
let two: LabNode;
beforeAll(async () => {
  lab = await startFastLab({ mode: 'full' });
  [one, two] = [lab.node('node-1'), lab.node('node-2')];
  for (const node of lab.nodes) await untilFull(node);
});
afterAll(() => lab?.down());

/** New ports for each packet, because a tracked connection would keep the whole flow on the classic way. */
async function startFreshFlow(): Promise<Flow> {
  const flow = await startFlow(podsOf(one)[0], podsOf(two)[0], { rateHz: 3000, freshPorts: true });
  onTestFinished(() => flow.abandon());
  return flow;
}

test('pods reach pods of another node, and neither the tunnel’s device nor a rule sees the packets', async () => {
  const [[a], [c]] = [podsOf(one), podsOf(two)];
  const before = new Map(lab.nodes.map((node) => [node, counted(node)]));
  const flow = await startFlow(a, c);
  await flow.untilInRow(500, 20_000);
  const { lost, sent } = await flow.stop();
  expect(lost).toBe(0);
  const of = (node: LabNode, reason: Reason): number => since(node, before.get(node) ?? new Map(), reason);
  expect(of(one, 'encapsulated')).toBeGreaterThanOrEqual(sent);
  expect(of(two, 'decapsulated')).toBeGreaterThanOrEqual(sent);
  expect(of(one, 'to-peer') + of(two, 'from-peer')).toBe(0);
  await serve(c);
  expect(await ask(a, 'tcp', c.ip)).toMatch(new RegExp(`@(::ffff:)?${a.ip}$`));
  expect(await ask(a, 'udp', c.ip)).toContain(c.name);
  expect(await fastPathOf(one)).toMatchObject({ mode: 'full', fast: { encapsulated: expect.any(Number) } });
});

test.for([
  { name: 'the external interface segments its packets', segments: 65_535 },
  { name: 'the kernel segments its packets in front of the external interface', segments: 1 },
])('a stream arrives whole when $name', async ({ segments }) => {
  const [[a], [c]] = [podsOf(one), podsOf(two)];
  const limit = (most: number) => one.run(['ip', 'link', 'set', 'eth0', 'gso_max_segs', `${most}`]);
  await limit(segments);
  onTestFinished(async () => void (await limit(65_535)));
  const before = new Map(lab.nodes.map((node) => [node, counted(node)]));
  const taken = c.exec(['python3', '-c', TAKE]);
  const { stdout: given, stderr } = await a.exec(['python3', '-c', GIVE, c.ip]);
  expect(stderr).toBe('');
  expect((await taken).stdout).toBe(given);
  const encapsulated = since(one, before.get(one) ?? new Map(), 'encapsulated');
  expect(since(two, before.get(two) ?? new Map(), 'decapsulated')).toBeGreaterThan(10);
  expect(encapsulated).toBeGreaterThan(10);
  // Far fewer than segments: the program received packets that the kernel segments later.
  expect(encapsulated).toBeLessThan(STREAM_BYTES / 1400 / 2);
});

test('status, metrics and doctor path say for each peer which way packets go and why', async () => {
  const [[a, b], [c]] = [podsOf(one), podsOf(two)];
  const wayOf = async (from: LabPod, to: string): Promise<string> => {
    const { hops } = await path(one, from.ip, to);
    return hops.find(({ name }) => name === 'fast path')?.answer ?? '';
  };
  // A connection that was tracked before stays on the classic way.
  await one.run(['sysctl', '-qw', 'net.netfilter.nf_conntrack_tcp_loose=0']);
  await untilOff(one, /loose/);
  expect(await wayOf(a, c.ip)).toMatch(/^no, the classic way: it is off, because .*loose/);
  await serve(c);
  expect(await ask(a, 'udp', c.ip)).toContain(c.name);
  await one.run(['sysctl', '-qw', 'net.netfilter.nf_conntrack_tcp_loose=1']);
  await untilFull(one);
  expect(await wayOf(a, c.ip)).toMatch(/^no, the classic way: the kernel tracks 1 of its connections/);
  expect(await wayOf(b, c.ip)).toMatch(/^yes, full: programs encapsulate and decapsulate/);
  expect(await wayOf(a, b.ip)).toMatch(/^yes: straight from pod to pod/);
  expect(await wayOf(a, two.address)).toMatch(/^no, the classic way: it is for packets between pods only/);
  expect(await ask(b, 'tcp', c.ip)).toContain(c.name);
  const [peer] = (await fastPathOf(one)).byPeer;
  expect(peer?.subnet).toMatch(/\/24$/);
  expect(peer?.sent).toBeGreaterThan(2);
  expect(peer?.received).toBeGreaterThan(2);
  const { body } = await one.agent.http('/metrics');
  expect(body).toMatch(new RegExp(`_peer_packets_total\\{peer="${peer?.subnet}",way="fast",reason="sent"\\} [1-9]`));
  expect(body).toMatch(/^flannel_fast_path_packets_total\{way="fast",reason="encapsulated"\} [1-9]/m);
});

test.for([
  {
    name: 'a rule may filter what arrives',
    on: INPUT_RULE,
    off: 'table inet admin',
    reason: /nftables chain inet admin input/,
  },
  {
    name: 'a rule may change what the node sends',
    on: 'table ip admin { chain out { type route hook output priority mangle; udp dport 8472 meta mark set 7; } }',
    off: 'table ip admin',
    reason: /nftables chain ip admin out/,
  },
])('while $name, the tunnel’s device encapsulates and decapsulates', async ({ on, off, reason }) => {
  await addTable(one, on);
  await untilRedirect(one, reason);
  const { findings } = await statusReport(one);
  expect(findings.find(({ id }) => id === 'fast-path-off')?.evidence).toMatch(reason);
  const before = counted(one);
  const flow = await startFreshFlow();
  await flow.untilInRow(500, 20_000);
  expect((await flow.stop()).lost).toBe(0);
  expect(since(one, before, 'to-peer')).toBeGreaterThan(400);
  const [[a], [c]] = [podsOf(one), podsOf(two)];
  await serve(c);
  expect(await ask(a, 'udp', c.ip)).toContain(c.name);
  expect(since(one, before, 'from-peer')).toBeGreaterThan(0);
  expect(since(one, before, 'encapsulated') + since(one, before, 'decapsulated')).toBe(0);
  await one.run(['nft', `delete ${off}`]);
  await untilFull(one);
});

test('a rule that refuses a peer’s packets at the node is obeyed', async () => {
  const [[a], [c]] = [podsOf(one), podsOf(two)];
  await serve(c);
  expect(await ask(a, 'udp', c.ip)).toContain(c.name);
  const rule = `type filter hook input priority 0; ip saddr ${one.address} udp dport 8472 drop;`;
  await addTable(two, `table inet admin { chain input { ${rule} } }`);
  await untilRedirect(two, /inet admin input/);
  expect(await ask(a, 'udp', c.ip)).toBe('');
  await two.run(['nft', 'delete table inet admin']);
  await untilFull(two);
  expect(await ask(a, 'udp', c.ip)).toContain(c.name);
});

test('a queue at the external interface is noticed, and an ip rule turns all of it off', async () => {
  const dev = 'eth0';
  await one.run(['tc', 'qdisc', 'add', 'dev', dev, 'root', 'tbf', 'rate', '1gbit', 'burst', '1mb', 'latency', '50ms']);
  await untilRedirect(one, /tc qdisc tbf/);
  await one.run(['tc', 'qdisc', 'del', 'dev', dev, 'root']);
  await untilFull(one);
  await one.run(['ip', 'rule', 'add', 'from', one.address, 'table', '100', 'priority', '1000']);
  await untilOff(one, /an ip rule/);
  await one.run(['ip', 'rule', 'del', 'priority', '1000']);
  await untilFull(one);
});

test('switching between the programs and the tunnel’s device loses nothing', { timeout: LIMIT_MS }, async () => {
  const before = counted(one);
  const flow = await startFreshFlow();
  for (let count = 0; count < 5; count++) {
    await addTable(one, INPUT_RULE);
    await untilRedirect(one, /admin/);
    await one.run(['nft', 'delete table inet admin']);
    await untilFull(one);
  }
  const { lost, sent } = await flow.stop();
  expect(lost).toBe(0);
  expect(sent).toBeGreaterThan(1000);
  expect(since(one, before, 'encapsulated')).toBeGreaterThan(500);
  expect(since(one, before, 'to-peer')).toBeGreaterThan(500);
});

test('a killed agent costs nothing: its programs go on for 10 s, then packets go the classic way, and the next agent takes over', async () => {
  const before = counted(one);
  const flow = await startFreshFlow();
  await one.agent.kill();
  await flow.untilInRow(3000, 20_000);
  expect(since(one, before, 'encapsulated')).toBeGreaterThan(1000);
  await waitUntil(() => since(one, before, 'paused') > 1000, 30_000, 'the programs to pause');
  const paused = counted(one);
  await flow.untilInRow(3000, 20_000);
  expect(since(one, paused, 'encapsulated') + since(one, paused, 'decapsulated')).toBe(0);
  await one.agent.start();
  await one.agent.ready();
  await untilFull(one);
  await waitUntil(() => since(one, paused, 'encapsulated') > 1000, 20_000, 'the programs again');
  expect((await flow.stop()).lost).toBe(0);
});

test('packets follow the node’s routes at once, whether an agent runs or not', async () => {
  const neighbour = await two.run(['cat', '/sys/class/net/eth0/address']);
  const gateway = one.address.replace(/\d+$/, '250');
  await one.agent.kill();
  const before = counted(one);
  const flow = await startFreshFlow();
  await flow.untilInRow(500, 20_000);
  // Reaches the other node by another next hop.
  await one.run(['ip', 'neigh', 'replace', gateway, 'lladdr', neighbour.trim(), 'dev', 'eth0', 'nud', 'permanent']);
  await one.run(['ip', 'route', 'add', `${two.address}/32`, 'via', gateway, 'dev', 'eth0', 'onlink']);
  await flow.untilInRow(500, 20_000);
  await one.run(['ip', 'route', 'del', `${two.address}/32`]);
  await flow.untilInRow(500, 20_000);
  expect((await flow.stop()).lost).toBe(0);
  expect(since(one, before, 'encapsulated')).toBeGreaterThan(300);
  await one.agent.start();
  await one.agent.ready();
  await untilFull(one);
});
