// What cases of a runtime's part (a list of plugins, its cache) need from whoever plays the runtime: libcni and
// cnitool in the contract, the lab's runner here.

/** The runtime's own doings are checked through its answers and through what the plugins of the list were sent. */
export interface ChainDriver {
  /** How messages call it. */
  readonly name: string;
  run(request: ChainRequest): Promise<ChainOutcome>;
}

export type ChainOperation = 'add' | 'del' | 'check' | 'gc' | 'status';

export interface ChainRequest {
  readonly operation: ChainOperation;
  /** Folder with the network's configuration list, `<anything>.conflist`. */
  readonly configDir: string;
  readonly network: string;
  /** Folders of executables, between colons. */
  readonly pluginPath: string;
  /** Folder of the cached results. */
  readonly cacheDir: string;
  readonly container: string;
  readonly netns: string;
  readonly ifname: string;
  /** How to start a program on the sandbox's host: put this before its argv. */
  readonly inside: readonly string[];
}

export interface ChainOutcome {
  readonly ok: boolean;
  /** The result of the last plugin as JSON text (add), or the error's text. */
  readonly text: string;
}
