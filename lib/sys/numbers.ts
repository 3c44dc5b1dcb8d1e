// System call numbers and the flags that differ between processors: asm/unistd_64.h and asm/fcntl.h for x86-64, asm-generic/unistd.h and
// arch/arm64's fcntl.h for arm64. Only calls that both have. The test beside this file reads both headers.

export type Arch = 'x64' | 'arm64';

export interface SyscallNumbers {
  readonly read: number;
  readonly write: number;
  readonly openat: number;
  readonly close: number;
  readonly mkdirat: number;
  readonly unlinkat: number;
  readonly renameat2: number;
  readonly linkat: number;
  readonly ftruncate: number;
  readonly fsync: number;
  readonly fchmod: number;
  readonly flock: number;
  readonly fcntl: number;
  readonly ioctl: number;
  readonly getdents64: number;
  readonly statx: number;
  readonly statfs: number;
  readonly ppoll: number;
  readonly pipe2: number;
  readonly dup3: number;
  readonly clone: number;
  readonly execve: number;
  readonly wait4: number;
  readonly kill: number;
  readonly rt_sigaction: number;
  readonly rt_sigprocmask: number;
  readonly setns: number;
  readonly unshare: number;
  readonly mount: number;
  readonly umount2: number;
  readonly socket: number;
  readonly bind: number;
  readonly connect: number;
  readonly sendto: number;
  readonly recvfrom: number;
  readonly recvmsg: number;
  readonly setsockopt: number;
  readonly getsockopt: number;
  readonly getsockname: number;
  readonly mmap: number;
  readonly munmap: number;
  readonly clock_gettime: number;
  readonly clock_nanosleep: number;
  readonly timer_create: number;
  readonly timer_settime: number;
  readonly getpid: number;
  readonly gettid: number;
  readonly eventfd2: number;
  readonly prctl: number;
  readonly getrandom: number;
  readonly chdir: number;
  readonly exit_group: number;
  readonly pread64: number;
  readonly bpf: number;
}

export interface ArchFlags {
  readonly O_DIRECTORY: number;
  readonly O_NOFOLLOW: number;
}

/** The numbers of one architecture. */
export function syscallNumbers(arch: Arch): SyscallNumbers {
  return arch === 'x64' ? X64 : ARM64;
}

/** The flags of one architecture. */
export function archFlags(arch: Arch): ArchFlags {
  return arch === 'x64'
    ? { O_DIRECTORY: 0o200000, O_NOFOLLOW: 0o400000 }
    : { O_DIRECTORY: 0o40000, O_NOFOLLOW: 0o100000 };
}

const X64: SyscallNumbers = {
  read: 0,
  write: 1,
  openat: 257,
  close: 3,
  mkdirat: 258,
  unlinkat: 263,
  renameat2: 316,
  linkat: 265,
  ftruncate: 77,
  fsync: 74,
  fchmod: 91,
  flock: 73,
  fcntl: 72,
  ioctl: 16,
  getdents64: 217,
  statx: 332,
  statfs: 137,
  ppoll: 271,
  pipe2: 293,
  dup3: 292,
  clone: 56,
  execve: 59,
  wait4: 61,
  kill: 62,
  rt_sigaction: 13,
  rt_sigprocmask: 14,
  setns: 308,
  unshare: 272,
  mount: 165,
  umount2: 166,
  socket: 41,
  bind: 49,
  connect: 42,
  sendto: 44,
  recvfrom: 45,
  recvmsg: 47,
  setsockopt: 54,
  getsockopt: 55,
  getsockname: 51,
  mmap: 9,
  munmap: 11,
  clock_gettime: 228,
  clock_nanosleep: 230,
  timer_create: 222,
  timer_settime: 223,
  getpid: 39,
  gettid: 186,
  eventfd2: 290,
  prctl: 157,
  getrandom: 318,
  chdir: 80,
  exit_group: 231,
  pread64: 17,
  bpf: 321,
};

const ARM64: SyscallNumbers = {
  read: 63,
  write: 64,
  openat: 56,
  close: 57,
  mkdirat: 34,
  unlinkat: 35,
  renameat2: 276,
  linkat: 37,
  ftruncate: 46,
  fsync: 82,
  fchmod: 52,
  flock: 32,
  fcntl: 25,
  ioctl: 29,
  getdents64: 61,
  statx: 291,
  statfs: 43,
  ppoll: 73,
  pipe2: 59,
  dup3: 24,
  clone: 220,
  execve: 221,
  wait4: 260,
  kill: 129,
  rt_sigaction: 134,
  rt_sigprocmask: 135,
  setns: 268,
  unshare: 97,
  mount: 40,
  umount2: 39,
  socket: 198,
  bind: 200,
  connect: 203,
  sendto: 206,
  recvfrom: 207,
  recvmsg: 212,
  setsockopt: 208,
  getsockopt: 209,
  getsockname: 204,
  mmap: 222,
  munmap: 215,
  clock_gettime: 113,
  clock_nanosleep: 115,
  timer_create: 107,
  timer_settime: 110,
  getpid: 172,
  gettid: 178,
  eventfd2: 19,
  prctl: 167,
  getrandom: 278,
  chdir: 49,
  exit_group: 94,
  pread64: 67,
  bpf: 280,
};
