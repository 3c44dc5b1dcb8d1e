// What does a mapped port cost? Compares Weft's portmap with Debian's for one mapping, and with itself on a node where other pods
// have a thousand mappings. These must not matter, because each mapping is one element of an nftables map.

import { ratioOfFigures, summaryTable } from '../figures.ts';
import type { Figure, PartResult, RatioOfFigures } from '../result.ts';
import { type CniBench, describeTrouble, figuresOf, keyOf } from './part.ts';
import { type CallStep, type Command, containerId, type Plan, pairSteps, type Variant } from './plan.ts';
import { runDriver } from './run-driver.ts';
import { collectSamples } from './samples.ts';
import { variantOf } from './setting.ts';

const WEFT = 'weft portmap';
const CROWDED = 'weft portmap beside 1000 mappings';
const DEBIAN = "Debian's portmap";
const RUNS = 100;
const QUICK_RUNS = 8;
const WARM_ROUNDS = 3;
/** After a deletion the kernel goes on working for an RCU grace period. */
const PAUSE_MS = 60;
const OTHERS = 1000;
/** On the crowded node an ADD may take at most a fifth longer than alone. */
const MOST_CROWDED = 1.2;
const MOST_OF_DEBIAN = { ADD: 0.4, DEL: 0.2 };
const COMMANDS = ['ADD', 'DEL'] as const;
const GROUP = 'ports';

export async function benchPorts(bench: CniBench): Promise<PartResult> {
  const { quick, runs = quick ? QUICK_RUNS : RUNS } = bench.options;
  const compared = comparedVariants(bench);
  const warm = pairSteps(compared.length, WARM_ROUNDS, 0);
  const crowd: CallStep = {
    kind: 'call',
    variant: compared.length,
    command: 'ADD',
    attachment: { containerId: containerId(3_000_000), pod: compared.length },
    pauseMs: 0,
  };
  const before = [crowd, ...warm];
  const plan: Plan = {
    scratch: bench.setting.scratch,
    nodes: Math.max(...compared.map(({ node }) => node)) + 1,
    pods: compared.length + 1,
    variants: [...compared, crowdVariant(bench)],
    steps: [...before, ...pairSteps(compared.length, runs, PAUSE_MS)],
  };
  const result = await runDriver(bench, plan, 'portmap with one mapping');
  const samples = collectSamples({ plan, from: before.length, to: plan.steps.length }, result);
  const figures = figuresOf(GROUP, samples);
  const plot = (command: Command): string[] => compared.map(({ name }) => keyOf(GROUP, command, name));
  return {
    figures,
    tables: [summaryTable(`portmap with one mapping, ${PAUSE_MS} ms apart`, figures)],
    ratios: compared.length > 2 ? [...againstDebian(figures), ...flat(figures)] : flat(figures),
    limits: [],
    failures: describeTrouble(plan, result),
    notes: [],
    plots: [
      { kind: 'distribution', title: 'portmap ADD, one mapping', figures: plot('ADD') },
      { kind: 'distribution', title: 'portmap DEL, one mapping', figures: plot('DEL') },
    ],
    headline: [],
  };
}

function againstDebian(figures: readonly Figure[]): RatioOfFigures[] {
  return COMMANDS.map((command) => {
    const keys = { of: keyOf(GROUP, command, WEFT), against: keyOf(GROUP, command, DEBIAN) };
    return ratioOfFigures(`portmap ${command} against Debian's`, figures, keys, { most: MOST_OF_DEBIAN[command] });
  });
}

function flat(figures: readonly Figure[]): RatioOfFigures[] {
  return COMMANDS.map((command) => {
    const keys = { of: keyOf(GROUP, command, CROWDED), against: keyOf(GROUP, command, WEFT) };
    const name = `portmap ${command} beside ${OTHERS} mappings against alone`;
    return ratioOfFigures(name, figures, keys, { most: MOST_CROWDED });
  });
}

/** The variants, each in a node of its own. */
function comparedVariants(bench: CniBench): Variant[] {
  const { weftPortmap, debian } = bench;
  const config = portmapConfig([8080]);
  const variants = [portmapVariant(WEFT, 0, weftPortmap, config), portmapVariant(CROWDED, 1, weftPortmap, config)];
  if (debian !== undefined) variants.push(portmapVariant(DEBIAN, 2, `${debian}/portmap`, config));
  return variants;
}

/** The pod that has a thousand ports, on the node of CROWDED. */
function crowdVariant({ weftPortmap }: CniBench): Variant {
  const ports = Array.from({ length: OTHERS }, (_, at) => 20_000 + at);
  return portmapVariant('a thousand mappings', 1, weftPortmap, portmapConfig(ports));
}

function portmapVariant(name: string, node: number, path: string, config: string): Variant {
  return variantOf(name, node, path, { cniPath: path.slice(0, path.lastIndexOf('/')), config });
}

/** portmap's configuration as a runtime sends it when flannel is the plugin before. */
function portmapConfig(ports: readonly number[]): string {
  const interfaces = [{ name: 'veth0' }, { name: 'eth0', sandbox: '/run/netns/pod' }];
  return JSON.stringify({
    cniVersion: '0.3.1',
    name: 'cbr0',
    type: 'portmap',
    runtimeConfig: {
      portMappings: ports.map((hostPort) => ({ hostPort, containerPort: 80, protocol: 'tcp' })),
    },
    prevResult: {
      cniVersion: '0.3.1',
      interfaces,
      ips: [{ version: '4', address: '10.88.0.2/24', gateway: '10.88.0.1', interface: 1 }],
    },
  });
}
