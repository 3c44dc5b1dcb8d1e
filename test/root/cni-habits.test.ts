// How runtimes and nodes use the CNI executable: as containerd and CRI-O call it, on a node where other plugins ran before or run
// afterwards, with more environment variables than CNI's, and with an empty root folder.

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { beforeEach, describe, expect } from 'vitest';
import { Attachment, type JsonObject } from '../cni/conformance/attachment.ts';
import { REFERENCE_BIN } from '../support/cni-node.ts';
import { node, test } from '../support/cni-test.ts';
import { needs } from '../support/needs.ts';

async function expectNothingLeft(): Promise<void> {
  expect([await node.veths(), node.kept()]).toEqual([[], []]);
}

/** The CNI_ARGS that kubelet's runtimes set, and the port mappings of a pod that has none. */
const kubernetes = {
  args: 'IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0;K8S_POD_INFRA_CONTAINER_ID=c1;K8S_POD_UID=5f',
  config: { runtimeConfig: { portMappings: [] }, 'cni.dev/attachments': [] },
};

describe('a runtime', () => {
  test.for([
    { cniVersion: '0.3.1', checks: false },
    { cniVersion: '0.4.0', checks: true },
    { cniVersion: '1.0.0', checks: true },
    { cniVersion: '1.1.0', checks: true },
  ])('attaches, asks, and detaches three times with a list of $cniVersion', async ({ cniVersion, checks }) => {
    const pod = node.attachment({ args: kubernetes.args }, { ...kubernetes.config, cniVersion });
    const prevResult = await pod.add();
    expect(prevResult.cniVersion).toBe(cniVersion);
    expect(await node.reaches('10.244.1.2')).toBe(true);
    if (checks) await pod.check(prevResult);
    // From version 0.4.0 on, libcni passes the result that it has cached.
    for (let time = 0; time < 3; time++) await pod.del(checks ? { prevResult } : {});
    await expectNothingLeft();
  });

  test('may write keys in capitals, as a Go program without JSON tags does', async () => {
    const { cniVersion, name, type, subnetFile, dataDir, ipam } = node.config();
    const config = { CNIVersion: cniVersion, Name: name, Type: type, SubnetFile: subnetFile, DataDir: dataDir };
    const further = { IPAM: { DataDir: (ipam as JsonObject)['dataDir'] }, Delegate: { HairpinMode: true } };
    const call = (command: string) => {
      const env = { CNI_COMMAND: command, CNI_CONTAINERID: 'c1', CNI_NETNS: '/run/netns/c1', CNI_IFNAME: 'eth0' };
      return node.call({ env: { ...env, CNI_PATH: node.bin }, stdin: { ...config, ...further } });
    };
    expect(await call('ADD')).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('10.244.1.2/24') });
    expect(await node.reaches('10.244.1.2')).toBe(true);
    expect(node.addresses()).toEqual(['10.244.1.2']);
    expect(await call('DEL')).toMatchObject({ exitCode: 0, stdout: '' });
    await expectNothingLeft();
  });

  test.for([
    { name: 'no netns', netns: '' },
    { name: 'a netns that vanished', netns: '/run/netns/c1' },
    { name: 'the netns of a process that ended', netns: '/proc/4194303/ns/net' },
  ])('asks three times to detach a pod with $name', async ({ netns }) => {
    await node.attachment().add();
    if (netns !== '') await node.sandbox.removeContainer('c1');
    for (let time = 0; time < 3; time++) await node.attachment({ netns }).del();
    await expectNothingLeft();
  });
});

