// Opens the BTF of a module. A program that calls a function of the module names this BTF in `fd_array` (bpf(2), BPF_BTF_GET_NEXT_ID).

import { ENOENT } from '../sys/errno.ts';
import { closeFd } from '../sys/file.ts';
import { check } from '../sys/sys-error.ts';
import type { Syscalls } from '../sys/syscalls.ts';
import { BPF_BTF_GET_FD_BY_ID, BPF_BTF_GET_NEXT_ID, BPF_OBJ_GET_INFO_BY_FD, bpf, tryBpf } from './bpf-call.ts';

/** struct bpf_btf_info: u64 btf, u32 btf_size, id, u64 name, u32 name_len, kernel_btf. */
const BTF_INFO_BYTES = 32;
const NAME_BYTES = 64;

/** A descriptor of a module's BTF; undefined when the module is not loaded. Throws SysError: EPERM without CAP_SYS_ADMIN. */
export function openModuleBtf(sys: Syscalls, module: string): number | undefined {
  for (let id = nextBtf(sys, 0); id !== undefined; id = nextBtf(sys, id)) {
    const fd = tryBpf(sys, BPF_BTF_GET_FD_BY_ID, (attr) => attr.setU32(0, id ?? 0));
    // The module may have been unloaded since.
    if (fd === -ENOENT) continue;
    check(fd, 'bpf open btf', `id ${id}`);
    if (kernelBtfName(sys, fd) === module) return fd;
    closeFd(sys, fd);
  }
  return undefined;
}

function nextBtf(sys: Syscalls, id: number): number | undefined {
  let next = 0;
  const value = tryBpf(
    sys,
    BPF_BTF_GET_NEXT_ID,
    (attr) => attr.setU32(0, id),
    (attr) => {
      next = attr.u32(4);
    },
  );
  if (value === -ENOENT) return undefined;
  check(value, 'bpf list', 'btf');
  return next;
}

/** The module's name; empty for the BTF of a program. */
function kernelBtfName(sys: Syscalls, fd: number): string {
  return sys.arena.scope(() => {
    const name = sys.arena.alloc(NAME_BYTES);
    const info = sys.arena.alloc(BTF_INFO_BYTES);
    info.setU64(16, name.address);
    info.setU32(24, name.length);
    bpf(sys, BPF_OBJ_GET_INFO_BY_FD, ['look at btf', `fd ${fd}`], (attr) => {
      attr.setU32(0, fd);
      attr.setU32(4, info.length);
      attr.setU64(8, info.address);
    });
    const bytes = name.bytes();
    return info.u32(28) === 1 ? sys.arena.decode(bytes.slice(0, bytes.indexOf(0))) : '';
  });
}
