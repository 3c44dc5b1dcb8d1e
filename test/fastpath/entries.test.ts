// The entry of a pod never sends packets into nothing. Each way to remove the entry is tested by itself: DEL of our plugins and of
// flannel's, the device's removal, and the reconciler. For the first two the agent is dead, while its programs go on.

import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { encodePod } from '../../flanneld/fastpath/programs/layout.ts';
import { updateElement } from '../../lib/bpf/map.ts';
import { ipToBytes, parseIp } from '../../lib/ip.ts';
import { parseMac } from '../../lib/mac.ts';
import { nearMap, podsMap, removeNear } from '../../lib/pods/fast-path-pods.ts';
import { openKoffiSyscalls } from '../../lib/sys/koffi.ts';
import { findChain } from '../cluster/interop/programs.ts';
import type { Lab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import type { LabPod } from '../lab/lab-pod.ts';
import { waitUntil } from '../lab/processes.ts';
import {
  ask,
  counted,
  giveNext,
  isNear,
  keepAlive,
  podsInMap,
  podsOf,
  serve,
  since,
  startFastLab,
  untilOn,
  withPin,
} from '../support/fast-path.ts';
import { needs } from '../support/needs.ts';

const LOOK_MS = 20_000;
const sys = openKoffiSyscalls();
const flannels = findChain(process.env);
const plugins = [
  { name: 'our plugins', isThere: true, options: {}, staysInMap: false },
  {
    name: 'flannel’s plugins',
    isThere: flannels !== undefined,
    options: flannels === undefined ? {} : { pluginFolder: flannels },
    staysInMap: true,
  },
];

describe.for(plugins)('with $name', ({ isThere, options, staysInMap }) => {
  let lab: Lab;
  let one: LabNode;
  let two: LabNode;
  beforeAll(async () => {
    if (!isThere) return;
    lab = await startFastLab(options);
    [one, two] = [lab.node('node-1'), lab.node('node-2')];
  });
  afterAll(() => lab?.down());
  beforeEach(() => needs.machine(isThere, 'flannel’s plugins in CNI_PATH'));

  /** A pod that others reach by the fast path; then the agent is killed, and its programs go on. */
  async function podWithoutAgent(): Promise<LabPod> {
    const pod = await one.addPod();
    await untilOn(one);
    await serve(pod);
    const before = counted(one);
    expect(await ask(podsOf(two)[0], 'udp', pod.ip)).toContain(pod.name);
    expect(since(one, before, 'from-peer')).toBeGreaterThan(0);
    await one.agent.kill();
    keepAlive(one);
    onTestFinished(async () => {
      await one.agent.start();
      await one.agent.ready();
      await untilOn(one);
    });
    return pod;
  }

  /** A new pod with the address of one that is gone is reached from the other node and from this one, through the kernel. */
  async function expectReached(ip: string): Promise<void> {
    giveNext(one, ip);
    const next = await one.addPod();
    onTestFinished(async () => void (await next.remove()));
    expect(next.ip).toBe(ip);
    await serve(next);
    // flannel's plugins leave the former pod's MAC in the node's neighbour table, with a fast path or without.
    await one.run(['ip', 'neigh', 'flush', 'dev', 'cni0']);
    const before = counted(one);
    expect(await ask(podsOf(two)[1], 'udp', ip)).toContain(next.name);
    expect(await ask(podsOf(two)[1], 'tcp', ip)).toContain(next.name);
    expect(await ask(podsOf(one)[1], 'udp', ip)).toContain(next.name);
    expect(since(one, before, staysInMap ? 'no-device' : 'destination')).toBeGreaterThan(0);
    expect(since(one, before, 'paused')).toBe(0);
  }

  test('DEL alone is enough', async () => {
    const pod = await podWithoutAgent();
    expect(isNear(one, pod.ip)).toBe(true);
    await pod.remove();
    expect(podsInMap(one).includes(pod.ip)).toBe(staysInMap);
    expect(isNear(one, pod.ip)).toBe(staysInMap);
    await expectReached(pod.ip);
  });
});

describe('without DEL', () => {
  let lab: Lab;
  let one: LabNode;
  let two: LabNode;
  beforeAll(async () => {
    lab = await startFastLab();
    [one, two] = [lab.node('node-1'), lab.node('node-2')];
  });
  afterAll(() => lab?.down());

  test('the end of the device alone is enough, with no agent that hears of it', async () => {
    const pod = await one.addPod();
    await untilOn(one);
    await one.agent.kill();
    keepAlive(one);
    await pod.exec(['ip', 'link', 'del', 'eth0']);
    // This frees the address, and finds no device whose entry it could remove.
    await pod.remove();
    expect(podsInMap(one)).toContain(pod.ip);
    giveNext(one, pod.ip);
    const next = await one.addPod();
    expect(next.ip).toBe(pod.ip);
    await serve(next);
    const before = counted(one);
    expect(await ask(podsOf(two)[0], 'udp', next.ip)).toContain(next.name);
    expect(await ask(podsOf(one)[0], 'tcp', next.ip)).toContain(next.name);
    expect(since(one, before, 'no-device')).toBeGreaterThan(0);
    await one.agent.start();
    await one.agent.ready();
    await untilOn(one);
    const after = counted(one);
    expect(await ask(podsOf(two)[1], 'udp', next.ip)).toContain(next.name);
    expect(since(one, after, 'from-peer')).toBeGreaterThan(0);
    await next.remove();
  });

  test('the agent hears of the end of a device', async () => {
    const pod = await one.addPod();
    await untilOn(one);
    expect(podsInMap(one)).toContain(pod.ip);
    await pod.exec(['ip', 'link', 'del', 'eth0']);
    await waitUntil(() => !podsInMap(one).includes(pod.ip), LOOK_MS, 'the entry to go');
    expect(isNear(one, pod.ip)).toBe(false);
    await pod.remove();
    await untilOn(one);
  });

  test('the reconciler alone removes an entry of a device whose end nobody has heard of', async () => {
    await untilOn(one);
    const ip = podsOf(one)[0].ip.replace(/\d+$/, '77');
    const [podMac, bridgeMac] = [parseMac('02:00:00:00:00:77'), parseMac('02:00:00:00:00:01')];
    const value = encodePod({ ifindex: 1_000_000, podMac, bridgeMac });
    withPin(one, 'pods4', (fd) => updateElement(sys, { fd, spec: podsMap(4) }, ipToBytes(parseIp(ip)), value));
    expect(podsInMap(one)).toContain(ip);
    // Any change at a device makes it check everything, as it does once a minute in any case.
    await one.run(['ip', 'link', 'set', 'lo', 'mtu', '65535']);
    await waitUntil(() => !podsInMap(one).includes(ip), LOOK_MS, 'the entry to go');
  });

  test('the reconciler gives a pod its element of the map back that is looked in first', async () => {
    await untilOn(one);
    const { ip } = podsOf(one)[0];
    withPin(one, 'near4', (fd) => removeNear(sys, { fd, spec: nearMap }, ipToBytes(parseIp(ip))));
    expect(isNear(one, ip)).toBe(false);
    await one.run(['ip', 'link', 'set', 'lo', 'mtu', '65534']);
    await waitUntil(() => isNear(one, ip), LOOK_MS, 'the element to come back');
  });
});
