// Tests whether the kernel has TUN devices, on which the udp backend is built.

import { existsSync, readFileSync } from 'node:fs';

/** The kernel lists its misc devices in this file, among them TUN. */
const FILE = '/proc/misc';

export const hasTun = existsSync(FILE) && /^\s*\d+ tun$/m.test(readFileSync(FILE, 'utf8'));
/** The text for needs.machine. */
export const tunNeeded = `a kernel with TUN (looked in ${FILE})`;
