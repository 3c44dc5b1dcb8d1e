// The programs that `npm run build` leaves in dist: each runs by itself, wherever it is copied.

import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { needs } from '../support/needs.ts';

const dist = resolve(import.meta.dirname, '../../dist');
const ELF_PROGRAM_INTERPRETER = 3;

beforeEach(() => needs.setUp(existsSync(join(dist, 'cni/flannel')) && existsSync(join(dist, 'flanneld')), dist));

/** What the doctor and an agent behind a proxy need. */
const AGENT = ['flanneld', 'flanneld-agent.js', 'flanneld-extra.js', 'koffi.node'];

function copyAlone(...files: string[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'weft-dist-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  for (const file of files) copyFileSync(join(dist, file), join(folder, file.slice(file.lastIndexOf('/') + 1)));
  return folder;
}

describe('flanneld', () => {
  test('runs with only its program and koffi.node beside it', () => {
    const folder = copyAlone('flanneld', 'flanneld-agent.js', 'koffi.node');
    expect(execFileSync(join(folder, 'flanneld'), ['--version'], { cwd: '/', encoding: 'utf8' })).toContain('weft');
  });

  test('runs in dist, below the repository’s package.json', () => {
    expect(execFileSync(join(dist, 'flanneld'), ['--version'], { cwd: '/', encoding: 'utf8' })).toContain('weft');
  });

  test.for([
    { missing: 'koffi.node', beside: ['flanneld-agent.js'] },
    { missing: 'flanneld-agent.js', beside: ['koffi.node'] },
  ])('says what is missing without $missing', ({ missing, beside }) => {
    const folder = copyAlone('flanneld', ...beside);
    const { status, stderr } = spawnSync(join(folder, 'flanneld'), ['--version'], { cwd: '/', encoding: 'utf8' });
    expect(status).not.toBe(0);
    expect(stderr).toContain(missing);
  });
});

/** Starts the agent with that proxy to the API server, and prints the first line or bytes that the proxy is sent. */
const beProxy = `
const [folder, scheme] = process.argv.slice(1);
const { writeFileSync } = require('node:fs');
const { spawn } = require('node:child_process');
const server = require('node:net').createServer((socket) => socket.once('data', (data) => {
  console.log(data.toString('latin1').split('\\r\\n', 1)[0]);
  agent.kill('SIGKILL');
  process.exit(0);
}));
let agent;
server.listen(0, '127.0.0.1', () => {
  const cluster = { server: 'https://192.0.2.1:6443', 'proxy-url': scheme + '://127.0.0.1:' + server.address().port };
  const config = { 'current-context': 'x', contexts: [{ name: 'x', context: { cluster: 'x', user: 'x' } }],
    clusters: [{ name: 'x', cluster }], users: [{ name: 'x', user: { token: 'x' } }] };
  writeFileSync(folder + '/kubeconfig', JSON.stringify(config));
  writeFileSync(folder + '/net-conf.json', '{ "Network": "10.244.0.0/16" }');
  const flags = ['--kube-subnet-mgr', '--kubeconfig-file=' + folder + '/kubeconfig', '--net-config-path=' + folder + '/net-conf.json',
    '--subnet-file=' + folder + '/subnet.env', '--cni-state-dir=' + folder + '/cni'];
  agent = spawn(folder + '/flanneld', flags, { env: { PATH: process.env.PATH, NODE_NAME: 'x' }, stdio: ['ignore', 2, 2] });
});
`;

function askThroughProxy(folder: string, scheme: string): { stdout: string; stderr: string } {
  const inside = 'ip link set lo up && exec "$0" -e "$1" -- "$2" "$3"';
  const argv = ['--net', '--pid', '--fork', '--kill-child', '--', 'sh', '-c', inside];
  const options = { encoding: 'utf8', timeout: 20_000, killSignal: 'SIGKILL' } as const;
  return spawnSync('unshare', [...argv, process.execPath, beProxy, folder, scheme], options);
}

describe('the first lines of the agent, which a shell reads', () => {
  /** Runs the agent where `node` prints its arguments. */
  function runShown(before: string, env: Record<string, string>): string {
    const folder = copyAlone('flanneld');
    const show = '#!/bin/sh\nprintf "[%s]" "$(basename "$SSL_CERT_FILE")" "$@"\n';
    writeFileSync(join(folder, 'node'), show, { mode: 0o755 });
    const argv = ['--mount', 'sh', '-c', `${before} exec "$0" "$@"`, join(folder, 'flanneld'), '-v=4', 'a b'];
    const options = { encoding: 'utf8', env: { PATH: `${folder}:${process.env['PATH']}`, ...env } } as const;
    const { stdout, stderr } = spawnSync('unshare', argv, options);
    return stdout.replaceAll(`${folder}/`, '') || stderr;
  }
  const hide = 'for folder in /etc/ssl /etc/pki; do if [ -d $folder ]; then mount -t tmpfs none $folder; fi; done;';
  const put = 'mkdir /etc/ssl/certs; : > /etc/ssl/certs/ca-certificates.crt;';

  test.for([
    {
      name: 'find the machine’s authorities',
      before: `${hide}${put}`,
      env: {},
      want: '[ca-certificates.crt][--initial-heap-size=64][--use-openssl-ca]',
    },
    {
      name: 'take those that are named',
      before: '',
      env: { SSL_CERT_FILE: '/etc/passwd' },
      want: '[passwd][--initial-heap-size=64][--use-openssl-ca]',
    },
    { name: 'leave Node its own where there are none', before: hide, env: {}, want: '[][--initial-heap-size=64]' },
    {
      name: 'leave Node its own instead of a missing file',
      before: hide,
      env: { SSL_CERT_FILE: '/none' },
      want: '[none][--initial-heap-size=64]',
    },
  ])('$name', ({ before, env, want }) => {
    expect(runShown(before, env)).toBe(`${want}[flanneld][-v=4][a b]`);
  });
});

describe('flanneld-extra.js, beside the agent', () => {
  test.for([
    { scheme: 'http', want: 'CONNECT 192.0.2.1:6443 HTTP/1.1' },
    { scheme: 'socks5', want: '\u0005' },
  ])('has what a connection through a proxy needs: $scheme', ({ scheme, want }) => {
    const folder = copyAlone(...AGENT, 'deadline.so', 'package.json');
    expect(askThroughProxy(folder, scheme).stdout.slice(0, want.length)).toBe(want);
  });

  test('has the doctor', () => {
    const folder = copyAlone(...AGENT);
    const ask = (): string =>
      spawnSync(join(folder, 'flanneld'), ['doctor', 'path', 'no-place', 'no-place'], { cwd: '/', encoding: 'utf8' })
        .stderr;
    expect(ask()).toContain('"no-place"');
    rmSync(join(folder, 'flanneld-extra.js'));
    expect(ask()).toContain('flanneld-extra.js');
  });
});

describe('flannel', () => {
  test('runs alone', () => {
    const folder = copyAlone('cni/flannel');
    const env = { CNI_COMMAND: 'VERSION' };
    expect(execFileSync(join(folder, 'flannel'), { cwd: '/', env, input: '', encoding: 'utf8' })).toContain('1.0.0');
  });

  test('is static', () => {
    const file = readFileSync(join(dist, 'cni/flannel'));
    const table = Number(file.readBigUInt64LE(32));
    const types = Array.from({ length: file.readUInt16LE(56) }, (_, at) => file.readUInt32LE(table + at * 56));
    expect(types.length).toBeGreaterThan(2);
    expect(types).not.toContain(ELF_PROGRAM_INTERPRETER);
  });

  test('comes with a record of what it was made from', () => {
    expect(JSON.parse(readFileSync(join(dist, 'cni/BUILD.json'), 'utf8'))).toMatchObject({
      id: expect.stringMatching(/^[0-9a-f]{12}$/),
      arch: process.arch,
      bytecodeSha256: expect.stringMatching(/^[0-9a-f]{64}$/),
      quickjs: { version: expect.stringMatching(/^0\.17\./), sha256: expect.stringMatching(/^[0-9a-f]{64}$/) },
      musl: { sha256: expect.stringMatching(/^[0-9a-f]{64}$/) },
      compiler: expect.stringMatching(/gcc/),
    });
  });
});
