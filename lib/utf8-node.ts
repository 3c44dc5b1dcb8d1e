// Decodes text from files of others: strict UTF-8.

import { ConfigError } from './errors.ts';

/** Decodes the bytes of `source`; throws ConfigError where a lenient decoder would put U+FFFD. A BOM is kept. */
export function decodeUtf8(source: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new ConfigError(source, '', 'is not valid UTF-8');
  }
}
