// The driver's samples as figures of the bench, and what the cluster is. Pure functions.

import { figure, ratioOfFigures, summaryTable } from '../figures.ts';
import type { Figure, PartResult } from '../result.ts';

export interface DriverResult {
  readonly samples: Readonly<Record<string, readonly (number | null)[]>>;
  /** How far the far node's clock is ahead of the near one's, and how large the error of that may be. */
  readonly clock?: { readonly aheadUs: number; readonly uncertainUs: number };
  readonly failures: readonly string[];
  readonly notes: readonly string[];
}

interface Known {
  readonly name: string;
  readonly unit: string;
  readonly better: Figure['better'];
  readonly role: Figure['role'];
}

const time = (name: string, role: Figure['role'] = 'weft'): Known => ({ name, unit: 'ms', better: 'lower', role });
const rate = (name: string, unit: string, role: Figure['role'] = 'weft'): Known => ({
  name,
  unit,
  better: 'higher',
  role,
});
const PATHS = [
  { key: 'pod-near', name: 'pod to pod on one node' },
  { key: 'pod-far', name: 'pod to pod across nodes' },
  { key: 'service', name: 'pod to Service, pod across nodes' },
  { key: 'host', name: 'node to node' },
] as const;

/** Every key that the driver may report, in the order of the report. The network of the nodes themselves is the reference. */
const KNOWN: Readonly<Record<string, Known>> = {
  firstPacketMs: time('pod created to its first packet on another node'),
  sandboxMs: time('sandbox with its ADD, as kubelet sees it'),
  oneWayMs: time('first packet, sent to delivered on another node'),
  upMs: time('pods at once, created to the last one’s first packet'),
  goneMs: time('pods at once, deleted to gone'),
  ...Object.fromEntries(
    PATHS.flatMap(({ key, name }) => {
      const role = key === 'host' ? 'reference' : 'weft';
      return [
        [`tcp/${key}`, rate(`TCP, 1 stream, ${name}`, 'Gbit/s', role)],
        [`udp/${key}`, rate(`UDP ping-pong, ${name}`, 'exchanges/s', role)],
      ];
    }),
  ),
};

/** The facts in the report's first sentence and table. */
const HEADLINE = ['firstPacketMs', 'tcp/pod-far', 'udp/pod-far', 'upMs'];

const UNITS = [
  { unit: 'ms', title: 'New pods' },
  { unit: 'Gbit/s', title: 'One stream of TCP' },
  { unit: 'exchanges/s', title: 'Ping-pong by UDP' },
];

export function describeCluster(result: DriverResult, about: Readonly<Record<string, unknown>>): PartResult {
  const figures = Object.entries(KNOWN).flatMap(([key, known]) => {
    const samples = result.samples[key];
    if (samples === undefined || samples.every((sample) => sample === null)) return [];
    return [
      figure(
        { key: `cluster/${key}`, ...known },
        samples.map((sample) => sample ?? Number.NaN),
      ),
    ];
  });
  const has = (key: string): boolean => figures.some((one) => one.key === `cluster/${key}`);
  const ratios = ['tcp', 'udp']
    .filter((kind) => has(`${kind}/pod-far`) && has(`${kind}/host`))
    .map((kind) => {
      const name = `${kind.toUpperCase()} across nodes, pod to pod against node to node`;
      return ratioOfFigures(name, figures, { of: `cluster/${kind}/pod-far`, against: `cluster/${kind}/host` });
    });
  return {
    figures,
    tables: UNITS.map(({ unit, title }) => ({ title, own: figures.filter((one) => one.unit === unit) }))
      .filter(({ own }) => own.length > 0)
      .map(({ title, own }) => summaryTable(title, own)),
    ratios,
    limits: [],
    failures: result.failures,
    notes: [...result.notes, ...clockNote(result)],
    plots: has('firstPacketMs')
      ? [
          {
            kind: 'distribution',
            title: 'From its creation to a pod’s first packet',
            figures: ['cluster/firstPacketMs'],
          },
        ]
      : [],
    headline: HEADLINE.filter(has).map((key) => ({ name: KNOWN[key]?.name ?? key, figure: `cluster/${key}` })),
    about,
  };
}

function clockNote({ clock, samples }: DriverResult): string[] {
  if (clock === undefined || samples['oneWayMs'] === undefined) return [];
  const ms = (us: number): string => (us / 1000).toFixed(3);
  return [
    `clocks compared before each pod: the far node's was ${ms(clock.aheadUs)} ms ahead at first, ± ${ms(clock.uncertainUs)} ms, by the quickest of 200 exchanges`,
  ];
}

interface DaemonSetLike {
  readonly metadata: { readonly namespace: string; readonly name: string };
  readonly spec: {
    readonly template: { readonly spec: { readonly containers: readonly { readonly image: string }[] } };
  };
}

/** DaemonSets that provide a pod network, by the names that their projects give them. */
const NETWORKS =
  /^(weft|kube-flannel-ds.*|calico-node|canal|cilium|antrea-agent|kindnet|kube-router|weave-net|aws-node|ovnkube-node|kilo)$/;

/** The cluster's pod network: `weft/weft (IMAGE)`. */
export function describeNetwork(daemonSets: readonly DaemonSetLike[]): string {
  const found = daemonSets.filter(({ metadata }) => NETWORKS.test(metadata.name));
  const texts = found.map(({ metadata, spec }) => {
    return `${metadata.namespace}/${metadata.name} (${spec.template.spec.containers.map(({ image }) => image).join(', ')})`;
  });
  return texts.length === 0 ? 'unknown' : texts.join('; ');
}
