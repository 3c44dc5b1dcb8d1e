// WireGuard keys: X25519 (RFC 7748), as text in standard base64, and the file that keeps this node's private key.

import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto';
import { promises as files } from 'node:fs';
import { dirname, join } from 'node:path';
import { OpError } from '../../../lib/errors.ts';
import { makeFolders, readRegularFile } from '../../../lib/files-node.ts';
import { WIREGUARD_KEY_BYTES } from '../../../lib/genetlink/wireguard.ts';
import { nodeErrorCode } from '../../../lib/node-error-node.ts';

/** flannel's file for the private key, beside subnet.env, and the variable that names another file. */
export const KEY_FILE = 'wgkey';
const KEY_FILE_VARIABLE = 'WIREGUARD_KEY_FILE';

export interface KeyPair {
  readonly privateKey: Uint8Array;
  readonly publicKey: Uint8Array;
}

/** The bytes in front of the 32 bytes of a private key in PKCS #8 (RFC 8410). */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b656e04220420', 'hex');
/** A key and a newline are 45 bytes; a file may have more white space. */
const MAX_FILE_BYTES = 256;

/** The path of this node's private key. */
export function keyFile({
  env,
  stateDir,
}: {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stateDir: string;
}): string {
  return env[KEY_FILE_VARIABLE] || join(stateDir, KEY_FILE);
}

/** The bytes of a key from its text; undefined when the text is not exactly a key in base64, or all bytes are zero. */
export function parseKey(text: string): Uint8Array | undefined {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.length !== WIREGUARD_KEY_BYTES || bytes.toString('base64') !== text) return undefined;
  return bytes.some((byte) => byte !== 0) ? new Uint8Array(bytes) : undefined;
}

export function keyText(key: Uint8Array): string {
  return Buffer.from(key).toString('base64');
}

/** A new pair of keys. */
export function generateKeys(): KeyPair {
  const { privateKey } = generateKeyPairSync('x25519');
  return keysOf(privateKey.export({ format: 'der', type: 'pkcs8' }).subarray(PKCS8_PREFIX.length));
}

/** The pair that belongs to a private key of 32 bytes. */
export function keysOf(privateKey: Uint8Array): KeyPair {
  const der = Buffer.concat([PKCS8_PREFIX, privateKey]);
  const publicKey = createPublicKey(createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }));
  const spki = publicKey.export({ format: 'der', type: 'spki' });
  return {
    privateKey: new Uint8Array(privateKey),
    publicKey: new Uint8Array(spki.subarray(spki.length - WIREGUARD_KEY_BYTES)),
  };
}

/**
 * This node's keys from the file; if there is no file, new ones are written to it. Unlike flannel, a file that others may read gets mode
 * 0600. Rejects with OpError when the file has no key: no peer would know a new one, so the operator must decide.
 */
export async function nodeKeys(path: string): Promise<KeyPair> {
  const text = readIfThere(path);
  if (text === undefined) {
    const keys = generateKeys();
    await writeKey(path, keys.privateKey);
    return keys;
  }
  const key = parseKey(text.trim());
  if (key === undefined) {
    const detail = 'expected a private key: 44 characters of base64; remove the file to get a new key';
    throw new OpError({ subsystem: 'wireguard', op: 'read', object: path, code: 'no key', detail });
  }
  await files.chmod(path, 0o600);
  return keysOf(key);
}

function readIfThere(path: string): string | undefined {
  try {
    return readRegularFile(path, MAX_FILE_BYTES).toString('latin1');
  } catch (error) {
    if (nodeErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Writes the file by a rename, so that it is never incomplete. Its form is flannel's: the text without a newline. */
export async function writeKey(path: string, privateKey: Uint8Array): Promise<void> {
  makeFolders(dirname(path));
  const part = `${path}.${process.pid}`;
  try {
    const file = await files.open(part, 'w', 0o600);
    try {
      await file.writeFile(keyText(privateKey));
      await file.sync();
    } finally {
      await file.close();
    }
    await files.rename(part, path);
  } catch (error) {
    await files.rm(part, { force: true });
    throw error;
  }
}
