// Installs the CNI executables and then the conflist in the runtime's folders, once the node forwards. After that it checks them every two
// seconds. It restores what was deleted or damaged. It leaves and reports what others have changed on purpose, and reports everything else
// there that keeps pods from starting.

import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { errorText } from '../../lib/errors.ts';
import { PLUGIN_NAMES, type PluginName } from '../../lib/plugin-names.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';
import type { DriftNotes } from '../health/drift-ledger.ts';
import type { Check } from '../health/http-server.ts';
import type { Logger } from '../health/log.ts';
import type { SubnetManager } from '../subnet/manager.ts';
import { CONFLIST_NAME, type ConflistState, conflistState, installConflist, pluginTypes } from './conflist.ts';
import { cniDoubts } from './doubtful-files.ts';
import type { PlannedExecutable } from './executables.ts';
import { installExecutables } from './install-executables.ts';

export interface CniFilesOptions {
  /** The directory the container runtime reads configurations from. */
  readonly cniConfDir: string;
  /** The folder from which it runs executables; undefined when another program installs them. */
  readonly cniBinDir: string | undefined;
  /** Names under which another vendor's executable may be replaced. */
  readonly cniBinReplace: ReadonlySet<PluginName>;
}

export interface CniFilesTools {
  readonly sys: Syscalls;
  readonly log: Logger;
  readonly drift: DriftNotes;
  /** Reports to the cluster (a Kubernetes Event), besides the log. */
  readonly manager: Pick<SubnetManager, 'report'>;
  /** The executable this agent came with. */
  readonly cniExecutable: string;
}

/** Time before a wrong file is checked again and restored: another program may just be writing it. */
const SETTLE_MS = 500;
/** After this many times the log reports only the 10th, 100th, … time, because somebody keeps changing the files. */
const TOLD_OF = 5;
/** The runtime runs `loopback` for every sandbox whatever the conflist says; flannel's plugin calls the other two. */
const ALWAYS_NEEDED = ['loopback', 'bridge', 'host-local'];

export class CniFiles {
  readonly #options: CniFilesOptions;
  readonly #tools: CniFilesTools;
  /** Text of the conflist; undefined when somebody else installs it. */
  readonly #conflist: string | undefined;
  #executables: readonly PlannedExecutable[] = [];
  #published = false;
  #doubts: readonly string[] = [];
  #conflistNow: ConflistState = 'right';
  /** Identifies each executable as it was last seen. */
  #fingerprints: ReadonlyMap<PluginName, string> = new Map();
  /** What was wrong at the last check. */
  #suspects: ReadonlySet<string> = new Set();
  #timesPutBack = 0;

  constructor(conflist: string | undefined, options: CniFilesOptions, tools: CniFilesTools) {
    this.#conflist = conflist;
    this.#options = options;
    this.#tools = tools;
  }

