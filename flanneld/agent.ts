// The agent's life from start to SIGTERM: the start order as one list, then two level-triggered loops (overlays and
// firewall, running.ts) until the signal. The data plane stays when the agent goes.

import { formatIp } from '../lib/ip.ts';
import { statPath } from '../lib/sys/file.ts';
import type { VxlanOverlay } from './backend/vxlan.ts';
import { CniFiles } from './cni-files.ts';
import { readConflist, setConflistAside } from './conflist.ts';
import { checkUnderlay } from './external-interface.ts';
import { NftablesFirewall } from './firewall/nftables.ts';
import { type HealthServer, serveHealth } from './health.ts';
import { LeaseView } from './lease-view.ts';
import type { Options } from './options.ts';
import { Readiness } from './readiness.ts';
import { checkBackend, chooseInterface, networksOf, registerVxlan } from './register.ts';
import { type Running, startLoops } from './running.ts';
import type { AgentTools } from './tools.ts';

/**
 * Runs until `signal` aborts, then resolves with everything stopped and the data plane in place. Rejects with the
 * ConfigError or OpError that says why the agent cannot start (or, later, why it lost the cluster state).
 */
export async function runAgent(options: Options, tools: AgentTools, signal: AbortSignal): Promise<void> {
  const readiness = new Readiness();
  const ending = new AbortController();
  const end = (): void => ending.abort();
  signal.addEventListener('abort', end, { once: true });
  let health: HealthServer | undefined;
  let loops: Running | undefined;
  try {
    health = await startHealth(options, readiness);
    const cniFiles = new CniFiles(prepareConflist(options, tools), options, tools);
    const config = await tools.manager.networkConfig(ending.signal);
    const conf = checkBackend(config, options, tools.log);
    const networks = networksOf(config);
    const external = chooseInterface(options.interface, networks, tools);
    checkUnderlay(external, [...networks.values()]);
    const leases = new LeaseView(tools.manager, ending.signal);
    const overlays = await registerVxlan(conf, networks, external, await leases.first(), tools, ending.signal);
    for (const overlay of overlays) overlay.ensureDevice();
    const firewall = firewallFor(overlays, options, tools);
    loops = startLoops({ overlays, firewall, leases, readiness, cniFiles, options, tools });
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
    await health?.close();
  }
}

async function startHealth(options: Options, readiness: Readiness): Promise<HealthServer | undefined> {
  if (options.healthzPort === 0) return undefined;
  return await serveHealth(formatIp(options.healthzIp), options.healthzPort, () => readiness.checks());
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

function firewallFor(overlays: readonly VxlanOverlay[], options: Options, tools: AgentTools): NftablesFirewall {
  const { ipMasq: masquerade, fullyRandom, forwardRules: forward } = options.firewall;
  const families = overlays.map(({ family, network, subnet }) => ({ family, network, subnet, masquerade, forward }));
  return new NftablesFirewall({ families, fullyRandom }, tools.nft, tools.log);
}
