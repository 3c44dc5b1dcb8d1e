// A node's port that leads to a pod, used by other nodes, by their pods, by the node itself and by the pod itself.

import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { askArgv, type Inside, startServer } from '../cni/conformance/traffic.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import type { LabPod } from '../lab/lab-pod.ts';

const PROTOCOLS = ['tcp', 'udp'] as const;
const HOST_PORT = 8080;

let lab: Lab;
beforeAll(async () => {
  lab = await startLab({ nodes: 2 });
});
afterAll(() => lab?.down());

/** Adds a pod whose port 80 is mapped to the node's port 8080. */
function mappedPod(node: LabNode, keys: { hostIP?: string } = {}): Promise<LabPod> {
  const mapping = { hostPort: HOST_PORT, containerPort: 80, ...keys };
  const portMappings = PROTOCOLS.map((protocol) => ({ ...mapping, protocol }));
  return node.addPod({ capabilityArgs: { portMappings } });
}

const insidePod =
  (pod: LabPod): Inside =>
  (argv) => ['nsenter', `--net=${pod.netnsFromOutside}`, ...argv];

/** Starts a server in the pod that answers `NAME@ADDRESS` with the client's address. It ends with the test. */
async function served(pod: LabPod): Promise<void> {
  const server = await startServer(insidePod(pod), `${pod.name}@`, 80);
  onTestFinished(() => server.stop());
}

type Place = LabNode | LabPod;

/** The answer that a client gets; empty without one. */
async function answerTo(place: Place, address: string, protocol: 'tcp' | 'udp', ownPort?: number): Promise<string> {
  const question = { address, port: HOST_PORT, protocol, ...(ownPort === undefined ? {} : { ownPort }) };
  const argv = askArgv(question);
  if ('agent' in place) return await place.run(argv);
  return (await place.exec(argv)).stdout;
}

describe('a mapped port', () => {
  test('leads to the pod from everywhere, and the pod sees the client’s address where this is possible', async () => {
    const [one, two] = [lab.node('node-1'), lab.node('node-2')];
    const pod = await mappedPod(one);
    onTestFinished(async () => void (await pod.remove()));
    const [beside, remote] = [await one.addPod(), await two.addPod()];
    await served(pod);
    const cases: readonly (readonly [Place, string, string | undefined])[] = [
      [two, one.address, two.address],
      [remote, one.address, undefined],
      [one, one.address, undefined],
      [one, '127.0.0.1', undefined],
      [beside, one.address, undefined],
      [pod, one.address, undefined],
    ];
    for (const [place, address, source] of cases) {
      for (const protocol of PROTOCOLS) {
        const answer = await answerTo(place, address, protocol);
        expect(`${place.name} ${protocol} ${answer}`).toContain(`${place.name} ${protocol} ${pod.name}@`);
        if (source !== undefined) expect(answer).toMatch(new RegExp(`@(::ffff:)?${source}$`));
      }
    }
    await beside.remove();
    await remote.remove();
  });

  test('of one address of the node works only by that address', async () => {
    const [one, two] = [lab.node('node-1'), lab.node('node-2')];
    const pod = await mappedPod(one, { hostIP: '127.0.0.1' });
    onTestFinished(async () => void (await pod.remove()));
    await served(pod);
    expect(await answerTo(one, '127.0.0.1', 'tcp')).toContain(`${pod.name}@`);
    expect(await answerTo(two, one.address, 'tcp')).toBe('');
  });

  test('works for nobody once the pod is gone, and at once for the next pod, also for a UDP client that keeps its port', async () => {
    const [one, two] = [lab.node('node-1'), lab.node('node-2')];
    const first = await mappedPod(one);
    await served(first);
    expect(await answerTo(two, one.address, 'udp', 40_000)).toContain(`${first.name}@`);
    await first.remove();
    expect(await answerTo(two, one.address, 'udp', 40_000)).toBe('');
    const second = await mappedPod(one);
    onTestFinished(async () => void (await second.remove()));
    await served(second);
    expect(await answerTo(two, one.address, 'udp', 40_000)).toContain(`${second.name}@`);
  });

  test('leads to the newest of two pods that claim it, also after the other pod is gone', async () => {
    const [one, two] = [lab.node('node-1'), lab.node('node-2')];
    const first = await mappedPod(one);
    const second = await mappedPod(one);
    await served(second);
    expect(await answerTo(two, one.address, 'tcp')).toContain(`${second.name}@`);
    await first.remove();
    expect(await answerTo(two, one.address, 'tcp')).toContain(`${second.name}@`);
    await second.remove();
    expect(await answerTo(two, one.address, 'tcp')).toBe('');
    const table = await one.run(['nft', 'list', 'table', 'inet', 'weft_portmap']);
    expect(table).not.toContain('elements');
  });
});
