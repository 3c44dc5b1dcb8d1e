// One thing that Weft has made on a node: its name as the matching tool shows it, and how to remove it.

import { rmSync } from 'node:fs';
import type { Netlink } from '../../../lib/netlink/connection.ts';
import { removeFile } from '../../../lib/sys/file.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';
import type { FindIptables } from '../../firewall/iptables-programs.ts';
import type { Nft } from '../../firewall/nft-program.ts';

export interface Leftover {
  /** `link flannel.1`, `file /run/flannel/subnet.env`. */
  readonly text: string;
  readonly remove: () => void | Promise<void>;
  /** Why it is not removed. */
  readonly kept?: string;
  /** Set if flannel uses the same thing, so that it stays where flannel runs. */
  readonly isShared?: true;
}

/** Where to look. */
export interface CleanupScope {
  readonly cniConfDir: string;
  readonly cniBinDir: string;
  readonly subnetFile: string;
  /** This node's lease file, with the directory store. */
  readonly leaseFile: string | undefined;
  /** The folder in which plugins keep their state. */
  readonly cniStateDir: string;
}

export interface CleanupTools {
  readonly sys: Syscalls;
  readonly netlink: Netlink;
  readonly nft: Nft;
  readonly findIptables: FindIptables;
}

export function fileLeftover(sys: Syscalls, path: string): Leftover {
  return {
    text: `file ${path}`,
    remove: () => {
      removeFile(sys, path);
    },
  };
}

/** A directory with everything in it. */
export function directoryLeftover(path: string): Leftover {
  return { text: `directory ${path}`, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** A table of nftables. */
export function tableLeftover(nft: Nft, family: string, table: string): Leftover {
  return { text: `table ${family} ${table}`, remove: () => nft.apply(`delete table ${family} ${table}\n`) };
}
