// flanneld: reads the command line, opens what the agent needs, and returns an exit code that tells the truth: 0 clean stop, 1
// configuration or start-up failure, 2 a wrong command line.

import { randomBytes } from 'node:crypto';
import { realpathSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { systemClock } from '../lib/clock-node.ts';
import { errorText } from '../lib/errors.ts';
import type { Ip } from '../lib/ip.ts';
import { openNetlink } from '../lib/netlink/connection.ts';
import { printable, printableJson } from '../lib/printable.ts';
import { openKoffiSyscalls } from '../lib/sys/koffi.ts';
import type { Syscalls } from '../lib/sys/syscalls.ts';
import { version } from '../lib/version.ts';
import { checkPaths } from './agent/check-paths.ts';
import { endOnFault, endProcess, stopOnSignal } from './agent/ending.ts';
import { sdNotify } from './agent/sd-notify.ts';
import { runAgent } from './agent/start.ts';
import { startWatchdog } from './agent/watchdog.ts';
import { type CommandLine, parseCommandLine } from './cli/flags.ts';
import { UsageError } from './cli/go-flags.ts';
import type { Options } from './cli/options.ts';
import { setTimeFactor, stretched, TIME_FACTOR } from './cli/time-factor.ts';
import { CONFLIST_NAME, withdrawConflist } from './cni/conflist.ts';
import { loadFastPath } from './fastpath/load.ts';
import { iptablesFinder } from './firewall/iptables-programs.ts';
import { nftProgram } from './firewall/nft-program.ts';
import { createLogger } from './health/log.ts';
import { stderrSink } from './health/log-sink.ts';
import { fetchStatus, TIMEOUT_MS } from './health/status/client.ts';
import { rotateKey } from './health/status/rotate-key.ts';
import { statusText } from './health/status/status-text.ts';
import { cleanUp } from './pods/cleanup/cleanup.ts';
import { expectNoAgent, makeWay } from './pods/cleanup/live-agent.ts';
import { gcCommand } from './pods/gc/gc-command.ts';
import { leaseFileName } from './subnet/lease-dir.ts';
import { openManager } from './subnet/open-manager.ts';
import { isBroadcastHere } from './underlay/own-address.ts';

/** Each of the two netlink watches occupies one thread of libuv's pool; with the usual four, file reads would wait for the others. */
process.env['UV_THREADPOOL_SIZE'] ??= '8';

const EXIT_FAILURE = 1;
const EXIT_USAGE = 2;

async function main(): Promise<number> {
  // Files made here must not be writable for group and others, whatever the caller's umask was.
  process.umask(process.umask() | 0o022);
  setTimeFactor(process.env[TIME_FACTOR]);
  let line: ReturnType<typeof parseCommandLine>;
  try {
    line = parseCommandLine(process.argv.slice(2), process.env);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    complain(error);
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
    case 'doctor':
      return await examine(line.options);
    case 'doctor path':
      return await followPath(line);
    case 'preflight':
      return await checkBefore(line);
    case 'snapshot':
      return await describeNode(line.options);
    case 'rotate-key':
      return await renewKey(line.options);
    case 'load-fast-path':
      return loadPrograms();
    case 'run':
      return await run(line);
  }
}

/** Prints one line; control characters in it (names come from outside) are made harmless. */
function say(line: string): void {
  process.stdout.write(`${printable(line)}\n`);
}

function complain(error: unknown): void {
  process.stderr.write(`flanneld: ${printable(errorText(error))}\n`);
}

function withdraw({ cniConfDir }: Options): number {
  try {
    const removed = withdrawConflist(openKoffiSyscalls(), cniConfDir);
    for (const path of removed) say(`removed ${path}`);
    if (removed.length === 0) say(`no ${CONFLIST_NAME} in ${cniConfDir}`);
    return 0;
  } catch (error) {
    complain(error);
    return EXIT_FAILURE;
  }
}

/** Exit code 0 when the agent answers and its node forwards. */
async function status({ subnetFile, json }: Options): Promise<number> {
  try {
    const report = await fetchStatus(subnetFile, stretched(TIMEOUT_MS));
    process.stdout.write(json ? `${printableJson(JSON.stringify(report, null, 2))}\n` : statusText(report));
    return report.ready ? 0 : EXIT_FAILURE;
  } catch (error) {
    complain(error);
    return EXIT_FAILURE;
  }
}

/** Exit code 0 when the agent uses a new key. */
async function renewKey({ subnetFile }: Options): Promise<number> {
  try {
    say(await rotateKey(subnetFile, stretched));
    return 0;
  } catch (error) {
    complain(error);
    return EXIT_FAILURE;
  }
}

/** Exit code 0 when nothing is wrong, 1 with a finding of severity error, 2 when nothing could be examined. */
async function examine(options: Options): Promise<number> {
  try {
    // Only the doctor needs this code, and the agent should not pay for it with memory.
    const { doctor } = await import('./doctor/doctor.ts');
    return await doctor(options, process.argv.slice(2), process.env, (text) => process.stdout.write(text));
  } catch (error) {
    complain(error);
    return EXIT_USAGE;
  }
}

async function describeNode(options: Options): Promise<number> {
  try {
    const { snapshot } = await import('./doctor/snapshot/snapshot.ts');
    return await snapshot(options, (text) => process.stdout.write(text));
  } catch (error) {
    complain(error);
    return EXIT_USAGE;
  }
}

/** Exit code 0 when the packet passes this node, 1 when it does not, 2 when the kernel could not be asked. */
async function followPath({ words, options }: CommandLine): Promise<number> {
  try {
    const { doctorPath } = await import('./doctor/path/path-command.ts');
    const asked = { words, argv: process.argv.slice(2), env: process.env };
    return await doctorPath(asked, options, (text) => process.stdout.write(text));
  } catch (error) {
    complain(error);
    return EXIT_USAGE;
  }
}

/** Exit code 0 when nothing prevents Weft's installation, 1 when something does, 2 when nothing could be examined. */
async function checkBefore({ words, options }: CommandLine): Promise<number> {
  try {
    const { preflight } = await import('./doctor/preflight/preflight.ts');
    return await preflight(words, options, process.env, (text) => process.stdout.write(text));
  } catch (error) {
    complain(error);
    return EXIT_USAGE;
  }
}

function loadPrograms(): number {
  say(loadFastPath(openKoffiSyscalls()));
  return 0;
}

async function gc(options: Options): Promise<number> {
  try {
    await gcCommand(options, options, (text) => process.stdout.write(text));
    return 0;
  } catch (error) {
    complain(error);
    return EXIT_FAILURE;
  }
}

async function cleanup(options: Options): Promise<number> {
  const { subnetFile, force } = options;
  try {
    const sys = openKoffiSyscalls();
    await makeWay(sys, subnetFile, force, say);
    const isClean = await cleanNode(sys, options);
    expectNoAgent(sys, subnetFile);
    return isClean ? 0 : EXIT_FAILURE;
  } catch (error) {
    complain(error);
    return EXIT_FAILURE;
  }
}

async function cleanNode(sys: Syscalls, options: Options): Promise<boolean> {
  const { cniConfDir, cniBinDir, cniStateDir, subnetFile, store, nodeName } = options;
  const lease = leaseFileName(nodeName ?? hostname());
  const scope = {
    cniConfDir,
    cniBinDir: cniBinDir ?? '/opt/cni/bin',
    subnetFile,
    leaseFile: store.kind === 'directory' ? join(store.subnetDir, lease) : undefined,
    cniStateDir,
  };
  const findIptables = iptablesFinder(process.env['PATH'] ?? '');
  const tools = { sys, netlink: openNetlink(sys), nft: nftProgram(), findIptables };
  return await cleanUp(scope, tools, say);
}

/** The folder of the installed program, where its other files are. */
function programFolder(): string {
  return dirname(realpathSync(process.argv[1] ?? '.'));
}

/** Never returns: it ends the process itself, because the watches in libuv's threads would keep it alive. */
async function run({ options, warnings }: CommandLine): Promise<never> {
  const sys = openKoffiSyscalls();
  const log = createLogger(options.logLevel, stderrSink(sys));
  endOnFault(sys, log);
  for (const warning of warnings) log.warn({}, warning);
  const stopping = new AbortController();
  const notifySocket = process.env['NOTIFY_SOCKET'] ?? '';
  const notify = notifySocket === '' ? undefined : (state: string) => sdNotify(sys, notifySocket, state);
  try {
    stopOnSignal(sys, (signal) => {
      log.info({ signal }, 'stopping');
      watchdog.stopping(() => {
        log.error({}, 'not stopped in time and therefore ended; data plane left in place');
        endProcess(sys, EXIT_FAILURE);
      });
      stopping.abort();
    });
    const watchdog = startWatchdog({ library: join(programFolder(), 'deadline.so'), env: process.env, notify });
    log.info({ version, node: options.nodeName ?? hostname() }, 'starting');
    checkPaths(options);
    const netlink = openNetlink(sys);
    const isBroadcast = (ip: Ip): boolean => isBroadcastHere(netlink, ip);
    const manager = await openManager(options, { sys, log, env: process.env, isBroadcast });
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
          notify?.('READY=1');
        },
        cniExecutable: join(programFolder(), 'cni/flannel'),
        randomMac: () => randomBytes(6),
      },
      stopping.signal,
    );
  } catch (error) {
    log.error({ err: error }, 'cannot run');
    endProcess(sys, EXIT_FAILURE);
  }
  endProcess(sys, 0);
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`flanneld: ${error instanceof Error ? error.stack : String(error)}\n`);
    process.exit(EXIT_FAILURE);
  },
);
