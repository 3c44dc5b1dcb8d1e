// A node for tests of the CNI executable. It has namespaces of its own (test/cni/conformance/sandbox.ts), the executable under each
// of its names, and the classic flannel configuration. The executable is called as a runtime calls it.

import { existsSync, linkSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import {
  Attachment,
  type AttachmentOptions,
  type CallOptions,
  type JsonObject,
} from '../cni/conformance/attachment.ts';
import { netnsPath, Sandbox } from '../cni/conformance/sandbox.ts';
import type { CommandResult } from '../lab/command.ts';
import { compileProgram, type Executable } from './executable.ts';

/** The folder of Debian's containernetworking-plugins. Other machines do not have it. */
export const REFERENCE_BIN = '/usr/lib/cni';

/** Compiles the executable once and gives it its names. Register `remove` where it is called. */
export async function compilePlugins(): Promise<Executable> {
  const executable = await compileProgram(resolve(import.meta.dirname, '../../cni-plugin/main.ts'), { profile: true });
  const bin = join(executable.folder, 'bin');
  mkdirSync(bin);
  for (const name of ['flannel', 'bridge', 'host-local', 'loopback', 'portmap', 'bandwidth']) {
    linkSync(executable.path, join(bin, name));
  }
  return { ...executable, folder: bin };
}

export interface LinkState {
  readonly ifname: string;
  readonly address: string;
  readonly mtu: number;
  readonly operstate: string;
  readonly linkinfo?: { readonly info_kind?: string; readonly info_slave_data?: { readonly hairpin?: boolean } };
}

export class CniNode {
  readonly sandbox: Sandbox;
  readonly bin: string;

  private constructor(sandbox: Sandbox) {
    this.sandbox = sandbox;
    this.bin = join(sandbox.dir, 'bin');
  }

  /** A node with subnet 10.244.1.0/24 of 10.244.0.0/16 and the pod netns `c1`. Register `close` where it is called. */
  static async open(bin: string, env: Readonly<Record<string, string>> = {}): Promise<CniNode> {
    const node = new CniNode(await Sandbox.open(bin));
    node.writeSubnetEnv(env);
    return node;
  }

  close(): Promise<void> {
    return this.sandbox.close();
  }

  path(...parts: readonly string[]): string {
    return join(this.sandbox.dir, ...parts);
  }

  write(path: string, text: string, mode = 0o644): string {
    mkdirSync(dirname(this.path(path)), { recursive: true });
    writeFileSync(this.path(path), text, { mode });
    return this.path(path);
  }

  writeSubnetEnv(keys: Readonly<Record<string, string>> = {}): void {
    const all = {
      FLANNEL_NETWORK: '10.244.0.0/16',
      FLANNEL_SUBNET: '10.244.1.1/24',
      FLANNEL_MTU: '1450',
      FLANNEL_IPMASQ: 'true',
      ...keys,
    };
    const lines = Object.entries(all).map(([key, value]) => `${key}=${value}\n`);
    this.write('subnet.env', lines.join(''));
  }

  /** The classic configuration, with files in this node's folder. */
  config(keys: JsonObject = {}): JsonObject {
    return {
      cniVersion: '0.3.1',
      name: 'cbr0',
      type: 'flannel',
      subnetFile: this.path('subnet.env'),
      dataDir: this.path('state'),
      ipam: { dataDir: this.path('networks') },
      delegate: { hairpinMode: true, isDefaultGateway: true },
      ...keys,
    };
  }

  attachment(options: AttachmentOptions = {}, keys: JsonObject = {}): Attachment {
    return new Attachment(this, this.config(keys), { plugin: 'flannel', ...options });
  }

  /** Makes another pod netns and returns its path. */
  async pod(name: string): Promise<string> {
    await this.sandbox.addContainer(name);
    return netnsPath(name);
  }

  call({ plugin = 'flannel', env, stdin }: CallOptions): Promise<CommandResult> {
    const path = plugin.startsWith('/') ? plugin : join(this.bin, plugin);
    const input = typeof stdin === 'string' ? stdin : JSON.stringify(stdin);
    return this.sandbox.run([path], { env, input, cwd: '/' });
  }

  /** The devices of the node, or of a pod. */
  async links(container?: string): Promise<LinkState[]> {
    return JSON.parse(await this.sandbox.must(['ip', '-d', '-j', 'link'], container)) as LinkState[];
  }

  /** Names of the node's veths. */
  async veths(): Promise<string[]> {
    const all = await this.links();
    return all.filter((link) => link.linkinfo?.info_kind === 'veth').map((link) => link.ifname);
  }

  /** The addresses in use according to the address files. */
  addresses(network = 'cbr0'): string[] {
    const folder = this.path('networks', network);
    const names = existsSync(folder) ? readdirSync(folder) : [];
    return names.filter((name) => /^[0-9a-f]+[.:]/.test(name)).sort();
  }

  /** Every file that is kept for attachments: saved configurations, addresses and their index. */
  kept(): string[] {
    const list = (folder: string): string[] => (existsSync(this.path(folder)) ? readdirSync(this.path(folder)) : []);
    const index = list('networks/cbr0').filter((name) => name.includes(':'));
    return [...list('state'), ...this.addresses(), ...index].sort();
  }

  read(path: string): string {
    return readFileSync(this.path(path), 'utf8');
  }

  /** Whether a TCP packet to a closed port of `ip` is answered by a refusal. It is sent from the node or from a pod. */
  async reaches(ip: string, container?: string): Promise<boolean> {
    const script = `exec 3<>/dev/tcp/${ip}/9`;
    const { stderr } = await this.sandbox.run(['timeout', '3', 'bash', '-c', script], {
      ...(container === undefined ? {} : { container }),
    });
    return stderr.includes('refused');
  }
}
