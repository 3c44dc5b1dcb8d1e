// Turns the options of startLab into the specification of a node that the lab's programs exchange.

import type { JsonObject } from './cni/conflist.ts';
import {
  type AgentSpec,
  CONFLIST_FOLDER,
  LEASE_FOLDER,
  NET_CONF_FILE,
  type NodeSpec,
  SUBNET_FILE,
  UNDERLAY_DEVICE,
} from './contract.ts';
import { UNDERLAY_GATEWAY, underlayAddress } from './host/underlay.ts';
import { builtAgent, builtPlugins, requireBuilt } from './programs.ts';

export interface NodeOptions {
  /** The net-conf.json of every node. */
  readonly netConf?: JsonObject;
  /** When `false`, the nodes have no agent and the test programs them itself. */
  readonly agent?: AgentOptions | false;
  /** The folder of CNI executables; dist/cni when absent. */
  readonly pluginFolder?: string;
  /**
   * The conflist. The agent installs it when it is ready; in a lab without agents it is there from the beginning. `false` means
   * none.
   */
  readonly conflist?: JsonObject | false;
  /** The MTU of the underlay devices. */
  readonly underlayMtuBytes?: number;
}

export interface AgentOptions {
  /** The agent's executable; dist/flanneld when absent. */
  readonly file?: string;
  /** Arguments that follow the lab's own. */
  readonly args?: readonly string[];
  readonly env?: Record<string, string>;
  readonly readyTimeoutMs?: number;
  /** Whether startLab and addNode start the agent and wait until it is ready; true when absent. */
  readonly start?: boolean;
}

const defaultNetConf: JsonObject = { Network: '10.244.0.0/16', Backend: { Type: 'vxlan' } };

/** The list in flannel's manifest. */
export const classicConflist: JsonObject = {
  name: 'cbr0',
  cniVersion: '0.3.1',
  plugins: [
    { type: 'flannel', delegate: { hairpinMode: true, isDefaultGateway: true } },
    { type: 'portmap', capabilities: { portMappings: true } },
  ],
};

/** The path at which flannel's ConfigMap is mounted. */
const CNI_CONF_FILE = '/etc/kube-flannel/cni-conf.json';
const HEALTH_PORT = 10_256;
const READY_TIMEOUT_MS = 20_000;
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export function nodeSpec(index: number, options: NodeOptions): NodeSpec {
  const name = `node-${index}`;
  const { conflist = classicConflist, netConf = defaultNetConf, agent = {} } = options;
  // Where an agent runs, it installs the list itself when its node forwards.
  const conflistFile =
    agent === false || agent.start === false ? `${CONFLIST_FOLDER}/10-flannel.conflist` : CNI_CONF_FILE;
  return {
    name,
    index,
    address: underlayAddress(index),
    gateway: UNDERLAY_GATEWAY,
    mtuBytes: options.underlayMtuBytes ?? 1500,
    pluginFolder: options.pluginFolder ?? requireBuilt(builtPlugins),
    files: {
      [NET_CONF_FILE]: JSON.stringify(netConf),
      ...(conflist === false ? {} : { [conflistFile]: JSON.stringify(conflist, undefined, 2) }),
    },
    agent: agent === false ? undefined : agentSpec(name, agent, conflist !== false),
  };
}

function agentSpec(
  node: string,
  { file, args = [], env = {}, readyTimeoutMs = READY_TIMEOUT_MS, start = true }: AgentOptions,
  installsConflist: boolean,
): AgentSpec {
  const flags = [
    `--iface=${UNDERLAY_DEVICE}`,
    `--net-config-path=${NET_CONF_FILE}`,
    `--subnet-dir=${LEASE_FOLDER}`,
    `--subnet-file=${SUBNET_FILE}`,
    '--ip-masq',
    '--healthz-ip=127.0.0.1',
    `--healthz-port=${HEALTH_PORT}`,
    ...(installsConflist && start ? [`--cni-conf=${CNI_CONF_FILE}`, `--cni-conf-dir=${CONFLIST_FOLDER}`] : []),
  ];
  return {
    argv: [file ?? requireBuilt(builtAgent), ...flags, ...args],
    env: { PATH, NODE_NAME: node, ...timeFactor(), ...env },
    healthPort: HEALTH_PORT,
    readyTimeoutMs,
  };
}

/** Stretches the agent's limits on a slow machine, as the tests' own limits are. */
function timeFactor(): Record<string, string> {
  const factor = process.env['WEFT_TEST_SLOWNESS'];
  return factor === undefined ? {} : { WEFT_TEST_SLOWNESS: factor };
}
