// The command line of `kubectl weft`: commands, and flags in kubectl's style.

import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';

export const COMMANDS = ['status', 'doctor', 'connectivity', 'bundle', 'map', 'preflight', 'version'] as const;
export type PluginCommand = (typeof COMMANDS)[number];

export interface PluginOptions {
  readonly command: PluginCommand;
  readonly kubeconfigFile: string | undefined;
  readonly context: string | undefined;
  /** The namespace in which agents are searched for; undefined means all. */
  readonly namespace: string | undefined;
  readonly json: boolean;
  /** How many nodes are asked at once. */
  readonly parallel: number;
  /** Time limit for one node's answer. */
  readonly timeoutMs: number;
  /** The file to write; for map and bundle. */
  readonly output: string | undefined;
  /** The largest number of nodes; for connectivity and bundle. */
  readonly nodes: number;
  /** The parts to leave out; for connectivity. */
  readonly without: readonly string[];
  /** Weft's image; for preflight. */
  readonly image: string | undefined;
}

/** A wrong command line; exit code 2. */
export class PluginUsageError extends Error {
  override readonly name = 'PluginUsageError';
}

/** The user asked for help. */
export interface PluginHelp {
  readonly help: string;
}

/** Parts of the connectivity test that can be left out. */
const PARTS = ['pod', 'full-size', 'service', 'node', 'dns'] as const;

const SUMMARIES: Readonly<Record<PluginCommand, string>> = {
  status:
    'print a line for each node: version, ready, peers, guard, probes, drift; exit code 1 unless all nodes are ready',
  doctor: 'print what is wrong in the cluster, each cause once, with its fix; exit code 1 when there is an error',
  connectivity:
    'start test pods, test whether they reach each other, and remove them; exit code 1 when one does not reach another',
  bundle: 'write an archive for an issue report, without secrets, tokens or keys',
  map: 'write one HTML file with round trip and loss between all nodes, and what is wrong',
  preflight:
    'before Weft is installed: test with a pod on each node whether the node is fit for it; exit code 1 when one is not',
  version: 'print the version',
};

/** Reads argv without node and script. Throws PluginUsageError. */
export function parsePluginLine(argv: readonly string[]): PluginOptions | PluginHelp {
  let found: PluginOptions | undefined;
  let output = '';
  const program = newCommand('weft')
    .usage('COMMAND [flags]')
    .description('Shows and tests Weft on all nodes of a cluster.');
  program.configureOutput({ writeOut: (text) => (output += text), writeErr: () => undefined }).helpCommand(false);
  for (const name of COMMANDS) {
    const command = newCommand(name).summary(SUMMARIES[name]).description(`${SUMMARIES[name]}.`);
    command.configureOutput({ writeOut: (text) => (output += text), writeErr: () => undefined });
    for (const option of optionsOf(name)) command.addOption(option);
    command.action((values: Readonly<Record<string, unknown>>) => {
      found = readValues(name, values);
    });
    program.addCommand(command);
  }
  if (argv.length === 0) return { help: program.helpInformation() };
  try {
    program.parse(argv, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0 || output !== '') return { help: output };
    throw new PluginUsageError(error.message.replace(/^error: /, '').replace(/\s*\n\s*/g, ' '));
  }
  return found ?? { help: program.helpInformation() };
}

function newCommand(name: string): Command {
  return new Command(name)
    .helpOption('-h, --help', 'show this text')
    .exitOverride()
    .allowExcessArguments(false)
    .configureHelp({ helpWidth: 120 });
}

function optionsOf(command: PluginCommand): Option[] {
  if (command === 'version') return [];
  const common = [
    new Option('--kubeconfig <file>', 'kubeconfig file'),
    new Option('--context <name>', 'context in the kubeconfig file'),
    new Option('-n, --namespace <name>', 'namespace of the agents (default: all namespaces are searched)'),
    new Option('--parallel <count>', 'how many nodes are asked at the same time')
      .default(32)
      .argParser(integer(1, 512)),
    new Option('--timeout <seconds>', 'time limit for the answer of one node').default(30).argParser(integer(1, 600)),
  ];
  const json = new Option('--json', 'print JSON instead of text');
  const output = (what: string): Option => new Option('--output <file>', what);
  switch (command) {
    case 'map':
      return [...common, output('name of the HTML file').default('weft-map.html')];
    case 'bundle':
      return [
        ...common,
        output('name of the archive').default('weft-bundle.tar.gz'),
        new Option('--nodes <count>', 'how many nodes the archive has in detail, with kernel objects, rules and log')
          .default(10)
          .argParser(integer(0, 100)),
      ];
    case 'preflight':
      return [
        ...common,
        json,
        new Option('--image <name>', 'Weft’s image (default: that of the DaemonSet, where there is one)'),
      ];
    case 'connectivity':
      return [
        ...common,
        json,
        new Option('--nodes <count>', 'how many nodes take part').default(6).argParser(integer(1, 32)),
        new Option('--without <parts>', `which tests to leave out: ${PARTS.join(', ')}`).default([]).argParser(parts),
      ];
    default:
      return [...common, json];
  }
}

function readValues(command: PluginCommand, values: Readonly<Record<string, unknown>>): PluginOptions {
  const text = (key: string): string | undefined => (typeof values[key] === 'string' ? values[key] : undefined);
  const number = (key: string): number => (typeof values[key] === 'number' ? values[key] : 0);
  return {
    command,
    kubeconfigFile: text('kubeconfig'),
    context: text('context'),
    namespace: text('namespace'),
    json: values['json'] === true,
    parallel: number('parallel'),
    timeoutMs: number('timeout') * 1000,
    output: text('output'),
    nodes: number('nodes'),
    image: text('image'),
    without: Array.isArray(values['without']) ? (values['without'] as string[]) : [],
  };
}

function integer(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,6}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`expected ${min}–${max}`);
  };
}

function parts(text: string): string[] {
  const words = text.split(',');
  const wrong = words.find((word) => !(PARTS as readonly string[]).includes(word));
  if (wrong === undefined) return words;
  throw new InvalidArgumentError(`expected some of ${PARTS.join(', ')}`);
}
