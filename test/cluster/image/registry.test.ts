// The archive on its way to nodes: pushed to a registry on this machine by each of the tools, with the digest that was printed, and
// loaded into a containerd as `npm run image -- load containerd` does.

import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { loadImage, pushImage } from '../../../scripts/image/deliver.mjs';
import { readArchive } from '../../../scripts/image/oci.mjs';
import { waitUntil } from '../../lab/processes.ts';
import { findProgram } from '../manifests/find-program.ts';
import { imageFolder } from './site.ts';

const TYPE = 'application/vnd.oci.image.index.v1+json';
let folder: string;
let registry: string;
let stop: () => void;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'weft-registry-'));
  registry = `127.0.0.1:${await freePort()}`;
  const config = {
    version: 0.1,
    storage: { filesystem: { rootdirectory: join(folder, 'data') } },
    http: { addr: registry },
    log: { level: 'error' },
  };
  writeFileSync(join(folder, 'config.yml'), JSON.stringify(config));
  const server = spawn('docker-registry', ['serve', join(folder, 'config.yml')], { stdio: 'ignore' });
  stop = () => void server.kill('SIGKILL');
  await waitUntil(
    async () => (await fetch(`http://${registry}/v2/`).catch(() => undefined))?.status === 200,
    20_000,
    'the registry',
  );
});
afterAll(() => {
  stop?.();
  rmSync(folder, { recursive: true, force: true });
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => void server.once('listening', resolve));
  const address = server.address();
  await new Promise((resolve) => void server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/** PATH with these programs and no others, until the test ends. */
function onlyOnPath(names: readonly string[]): void {
  const bin = mkdtempSync(join(folder, 'bin-'));
  for (const name of names) symlinkSync(findProgram(name) ?? name, join(bin, name));
  const before = process.env['PATH'];
  onTestFinished(() => {
    process.env['PATH'] = before;
  });
  process.env['PATH'] = bin;
}

const archive = (): string => join(imageFolder(), 'image.tar');

test.for(['skopeo', 'buildah'])(
  'is pushed by %s for both processors, under the digest it has here',
  { timeout: 120_000 },
  async (tool) => {
    const work = mkdtempSync(join(folder, 'read-'));
    const { index } = readArchive(archive(), work);
    const [name, tag] = [`team/by-${tool}`, 'v1'];
    onlyOnPath([tool, 'tar']);
    expect(pushImage(archive(), [`${registry}/${name}:${tag}`])).toBe(0);
    const answer = await fetch(`http://${registry}/v2/${name}/manifests/${tag}`, { headers: { accept: TYPE } });
    expect(answer.headers.get('docker-content-digest')).toBe(index);
    const { manifests } = (await answer.json()) as { manifests: { platform: { architecture: string } }[] };
    expect(manifests.map(({ platform }) => platform.architecture)).toEqual(['amd64', 'arm64']);
  },
);

test('is refused where neither tool is, or the reference is none', () => {
  expect(() => pushImage(archive(), ['weft'])).toThrow('push: expected REGISTRY/NAME:TAG, got "weft"');
  onlyOnPath(['tar']);
  expect(() => pushImage(archive(), [`${registry}/team/weft:1`])).toThrow('no buildah in PATH');
  expect(() => loadImage(archive(), ['kind'])).toThrow('no kind in PATH');
  expect(() => loadImage(archive(), ['podman'])).toThrow(
    'expected kind [CLUSTER], containerd [SOCKET] or docker, got "podman"',
  );
});

test('is loaded into a containerd under the name that the manifest has', { timeout: 120_000 }, async () => {
  const socket = join(folder, 'containerd.sock');
  const config = join(folder, 'containerd.toml');
  const state = ['root', 'state'].map((name) => `${name} = "${join(folder, name)}"`);
  writeFileSync(
    config,
    [
      'version = 2',
      ...state,
      'disabled_plugins = ["io.containerd.grpc.v1.cri"]',
      '[grpc]',
      `address = "${socket}"`,
    ].join('\n'),
  );
  const server = spawn('containerd', ['--config', config], { stdio: 'ignore' });
  onTestFinished(() => void server.kill('SIGKILL'));
  const ctr = (...args: string[]): string =>
    execFileSync('ctr', ['--address', socket, '--namespace', 'k8s.io', ...args], { encoding: 'utf8', stdio: 'pipe' });
  await waitUntil(() => Promise.resolve(succeeds(() => ctr('version'))), 20_000, 'containerd');
  expect(loadImage(archive(), ['containerd', socket])).toBe(0);
  expect(ctr('images', 'ls', '-q').trim()).toMatch(/^docker\.io\/library\/weft:\d+\.\d+\.\d+$/);
});

function succeeds(action: () => unknown): boolean {
  try {
    action();
    return true;
  } catch {
    return false;
  }
}
