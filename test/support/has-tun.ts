// Whether the kernel has TUN devices, which the udp backend is made of.

import { existsSync, readFileSync } from 'node:fs';

/** The kernel names its misc devices there; TUN is one. */
const FILE = '/proc/misc';

export const hasTun = existsSync(FILE) && /^\s*\d+ tun$/m.test(readFileSync(FILE, 'utf8'));
/** For needs.machine. */
export const tunNeeded = `a kernel with TUN (looked in ${FILE})`;
