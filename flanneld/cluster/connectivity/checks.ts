// The checks that a test pod is asked to run, and its answers. The plugin and the pod's program share this file, so it imports nothing.

/** The port of the pods for HTTP and UDP. */
export const POD_PORT = 8080;
/** Octets in the answer to GET /big: some hundred packets of full size. */
export const BIG_BYTES = 262_144;

export type Check = {
  /** Identifies the check; the answer repeats it. */
  readonly key: string;
  /** An address; a name for `dns`. */
  readonly host: string;
} & (
  | { readonly kind: 'http'; readonly port: number; readonly want: string }
  | { readonly kind: 'full-size' }
  | { readonly kind: 'tcp'; readonly port: number }
  | { readonly kind: 'dns'; readonly want: string }
);

export interface CheckAnswer {
  readonly key: string;
  /** What was tried and what came back; undefined when the check succeeded. */
  readonly failure?: string;
}
