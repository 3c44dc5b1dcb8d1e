// The agent's side of the runtime's CNI folders: executables first, then the conflist, once the node forwards; from
// then on it looks every half minute whether something there keeps pods from starting as they should.

import type { Clock } from '../../lib/clock-node.ts';
import { errorText } from '../../lib/errors.ts';
import type { PluginName } from '../../lib/plugin-names.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';
import type { Check } from '../health/http-server.ts';
import type { Logger } from '../health/log.ts';
import type { SubnetManager } from '../subnet/manager.ts';
import { CONFLIST_NAME, installConflist, pluginTypes } from './conflist.ts';
import { cniDoubts } from './doubtful-files.ts';
import type { PlannedExecutable } from './executables.ts';
import { installExecutables } from './install-executables.ts';

export interface CniFilesOptions {
  /** The directory the container runtime reads configurations from. */
  readonly cniConfDir: string;
  /** The directory it runs executables from; undefined: somebody else installs them. */
  readonly cniBinDir: string | undefined;
  /** Names under which another vendor's executable may be replaced. */
  readonly cniBinReplace: ReadonlySet<PluginName>;
}

export interface CniFilesTools {
  readonly sys: Syscalls;
  readonly log: Logger;
  readonly clock: Clock;
  /** Tells whoever looks after the node, besides the log. */
  readonly manager: Pick<SubnetManager, 'report'>;
  /** The executable this agent came with. */
  readonly cniExecutable: string;
}

const LOOK_EVERY_MS = 30_000;
/** The runtime runs it for every sandbox, whatever the conflist says; and what flannel's plugin calls. */
const ALWAYS_NEEDED = ['loopback', 'bridge', 'host-local'];

export class CniFiles {
  readonly #options: CniFilesOptions;
  readonly #tools: CniFilesTools;
  /** Undefined: somebody else installs the conflist. */
  readonly #conflist: string | undefined;
  #executables: readonly PlannedExecutable[] = [];
  #published = false;
  #doubts: readonly string[] = [];
  #lookedAtMs = Number.NEGATIVE_INFINITY;

  constructor(conflist: string | undefined, options: CniFilesOptions, tools: CniFilesTools) {
    this.#conflist = conflist;
    this.#options = options;
    this.#tools = tools;
  }

  /** Call whenever the node forwards; installs at the first time, looks later. Throws OpError when it cannot install. */
  publish(): void {
    if (!this.#published) this.#install();
    this.#published = true;
    this.#look();
  }

  /** Lines for /readyz?verbose. */
  checks(): Check[] {
    return this.#doubts.map((problem) => ({ name: 'cni', problem, required: false }));
  }

  #install(): void {
    const { cniConfDir, cniBinDir, cniBinReplace } = this.#options;
    const { sys, log, cniExecutable } = this.#tools;
    if (cniBinDir !== undefined) {
      this.#executables = installExecutables(cniExecutable, cniBinDir, cniBinReplace);
      for (const step of ['install', 'update', 'replace'] as const) {
        const names = this.#executables.filter((executable) => executable.step === step).map(({ name }) => name);
        if (names.length > 0) log.info({ dir: cniBinDir, names: names.join(' '), step }, 'CNI executables written');
      }
    }
    if (this.#conflist === undefined) return;
    const installed = installConflist(sys, cniConfDir, this.#conflist);
    if (installed !== undefined) log.info({ file: installed }, 'conflist installed');
  }

  #look(): void {
    const nowMs = this.#tools.clock.now();
    if (nowMs - this.#lookedAtMs < LOOK_EVERY_MS) return;
    this.#lookedAtMs = nowMs;
    const doubts = this.#doubtsNow();
    for (const doubt of doubts) {
      if (this.#doubts.includes(doubt)) continue;
      this.#tools.log.warn({ problem: doubt }, 'pods may not start as they should');
      this.#tools.manager.report?.('CNIFoldersDoubtful', doubt);
    }
    if (doubts.length === 0 && this.#doubts.length > 0) this.#tools.log.info({}, 'CNI folders are right again');
    this.#doubts = doubts;
  }

  #doubtsNow(): string[] {
    if (this.#conflist === undefined) return [];
    const { cniConfDir, cniBinDir } = this.#options;
    try {
      return cniDoubts({
        confFolder: cniConfDir,
        conflistName: CONFLIST_NAME,
        binFolder: cniBinDir,
        types: [...pluginTypes(this.#conflist), ...ALWAYS_NEEDED],
        executables: this.#executables,
      });
    } catch (error) {
      return [errorText(error)];
    }
  }
}
