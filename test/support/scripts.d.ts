// Types of those scripts that tests import.

declare module '*/build-executable.mjs' {
  export interface ExecutableOptions {
    readonly arch?: 'x64' | 'arm64';
    readonly sanitize?: boolean;
  }

  export interface ExecutableRecord {
    readonly id: string;
    readonly arch: string;
    readonly bytecodeSha256: string;
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

declare module '*/manifests.mjs' {
  export function joinManifests(): string;
}
