// The interface between the lab's programs: the methods of the process that holds the switch (the host program) and of the runner
// inside each node, and the specification of a node, which both need.

import type { JsonObject } from './cni/conflist.ts';
import type { PluginRun } from './cni/invoke.ts';
import type { CommandOptions, CommandResult } from './command.ts';

/** Where each program listens, seen from the root folder of its mount namespace. */
export const HOST_SOCKET = '/run/lab/host.sock';
export const RUNNER_SOCKET = '/run/lab/runner.sock';
/** Folders every node of a lab shares: the leases of the directory subnet manager. */
export const LEASE_FOLDER = '/run/lab/leases';
/** Where the host program keeps what a node writes to its disk; it outlives a reboot. */
export const DISK_FOLDER = '/run/lab/disks';
export const SUBNET_FILE = '/run/flannel/subnet.env';
export const NET_CONF_FILE = '/etc/kube-flannel/net-conf.json';
export const CONFLIST_FOLDER = '/etc/cni/net.d';
export const CNI_BIN_FOLDER = '/opt/cni/bin';
export const CNI_CACHE_FOLDER = '/var/lib/cni';
/** Where a node's programs are found besides its PATH: `flanneld` is the one it runs. */
export const PROGRAM_FOLDER = '/opt/weft/bin';
export const AGENT_LOG = '/run/lab/flanneld.log';
/** The underlay device of every node. */
export const UNDERLAY_DEVICE = 'eth0';

/** How a node runs its agent. */
export interface AgentSpec {
  /** The executable and its arguments. */
  readonly argv: readonly string[];
  readonly env: Record<string, string>;
  /** Port of /readyz on 127.0.0.1 of the node. */
  readonly healthPort: number;
  readonly readyTimeoutMs: number;
}

/** Everything that defines a node. The host program keeps it, so that a reboot makes the same node again. */
export interface NodeSpec {
  readonly name: string;
  /** The node's number, from 1. Its underlay address is derived from this. */
  readonly index: number;
  /** Address on the underlay and its prefix length: `192.168.50.11/24`. */
  readonly address: string;
  readonly gateway: string;
  readonly mtuBytes: number;
  /** Folder whose files are installed in the node's /opt/cni/bin. */
  readonly pluginFolder: string;
  /** Files written at the first boot, by absolute path in the node. */
  readonly files: Record<string, string>;
  /** Absent: no agent, the test programs the node itself. */
  readonly agent?: AgentSpec | undefined;
}

/** The host program's numbers for a node's processes; `pid` is the first one in its namespaces. */
export interface NodePlace {
  readonly name: string;
  readonly index: number;
  readonly address: string;
  readonly pid: number;
}

export interface HostMethods {
  /** Boots a node; resolves when its runner answers and its underlay is up. */
  addNode: { params: NodeSpec; result: NodePlace };
  /** Kills a node and resolves when its underlay device is gone. With `keepDisk`, its disk stays. */
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
  /** Path of a network namespace to run it in; absent = the node's own. */
  readonly netns?: string | undefined;
}

export interface PodAddRequest {
  readonly name: string;
  /** The container id; when absent, one of 64 hexadecimal digits is generated. */
  readonly containerId?: string | undefined;
  readonly ifName?: string | undefined;
  /** An existing namespace to attach instead of a new one. It is removed with the pod. */
  readonly netns?: string | undefined;
  /** Conflist text to use instead of the one in /etc/cni/net.d. */
  readonly conflist?: string | undefined;
  /** Folders of executables to use instead of /opt/cni/bin, in order. */
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
  /** Making the namespace: the runtime's share. */
  readonly netnsMs: number;
  /** From the first plugin's start to the last one's end. */
  readonly addMs: number;
  readonly runs: readonly PluginRun[];
}

export interface PodState {
  readonly name: string;
  readonly containerId: string;
  readonly netns: string;
  readonly ifName: string;
  /** Without prefix lengths, in the order of the result. */
  readonly ips: readonly string[];
  readonly result: JsonObject;
  readonly timings: PodTimings;
}

export interface PodDelOutcome {
  readonly delMs: number;
  readonly runs: readonly PluginRun[];
}

export interface AgentState {
  /** Number inside the node. */
  readonly pid?: number | undefined;
  readonly running: boolean;
  readonly exitCode?: number | null | undefined;
  readonly signal?: string | null | undefined;
  /** CLOCK_MONOTONIC in nanoseconds of the last start. */
  readonly startNs?: number | undefined;
}

export interface ProbeRequest {
  /** Path of the network namespace to send from; absent = the node itself. */
  readonly netns?: string | undefined;
  readonly targets: readonly string[];
  /** Bytes after the ICMP header. */
  readonly payloadBytes: number;
  /** Sets DF and never fragments locally. */
  readonly dontFragment: boolean;
  readonly timeoutMs: number;
}

/** One ping: its round trip, or why there was none. */
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
  /** Resolves when subnet.env is there and /readyz says so; fails with the end of the log. */
  agentReady: { params: null; result: { readyMs: number } };
  /** SIGTERM, and waits for the end. */
  agentStop: { params: { timeoutMs: number }; result: AgentState };
  /** SIGKILL, and waits for the end. */
  agentKill: { params: null; result: AgentState };
  agentState: { params: null; result: AgentState };
  /** GET from the agent's probe server; rejects when nobody listens. */
  agentHttp: { params: { path: string }; result: HttpAnswer };
  podAdd: { params: PodAddRequest; result: PodState };
  /** DEL, then the namespace is removed; `keepNetns` leaves it. */
  podDel: { params: { name: string }; result: PodDelOutcome };
  podCheck: { params: { name: string }; result: readonly PluginRun[] };
  podList: { params: null; result: readonly PodState[] };
  cniStatus: { params: null; result: readonly PluginRun[] };
  /** Runs GC, which must keep the existing pods. */
  cniGc: { params: null; result: readonly PluginRun[] };
  probe: { params: ProbeRequest; result: readonly ProbeAnswer[] };
}
