// The agent's life from start to SIGTERM: the steps of the start in order, then two level-triggered loops (overlays and
// firewall, loops.ts) until the signal. The data plane stays in place when the agent ends.

import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { errorText } from '../../lib/errors.ts';
import { formatIp, parseIp } from '../../lib/ip.ts';
import { openNetfilter } from '../../lib/netfilter/netfilter-socket.ts';
import { statPath } from '../../lib/sys/file.ts';
import type { Overlay } from '../backend/overlay.ts';
import { chooseBackend } from '../backend/registry.ts';
import type { Options } from '../cli/options.ts';
import { CniFiles } from '../cni/cni-files.ts';
import { readConflist, setConflistAside } from '../cni/conflist.ts';
import { openFirewall } from '../firewall/choose-firewall.ts';
import type { Firewall } from '../firewall/firewall.ts';
import { type Actions, type HttpServer, serveHttp } from '../health/http-server.ts';
import { serveSocket, socketPathFor } from '../health/status/socket.ts';
import { storeChecks, waitingFor } from '../health/store-check.ts';
import type { StoreTrouble } from '../health/store-troubles.ts';
import { collectAtStart, podNetworkOf } from '../pods/gc/gc-command.ts';
import { LeaseView } from '../subnet/lease-view.ts';
import type { NodeAddresses } from '../subnet/manager.ts';
import { type Place, UnderlayFollower } from '../underlay/follower.ts';
import { ownAddressChecker, type Published } from '../underlay/own-address.ts';
import { AgentView } from './agent-view.ts';
import { startFastPath } from './keep-fast-path.ts';
import { startProbes } from './keep-probes.ts';
import { KeyRotation } from './key-rotation.ts';
import { type Running, startLoops } from './loops.ts';
import { checkSameSubnets, chooseInterface, networksOf, placesOf, registerBackend } from './take-lease.ts';
import { tellFindings } from './tell-findings.ts';
import type { AgentTools } from './tools.ts';

/**
 * Runs until `signal` aborts, then resolves with everything stopped and the data plane in place. Rejects with the
 * ConfigError or OpError that says why the agent cannot start (or, later, why it lost the cluster state).
 */
export async function runAgent(options: Options, tools: AgentTools, signal: AbortSignal): Promise<void> {
  const view = new AgentView(tools.nodeName);
  const ending = new AbortController();
  const end = (): void => ending.abort();
  signal.addEventListener('abort', end, { once: true });
  const servers: HttpServer[] = [];
  const rotation = new KeyRotation(tools.log);
  const troubles = (): readonly StoreTrouble[] => tools.manager.troubles?.() ?? [];
  view.readiness.startWaits(() => waitingFor(view.step, troubles()));
  view.readiness.show('store', () => storeChecks(troubles()));
  view.showStore(troubles);
  try {
    await startServers(options, view, rotation, tools.log, servers);
    const cniFiles = new CniFiles(prepareConflist(options, tools), options, { ...tools, drift: view.drift });
    await collectAtStart(options, tools, view.drift);
    tellFindings(() => view.findings(), tools, ending.signal);
    await runBackend(view, rotation, cniFiles, options, tools, ending.signal);
    tools.log.info({}, 'stopped, data plane left in place');
  } catch (error) {
    // A signal during the start makes a step fail; that is a clean stop, too.
    if (!signal.aborted) throw error;
  } finally {
    signal.removeEventListener('abort', end);
    ending.abort();
    await Promise.all(servers.map((server) => server.close()));
  }
}

/** The overlays, routes and loops at one place in the underlay. */
interface Forwarding {
  readonly overlays: readonly Overlay[];
  /** Idempotent. */
  end(): Promise<void>;
}

/**
 * Everything after the servers are open, until the signal. The loop registers a lease and runs the overlays, and does so again
 * whenever this node's interface or address in the underlay changes. The old overlays run until the new lease is written.
 */
