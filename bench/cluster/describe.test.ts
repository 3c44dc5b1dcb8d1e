import { expect, test } from 'vitest';
import { headlineSentence } from '../headline.ts';
import { madeUpRun } from '../support/made-up.ts';
import { type DriverResult, describeCluster, describeNetwork } from './describe.ts';

const result: DriverResult = {
  samples: {
    firstPacketMs: [900, 1000, 1100],
    oneWayMs: [0.4, -0.1, null],
    'tcp/pod-far': [8, 8, 8, 8, 8],
    'tcp/host': [10, 10, 10, 10, 10],
    'udp/pod-near': [null, null],
  },
  clock: { aheadUs: 1500, uncertainUs: 50 },
  failures: ['tcp service: no answer'],
  notes: [],
};

test('a failed sample gives no value, and a measurement that always failed has no figure', () => {
  const part = describeCluster(result, { network: 'weft/weft (weft:1)' });
  expect(part.figures.map(({ key }) => key)).toEqual([
    'cluster/firstPacketMs',
    'cluster/oneWayMs',
    'cluster/tcp/pod-far',
    'cluster/tcp/host',
  ]);
  expect(part.figures.find(({ key }) => key === 'cluster/oneWayMs')?.samples.map(Number.isFinite)).toEqual([
    true,
    true,
    false,
  ]);
  expect(part.figures.find(({ key }) => key === 'cluster/tcp/host')?.role).toBe('reference');
  expect(part.failures).toEqual(result.failures);
  expect(part.about).toEqual({ network: 'weft/weft (weft:1)' });
});

test('pods are compared with the nodes’ own network, in the first sentence too', () => {
  const part = describeCluster(result, {});
  expect(part.ratios).toMatchObject([{ of: 'cluster/tcp/pod-far', against: 'cluster/tcp/host', value: 0.8 }]);
  const measured = { ...part, name: 'cluster', question: '', seconds: 1, othersLoad: 0, stolen: 0 };
  const run = { ...madeUpRun(), parts: [measured] };
  expect(headlineSentence(run)).toMatch(
    /pod to pod across nodes: 8\.00 Gbit\/s .* 0\.80 .* of node to node \(more is better\)/,
  );
});

test('the text says that clocks were compared, and how wrong that may be', () => {
  expect(describeCluster(result, {}).notes).toEqual([expect.stringContaining('1.500 ms ahead at first, ± 0.050 ms')]);
});

test('a CNI is named by its DaemonSet and images, and not by other DaemonSets', () => {
  const of = (namespace: string, name: string, image: string): Parameters<typeof describeNetwork>[0][number] => ({
    metadata: { namespace, name },
    spec: { template: { spec: { containers: [{ image }] } } },
  });
  const sets = [of('kube-system', 'kube-proxy', 'p'), of('kube-flannel', 'kube-flannel-ds', 'f:1')];
  expect(describeNetwork(sets)).toBe('kube-flannel/kube-flannel-ds (f:1)');
  expect(describeNetwork([])).toBe('unknown');
});
