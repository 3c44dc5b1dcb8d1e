// What a case uses: a sandbox, the executable under test, ways to call it, and ways to inspect what it left behind.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { dirname, join } from 'node:path';
import type { CommandResult } from '../../lab/command.ts';
import { slowed } from '../../support/slowness.ts';
import { Attachment, type AttachmentOptions, type Caller, type CallOptions, type JsonObject } from './attachment.ts';
import type { ChainDriver } from './driver.ts';
import { fail, present } from './expect.ts';
import type { BridgePort, Link, Route } from './observe.ts';
import { netnsPath, type Sandbox } from './sandbox.ts';
import type { CniVersion } from './versions.ts';

/** The PATH that runtimes pass on. Plugins that execute iptables or nft need it. */
const PATH = '/usr/sbin:/usr/bin:/sbin:/bin';

export class Trial implements Caller {
  readonly sandbox: Sandbox;
  /** The name of the executable. */
  readonly plugin: string;
  /** The CNI version of the configurations: 1.0.0, or the newest earlier one that the executable supports. */
  readonly version: CniVersion;
  readonly driver: ChainDriver | undefined;
  /** All calls and their answers, to find out why a case failed. */
  readonly transcript: string[] = [];

  constructor(sandbox: Sandbox, plugin: string, version: CniVersion, driver?: ChainDriver) {
    this.sandbox = sandbox;
    this.plugin = plugin;
    this.version = version;
    this.driver = driver;
  }

  /** Folder of the executables as the plugins see it. */
  get bin(): string {
    return join(this.sandbox.dir, 'bin');
  }

  /** Executes a plugin on the host. Rejects with a CaseFailure when the plugin does not exist or does not end. */
  async call({ plugin = this.plugin, env, stdin }: CallOptions): Promise<CommandResult> {
    const input = typeof stdin === 'string' ? stdin : JSON.stringify(stdin);
    const argv = [join(this.bin, plugin)];
    const result = await this.sandbox.run(argv, { env: { PATH, ...env }, input });
    const line = Object.entries(env).map(([key, value]) => `${key}='${value}'`);
    this.transcript.push(
      `${line.join(' ')} ${plugin} <<< '${input}'`,
      `exit ${result.exitCode ?? result.signal} stdout ${result.stdout} stderr ${result.stderr}`,
    );
    if (result.exitCode === null) fail(`${plugin} ${env['CNI_COMMAND'] ?? ''}: killed by ${result.signal}`);
    return result;
  }

  /** Executes the plugin with a stdin that stays open. Rejects when it has not ended after 5 s. */
  async callWithOpenStdin(env: Readonly<Record<string, string>>): Promise<{ exitCode: number | null; stdout: string }> {
    const [file = '', ...args] = this.sandbox.inside([join(this.bin, this.plugin)]);
    const child = spawn(file, args, {
      env: { PATH, ...env },
      stdio: 'pipe',
      timeout: slowed(5000),
      killSignal: 'SIGKILL',
    });
    let stdout = '';
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk.toString();
    });
    const [exitCode] = (await once(child, 'close')) as [number | null];
    child.stdin.destroy();
    if (exitCode === null) fail(`${this.plugin} ${env['CNI_COMMAND'] ?? ''}: waits for stdin to be closed`);
    return { exitCode, stdout };
  }

  attachment(config: JsonObject, options: AttachmentOptions = {}): Attachment {
    return new Attachment(this, config, options);
  }

  /** Makes the network namespace of another container besides `c1`. Resolves with its path. */
  async container(name: string): Promise<string> {
    await this.sandbox.addContainer(name);
    return netnsPath(name);
  }

  /** A path in the case's own folder, valid inside and outside. */
  path(...names: string[]): string {
    return join(this.sandbox.dir, ...names);
  }

  write(name: string, text: string, mode = 0o644): string {
    const path = this.path(name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text, { mode });
    return path;
  }

  remove(name: string): void {
    rmSync(this.path(name));
  }

  /** The text of a file; undefined when there is none. */
  read(name: string): string | undefined {
    try {
      return readFileSync(this.path(name), 'utf8');
    } catch {
      return undefined;
    }
  }

  /** The sorted names in a folder; empty when there is no folder. */
  list(name: string): string[] {
    try {
      return readdirSync(this.path(name)).sort();
    } catch {
      return [];
    }
  }

  /** The addresses in host-local's store for a network, sorted as text. */
  addresses(network = 'n1'): string[] {
    return this.list(join('networks', network)).filter((name) => isIP(name) !== 0);
  }

  links(container?: string): Promise<Link[]> {
    return this.#json<Link>(['ip', '-j', '-d', 'address', 'show'], container);
  }

  async findLink(name: string, container?: string): Promise<Link | undefined> {
    return (await this.links(container)).find((link) => link.ifname === name);
  }

  /** The link, which must be there. */
  async link(name: string, container?: string): Promise<Link> {
    return present(
      await this.findLink(name, container),
      `link ${name} ${container === undefined ? '' : `in ${container}`}`,
    );
  }

  /** The unicast routes, including those that the kernel makes for addresses. `table` is `main` or a number. */
  routes(family: 4 | 6, container?: string, table = 'main'): Promise<Route[]> {
    return this.#json<Route>(['ip', '-j', '-d', `-${family}`, 'route', 'show', 'table', table], container);
  }

  async bridgePort(name: string): Promise<BridgePort> {
    const ports = await this.#json<BridgePort>(['bridge', '-j', '-d', 'link', 'show']);
    return present(
      ports.find((port) => port.ifname === name),
      `bridge port ${name}`,
    );
  }

  /** Names of the host's veth ends that are ports of a bridge. */
  async ports(bridge = 'cni0'): Promise<string[]> {
    const links = await this.links();
    return links.filter((link) => link.master === bridge).map((link) => link.ifname);
  }

  /** A value below /proc/sys, on the host or in a container. */
  async sysctl(name: string, container?: string): Promise<string> {
    return (await this.sandbox.must(['cat', `/proc/sys/${name}`], container)).trim();
  }

  sh(script: string, container?: string): Promise<string> {
    return this.sandbox.must(['sh', '-c', script], container);
  }

  /** All nftables rules as `nft` prints them, including those of iptables-nft. */
  ruleset(): Promise<string> {
    return this.sandbox.must(['nft', 'list', 'ruleset']);
  }

  /** The rules of iptables' nat table. */
  async natRules(tool: 'iptables' | 'ip6tables' = 'iptables'): Promise<string[]> {
    const text = await this.sandbox.must([`${tool}-save`, '-t', 'nat']);
    return text.split('\n').filter((line) => line.startsWith('-A') || line.startsWith(':CNI'));
  }

  async #json<T>(argv: readonly string[], container?: string): Promise<T[]> {
    const text = await this.sandbox.must(argv, container);
    // When there is nothing to list, some tools print nothing, others [{}].
    const list = text.trim() === '' ? [] : (JSON.parse(text) as T[]);
    return list.filter((entry) => Object.keys(entry as object).length > 0);
  }
}