async function runBackend(
  view: AgentView,
  rotation: KeyRotation,
  cniFiles: CniFiles,
  options: Options,
  tools: AgentTools,
  signal: AbortSignal,
): Promise<void> {
  view.step = 'the network configuration';
  const config = await tools.manager.networkConfig(signal);
  const chosen = chooseBackend(config);
  for (const warning of chosen.warnings)
    tools.log.warn({ warning }, 'network configuration has a key that is unknown or has no effect');
  const backend = chosen.make();
  const networks = networksOf(config);
  const choose = (addresses: NodeAddresses): Place => {
    const external = chooseInterface(options.interface, addresses, networks, tools.netlink);
    backend.checkPlaces?.(placesOf(external, networks));
    return { external, addresses };
  };
  view.step = 'what the cluster state says of this node';
  let place: Place | undefined = choose((await tools.manager.nodeAddresses?.(signal)) ?? {});
  view.step = 'the leases of the cluster';
  const leases = new LeaseView(tools.manager, signal);
  await leases.first();
  view.showLeases(() => leases.latest);
  const follower = new UnderlayFollower(place, choose, () => leases.latest.nodeAddresses, view.readiness, tools);
  const { readiness, drift, meters } = view;
  const parts = { leases, readiness, cniFiles, options, tools, drift, meters, follower };
  const backendTools = { ...tools, drift, stateDir: dirname(options.subnetFile) };
  view.step = 'the lease of this node';
  const bridge = podNetworkOf(tools.sys, options).bridge;
  const netfilter = openNetfilter(tools.sys);
  let firewall: Firewall | undefined;
  let forwarding: Forwarding | undefined;
  try {
    while (place !== undefined) {
      const { external } = place;
      if (backend.endsFirst) await forwarding?.end();
      const overlays = await registerBackend(backend, networks, external, leases.latest, backendTools, signal);
      checkSameSubnets(forwarding?.overlays ?? overlays, overlays);
      // If the device cannot be made, a starting agent ends with the reason; a running one retries in its loop.
      if (forwarding === undefined) for (const overlay of overlays) overlay.ensureDevice();
      await forwarding?.end();
      view.show(backend.type, overlays);
      const ownAddress = ownAddressChecker(tools.nodeName, publishedBy(overlays));
      readiness.show('own address', () => ownAddress(leases.latest));
      firewall ??= openFirewall(config, overlays, options.firewall, {
        ...tools,
        drift,
        netfilter,
        leases: () => leases.latest.leases,
        bridge,
      });
      view.showFirewall(firewall);
      const fastPath = startFastPath({ overlays, options, tools, drift, netfilter: netfilter.netlink });
      view.showFastPath(fastPath);
      const loops = startLoops({ ...parts, overlays, firewall, fastPath });
      const prober = startProbes({ overlays, leases, options, tools, meter: view.probeMeter });
      view.showProbes(prober);
      forwarding = forwardingOf(
        overlays,
        [loops, prober, fastPath].filter((running) => running !== undefined),
      );
      const here: Place = place;
      const rotated = rotation.next(backend.rotateKey?.bind(backend, backendTools)).then((): Place => here);
      place = await Promise.race([leases.ended.then(() => undefined), follower.next(), rotated]);
    }
  } finally {
    await follower.stop();
    await forwarding?.end();
    netfilter.close();
  }
}

function publishedBy(overlays: readonly Overlay[]): Published[] {
  return overlays.map((overlay) => {
    const { family, subnet } = overlay;
    return { family, subnet, publicIp: parseIp(overlay.status().publicIp) };
  });
}

function forwardingOf(overlays: readonly Overlay[], loops: readonly Running[]): Forwarding {
  let ended: Promise<void> | undefined;
  const end = async (): Promise<void> => {
    await Promise.all(loops.map((loop) => loop.stop()));
    await Promise.all(overlays.map((overlay) => overlay.close?.()));
  };
  return {
    overlays,
    end: () => {
      ended ??= end();
      return ended;
    },
  };
}

/** The actions that sub-commands may request. `flanneld cleanup --force` in a container of its own cannot send the signal itself. */
function actions(rotation: KeyRotation): Actions {
  return new Map([
    ['/stop', () => void process.kill(process.pid, 'SIGTERM')],
    ['/rotate-key', () => rotation.ask()],
  ]);
}

/** Opens the health port and the status socket. Without the socket only `flanneld status` does not work, so that is a warning. */
async function startServers(
  options: Options,
  view: AgentView,
  rotation: KeyRotation,
  log: AgentTools['log'],
  servers: HttpServer[],
): Promise<void> {
  const { healthzIp, healthzPort, metricsIp, metricsPort, subnetFile } = options;
  if (healthzPort !== 0) {
    servers.push(await serveHttp({ address: formatIp(healthzIp), port: healthzPort }, view.publicPages()));
  }
  if (metricsPort !== 0) {
    servers.push(await serveHttp({ address: formatIp(metricsIp), port: metricsPort }, view.metricsPages()));
  }
  const isStale = existsSync(socketPathFor(subnetFile));
  try {
    servers.push(await serveSocket(socketPathFor(subnetFile), view.socketPages(), actions(rotation)));
    // An agent that the kernel ended because its event loop hung could not log that itself.
    if (isStale)
      log.info(
        {},
        'the earlier agent did not stop by itself: it was killed, or its last log line and exit code say why',
      );
  } catch (error) {
    log.warn({ err: errorText(error) }, 'status socket could not be opened');
  }
}

/**
 * Returns the conflist to install when ready; undefined when none was given. A missing subnet.env means that the node has
 * just booted. No pod runs yet, and none may start before the node forwards, so an old conflist is set aside.
 */
function prepareConflist({ cniConf, cniConfDir, subnetFile }: Options, { sys, log }: AgentTools): string | undefined {
  if (cniConf === undefined) return undefined;
  const text = readConflist(sys, cniConf);
  if (statPath(sys, subnetFile) === undefined) {
    const aside = setConflistAside(sys, cniConfDir);
    if (aside !== undefined) log.info({ file: aside }, 'conflist set aside until the node forwards');
  }
  return text;
}
