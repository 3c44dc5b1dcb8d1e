// flanneld: reads the command line, opens what the agent works with, and turns every end into an honest exit code:
// 0 clean stop, 1 configuration or start-up failure, 2 a command line that is wrong.

import { randomBytes } from 'node:crypto';
import { mkdirSync, realpathSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { errorText, OpError } from '../lib/errors.ts';
import { networkOf } from '../lib/ip.ts';
import { openNetlink } from '../lib/netlink/connection.ts';
import { parseSubnetEnv } from '../lib/subnet-env.ts';
import { readTextIfPresent } from '../lib/sys/file.ts';
import { openKoffiSyscalls } from '../lib/sys/koffi.ts';
import type { Syscalls } from '../lib/sys/syscalls.ts';
import { runAgent } from './agent.ts';
import { cleanUp } from './cleanup/cleanup.ts';
import { CONFLIST_NAME, withdrawConflist } from './conflist.ts';
import { systemClock } from './dataplane/clock.ts';
import { nftProgram } from './firewall/nftables.ts';
import { type CommandLine, parseCommandLine } from './flags.ts';
import { UsageError } from './go-flags.ts';
import { createLogger, type Logger, stderrSink } from './log.ts';
import { isNodeName } from './node-name.ts';
import type { Options } from './options.ts';
import { sdNotify } from './sd-notify.ts';
import { fetchStatus } from './status/client.ts';
import { statusText } from './status/text.ts';
import { createDirectoryManager, type DirectoryOptions } from './subnet/directory.ts';
import { leaseFileName } from './subnet/lease-dir.ts';
import type { SubnetManager } from './subnet/manager.ts';
import { version } from './version.ts';

/** Two watches sit in a thread of libuv's pool each; what reads files must not wait for them. */
process.env['UV_THREADPOOL_SIZE'] ??= '8';

const EXIT_FAILURE = 1;
const EXIT_USAGE = 2;
/** The directory store is also read without any event. */
const DIRECTORY_PERIOD_MS = 30_000;

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

async function cleanup({ cniConfDir, cniBinDir, subnetFile, store, nodeName }: Options): Promise<number> {
  const sys = openKoffiSyscalls();
  const lease = leaseFileName(nodeName ?? hostname());
  const scope = {
    cniConfDir,
    cniBinDir: cniBinDir ?? '/opt/cni/bin',
    subnetFile,
    leaseFile: store.kind === 'directory' ? join(store.subnetDir, lease) : undefined,
    cniStateDir: '/var/lib/cni',
  };
  const write = (line: string): void => {
    process.stdout.write(`${line}\n`);
  };
  return (await cleanUp(scope, { sys, netlink: openNetlink(sys), nft: nftProgram() }, write)) ? 0 : EXIT_FAILURE;
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
    const notifySocket = process.env['NOTIFY_SOCKET'] ?? '';
    await runAgent(
      options,
      {
        sys,
        netlink: openNetlink(sys),
        manager: openManager(options, sys, log),
        nft: nftProgram(),
        log,
        clock: systemClock,
        nodeName: options.nodeName ?? hostname(),
        notifyReady: () => (notifySocket === '' ? undefined : sdNotify(sys, notifySocket, 'READY=1')),
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

function openManager(options: Options, sys: Syscalls, log: Logger): SubnetManager {
  const { store, netConfigPath, subnetFile } = options;
  const nodeName = options.nodeName ?? hostname();
  if (store.kind !== 'directory') throw new Error(`the ${store.kind} store passed the command line`);
  if (!isNodeName(nodeName)) {
    const detail = 'the host name is no node name, set --node-name';
    throw new OpError({ subsystem: 'leases', op: 'name', object: JSON.stringify(nodeName), code: 'invalid', detail });
  }
  const dir = store.subnetDir;
  try {
    mkdirSync(dir, { recursive: true });
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'error';
    throw new OpError({ subsystem: 'leases', op: 'make directory', object: dir, code, cause: error });
  }
  const previous = previousSubnets(sys, subnetFile, log);
  const { random } = Math;
  return createDirectoryManager({ dir, nodeName, netConfigPath, previous, log, random, periodMs: DIRECTORY_PERIOD_MS });
}

/** The subnets in the subnet.env of an earlier run; none when there is none or it cannot be read. */
function previousSubnets(sys: Syscalls, file: string, log: Logger): DirectoryOptions['previous'] {
  try {
    const text = readTextIfPresent(sys, file, 64 * 1024);
    if (text === undefined) return {};
    const { subnet, ipv6Subnet } = parseSubnetEnv(text, file);
    // The file has the gateway's address; a lease is a network.
    return { subnet: subnet && networkOf(subnet), ipv6Subnet: ipv6Subnet && networkOf(ipv6Subnet) };
  } catch (error) {
    log.warn({ file, err: errorText(error) }, 'earlier subnet.env ignored');
    return {};
  }
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`flanneld: ${error instanceof Error ? error.stack : String(error)}\n`);
    process.exit(EXIT_FAILURE);
  },
);
