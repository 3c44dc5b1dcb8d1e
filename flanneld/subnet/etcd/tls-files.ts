// Client certificate and authority of an etcd cluster as files. Read at every connection, as they are renewed in place.

import { OpError } from '../../../lib/errors.ts';
import { readRegularFile } from '../../../lib/files-node.ts';
import { nodeErrorCode } from '../../../lib/node-error-node.ts';

/** Differs from flannel: an authority alone is used too, where flannel ignores it without a client certificate. */
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

/** An authority's bundle is some 200 KiB. */
const MAX_BYTES = 4 * 1024 * 1024;

/** Rejects with OpError `etcd: read <file>: ENOENT`. */
export async function readTlsFiles({ caFile, certFile, keyFile }: TlsFiles): Promise<TlsMaterial> {
  const [ca, cert, key] = await Promise.all([caFile, certFile, keyFile].map(read));
  return { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
}

async function read(file: string | undefined): Promise<Buffer | undefined> {
  if (file === undefined) return undefined;
  try {
    return await readRegularFile(file, MAX_BYTES);
  } catch (cause) {
    const code = nodeErrorCode(cause) ?? 'failed';
    throw new OpError({ subsystem: 'etcd', op: 'read', object: file, code, cause });
  }
}
