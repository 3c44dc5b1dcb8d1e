// What cases of a runtime's part (a list of plugins, its cache) need from whoever plays the runtime.

/** Where the request is carried out: a sandbox. */
export interface ChainPlace {
  readonly dir: string;
  /** The argv that runs `argv` on the sandbox's host. */
  inside(argv: readonly string[]): string[];
  /** A path of the sandbox as it is reached from outside. */
  outside(path: string): string;
}

export type ChainOperation = 'add' | 'del' | 'check' | 'gc' | 'status';

export interface ChainRequest {
  readonly operation: ChainOperation;
  /** Folder with the network's configuration list. */
  readonly configDir: string;
  readonly network: string;
  /** Folders of executables, between colons. */
  readonly pluginPath: string;
  readonly netns: string;
  readonly ifname: string;
}

export interface ChainOutcome {
  readonly ok: boolean;
  /** The error's text when it failed. */
  readonly text: string;
}

/** Results are cached below /var/lib/cni of the sandbox; the container id is the driver's choice. GC: nothing is valid. */
export interface ChainDriver {
  readonly name: string;
  run(place: ChainPlace, request: ChainRequest): Promise<ChainOutcome>;
}

export const CACHE_DIR = '/var/lib/cni';
