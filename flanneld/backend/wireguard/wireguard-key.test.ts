import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { generateKeys, keysOf, keyText, nodeKeys, parseKey } from './wireguard-key.ts';

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'weft-wg-'));
  onTestFinished(() => rmSync(path, { recursive: true }));
  return path;
}

const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'));

test('the public key follows from the private one as in RFC 7748 §6.1', () => {
  const bob = keysOf(hex('5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb'));
  expect(bob.publicKey).toEqual(hex('de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f'));
});

describe('parseKey', () => {
  test('reads what keyText writes', () => {
    const { publicKey } = generateKeys();
    expect(parseKey(keyText(publicKey))).toEqual(publicKey);
  });

  test.for([
    { name: 'nothing', text: '' },
    { name: 'too short', text: 'AAAA' },
    { name: 'zero', text: Buffer.alloc(32).toString('base64') },
    { name: 'base64url', text: Buffer.alloc(32, 0xff).toString('base64').replaceAll('/', '_') },
    { name: 'without its padding', text: Buffer.alloc(32, 7).toString('base64').slice(0, 43) },
    { name: 'with a newline', text: `${Buffer.alloc(32, 7).toString('base64')}\n` },
    { name: 'of 33 bytes', text: Buffer.alloc(33, 7).toString('base64') },
    { name: 'with unused bits set', text: `${Buffer.alloc(32, 7).toString('base64').slice(0, 42)}d=` },
  ])('refuses a key that is $name', ({ text }) => {
    expect(parseKey(text)).toBeUndefined();
  });
});

describe('nodeKeys', () => {
  test('makes a key once, in flannel’s form and for the owner only', async () => {
    const path = join(folder(), 'run/flannel/wgkey');
    const first = await nodeKeys(path);
    expect(readFileSync(path, 'utf8')).toBe(keyText(first.privateKey));
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(await nodeKeys(path)).toEqual(first);
  });

  test('uses flannel’s key file, also with a newline at its end, and removes other users’ right to read it', async () => {
    const path = join(folder(), 'wgkey');
    const { privateKey, publicKey } = generateKeys();
    writeFileSync(path, `${keyText(privateKey)}\n`, { mode: 0o644 });
    expect((await nodeKeys(path)).publicKey).toEqual(publicKey);
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test.for(['', 'not a key', Buffer.alloc(32).toString('base64')])(
    'refuses the content "%s" and does not change the file',
    async (text) => {
      const path = join(folder(), 'wgkey');
      writeFileSync(path, text);
      await expect(nodeKeys(path)).rejects.toThrow(`wireguard: read ${path}: no key (expected a private key`);
      expect(readFileSync(path, 'utf8')).toBe(text);
    },
  );
});
