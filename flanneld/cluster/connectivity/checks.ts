// What a test pod is asked to try, and what it answers. The plugin and the pod's program share this file; it imports nothing.

/** The pods' port for HTTP and for UDP. */
export const POD_PORT = 8080;
/** Octets of the answer to GET /big: some hundred packets of full size. */
export const BIG_BYTES = 262_144;

export type Check = {
  /** Repeated in the answer. */
  readonly key: string;
  /** An address, or for `dns` a name. */
  readonly host: string;
} & (
  | { readonly kind: 'http'; readonly port: number; readonly want: string }
  | { readonly kind: 'full-size' }
  | { readonly kind: 'tcp'; readonly port: number }
  | { readonly kind: 'dns'; readonly want: string }
);

export interface CheckAnswer {
  readonly key: string;
  /** What was tried and what came back; undefined when it was as it should be. */
  readonly failure?: string;
}
