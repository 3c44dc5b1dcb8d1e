// The agent's life from start to SIGTERM: the start order as one list, then two level-triggered loops (overlays and
// firewall, running.ts) until the signal. The data plane stays when the agent goes.

import { dirname } from 'node:path';
import { errorText } from '../lib/errors.ts';
import { formatIp } from '../lib/ip.ts';
import { statPath } from '../lib/sys/file.ts';
import { AgentView } from './agent-view.ts';
import type { Overlay } from './backend/overlay.ts';
import { backendFor } from './backend/registry.ts';
import { CniFiles } from './cni-files.ts';
import { readConflist, setConflistAside } from './conflist.ts';
import { checkUnderlay } from './external-interface.ts';
import { openFirewall } from './firewall/open.ts';
import { collectAtStart } from './gc/run.ts';
import { type HttpServer, serveHttp } from './health.ts';
import { LeaseView } from './lease-view.ts';
import type { Options } from './options.ts';
import { chooseInterface, networksOf, registerBackend, withNodeAddresses } from './register.ts';
import { type Running, startLoops } from './running.ts';
import { serveSocket, socketPathFor } from './status/socket.ts';
import type { AgentTools } from './tools.ts';

/**
 * Runs until `signal` aborts, then resolves with everything stopped and the data plane in place. Rejects with the
 * ConfigError or OpError that says why the agent cannot start (or, later, why it lost the cluster state).
 */
export async function runAgent(options: Options, tools: AgentTools, signal: AbortSignal): Promise<void> {
  const view = new AgentView(tools.nodeName);
  const { readiness, drift, meters } = view;
  const ending = new AbortController();
  const end = (): void => ending.abort();
  signal.addEventListener('abort', end, { once: true });
  const servers: HttpServer[] = [];
  let loops: Running | undefined;
  let overlays: readonly Overlay[] = [];
  try {
    await startServers(options, view, tools.log, servers);
    const cniFiles = new CniFiles(prepareConflist(options, tools), options, tools);
    await collectAtStart(options, tools, drift);
    const config = await tools.manager.networkConfig(ending.signal);
    const backend = backendFor(config.backend);
    const networks = networksOf(config);
    const wanted = await withNodeAddresses(options.interface, tools, ending.signal);
    const external = chooseInterface(wanted, networks, tools);
    checkUnderlay(external, [...networks.values()]);
    const leases = new LeaseView(tools.manager, ending.signal);
    overlays = await registerBackend(
      backend,
      networks,
      external,
      await leases.first(),
      { ...tools, drift, stateDir: dirname(options.subnetFile) },
      ending.signal,
    );
    view.show(backend.type, overlays);
    for (const overlay of overlays) overlay.ensureDevice();
    const firewall = openFirewall(config, overlays, options.firewall, { ...tools, drift });
    view.showFirewall(firewall);
    loops = startLoops({ overlays, firewall, leases, readiness, cniFiles, options, tools, drift, meters });
    await leases.ended;
    await loops.stop();
    tools.log.info({}, 'stopped, data plane left in place');
  } catch (error) {
    // Interrupted while starting is a clean stop, too.
    if (!signal.aborted) throw error;
  } finally {
    signal.removeEventListener('abort', end);
    ending.abort();
    await loops?.stop();
    await Promise.all(overlays.map((overlay) => overlay.close?.()));
    await Promise.all(servers.map((server) => server.close()));
  }
}

/** Opens what the agent answers on. Without the socket `flanneld status` does not work, all else does. */
async function startServers(options: Options, view: AgentView, log: AgentTools['log'], servers: HttpServer[]) {
  const { healthzIp, healthzPort, subnetFile } = options;
  if (healthzPort !== 0) {
    servers.push(await serveHttp({ address: formatIp(healthzIp), port: healthzPort }, view.publicPages()));
  }
  try {
    servers.push(await serveSocket(socketPathFor(subnetFile), view.socketPages()));
  } catch (error) {
    log.warn({ err: errorText(error) }, 'no status socket');
  }
}

/**
 * The conflist to install when ready; undefined when none was given. Without a subnet.env this is a fresh boot: no pod
 * of this boot exists yet, and none must start against a node that does not forward.
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
