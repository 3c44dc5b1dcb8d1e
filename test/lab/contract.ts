// The interface between the lab's programs: the methods of the host program, which holds the switch, and of the runner inside each
// node, and the specification of a node, which both need.

import type { JsonObject } from './cni/conflist.ts';
import type { PluginRun } from './cni/invoke.ts';
import type { CommandOptions, CommandResult } from './command.ts';

/** The path of each program's socket, below the root folder of its mount namespace. */
export const HOST_SOCKET = '/run/lab/host.sock';
export const RUNNER_SOCKET = '/run/lab/runner.sock';
/** The folder that all nodes of a lab share: the leases of the directory subnet manager. */
export const LEASE_FOLDER = '/run/lab/leases';
/** The folder in which the host program keeps what a node writes to its disk. It survives a reboot. */
export const DISK_FOLDER = '/run/lab/disks';
export const SUBNET_FILE = '/run/flannel/subnet.env';
export const NET_CONF_FILE = '/etc/kube-flannel/net-conf.json';
export const CONFLIST_FOLDER = '/etc/cni/net.d';
export const CNI_BIN_FOLDER = '/opt/cni/bin';
export const CNI_CACHE_FOLDER = '/var/lib/cni';
/** Besides PATH, a node finds programs here: `flanneld` is the agent that it runs. */
export const PROGRAM_FOLDER = '/opt/weft/bin';
export const AGENT_LOG = '/run/lab/flanneld.log';
/** The underlay device of every node. */
export const UNDERLAY_DEVICE = 'eth0';

/** How a node runs its agent. */
export interface AgentSpec {
  /** The executable and its arguments. */
  readonly argv: readonly string[];
  readonly env: Record<string, string>;
  /** The port of /readyz on the node's 127.0.0.1. */
  readonly healthPort: number;
  readonly readyTimeoutMs: number;
}

/** Everything that defines a node. The host program keeps it, so that a reboot makes the same node again. */
export interface NodeSpec {
  readonly name: string;
  /** The node's number, from 1. Its underlay address is derived from this. */
  readonly index: number;
  /** The address on the underlay with its prefix length, such as `192.168.50.11/24`. */
  readonly address: string;
  readonly gateway: string;
  readonly mtuBytes: number;
  /** The folder whose files are installed in the node's /opt/cni/bin. */
  readonly pluginFolder: string;
  /** Files that are written at the first boot, by their absolute paths in the node. */
  readonly files: Record<string, string>;
  /** When absent, the node has no agent and the test programs it itself. */
  readonly agent?: AgentSpec | undefined;
}

/** The pids of a node's processes as the host program sees them. `pid` is the first process in the node's namespaces. */
export interface NodePlace {
  readonly name: string;
  readonly index: number;
  readonly address: string;
  readonly pid: number;
}

export interface HostMethods {
  /** Boots a node. Resolves when its runner answers and its underlay is up. */
  addNode: { params: NodeSpec; result: NodePlace };
  /** Kills a node. Resolves when its underlay device is gone. With `keepDisk`, its disk stays. */
  removeNode: { params: { name: string }; result: null };
  rebootNode: { params: { name: string }; result: NodePlace };
  listNodes: { params: null; result: NodePlace[] };
  /** Lets the lab outlive its owner. */
  release: { params: null; result: null };
  /** Runs a program in the switch's namespaces. */
  exec: { params: ExecRequest; result: CommandResult };
}

export interface ExecRequest extends CommandOptions {
  readonly argv: readonly string[];
  /** The path of the network namespace in which the program runs; the node's own when absent. */
  readonly netns?: string | undefined;
}

export interface PodAddRequest {
  readonly name: string;
  /** The container id; when absent, one of 64 hexadecimal digits is generated. */
  readonly containerId?: string | undefined;
  readonly ifName?: string | undefined;
  /** An existing namespace to attach instead of a new one. It is removed with the pod. */
  readonly netns?: string | undefined;
  /** The text of a conflist to use in place of the one in /etc/cni/net.d. */
  readonly conflist?: string | undefined;
  /** Folders of executables, in order, to use in place of /opt/cni/bin. */
  readonly cniPath?: readonly string[] | undefined;
  readonly args?: readonly (readonly [string, string])[] | undefined;
  readonly capabilityArgs?: JsonObject | undefined;
}

export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
}

/** How long attaching took, in milliseconds. */
export interface PodTimings {
  /** The time for making the namespace, which is the runtime's part. */
  readonly netnsMs: number;
  /** The time from the start of the first plugin to the end of the last. */
  readonly addMs: number;
  readonly runs: readonly PluginRun[];
}

export interface PodState {
  readonly name: string;
  readonly containerId: string;
  readonly netns: string;
  readonly ifName: string;
  /** The addresses without prefix lengths, in the order of the result. */
  readonly ips: readonly string[];
  readonly result: JsonObject;
  readonly timings: PodTimings;
}

export interface PodDelOutcome {
  readonly delMs: number;
  readonly runs: readonly PluginRun[];
}

export interface AgentState {
  /** The pid inside the node. */
  readonly pid?: number | undefined;
  readonly running: boolean;
  readonly exitCode?: number | null | undefined;
  readonly signal?: string | null | undefined;
  /** The time of the last start, of CLOCK_MONOTONIC in nanoseconds. */
  readonly startNs?: number | undefined;
}

export interface ProbeRequest {
  /** The path of the network namespace from which to send; the node itself when absent. */
  readonly netns?: string | undefined;
  readonly targets: readonly string[];
  /** The number of bytes after the ICMP header. */
  readonly payloadBytes: number;
  /** Sets DF, and never fragments on this node. */
  readonly dontFragment: boolean;
  readonly timeoutMs: number;
}

/** The result of one ping: its round-trip time, or the reason why there was no answer. */
export interface ProbeAnswer {
  readonly ip: string;
  readonly rttMs?: number | undefined;
  readonly failure?: string | undefined;
}

export interface RunnerMethods {
  /** Configures eth0 once the host program has plugged it in. */
  network: { params: null; result: null };
  exec: { params: ExecRequest; result: CommandResult };
  agentStart: { params: null; result: AgentState };
  /** Resolves when subnet.env is there and /readyz answers 200. Rejects with the end of the log. */
  agentReady: { params: null; result: { readyMs: number } };
  /** Sends SIGTERM and waits until the agent has ended. */
  agentStop: { params: { timeoutMs: number }; result: AgentState };
  /** Sends SIGKILL and waits until the agent has ended. */
  agentKill: { params: null; result: AgentState };
  agentState: { params: null; result: AgentState };
  /** Sends a GET to the agent's probe server. Rejects when nobody listens. */
  agentHttp: { params: { path: string }; result: HttpAnswer };
  podAdd: { params: PodAddRequest; result: PodState };
  /** Runs DEL and removes the namespace, unless `keepNetns` is set. */
  podDel: { params: { name: string }; result: PodDelOutcome };
  podCheck: { params: { name: string }; result: readonly PluginRun[] };
  podList: { params: null; result: readonly PodState[] };
  cniStatus: { params: null; result: readonly PluginRun[] };
  /** Runs GC, which must keep the existing pods. */
  cniGc: { params: null; result: readonly PluginRun[] };
  probe: { params: ProbeRequest; result: readonly ProbeAnswer[] };
}
