// Keeps Node from reading root certificates that no connection needs. As soon as a connection names its certificate authority, Node 20 also
// reads all others that it knows, which takes 20 ms and 1.6 MB. With its option --use-openssl-ca these others are the machine's own, in the
// file that SSL_CERT_FILE names. The first line of dist/flanneld (scripts/build.mjs) finds that file and sets both, so that connections
// without an authority of their own trust what other programs on the machine trust. Without the option nothing is changed here.

import { readFileSync } from 'node:fs';
import tls, { type SecureContext, type SecureContextOptions } from 'node:tls';

const VARIABLE = 'SSL_CERT_FILE';

/** With one of these there are more authorities than those in the file. */
const MORE = ['SSL_CERT_DIR', 'NODE_EXTRA_CA_CERTS'];

/** Call before the first TLS connection. `env` must be `process.env`, because OpenSSL reads the process's own environment. */
export function spareRoots(options: readonly string[], env: NodeJS.ProcessEnv): void {
  const file = env[VARIABLE];
  if (!options.includes('--use-openssl-ca') || file === undefined || isSpared) return;
  if (MORE.some((name) => env[name] !== undefined)) return;
  isSpared = true;
  const make = tls.createSecureContext;
  let areRead: boolean | undefined;
  // All of Node makes its contexts by this property.
  tls.createSecureContext = (given: SecureContextOptions = {}): SecureContext => {
    const hasOwn = given.ca !== undefined;
    // OpenSSL reads the file once, for the first context.
    areRead ??= !hasOwn;
    if (!hasOwn) return make(areRead ? given : { ...given, ca: readFileSync(file) });
    if (areRead) return make(given);
    env[VARIABLE] = '/dev/null';
    try {
      return make(given);
    } finally {
      env[VARIABLE] = file;
    }
  };
}

let isSpared = false;