  /** Call whenever the node forwards; only the first call installs. Throws OpError when it cannot. */
  publish(): void {
    if (this.#published) return;
    this.#install();
    this.#published = true;
    this.look();
  }

  /**
   * Restores what was wrong at the last check and still is. Returns in how many milliseconds to check again; undefined means at the usual
   * time. Throws OpError when it cannot.
   */
  look(): number | undefined {
    if (!this.#published) return undefined;
    const suspects = new Set<string>();
    const isDue = (what: string): boolean => {
      suspects.add(what);
      return this.#suspects.has(what);
    };
    try {
      this.#keepExecutables(isDue);
      this.#keepConflist(isDue);
    } finally {
      this.#suspects = suspects;
    }
    this.#tellDoubts();
    return suspects.size > 0 ? SETTLE_MS : undefined;
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
      this.#fingerprints = fingerprintsIn(cniBinDir);
      for (const step of ['install', 'update', 'replace'] as const) {
        const names = this.#executables.filter((executable) => executable.step === step).map(({ name }) => name);
        if (names.length > 0) log.info({ dir: cniBinDir, names: names.join(' '), step }, 'CNI executables written');
      }
    }
    if (this.#conflist === undefined) return;
    const installed = installConflist(sys, cniConfDir, this.#conflist);
    if (installed !== undefined) log.info({ file: installed }, 'conflist installed');
  }

  #keepExecutables(isDue: (what: string) => boolean): void {
    const { cniBinDir, cniBinReplace } = this.#options;
    if (cniBinDir === undefined) return;
    const now = fingerprintsIn(cniBinDir);
    const changed = PLUGIN_NAMES.filter((name) => now.get(name) !== this.#fingerprints.get(name));
    // `isDue` must be called for every name, since it also notes what is wrong now.
    const due = changed.filter((name) => isDue(`${name} ${now.get(name) ?? 'missing'}`));
    if (due.length === 0) return;
    this.#executables = installExecutables(this.#tools.cniExecutable, cniBinDir, cniBinReplace);
    this.#fingerprints = fingerprintsIn(cniBinDir);
    for (const { name, found, step } of this.#executables) {
      if (step === 'keep' || step === 'leave') continue;
      const was = found === 'nothing' ? 'missing' : 'replaced';
      this.#putBack(cniBinDir, name, was, `install -m 755 ${this.#tools.cniExecutable} ${join(cniBinDir, name)}`);
    }
  }

  #keepConflist(isDue: (what: string) => boolean): void {
    if (this.#conflist === undefined) return;
    const { cniConfDir } = this.#options;
    const state = conflistState(this.#tools.sys, cniConfDir, this.#conflist);
    this.#conflistNow = state;
    if (state !== 'missing' && state !== 'no JSON') return;
    if (!isDue(`conflist ${state}`)) return;
    installConflist(this.#tools.sys, cniConfDir, this.#conflist);
    this.#conflistNow = 'right';
    const was = state === 'missing' ? 'missing' : 'no JSON';
    this.#putBack(cniConfDir, CONFLIST_NAME, was, `the conflist of --cni-conf to ${join(cniConfDir, CONFLIST_NAME)}`);
  }

  #putBack(place: string, what: string, was: string, cmd: string): void {
    this.#tools.drift.note({ object: 'cni-file', place, what, was, cmd });
    this.#timesPutBack++;
    const times = this.#timesPutBack;
    if (times <= TOLD_OF || Number.isInteger(Math.log10(times))) {
      this.#tools.log.info({ file: join(place, what), was, times }, 'CNI file put back');
    }
  }

  #tellDoubts(): void {
    const doubts = this.#doubtsNow();
    for (const doubt of doubts) {
      if (this.#doubts.includes(doubt)) continue;
      this.#tools.log.warn({ problem: doubt }, 'a file of the CNI folders may keep pods from starting');
      this.#tools.manager.report?.('CNIFoldersDoubtful', doubt);
    }
    if (doubts.length === 0 && this.#doubts.length > 0) this.#tools.log.info({}, 'CNI folders are right again');
    this.#doubts = doubts;
  }

  #doubtsNow(): string[] {
    if (this.#conflist === undefined) return [];
    const { cniConfDir, cniBinDir } = this.#options;
    try {
      const doubts = cniDoubts({
        confFolder: cniConfDir,
        conflistName: CONFLIST_NAME,
        binFolder: cniBinDir,
        types: [...pluginTypes(this.#conflist), ...ALWAYS_NEEDED],
        executables: this.#executables,
      });
      return [...this.#conflistDoubts(), ...doubts];
    } catch (error) {
      return [errorText(error)];
    }
  }
  #conflistDoubts(): string[] {
    const path = join(this.#options.cniConfDir, CONFLIST_NAME);
    switch (this.#conflistNow) {
      case 'extended':
      case 'changed':
        return [
          `${path} was changed by another program and is left as it is: ${this.#conflistNow === 'extended' ? 'it still contains all of Weft’s configuration' : 'remove it to get Weft’s file back'}`,
        ];
      case 'withdrawn':
        return [`${path} was removed by flanneld withdraw: no pod starts on this node until the agent is restarted`];
      default:
        return [];
    }
  }
}

/** For each name a text that changes when the file changes; names without a file are left out. */
function fingerprintsIn(folder: string): Map<PluginName, string> {
  const found = new Map<PluginName, string>();
  for (const name of PLUGIN_NAMES) {
    const status = lstatSync(join(folder, name), { bigint: true, throwIfNoEntry: false });
    if (status === undefined) continue;
    const { dev, ino, size, mtimeNs, ctimeNs } = status;
    found.set(name, [dev, ino, size, mtimeNs, ctimeNs].join(' '));
  }
  return found;
}
