// kubectl-weft: the kubectl plugin for a whole cluster. It needs nothing in the cluster except Weft's own pods, in which it executes
// flanneld. Exit codes: 0 all is well, 1 a problem was found, 2 nothing could be examined or the command line is wrong.

import { setMaxListeners } from 'node:events';
import { errorText } from '../../lib/errors.ts';
import { printable } from '../../lib/printable.ts';
import { version } from '../../lib/version.ts';
import { makeProgress } from './ask/bounded.ts';
import { ClusterApi } from './ask/cluster-api.ts';
import { openKubeconfig } from './ask/kubeconfig.ts';
import { bundleCommand } from './bundle/bundle.ts';
import { doctorCommand, statusCommand } from './commands.ts';
import { connectivityCommand } from './connectivity/connectivity.ts';
import { mapCommand } from './map/map-command.ts';
import { type PluginCommand, type PluginOptions, PluginUsageError, parsePluginLine } from './plugin-options.ts';
import { preflightCommandOfAll } from './preflight/preflight-command.ts';
import type { Surroundings } from './surroundings.ts';

const EXIT_COULD_NOT = 2;
/** The exit code of a program that SIGINT ended, as in a shell. */
const EXIT_INTERRUPTED = 130;

const RUNS = {
  status: statusCommand,
  doctor: doctorCommand,
  connectivity: connectivityCommand,
  bundle: bundleCommand,
  map: mapCommand,
  preflight: preflightCommandOfAll,
} satisfies Readonly<Record<Exclude<PluginCommand, 'version'>, (around: Surroundings) => Promise<number>>>;

async function main(): Promise<number> {
  try {
    const line = parsePluginLine(process.argv.slice(2));
    if ('help' in line) {
      process.stdout.write(line.help);
      return 0;
    }
    if (line.command === 'version') {
      process.stdout.write(`weft kubectl-weft ${version}\n`);
      return 0;
    }
    return await run(line.command, line);
  } catch (error) {
    complain(error);
    return EXIT_COULD_NOT;
  }
}

async function run(command: keyof typeof RUNS, options: PluginOptions): Promise<number> {
  const interrupted = new AbortController();
  // Each request to a node adds a listener; Node would warn about more than ten.
  setMaxListeners(0, interrupted.signal);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      // Whatever was made is removed first. A second signal ends the program without waiting for that.
      if (interrupted.signal.aborted) process.exit(EXIT_INTERRUPTED);
      interrupted.abort();
    });
  }
  const { stderr } = process;
  const write = (text: string): void => void stderr.write(text);
  const around: Surroundings = {
    options,
    api: new ClusterApi(openKubeconfig(options), options.timeoutMs),
    progress: makeProgress({ write, isTerminal: stderr.isTTY, nowMs: Date.now }),
    signal: interrupted.signal,
    print: (text) => void process.stdout.write(text),
    say: (line) => write(`${printable(line)}\n`),
  };
  try {
    return await RUNS[command](around);
  } catch (error) {
    if (!interrupted.signal.aborted) throw error;
    around.say('kubectl-weft: interrupted');
    return EXIT_INTERRUPTED;
  }
}

function complain(error: unknown): void {
  const hint = error instanceof PluginUsageError ? '; kubectl weft --help lists commands and flags' : '';
  process.stderr.write(`kubectl-weft: ${printable(errorText(error))}${hint}\n`);
}

// Not process.exit: it would cut off output that a pipe has not taken yet.
main().then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    process.stderr.write(`kubectl-weft: ${error instanceof Error ? error.stack : String(error)}\n`);
    process.exitCode = EXIT_COULD_NOT;
  },
);
