// The types of the scripts that tests import.

declare module '*/build-executable.mjs' {
  export interface ExecutableOptions {
    readonly arch?: 'x64' | 'arm64';
    readonly sanitize?: boolean;
    readonly profile?: boolean;
  }

  export interface ExecutableRecord {
    readonly id: string;
    readonly arch: string;
    readonly bytecodeSha256: string;
    readonly profiled: boolean;
    readonly quickjs: { readonly version: string; readonly package: string; readonly sha256: string };
    readonly musl: { readonly package: string; readonly sha256: string } | null;
    readonly compiler: string;
  }

  export function buildExecutable(
    entry: string,
    outFile: string,
    options?: ExecutableOptions,
  ): Promise<ExecutableRecord>;
}

declare module '*/test-programs.mjs' {
  import type { ExecutableOptions, ExecutableRecord } from '*/build-executable.mjs';
  export function compileTestProgram(
    entry: string,
    outFile: string,
    options: ExecutableOptions,
    folder: string | undefined,
  ): Promise<ExecutableRecord>;
  export function bundleTestProgram(entry: string, outFile: string, folder: string | undefined): Promise<void>;
}

declare module '*/kept.mjs' {
  export function readmeWithTable(text?: string): string;
}

declare module '*/debian-kernel.mjs' {
  export interface Kernel {
    readonly name: string;
    /** The output of uname -r in the machine. */
    readonly release: string;
  }

  export const KERNELS: readonly string[];
  export function debianKernel(name: string): Promise<Kernel>;
}

declare module '*/vm.mjs' {
  import type { Kernel } from '*/debian-kernel.mjs';
  import type { Writable } from 'node:stream';

  export class VirtualMachine {
    static boot(
      kernel: Kernel,
      options: { readonly memoryMb: number; readonly network: { readonly socket: string; readonly mac: string } },
    ): Promise<VirtualMachine>;
    run(command: string, options: { readonly limitMs: number; readonly output: Writable }): Promise<number>;
    stop(): Promise<void>;
  }

  export function quoted(text: string): string;
}

declare module '*/switch.mjs' {
  export function startSwitch(path: string): Promise<() => Promise<void>>;
}

declare module '*/build-plugin.mjs' {
  export function bundleMap(): Promise<string>;
}

declare module '*/heap-profile.mjs' {
  export interface BlockUse {
    /** The size with the header. */
    readonly bytes: number;
    readonly isWritten: boolean;
  }

  export function encodeProfile(blocks: ReadonlyMap<number, BlockUse>): Buffer;
}

declare module '*/manifests.mjs' {
  export const plainFiles: Readonly<Record<string, { readonly folder: string; readonly head: string }>>;
  export function joinManifests(name?: string): string;
}

declare module '*/bench-kind.mjs' {
  export function missingForKind(has?: (name: string) => boolean, path?: string): string[];
  export function findBridge(cniPath?: string, has?: (file: string) => boolean): string | undefined;
}

declare module '*/version.mjs' {
  export function withVersion(version: string, read?: (name: string) => string): ReadonlyMap<string, string>;
}

declare module '*/oci.mjs' {
  export interface StoredImage {
    readonly architecture: 'amd64' | 'arm64';
    readonly descriptor: { readonly digest: string; readonly size: number };
    readonly config: { readonly config: Readonly<Record<string, unknown>>; readonly created: string };
    /** The files of its layers, compressed tar archives. */
    readonly layers: readonly string[];
  }

  export class ImageLayout {
    constructor(folder: string, epoch: number);
    add(root: string, architecture: string, config: object): Promise<string>;
    writeArchive(file: string, as: string): string;
  }

  export function readArchive(
    file: string,
    folder: string,
  ): { readonly name: string; readonly index: string; readonly images: readonly StoredImage[] };
  export function onlyFor(archive: string, architecture: string, work: string): string;
  export function unpackLayers(layers: readonly string[], root: string): Promise<void>;
  export function packFolder(
    folder: string,
    file: string,
    epoch: number,
    options?: { readonly gzip?: boolean; readonly names?: readonly string[] },
  ): void;
}

declare module '*/build.mjs' {
  export function cacheOf(agent: { program: string; map?: object }): Promise<Buffer>;
}

declare module '*/image-build.mjs' {
  export const OWN_ARCH: 'amd64' | 'arm64';
  export function buildImage(name: string, options: { readonly 'no-cache'?: boolean }, arch?: string): void;
  export function packImages(file: string, as: string, names: Readonly<Record<string, string>>): Promise<string>;
  export function dockerfileConfig(text?: string): object;
}

declare module '*/deliver.mjs' {
  export function pushImage(archive: string, words: readonly string[]): number;
  export function loadImage(archive: string, words: readonly string[]): number;
}

declare module '*/bill.mjs' {
  export function debianComponent(control: string): object;
}

declare module '*/network.mjs' {
  interface NodeLike {
    readonly metadata: { readonly name: string };
    readonly spec: { readonly podCIDR?: string | undefined; readonly podCIDRs?: readonly string[] };
  }

  /** The network of each family, and where it was found. */
  export interface Network {
    readonly 4?: string;
    readonly 6?: string;
    readonly from?: string;
  }

  export function findNetwork(options: {
    readonly given?: string;
    readonly kubeadmConfig?: { readonly data: Readonly<Record<string, string>> };
    readonly nodes: readonly NodeLike[];
  }): Network;
}

