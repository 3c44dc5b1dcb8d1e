// Reads which offloads this kernel gives to a veth pair and to a VXLAN device, the devices an overlay consists of. They are
// created in a network namespace of their own. See linux/ethtool.h (ETHTOOL_GTSO and the like), netdevice(7) (SIOCETHTOOL).

import { execFileSync } from 'node:child_process';
import { closeFd, O_RDONLY, openFile } from '../lib/sys/file.ts';
import { openSocket } from '../lib/sys/socket.ts';
import type { Syscalls } from '../lib/sys/syscalls.ts';

const AF_INET = 2;
const SOCK_DGRAM = 2;
const CLONE_NEWNET = 0x4000_0000;
const SIOCETHTOOL = 0x8946;
const OFFLOADS = {
  'rx-checksum': 0x14,
  'tx-checksum': 0x16,
  'scatter-gather': 0x18,
  tso: 0x1e,
  gso: 0x23,
  gro: 0x2b,
} as const;

/** For each device a text such as `rx-checksum on, …, MTU 1500`. Throws where namespaces cannot be made. */
export function readOffloads(sys: Syscalls): Record<string, string> {
  return inFreshNetns(sys, () => {
    const ip = (...args: string[]): string => execFileSync('ip', args, { encoding: 'utf8' });
    ip('link', 'add', 'veth', 'type', 'veth', 'peer', 'name', 'peer');
    ip('link', 'set', 'veth', 'up');
    ip('link', 'add', 'vxlan', 'type', 'vxlan', 'id', '1', 'dev', 'veth', 'dstport', '8472', 'nolearning');
    return Object.fromEntries(
      ['veth', 'vxlan'].map((device) => {
        const [{ mtu }] = JSON.parse(ip('-json', 'link', 'show', 'dev', device)) as [{ mtu: number }];
        return [device, `${offloadsOf(sys, device)}, MTU ${mtu}`];
      }),
    );
  });
}

function offloadsOf(sys: Syscalls, device: string): string {
  const fd = openSocket(sys, AF_INET, SOCK_DGRAM, 0);
  try {
    return Object.entries(OFFLOADS)
      .map(([name, command]) => `${name} ${isOn(sys, fd, device, command) ? 'on' : 'off'}`)
      .join(', ');
  } finally {
    closeFd(sys, fd);
  }
}

function isOn(sys: Syscalls, fd: number, device: string, command: number): boolean {
  return sys.arena.scope(() => {
    // struct ethtool_value: the command, then the answer
    const value = sys.arena.alloc(8);
    value.setU32(0, command);
    // struct ifreq: the name in 16 bytes, then a union of 24, here a pointer
    const request = sys.arena.alloc(40);
    request.set(sys.arena.encode(device));
    request.setU64(16, value.address);
    return sys.call(sys.nr.ioctl, fd, SIOCETHTOOL, request.address) >= 0 && value.u32(4) === 1;
  });
}

/** Runs `body` in a new network namespace. Only the calling thread moves; processes it starts there are in it, too. */
function inFreshNetns<T>(sys: Syscalls, body: () => T): T {
  const own = openFile(sys, '/proc/thread-self/ns/net', O_RDONLY);
  try {
    const made = sys.call(sys.nr.unshare, CLONE_NEWNET);
    if (made < 0) throw new Error(`unshare CLONE_NEWNET: errno ${-made}`);
    try {
      return body();
    } finally {
      // Without this, everything after it would be measured in the wrong network namespace.
      if (sys.call(sys.nr.setns, own, CLONE_NEWNET) < 0) process.abort();
    }
  } finally {
    closeFd(sys, own);
  }
}
