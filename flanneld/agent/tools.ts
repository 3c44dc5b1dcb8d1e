// The interfaces through which the agent reaches the world; tests pass their own.

import type { Clock } from '../../lib/clock-node.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';
import type { Nft } from '../firewall/nft-program.ts';
import type { Logger } from '../health/log.ts';
import type { SubnetManager } from '../subnet/manager.ts';

/** Everything the agent reaches the world through. */
export interface AgentTools {
  readonly sys: Syscalls;
  readonly netlink: Netlink;
  readonly manager: SubnetManager;
  readonly nft: Nft;
  /** The folders in which programs are searched for: the environment's PATH. */
  readonly path: string;
  /** The environment for commands of the extension backend; their own variables are added to it. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly log: Logger;
  readonly clock: Clock;
  readonly nodeName: string;
  /** Tells the service manager that the agent is ready. Throws SysError. */
  readonly notifyReady: () => void;
  /** The CNI executable that belongs to this agent. */
  readonly cniExecutable: string;
  /** Six bytes for a MAC. */
  readonly randomMac: () => Uint8Array;
}
