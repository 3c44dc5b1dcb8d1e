// The extension backend: the administrator's commands set up the way to other nodes (flannel pkg/backend/extension). They run
// without a shell. Differs from flannel: a failed command is retried and shown, a peer that left while the agent was down
// is removed, and there is a command for the end of the agent.

import type { CommandLine } from '../../../lib/command-line.ts';
import { errorText } from '../../../lib/errors.ts';
import { formatIp, formatPrefix } from '../../../lib/ip.ts';
import { wanted } from '../../dataplane/objects/kind.ts';
import { bareOverlay } from '../alloc.ts';
import type { AnyOverlaySpec, Backend, BackendTools, BackendType, FamilySettings, OverlaySpec } from '../backend.ts';
import { planOnce } from '../plan-once.ts';
import { type ExtensionConf, extensionKeys, readExtensionKeys } from './extension-keys.ts';
import { ExtensionPeers, extensionPlan, type KeyedPeer, runCommand } from './extension-peers.ts';
import { EXTENSION_STATE_FILE } from './extension-state.ts';

const TYPE = 'extension';
/** Time limit for the ShutdownCommand. */
const SHUTDOWN_MS = 10_000;

export const extension: BackendType<ExtensionConf> = {
  type: TYPE,
  keys: extensionKeys,
  readKeys: readExtensionKeys,
  make: extensionBackend,
  stateFiles: [EXTENSION_STATE_FILE],
};

function extensionBackend(conf: ExtensionConf): Backend {
  return {
    type: TYPE,
    // When the underlay address changes, the same commands run as for a stop and a start.
    endsFirst: true,
    async advertise({ places, tools: { env }, signal }) {
      if (conf.preStartup === undefined) return { backendType: TYPE };
      const data = await runCommand(conf.preStartup, {}, '', { env, signal });
      const has = (wanted: 4 | 6): boolean => places.some(({ family }) => family === wanted);
      return { backendType: TYPE, ...(has(4) && { backendData: data }), ...(has(6) && { backendV6Data: data }) };
    },
    // One command handles all families, so only the overlay of the first family runs commands.
    overlays: ({ tools }, families) =>
      families.map((settings, at): AnyOverlaySpec => {
        const bare = bareOverlay(TYPE, settings);
        return at === 0 ? extensionOverlay(conf, bare, families, tools) : bare;
      }),
  };
}

function extensionOverlay(
  conf: ExtensionConf,
  bare: AnyOverlaySpec,
  families: readonly FamilySettings[],
  tools: BackendTools,
): OverlaySpec<KeyedPeer> {
  const peers = new ExtensionPeers(conf, tools);
  const node = new OwnCommands(conf, families, tools);
  const planner = planOnce((snapshot) => extensionPlan(snapshot, families));
  return {
    ...bare,
    name: TYPE,
    check: 'extension and its peers',
    kinds: [peers],
    objects: (peer) => [wanted(peers, peer)],
    async plan(snapshot) {
      await node.start();
      return planner(snapshot);
    },
    async close() {
      node.abort();
      await peers.close();
      await node.stop();
    },
  };
}

/** The commands that concern this node itself. */
class OwnCommands {
  readonly #conf: Pick<ExtensionConf, 'postStartup' | 'shutdown'>;
  readonly #families: readonly FamilySettings[];
  readonly #tools: BackendTools;
  readonly #ending = new AbortController();
  #started = false;

  constructor(conf: ExtensionConf, families: readonly FamilySettings[], tools: BackendTools) {
    this.#conf = conf;
    this.#families = families;
    this.#tools = tools;
  }

  /** Runs the PostStartupCommand until it has succeeded once; rejects when it fails. */
  async start(): Promise<void> {
    if (this.#started) return;
    await this.#run('PostStartupCommand', this.#conf.postStartup, this.#ending.signal);
    this.#started = true;
  }

  abort(): void {
    this.#ending.abort();
  }

  async stop(): Promise<void> {
    if (!this.#started) return;
    try {
      await this.#run('ShutdownCommand', this.#conf.shutdown, AbortSignal.timeout(SHUTDOWN_MS));
    } catch (error) {
      this.#tools.log.error({ err: errorText(error) }, 'ShutdownCommand failed');
    }
  }

  async #run(name: string, command: CommandLine | undefined, signal: AbortSignal): Promise<void> {
    if (command === undefined) return;
    const of = (family: 4 | 6): FamilySettings | undefined => this.#families.find((one) => one.family === family);
    const [v4, v6] = [of(4), of(6)];
    const variables = {
      NETWORK: v4 === undefined ? '' : formatPrefix(v4.network),
      SUBNET: v4 === undefined ? '' : formatPrefix(v4.subnet),
      IPV6NETWORK: v6 === undefined ? '' : formatPrefix(v6.network),
      IPV6SUBNET: v6 === undefined ? '' : formatPrefix(v6.subnet),
      PUBLIC_IP: v4 === undefined ? '' : formatIp(v4.publicIp),
      PUBLIC_IPV6: v6 === undefined ? '' : formatIp(v6.publicIp),
    };
    const said = await runCommand(command, variables, '', { env: this.#tools.env, signal });
    this.#tools.log.info({ said: said.slice(0, 300) }, `${name} run`);
  }
}
