// The files with etcd's certificate authority and our client certificate. They are read for every connection, because
// certificates are renewed in the same files.

import { OpError } from '../../../lib/errors.ts';
import { readRegularFile } from '../../../lib/files-node.ts';
import { nodeErrorCode } from '../../../lib/node-error-node.ts';

/** Differs from flannel, which ignores the authority when there is no client certificate. */
export interface TlsFiles {
  readonly caFile: string | undefined;
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
}

export interface TlsMaterial {
  readonly ca?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
}

/** A bundle of authorities has about 200 KiB. */
const MAX_BYTES = 4 * 1024 * 1024;

/** Throws OpError `etcd: read <file>: ENOENT`. */
export function readTlsFiles({ caFile, certFile, keyFile }: TlsFiles): TlsMaterial {
  const [ca, cert, key] = [caFile, certFile, keyFile].map(read);
  return { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
}

function read(file: string | undefined): Buffer | undefined {
  if (file === undefined) return undefined;
  try {
    return readRegularFile(file, MAX_BYTES);
  } catch (cause) {
    const code = nodeErrorCode(cause) ?? 'failed';
    throw new OpError({ subsystem: 'etcd', op: 'read', object: file, code, cause });
  }
}
