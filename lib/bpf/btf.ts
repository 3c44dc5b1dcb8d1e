// Finds kernel functions by name in BTF, the kernel's description of its own types (Documentation/bpf/btf.rst). The file in /sys has 5 MB,
// so it is read in pieces, and only as far as needed. A module has a file of its own, whose types and names are numbered from the end of
// the kernel's.

import { ENOENT } from '../sys/errno.ts';
import { closeFd, O_RDONLY, tryOpen } from '../sys/file.ts';
import { check, uninterrupted } from '../sys/sys-error.ts';
import type { Syscalls } from '../sys/syscalls.ts';

const BTF_DIRECTORY = '/sys/kernel/btf';
const BTF_MAGIC = 0xeb9f;
const CHUNK_BYTES = 64 * 1024;
/** The used part of struct btf_header: u16 magic, u8 version, u8 flags, u32 hdr_len, type_off, type_len, str_off, str_len. */
const HEADER_BYTES = 24;
/** struct btf_type: u32 name_off, info (vlen in bits 0–15, kind in 24–28), size or type. */
const TYPE_BYTES = 12;
const KIND_FUNC = 12;
/** How many bytes follow a struct btf_type, and how many for each of its vlen members. The index is the type's kind. */
const extraBytes: readonly (readonly [fixed: number, each: number])[] = [
  [0, 0],
  [4, 0], // INT
  [0, 0], // PTR
  [12, 0], // ARRAY
  [0, 12], // STRUCT
  [0, 12], // UNION
  [0, 8], // ENUM
  [0, 0], // FWD
  [0, 0], // TYPEDEF
  [0, 0], // VOLATILE
  [0, 0], // CONST
  [0, 0], // RESTRICT
  [0, 0], // FUNC
  [0, 8], // FUNC_PROTO
  [4, 0], // VAR
  [0, 12], // DATASEC
  [0, 0], // FLOAT
  [4, 0], // DECL_TAG
  [0, 0], // TYPE_TAG
  [0, 12], // ENUM64
];

/** The BTF of a loaded module. Code that is built into the kernel has no such file. */
export function moduleBtfPath(module: string): string {
  return `${BTF_DIRECTORY}/${module}`;
}

/** Where the parts of a BTF file begin. */
interface Layout {
  readonly typesAt: number;
  readonly typesEnd: number;
  readonly stringsAt: number;
  readonly stringsEnd: number;
}

/** How many types and bytes of names the kernel's own BTF has. A module's are numbered from there. */
interface Base {
  readonly types: number;
  readonly stringBytes: number;
}

/**
 * The BTF ids of the functions with these names, in the kernel's own BTF or, when `module` is given, in that module's. Undefined when there
 * is no such BTF. Names that are not found are absent from the result. Throws SysError, and RangeError for a file that is not BTF.
 */
export function findFunctions(
  sys: Syscalls,
  names: readonly string[],
  module?: string,
  directory = BTF_DIRECTORY,
): Map<string, number> | undefined {
  const file = (name: string) => `${directory}/${name}`;
  if (module === undefined)
    return readBtf(sys, file('vmlinux'), (btf) => btf.functions(names, { types: 0, stringBytes: 0 }));
  const found = readBtf(sys, file('vmlinux'), (kernel) =>
    readBtf(sys, file(module), (btf) => btf.functions(names, kernel.count())),
  );
  return found;
}

/** Runs `body` with an open BTF file; undefined when the file does not exist. */
function readBtf<T>(sys: Syscalls, path: string, body: (btf: BtfFile) => T): T | undefined {
  const fd = tryOpen(sys, path, O_RDONLY);
  if (fd === -ENOENT) return undefined;
  check(fd, 'open', path);
  const mark = sys.arena.mark();
  try {
    return body(new BtfFile(sys, fd, path));
  } finally {
    sys.arena.release(mark);
    closeFd(sys, fd);
  }
}

class BtfFile {
  private readonly sys: Syscalls;
  private readonly fd: number;
  private readonly path: string;
  private readonly chunk;
  private readonly layout: Layout;
  /** The range of the file that `chunk` contains. */
  private from = 0;
  private end = 0;

  constructor(sys: Syscalls, fd: number, path: string) {
    this.sys = sys;
    this.fd = fd;
    this.path = path;
    this.chunk = sys.arena.buffer(CHUNK_BYTES);
    this.layout = this.readHeader();
  }

