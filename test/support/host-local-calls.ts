// Calls host-local within this process, as a runtime would call it, with its files in a folder of the test.

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { hostLocal } from '../../cni-plugin/host-local/host-local.ts';
import { runPlugin } from '../../cni-plugin/protocol/run-operation.ts';
import { openKoffiSyscalls } from '../../lib/sys/koffi.ts';
import { withoutVersion } from './cni-error.ts';

const sys = openKoffiSyscalls();

export interface Call {
  readonly command?: string;
  readonly version?: string;
  readonly cid?: string;
  readonly ifname?: string;
  readonly args?: string;
  readonly ipam?: object;
  readonly config?: object;
}

export function tempDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'weft-hl-'));
  onTestFinished(() => rmSync(dir, { recursive: true }));
  return dir;
}

export function call(
  dir: string,
  { command = 'ADD', version = '1.0.0', cid = 'c1', ifname = 'eth0', args = '', ipam, config }: Call,
) {
  const text = JSON.stringify({
    cniVersion: version,
    name: 'n1',
    ipam: { type: 'host-local', dataDir: dir, ...(ipam ?? { subnet: '10.1.2.0/24' }) },
    ...config,
  });
  const env: Record<string, string> = {
    CNI_COMMAND: command,
    CNI_CONTAINERID: cid,
    CNI_NETNS: '/no/such/netns',
    CNI_IFNAME: ifname,
    CNI_ARGS: args,
    CNI_PATH: '/opt/cni/bin',
  };
  const output = runPlugin(hostLocal, {
    sys,
    stdin: () => sys.arena.encode(text),
    env: (name) => env[name],
    environment: () => [],
  });
  const json = output.stdout === '' ? undefined : withoutVersion(JSON.parse(output.stdout));
  return { ...output, json };
}

/** Returns the addresses of a successful ADD, or the text of the error. */
export function addressesOf(dir: string, options: Call): string {
  const { json } = call(dir, options);
  return json.msg ?? json.ips.map((ip: { address: string }) => ip.address).join(' ');
}

export function files(dir: string): string[] {
  return readdirSync(join(dir, 'n1'))
    .filter((name) => !name.startsWith('.') && name !== 'lock')
    .sort();
}

export function content(dir: string, name: string): string {
  return readFileSync(join(dir, 'n1', name), 'utf8');
}

export function put(dir: string, entries: Record<string, string>): void {
  mkdirSync(join(dir, 'n1'), { recursive: true });
  for (const [name, text] of Object.entries(entries)) writeFileSync(join(dir, 'n1', name), text);
}

/** Lists the index files beside the address files, as `<container>:<interface>:<n>` without the dot in front. */
export function links(dir: string): string[] {
  const names = readdirSync(join(dir, 'n1')).filter((name) => name.startsWith('.') && name.includes(':'));
  return names.map((name) => name.slice(1)).sort();
}
