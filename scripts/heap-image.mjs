// Saves the engine's heap, with the program loaded, in the executable it belongs to (cni-plugin/host-heap.c):
// the executable is run once to write its heap out, and the image becomes the file part of the segment the
// linker made for it. Layout of the headers: elf(5).

import { execFile } from 'node:child_process';
import { appendFile, open, stat } from 'node:fs/promises';
import { promisify } from 'node:util';

const HEAP_ADDRESS = 0x1000_0000n;
const PT_LOAD = 1;
/** A page of the largest size a kernel for either processor has: the segment must start on one in the file too. */
const PAGE_BYTES = 65_536;
const MAX_IMAGE_BYTES = 64 * 1024 * 1024;
/** Enough runs for a variable word to differ in one of them. */
const RUNS = 4;
const WORD_BYTES = 8;
const FILE_HEADER_BYTES = 64;
/** Offsets in the file header. */
const E_PHOFF = 32;
const E_SHOFF = 40;
const E_PHENTSIZE = 54;
const E_PHNUM = 56;
const E_SHNUM = 60;
const E_SHSTRNDX = 62;
/** Offsets in a program header. */
const P_OFFSET = 8;
const P_VADDR = 16;
const P_FILESZ = 32;
const P_MEMSZ = 40;

/**
 * Runs `executable` (through `emulator`, when it is not for this processor) and puts its heap into it, laid out by
 * the file `profile` if there is one (heap-profile.mjs).
 */
export async function saveHeap(executable, { emulator, profile } = {}) {
  const words = [emulator, executable, '--save-heap', profile];
  const [command, ...args] = words.filter((word) => word !== undefined);
  const options = { encoding: 'buffer', maxBuffer: MAX_IMAGE_BYTES, env: {} };
  const images = [];
  for (let run = 0; run < RUNS; run += 1) {
    const { stdout } = await promisify(execFile)(command, args, options).catch((error) => {
      throw new Error(`${executable}: saving its heap: ${String(error.stderr).trim() || error.message}`);
    });
    images.push(stdout);
  }
  const image = withoutWhatVaries(images);
  if (image.length === 0 || image.length % 4096 !== 0) throw new Error(`${executable}: its heap is not whole`);
  const offset = await appendAligned(executable, image);
  await pointSegment(executable, offset, image.length);
}

/**
 * An image of the heap with zeros in the words in which the images of several runs differ. These are the seed of Math.random (the time,
 * whose high bytes differ only from build to build), which nothing here calls, and addresses on the stack, which the engine sets anew when
 * it starts. So the same sources give the same executable.
 */
function withoutWhatVaries([first, ...others]) {
  for (let at = 0; at < first.length; at += WORD_BYTES) {
    const word = first.subarray(at, at + WORD_BYTES);
    if (others.some((other) => !word.equals(other.subarray(at, at + WORD_BYTES)))) word.fill(0);
  }
  return first;
}

async function appendAligned(file, bytes) {
  const { size } = await stat(file);
  const offset = Math.ceil(size / PAGE_BYTES) * PAGE_BYTES;
  await appendFile(file, Buffer.concat([Buffer.alloc(offset - size), bytes]));
  return offset;
}

/** Gives the heap's segment its new place and size. The section headers no longer fit it, so they go. */
async function pointSegment(file, offset, length) {
  const handle = await open(file, 'r+');
  try {
    const header = Buffer.alloc(FILE_HEADER_BYTES);
    await handle.read(header, 0, header.length, 0);
    const at = Number(header.readBigUInt64LE(E_PHOFF));
    const entryBytes = header.readUInt16LE(E_PHENTSIZE);
    const table = Buffer.alloc(entryBytes * header.readUInt16LE(E_PHNUM));
    await handle.read(table, 0, table.length, at);
    const entry = findSegment(table, entryBytes);
    if (entry === undefined) throw new Error(`${file}: no segment for the heap`);
    for (const [field, value] of [
      [P_OFFSET, offset],
      [P_FILESZ, length],
      [P_MEMSZ, length],
    ]) {
      entry.writeBigUInt64LE(BigInt(value), field);
    }
    header.writeBigUInt64LE(0n, E_SHOFF);
    header.writeUInt16LE(0, E_SHNUM);
    header.writeUInt16LE(0, E_SHSTRNDX);
    await handle.write(table, 0, table.length, at);
    await handle.write(header, 0, header.length, 0);
  } finally {
    await handle.close();
  }
}

function findSegment(table, entryBytes) {
  for (let at = 0; at < table.length; at += entryBytes) {
    const entry = table.subarray(at, at + entryBytes);
    if (entry.readUInt32LE(0) === PT_LOAD && entry.readBigUInt64LE(P_VADDR) === HEAP_ADDRESS) return entry;
  }
  return undefined;
}
