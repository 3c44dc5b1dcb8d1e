// A tar archive in memory (POSIX ustar, pax(1)), compressed by gzip.

import { gzipSync } from 'node:zlib';

const BLOCK = 512;
/** The longest name that a header can have. */
const MAX_NAME = 100;

export interface ArchiveFile {
  /** At most 100 octets of UTF-8. */
  readonly name: string;
  readonly text: string;
}

export function makeTarGz(files: readonly ArchiveFile[], madeAt: Date): Buffer {
  const blocks = files.flatMap(({ name, text }) => {
    const data = Buffer.from(text);
    return [header(name, data.length, madeAt), data, Buffer.alloc(-data.length & (BLOCK - 1))];
  });
  // Two empty blocks mark the end.
  return gzipSync(Buffer.concat([...blocks, Buffer.alloc(2 * BLOCK)]));
}

function header(name: string, size: number, madeAt: Date): Buffer {
  if (Buffer.byteLength(name) > MAX_NAME) throw new Error(`tar: ${name}: the name is longer than ${MAX_NAME} octets`);
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, at: number, length: number): void => {
    block.write(`${value.toString(8).padStart(length - 1, '0')}\0`, at);
  };
  block.write(name, 0);
  octal(0o644, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(size, 124, 12);
  octal(Math.floor(madeAt.getTime() / 1000), 136, 12);
  // The checksum is computed with blanks in its own field.
  block.write('        0', 148);
  block.write('ustar\x0000', 257);
  const sum = block.reduce((total, octet) => total + octet, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}