declare module '*/preflight.mjs' {
  interface DaemonSetLike {
    readonly metadata: { readonly namespace: string; readonly name: string };
    readonly spec: {
      readonly template: {
        readonly metadata: { readonly labels: Readonly<Record<string, string>> };
        readonly spec: { readonly containers: readonly { readonly command?: readonly string[] }[] };
      };
    };
  }

  export function findFlannel(daemonSets: readonly DaemonSetLike[]): DaemonSetLike | undefined;
  export function preflight(cluster: {
    readonly version: { readonly major: string; readonly minor: string };
    readonly nodes: readonly object[];
    readonly daemonSets: readonly DaemonSetLike[];
    readonly replaceFlannel: boolean;
  }): { readonly errors: readonly string[]; readonly warnings: readonly string[] };
  export function hasPolicies(list: { readonly resources: readonly { readonly name: string }[] } | undefined): boolean;
}

declare module '*/probes.mjs' {
  export function chooseTargets<T>(servers: readonly T[], most?: number): { readonly from: T; readonly targets: T[] }[];
  export function probePod(
    image: string,
    args: readonly string[],
  ): { readonly containers: readonly { readonly image: string; readonly securityContext: object }[] };
}

declare module '*/replace.mjs' {
  export function planSteps(nodes: readonly string[]): string[][];
  export function lostPods(before: readonly object[], now: readonly object[], nodes: readonly string[]): string[];
  export function withoutServerFields(object: object): { readonly spec: object };
  export function onDelete(object: { readonly spec: object }): { readonly spec: { readonly updateStrategy: object } };
}

declare module '*/fill.mjs' {
  export function fillImage<T>(objects: readonly T[], image: string): T[];
  export function fillNetwork<T>(objects: readonly T[], network: { readonly 4?: string; readonly 6?: string }): T[];
}

declare module '*/notes.mjs' {
  export function releaseNotes(changelog: string, version: string, options?: { readonly unreleased?: boolean }): string;
}

declare module '*/artefacts.mjs' {
  interface Places {
    readonly folder: string;
    readonly version: string;
  }

  export function packPlugins(
    options: Places & { archive: string; work: string; epoch: number; names: readonly string[] },
  ): Promise<void>;
  export function withImage(text: string, version: string, reference: string): string;
  export function writeManifests(options: Places & { manifests: string; reference: string }): void;
  export function packChart(options: Places & { manifests: string; work: string; image: string; epoch: number }): void;
  export function writeSums(folder: string): string;
}

declare module '*/licences.mjs' {
  export interface Part {
    readonly name: string;
    readonly version: string;
    /** An SPDX identifier. */
    readonly licence: string;
    readonly text: string;
    readonly sha256?: string;
  }

  export function bundledPackages(): Promise<Part[]>;
  export function kubectlPluginPackages(): Promise<Part[]>;
  export function writeKubectlPluginLicences(folder: string, version: string): Promise<void>;
  export function bill(
    packages: readonly Part[],
    engine: readonly Part[],
    about: { readonly name: string; readonly version: string },
  ): object;
}

declare module '*/bench-report.mjs' {
  export function bundleReport(): Promise<string>;
}

declare module '*/tally.mjs' {
  /** One test. `names` has the names of the suites around it and then its own name. */
  export interface Outcome {
    readonly file: string;
    readonly names: readonly string[];
    readonly state: 'passed' | 'failed' | 'skipped';
    /** The reason why it was skipped. */
    readonly reason?: string | undefined;
  }

  /**
   * The outcome of one run. `failures` counts failures that belong to no test: imports, hooks, unhandled rejections, and checks.
   */
  export interface Tally {
    failures: number;
    tests: Outcome[];
  }

  export function closingLines(tally: Tally): string;
  export function hasFailed(tally: Tally): boolean;
  export function lacking(tally: Tally): Outcome[];
  export function selection(tests: readonly Outcome[]): string[];
  export function joinRows(first: Tally, second: Tally): Tally;
}

declare module '*/fresh.mjs' {
  export interface DebianPackage {
    readonly name: string;
    readonly isBase: boolean;
    readonly provides: readonly string[];
    /** For each dependency, its alternatives. */
    readonly needs: readonly (readonly string[])[];
  }

  export function parsePackages(text: string): DebianPackage[];
  export function withDependencies(packages: readonly DebianPackage[], wanted: readonly string[]): Set<string>;
}

declare module '*/commands.mjs' {
  export interface OptionAbout {
    readonly type: 'string' | 'boolean';
    readonly says: string;
    readonly value?: string;
    readonly default?: string;
  }

  /** The entry of each npm script. */
  export interface CommandAbout {
    readonly does: string;
    readonly words?: string;
    readonly passes?: 'vitest' | 'words';
    readonly options?: Readonly<Record<string, OptionAbout>>;
    readonly commands?: Readonly<Record<string, string>>;
  }

  export const COMMANDS: Readonly<Record<string, CommandAbout>>;
  /** `suite NAME` returns the entry of that suite. */
  export function commandOf(name: string): CommandAbout | undefined;
}

declare module '*/suites.mjs' {
  export interface SuiteRow {
    readonly name: string;
    readonly does: string;
    /** How long the suite takes on two idle cores. */
    readonly takes: string;
    readonly needs: string;
  }
  export const SUITES: Readonly<Record<string, object>>;
  export function suiteRows(): SuiteRow[];
}

declare module '*/restricted.mjs' {
  export const restricted: Readonly<Record<string, unknown>>;
}
