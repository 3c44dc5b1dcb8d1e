// Reads net-conf.json from a file: the mounted ConfigMap, or the one that --net-config-path names.

import { OpError } from '../../lib/errors.ts';
import { readRegularFile } from '../../lib/files-node.ts';
import type { NetConf } from '../../lib/net-conf.ts';
import { parseNetConf } from '../../lib/net-conf.ts';
import { nodeErrorCode } from '../../lib/node-error-node.ts';
import { decodeUtf8 } from '../../lib/utf8-node.ts';
import type { Logger } from '../health/log.ts';

/** The largest size of a ConfigMap. */
const MAX_BYTES = 1024 * 1024;

/** Reads and checks the file and logs warnings about it. Throws OpError or ConfigError. */
export function readNetConfFile(path: string, log: Logger): NetConf {
  let bytes: Uint8Array;
  try {
    bytes = readRegularFile(path, MAX_BYTES);
  } catch (error) {
    throw new OpError({
      subsystem: 'net-conf',
      op: 'read',
      object: path,
      code: nodeErrorCode(error) ?? 'failed',
      cause: error,
    });
  }
  const { config, warnings } = parseNetConf(decodeUtf8('net-conf', bytes));
  for (const warning of warnings)
    log.warn({ file: path, warning }, 'network configuration has a key that is unknown or has no effect');
  return config;
}
