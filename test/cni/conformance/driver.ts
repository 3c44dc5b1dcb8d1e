// The interface of a driver, which acts as the runtime in the cases about a runtime's work: lists of plugins and the result cache.

/** The sandbox in which the request is carried out. */
export interface ChainPlace {
  readonly dir: string;
  /** The command that runs `argv` on the sandbox's host. */
  inside(argv: readonly string[]): string[];
  /** Translates a path in the sandbox to one that is valid outside. */
  outside(path: string): string;
}

export type ChainOperation = 'add' | 'del' | 'check' | 'gc' | 'status';

export interface ChainRequest {
  readonly operation: ChainOperation;
  /** The folder with the network's configuration list. */
  readonly configDir: string;
  readonly network: string;
  /** Folders of executables, separated by colons. */
  readonly pluginPath: string;
  readonly netns: string;
  readonly ifname: string;
}

export interface ChainOutcome {
  readonly ok: boolean;
  /** The text of the error, if it failed. */
  readonly text: string;
}

/** A driver caches results below the sandbox's /var/lib/cni and chooses the container id. For GC, no attachment is valid. */
export interface ChainDriver {
  readonly name: string;
  run(place: ChainPlace, request: ChainRequest): Promise<ChainOutcome>;
}

export const CACHE_DIR = '/var/lib/cni';
