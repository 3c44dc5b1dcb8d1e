// A node that is a virtual machine: a stock kernel of its own, an agent, a pod, and the network that joins the machines.

import { rm } from 'node:fs/promises';
import { Writable } from 'node:stream';
import type { Kernel } from '../../scripts/kernels/debian-kernel.mjs';
import { quoted, VirtualMachine } from '../../scripts/kernels/vm.mjs';
import { builtPlugins } from '../lab/programs.ts';
import { slowed } from '../support/slowness.ts';

const SUBNET_FILE = '/run/flannel/subnet.env';
const AGENT_LOG = '/run/agent.log';
/** The address of the machine that runs the test, as the virtual machines see it. */
export const HOST = '10.0.2.2';
const MEMORY_MB = 2048;
const ASK_AGAIN_MS = 1000;
const LIMIT_MS = 60_000;

const CONFLIST = { cniVersion: '1.0.0', name: 'cbr0', type: 'flannel', delegate: { isDefaultGateway: true } };

export class Machine {
  readonly name: string;
  readonly kernel: Kernel;
  readonly address: string;
  readonly #network: { readonly socket: string; readonly mac: string };
  #vm: VirtualMachine | undefined;
  /** The address of its pod; undefined before there is one. */
  podIp: string | undefined;

  constructor(index: number, kernel: Kernel, socket: string) {
    this.name = `machine-${index}`;
    this.kernel = kernel;
    this.address = `192.168.60.1${index}`;
    this.#network = { socket, mac: `02:00:00:00:60:1${index}` };
  }

  /** Boots it and gives it its addresses. There is no default route: only the other machines and the host can be reached. */
  async boot(): Promise<void> {
    this.#vm = await VirtualMachine.boot(this.kernel, { memoryMb: MEMORY_MB, network: this.#network });
    await this.run(`hostname ${this.name}
      ip address add ${this.address}/24 dev eth0 && ip link set eth0 up
      ip address add 10.0.2.15/24 dev eth1 && ip link set eth1 up
      sysctl -qw net.ipv4.ip_forward=1`);
  }

  /** Ends it abruptly, like a power cut. */
  async cut(): Promise<void> {
    this.podIp = undefined;
    await this.#vm?.stop();
    this.#vm = undefined;
  }

  /** Starts an agent; the previous one must have ended. */
  async startAgent(program: string, flags: readonly string[]): Promise<void> {
    const argv = [program, ...flags, '--iface=eth0', `--subnet-file=${SUBNET_FILE}`, '--ip-masq'];
    const own = ['--healthz-ip=127.0.0.1', '--healthz-port=10256'];
    const env = `NODE_NAME=${this.name} WEFT_TEST_SLOWNESS=${slowed(1)}`;
    const command = [...argv, ...own].map(quoted).join(' ');
    await this.run(`${env} setsid ${command} > ${AGENT_LOG} 2>&1 < /dev/null & echo $! > /run/agent.pid`);
    await this.until(
      `[ -f ${SUBNET_FILE} ] && busybox wget -q -O /dev/null http://127.0.0.1:10256/healthz`,
      'its agent',
    );
  }

  async stopAgent(): Promise<void> {
    await this.run('kill $(cat /run/agent.pid)');
    await this.until('! kill -0 $(cat /run/agent.pid) 2>/dev/null', 'the end of its agent');
  }

  /** The last output of the agent. */
  async agentLog(): Promise<string> {
    return await this.run(`tail -n 20 ${AGENT_LOG}`).catch((error: Error) => error.message);
  }

  /** Makes the CNI executable attach a pod. */
  async addPod(): Promise<void> {
    const env = `CNI_COMMAND=ADD CNI_CONTAINERID=${this.name} CNI_NETNS=/run/netns/pod CNI_IFNAME=eth0 CNI_PATH=${quoted(builtPlugins)}`;
    const input = quoted(JSON.stringify(CONFLIST));
    const text = await this.run(`ip netns add pod && echo ${input} | ${env} ${quoted(`${builtPlugins}/flannel`)}`);
    const { ips } = JSON.parse(text) as { readonly ips: readonly { readonly address: string }[] };
    this.podIp = ips[0]?.address.split('/')[0];
  }

  /** Whether its pod gets an answer from that address. */
  async reaches(ip: string): Promise<boolean> {
    const { code } = await this.#ask(`ip netns exec pod ping -c 1 -W 10 ${ip}`);
    return code === 0;
  }

  /** Runs a shell command and resolves with its output. Rejects with the output when the command fails. */
  async run(command: string): Promise<string> {
    const { code, text } = await this.#ask(command);
    if (code !== 0) throw new Error(`${this.name}: exit ${code} of ${command}: ${text.trim()}`);
    return text;
  }

  /** Waits until a shell command succeeds. */
  async until(command: string, what: string): Promise<void> {
    const end = performance.now() + slowed(LIMIT_MS);
    while ((await this.#ask(command)).code !== 0) {
      if (performance.now() > end) throw new Error(`${this.name}: no ${what}: ${await this.agentLog()}`);
      await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
    }
  }

  async #ask(command: string): Promise<{ code: number; text: string }> {
    const vm = this.#vm;
    if (vm === undefined) throw new Error(`${this.name} is off`);
    let text = '';
    const output = new Writable({
      write(bytes: Buffer, _encoding, done) {
        text += bytes.toString();
        done();
      },
    });
    const code = await vm.run(command, { limitMs: slowed(LIMIT_MS), output });
    return { code, text };
  }
}

/** Ends all machines and removes the folder with their switch's socket. */
export async function endAll(machines: readonly Machine[], folder: string): Promise<void> {
  for (const machine of machines) await machine.cut();
  await rm(folder, { recursive: true, force: true });
}
