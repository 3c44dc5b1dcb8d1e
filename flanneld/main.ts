// flanneld: reads the command line, opens what the agent works with, and turns every end into an honest exit code:
// 0 clean stop, 1 configuration or start-up failure, 2 a command line that is wrong.

import './agent/engine.ts';
import { randomBytes } from 'node:crypto';
import { realpathSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { systemClock } from '../lib/clock-node.ts';
import { errorText } from '../lib/errors.ts';
import type { Ip } from '../lib/ip.ts';
import { openNetlink } from '../lib/netlink/connection.ts';
import { openKoffiSyscalls } from '../lib/sys/koffi.ts';
import { version } from '../lib/version.ts';
import { sdNotify } from './agent/sd-notify.ts';
import { runAgent } from './agent/start.ts';
import { type CommandLine, parseCommandLine } from './cli/flags.ts';
import { UsageError } from './cli/go-flags.ts';
import type { Options } from './cli/options.ts';
import { CONFLIST_NAME, withdrawConflist } from './cni/conflist.ts';
import { iptablesFinder } from './firewall/iptables-programs.ts';
import { nftProgram } from './firewall/nft-program.ts';
import { createLogger, stderrSink } from './health/log.ts';
import { fetchStatus } from './health/status/client.ts';
import { statusText } from './health/status/text.ts';
import { cleanUp } from './pods/cleanup/cleanup.ts';
import { gcCommand } from './pods/gc/gc-command.ts';
import { leaseFileName } from './subnet/lease-dir.ts';
import { openManager } from './subnet/open-manager.ts';
import { isBroadcastHere } from './underlay/own-address.ts';

/** Two watches sit in a thread of libuv's pool each; what reads files must not wait for them. */
process.env['UV_THREADPOOL_SIZE'] ??= '8';

const EXIT_FAILURE = 1;
const EXIT_USAGE = 2;

async function main(): Promise<number> {
  let line: ReturnType<typeof parseCommandLine>;
  try {
    line = parseCommandLine(process.argv.slice(2), process.env);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`flanneld: ${error.message}\n`);
    return EXIT_USAGE;
  }
  switch (line.command) {
    case 'help':
      process.stdout.write(line.text);
      return 0;
    case 'version':
      process.stdout.write(`weft flanneld ${version}\n`);
      return 0;
    case 'withdraw':
      return withdraw(line.options);
    case 'cleanup':
      return await cleanup(line.options);
    case 'gc':
      return await gc(line.options);
    case 'status':
      return await status(line.options);
    case 'run':
      return await run(line);
  }
}

function withdraw({ cniConfDir }: Options): number {
  try {
    const removed = withdrawConflist(openKoffiSyscalls(), cniConfDir);
    for (const path of removed) process.stdout.write(`removed ${path}\n`);
    if (removed.length === 0) process.stdout.write(`no ${CONFLIST_NAME} in ${cniConfDir}\n`);
    return 0;
  } catch (error) {
    process.stderr.write(`flanneld: ${errorText(error)}\n`);
    return EXIT_FAILURE;
  }
}

/** Exit code 0 when the agent answers and its node forwards. */
async function status({ subnetFile, json }: Options): Promise<number> {
  try {
    const report = await fetchStatus(subnetFile);
    process.stdout.write(json ? `${JSON.stringify(report, null, 2)}\n` : statusText(report));
    return report.ready ? 0 : EXIT_FAILURE;
  } catch (error) {
    process.stderr.write(`flanneld: ${errorText(error)}\n`);
    return EXIT_FAILURE;
  }
}

async function gc(options: Options): Promise<number> {
  try {
    await gcCommand(options, options, (text) => process.stdout.write(text));
    return 0;
  } catch (error) {
    process.stderr.write(`flanneld: ${errorText(error)}\n`);
    return EXIT_FAILURE;
  }
}

async function cleanup({ cniConfDir, cniBinDir, cniStateDir, subnetFile, store, nodeName }: Options): Promise<number> {
  const sys = openKoffiSyscalls();
  const lease = leaseFileName(nodeName ?? hostname());
  const scope = {
    cniConfDir,
    cniBinDir: cniBinDir ?? '/opt/cni/bin',
    subnetFile,
    leaseFile: store.kind === 'directory' ? join(store.subnetDir, lease) : undefined,
    cniStateDir,
  };
  const write = (line: string): void => {
    process.stdout.write(`${line}\n`);
  };
  const findIptables = iptablesFinder(process.env['PATH'] ?? '');
  const tools = { sys, netlink: openNetlink(sys), nft: nftProgram(), findIptables };
  return (await cleanUp(scope, tools, write)) ? 0 : EXIT_FAILURE;
}

async function run({ options, warnings }: CommandLine): Promise<number> {
  const log = createLogger(options.logLevel, stderrSink());
  for (const warning of warnings) log.warn({}, warning);
  const stopping = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    // Once: a second one ends the process as it would any other.
    process.once(name, () => {
      log.info({ signal: name }, 'stopping');
      stopping.abort();
    });
  }
  try {
    const sys = openKoffiSyscalls();
    log.info({ version, node: options.nodeName ?? hostname() }, 'starting');
    const netlink = openNetlink(sys);
    const isBroadcast = (ip: Ip): boolean => isBroadcastHere(netlink, ip);
    const manager = await openManager(options, { sys, log, env: process.env, isBroadcast });
    const notifySocket = process.env['NOTIFY_SOCKET'] ?? '';
    await runAgent(
      options,
      {
        sys,
        netlink,
        manager,
        nft: nftProgram(),
        path: process.env['PATH'] ?? '',
        env: process.env,
        log,
        clock: systemClock,
        nodeName: options.nodeName ?? hostname(),
        notifyReady: () => {
          manager.announceReady?.();
          if (notifySocket !== '') sdNotify(sys, notifySocket, 'READY=1');
        },
        cniExecutable: join(dirname(realpathSync(process.argv[1] ?? '.')), 'cni/flannel'),
        randomMac: () => randomBytes(6),
      },
      stopping.signal,
    );
    return 0;
  } catch (error) {
    log.error({ err: error }, 'cannot run');
    return EXIT_FAILURE;
  }
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`flanneld: ${error instanceof Error ? error.stack : String(error)}\n`);
    process.exit(EXIT_FAILURE);
  },
);
