// The extension backend: commands of the administrator's make the way to other nodes (flannel pkg/backend/extension).
// They are run without a shell. Differs from flannel: what fails is tried again and shown, a peer that left while the
// agent was down is removed, and there is a command for the agent's end.

import type { ExtensionConf } from '../../lib/backend-conf.ts';
import type { CommandLine } from '../../lib/command-line.ts';
import { errorText } from '../../lib/errors.ts';
import { formatIp, formatPrefix } from '../../lib/ip.ts';
import type { PeerProblem } from '../health/peer-problem.ts';
import type { OverlayStatus } from '../health/status/report.ts';
import type { LeaseSnapshot } from '../subnet/manager.ts';
import { BareOverlay } from './alloc.ts';
import type { Backend, BackendTools } from './backend.ts';
import { ExtensionPeers, extensionPeers, runCommand } from './extension-peers.ts';
import type { FamilySettings, Overlay } from './overlay.ts';
import { PeerProblems } from './peer-problems.ts';

const TYPE = 'extension';
/** The agent's own end takes no longer. */
const SHUTDOWN_MS = 10_000;

export function extensionBackend(conf: ExtensionConf): Backend {
  return {
    type: TYPE,
    // The commands are those of a stop and a start.
    endsFirst: true,
    async advertise({ places, tools: { env }, signal }) {
      if (conf.preStartup === undefined) return { backendType: TYPE };
      const data = await runCommand(conf.preStartup, {}, '', { env, signal });
      const has = (wanted: 4 | 6): boolean => places.some(({ family }) => family === wanted);
      return { backendType: TYPE, ...(has(4) && { backendData: data }), ...(has(6) && { backendV6Data: data }) };
    },
    // The commands are about all families at once; they are run with the first one.
    overlays: ({ tools }, families) =>
      families.map((settings, at) =>
        at === 0 ? extensionOverlay(conf, settings, families, tools) : new BareOverlay(TYPE, settings, tools.netlink),
      ),
  };
}

function extensionOverlay(
  conf: ExtensionConf,
  settings: FamilySettings,
  families: readonly FamilySettings[],
  tools: BackendTools,
): Overlay {
  return new ExtensionOverlay(conf, new BareOverlay(TYPE, settings, tools.netlink), families, tools);
}

class ExtensionOverlay implements Overlay {
  readonly #conf: ExtensionConf;
  readonly #bare: BareOverlay;
  readonly #families: readonly FamilySettings[];
  readonly #tools: BackendTools;
  readonly #peers: ExtensionPeers;
  readonly #problems: PeerProblems;
  readonly #ending = new AbortController();
  #started = false;

  constructor(conf: ExtensionConf, bare: BareOverlay, families: readonly FamilySettings[], tools: BackendTools) {
    this.#conf = conf;
    this.#bare = bare;
    this.#families = families;
    this.#tools = tools;
    this.#peers = new ExtensionPeers(conf, tools);
    this.#problems = new PeerProblems(tools.log);
  }

  get family() {
    return this.#bare.family;
  }
  get network() {
    return this.#bare.network;
  }
  get subnet() {
    return this.#bare.subnet;
  }
  get underlay() {
    return this.#bare.underlay;
  }
  get name() {
    return TYPE;
  }
  get check() {
    return 'extension and its peers';
  }
  get vni() {
    return this.#bare.vni;
  }
  get mtuBytes() {
    return this.#bare.mtuBytes;
  }
  get peerCount() {
    return this.#peers.wanted + this.#problems.list().length;
  }
  readonly deviceIndex = undefined;
  readonly underlayIndex = undefined;

  ensureDevice(): void {
    this.#bare.ensureDevice();
  }

  async run(snapshot: LeaseSnapshot): Promise<number | undefined> {
    this.#bare.ensureDevice();
    if (!this.#started) {
      await this.#runOwn('PostStartupCommand', this.#conf.postStartup, this.#ending.signal);
      this.#started = true;
    }
    const { peers, problems } = extensionPeers(snapshot, this.#families);
    this.#problems.set([...snapshot.problems, ...problems]);
    return await this.#peers.run(peers);
  }

  peerProblems(): PeerProblem[] {
    return [...this.#problems.list(), ...this.#peers.problems()];
  }

  status(): OverlayStatus {
    const { programmed } = this.#peers;
    const wanted = this.peerCount;
    const peers = { wanted, programmed, failing: wanted - programmed };
    return { ...this.#bare.status(), peers, problems: this.peerProblems() };
  }

  describe(): Readonly<Record<string, string | number>> {
    return this.#bare.describe();
  }

  async close(): Promise<void> {
    this.#ending.abort();
    await this.#peers.close();
    if (!this.#started) return;
    try {
      await this.#runOwn('ShutdownCommand', this.#conf.shutdown, AbortSignal.timeout(SHUTDOWN_MS));
    } catch (error) {
      this.#tools.log.error({ err: errorText(error) }, 'ShutdownCommand failed');
    }
  }

  /** A command about this node itself. */
  async #runOwn(name: string, command: CommandLine | undefined, signal: AbortSignal): Promise<void> {
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
