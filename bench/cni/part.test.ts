import { describe, expect, test } from 'vitest';
import { stateDifferences } from './latency-part.ts';
import { type CniBench, describeTrouble, measuringPlan } from './part.ts';
import { type Plan, pairSteps, type Variant } from './plan.ts';

const variant = (name: string, node: number): Variant => ({
  name,
  node,
  path: `/${name}`,
  argv: [`/${name}`],
  cniPath: '/',
  config: '{}',
});
const bench: CniBench = {
  options: { repository: '/', runs: 1, quick: true, peer: undefined },
  progress: { step: () => undefined },
  setting: { scratch: '/s', addProgram: () => '' },
  driver: '/driver',
  weft: '/bin/weft/flannel',
  weftPortmap: '/bin/portmap/portmap',
  floor: '/bin/floor',
  chain: undefined,
  debian: undefined,
};

describe('measuringPlan', () => {
  const variants = [variant('weft', 0), variant('floor', 1)];
  const steps = pairSteps(2, 5, 60);
  const [, floor] = variants;
  const { plan, from, to } = measuringPlan(bench, { variants, floor, resident: true, pods: 2, steps });

  test('measures exactly the given steps', () => {
    expect(plan.steps.slice(from, to)).toEqual(steps);
  });

  test('the first ADD on the C floor’s node is not measured as the C floor’s', () => {
    const first = plan.steps.find((step) => plan.variants[step.variant]?.node === 1);
    expect(plan.variants[first?.variant ?? -1]).toMatchObject({ name: 'warmer', path: '/bin/weft/flannel' });
  });

  test('the resident pods are removed at the end, each by the plugin that added it', () => {
    const calls = (part: Plan['steps'], command: string) =>
      part.flatMap((step) =>
        step.kind === 'call' && step.command === command && step.attachment.pod >= 2 ? [step] : [],
      );
    const [came, left] = [calls(plan.steps, 'ADD'), calls(plan.steps.slice(to), 'DEL')];
    expect(left.map(({ variant, attachment }) => ({ variant, attachment }))).toEqual(
      came.map(({ variant, attachment }) => ({ variant, attachment })),
    );
    expect(came).toHaveLength(2);
  });

  test('no measured step touches a resident pod’s namespace', () => {
    expect(steps.every(({ attachment }) => attachment.pod < 2)).toBe(true);
    expect(plan.pods).toBe(4);
  });
});

test('equal failures are printed once with their number, leftovers with their node', () => {
  const plan: Plan = { scratch: '/s', nodes: 2, pods: 1, variants: [variant('a', 0), variant('b', 1)], steps: [] };
  const failure = (id: string) => ({ us: 1, failures: [`ADD by a: ${id.repeat(64)} has 10.1.2.${id}`] });
  const results = [failure('1'), failure('2'), { us: 1, failures: [] }];
  expect(describeTrouble(plan, { results, leftovers: [[], ['veth1', 'veth2']] })).toEqual([
    '2 × ADD by a: <container> has <ip>',
    '2 links left in the node of b: veth1 veth2',
  ]);
});

test('a reference that leaves another state has not done the same work', () => {
  const states = new Map([
    ['weft', ['eth0 mtu 1450 up', 'hairpin on']],
    ['same', ['hairpin on', 'eth0 mtu 1450 up']],
    ['other', ['eth0 mtu 1500 up', 'hairpin on']],
  ]);
  expect(stateDifferences(states)).toEqual([
    'other leaves another state than weft: has [eth0 mtu 1500 up], lacks [eth0 mtu 1450 up]',
  ]);
});