describe('upgrade and downgrade with pods running', () => {
  const ipam = () => ({ type: 'host-local', dataDir: node.path('networks'), ranges: [[{ subnet: '10.244.1.0/24' }]] });
  const keys = {
    cniVersion: '0.4.0',
    name: 'cbr0',
    type: 'bridge',
    isDefaultGateway: true,
    hairpinMode: true,
    mtu: 1450,
  };

  function reference(container: string): Attachment {
    const place = {
      plugin: `${REFERENCE_BIN}/bridge`,
      container,
      netns: `/run/netns/${container}`,
      path: REFERENCE_BIN,
    };
    return new Attachment(node, { ...keys, ipam: ipam() }, place);
  }

  function ours(container: string): Attachment {
    return node.attachment({ container, netns: `/run/netns/${container}` }, { cniVersion: '0.4.0' });
  }

  beforeEach(async () => {
    needs.machine(existsSync(`${REFERENCE_BIN}/bridge`), `${REFERENCE_BIN}/bridge`);
    for (const name of ['old1', 'old2', 'new1', 'new2']) await node.pod(name);
  });

  test('neither loses a pod, an address or the bridge’s MAC', async () => {
    for (const name of ['old1', 'old2']) await reference(name).add();
    const bridge = async () => (await node.links()).find((link) => link.ifname === 'cni0')?.address;
    // Upgrade: pods that flannel's plugin added keep working, and ours can delete them.
    await ours('new1').add();
    const mac = await bridge();
    await ours('new2').add();
    expect(node.addresses()).toEqual(['10.244.1.2', '10.244.1.3', '10.244.1.4', '10.244.1.5']);
    for (const ip of node.addresses()) expect(await node.reaches(ip)).toBe(true);
    await ours('old1').del();
    expect(node.addresses()).toEqual(['10.244.1.3', '10.244.1.4', '10.244.1.5']);
    // Downgrade: flannel's own plugin passes the configuration saved under the container's name to the delegate's DEL.
    const saved = JSON.parse(readFileSync(node.path('state', 'new1'), 'utf8')) as JsonObject;
    const place = {
      plugin: `${REFERENCE_BIN}/bridge`,
      container: 'new1',
      netns: '/run/netns/new1',
      path: REFERENCE_BIN,
    };
    await new Attachment(node, saved, place).del();
    rmSync(node.path('state', 'new1'));
    await reference('old1').add();
    expect(await bridge()).toBe(mac);
    expect(node.addresses()).toHaveLength(3);
    for (const ip of node.addresses()) expect(await node.reaches(ip)).toBe(true);
    expect(await node.veths()).toHaveLength(3);
    // Upgrade again: files of ours that the downgrade left cause no trouble.
    for (const name of ['old1', 'old2', 'new1', 'new2']) await ours(name).del();
    await expectNothingLeft();
  });
});

describe('what can influence the executable', () => {
  /** Variables that make programs search for files and libraries elsewhere. */
  const hostile = {
    LD_PRELOAD: '/nowhere/preload.so',
    LD_LIBRARY_PATH: '/nowhere',
    GLIBC_TUNABLES: 'glibc.malloc.check=3',
    GCONV_PATH: '/nowhere',
    LOCPATH: '/nowhere',
    LANG: 'de_DE.UTF-8',
    TZ: ':/nowhere/zone',
    HOME: '/nowhere',
    TMPDIR: '/nowhere',
    PATH: '/nowhere',
    NODE_OPTIONS: '--require /nowhere/node.js',
    MALLOC_TRACE: '/nowhere/trace',
  };

  test('no library: the executable has no interpreter and nothing dynamic', ({ plugins }) => {
    const headers = execFileSync('readelf', ['--program-headers', '--wide', plugins.path], { encoding: 'utf8' });
    expect(headers).toContain('LOAD');
    expect(headers).not.toMatch(/INTERP|DYNAMIC/);
  });

  test('only the files of the CNI contract, whatever the environment says', async () => {
    const log = node.path('strace');
    const opened: string[] = [];
    for (const command of ['ADD', 'DEL']) {
      const env = { CNI_COMMAND: command, CNI_CONTAINERID: 'c1', CNI_NETNS: '/run/netns/c1', CNI_IFNAME: 'eth0' };
      const variables = Object.entries({ ...hostile, ...env, CNI_PATH: node.bin }).map(
        ([key, value]) => `-E${key}=${value}`,
      );
      const argv = ['strace', '-f', '-qq', '-e', 'trace=%file,connect', '-o', log, ...variables, `${node.bin}/flannel`];
      const outcome = await node.sandbox.run(argv, { input: JSON.stringify(node.config()), cwd: '/' });
      expect(outcome).toMatchObject({ exitCode: 0, stderr: '' });
      const lines = readFileSync(log, 'utf8').split('\n');
      opened.push(...lines.flatMap((line) => [...line.matchAll(/"(\/[^"]*)"/g)].map(([, path]) => path ?? '')));
    }
    // DEL looks for the folder of the fast path's maps.
    const foreign = (path: string): boolean =>
      path !== '/sys/fs/bpf/weft' &&
      !['/subnet.env', '/state', '/networks', '/bin'].some((name) => path.startsWith(node.path() + name)) &&
      !/^\/(run\/netns\/c1$|proc\/(self|thread-self|sys\/net)\b)/.test(path);
    expect(opened.length).toBeGreaterThan(10);
    expect([...new Set(opened)].filter(foreign)).toEqual([]);
    await expectNothingLeft();
  });
});