  /** The numbers of the functions with these names. */
  functions(names: readonly string[], base: Base): Map<string, number> {
    const nameAt = this.findStrings(names, base.stringBytes);
    const found = new Map<string, number>();
    if (nameAt.size === 0) return found;
    this.eachType((id, nameOffset, kind) => {
      const name = kind === KIND_FUNC ? nameAt.get(nameOffset) : undefined;
      if (name !== undefined) found.set(name, base.types + id);
      return found.size < nameAt.size;
    });
    return found;
  }

  count(): Base {
    let types = 0;
    this.eachType((id) => {
      types = id;
      return true;
    });
    return { types, stringBytes: this.layout.stringsEnd - this.layout.stringsAt };
  }

  private readHeader(): Layout {
    if (!this.fill(0, HEADER_BYTES) || this.chunk.u16(0) !== BTF_MAGIC) throw this.malformed('no header');
    const start = this.chunk.u32(4);
    const typesAt = start + this.chunk.u32(8);
    const stringsAt = start + this.chunk.u32(16);
    return {
      typesAt,
      typesEnd: typesAt + this.chunk.u32(12),
      stringsAt,
      stringsEnd: stringsAt + this.chunk.u32(20),
    };
  }

  /** Calls `onType` for each type (their numbers begin with 1) until it returns false. */
  private eachType(onType: (id: number, nameOffset: number, kind: number) => boolean): void {
    let at = this.layout.typesAt;
    for (let id = 1; at < this.layout.typesEnd; id++) {
      if (!this.fill(at, TYPE_BYTES)) throw this.malformed('cut off');
      const slot = at - this.from;
      const info = this.chunk.u32(slot + 4);
      const kind = (info >>> 24) & 0x1f;
      const extra = extraBytes[kind];
      if (extra === undefined) throw this.malformed(`type ${id} of unknown kind ${kind}`);
      if (!onType(id, this.chunk.u32(slot), kind)) return;
      at += TYPE_BYTES + extra[0] + extra[1] * (info & 0xffff);
    }
  }

  /**
   * Where each of the names begins, counted from the kernel's first name. A name ends with a NUL, and the name before it does so too; both
   * NULs are part of the search.
   */
  private findStrings(names: readonly string[], base: number): Map<number, string> {
    const found = new Map<number, string>();
    const { stringsAt, stringsEnd } = this.layout;
    const patterns = names.map((name) => ({ name, bytes: this.sys.arena.encode(`\0${name}\0`) }));
    const overlap = Math.max(...patterns.map(({ bytes }) => bytes.length)) - 1;
    for (let at = stringsAt; at < stringsEnd && found.size < names.length; ) {
      const length = Math.min(CHUNK_BYTES, stringsEnd - at);
      if (!this.fill(at, length)) throw this.malformed('cut off');
      const text = this.chunk.bytes(at - this.from, length);
      for (const { name, bytes } of patterns) {
        // The first name of a module has no NUL before it.
        const offset = at === stringsAt && startsWith(text, 0, bytes.subarray(1)) ? -1 : indexOf(text, bytes);
        if (offset !== undefined) found.set(base + at - stringsAt + offset + 1, name);
      }
      if (length < CHUNK_BYTES) break;
      at += length - overlap;
    }
    return found;
  }

  /** Makes `chunk` contain the bytes `at` … `at + length` of the file; returns false when the file ends before. */
  private fill(at: number, length: number): boolean {
    if (at >= this.from && at + length <= this.end) return true;
    this.from = at;
    this.end = at;
    while (this.end < at + CHUNK_BYTES) {
      // A read from a file in /sys may return only a page.
      const address = this.chunk.address + this.end - at;
      const room = CHUNK_BYTES - (this.end - at);
      const count = check(
        uninterrupted(this.sys, this.sys.nr.pread64, this.fd, address, room, this.end),
        'read',
        this.path,
      );
      if (count === 0) break;
      this.end += count;
    }
    return at + length <= this.end;
  }

  private malformed(what: string): RangeError {
    return new RangeError(`btf: ${this.path}: ${what}`);
  }
}

/** The engine finds a single byte fast; only there are the other bytes compared. */
function indexOf(text: Uint8Array, pattern: Uint8Array): number | undefined {
  const rare = pattern.length - 2;
  const byte = pattern[rare] ?? 0;
  for (let at = text.indexOf(byte, rare); at >= 0; at = text.indexOf(byte, at + 1)) {
    if (startsWith(text, at - rare, pattern)) return at - rare;
  }
  return undefined;
}

function startsWith(text: Uint8Array, at: number, pattern: Uint8Array): boolean {
  return pattern.every((wanted, index) => text[at + index] === wanted);
}
