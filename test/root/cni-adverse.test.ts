// Things that go wrong on a node: full or read-only disks, locks held by dead processes, files of strangers, links in place of
// files, clocks that were set back. Nothing may leak, nothing of others may be changed, and everything must work again afterwards.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect } from 'vitest';
import { node, test } from '../support/cni-test.ts';

/** Runs a shell script on the node. $0 is the folder of its files. */
async function sh(script: string): Promise<string> {
  return await node.sandbox.must(['sh', '-ec', script, node.sandbox.dir]);
}

/** The files of attachments, listed inside the node, because mounts made there are not visible from here. */
async function kept(): Promise<string[]> {
  const files = await sh('cd "$0"; find state networks ! -type d 2>/dev/null || true');
  return files
    .split('\n')
    .filter((path) => path !== '' && !/\/(lock|\.boot|last_reserved_ip\.\d+|fill)$/.test(path))
    .sort();
}

async function expectNothing(): Promise<void> {
  expect([await node.veths(), await kept()]).toEqual([[], []]);
  expect((await node.links('c1')).map(({ ifname }) => ifname)).toEqual(['lo']);
}

describe('nothing can be written', () => {
  const tmpfs = (folder: string, options: string): string =>
    `mkdir -p "$0/${folder}"; mount -t tmpfs -o ${options} x "$0/${folder}"`;
  const fill = (folder: string): string => `head -c 10000000 /dev/zero > "$0/${folder}/fill" || true`;

  test.for([
    {
      name: 'the disk of the addresses is full',
      before: `${tmpfs('networks', 'size=16k')}; ${fill('networks')}`,
      after: 'rm "$0/networks/fill"',
      msg: /: ENOSPC$/,
    },
    {
      name: 'the disk of the saved configurations is full',
      before: `${tmpfs('state', 'size=16k')}; ${fill('state')}`,
      after: 'rm "$0/state/fill"',
      msg: /: ENOSPC$/,
    },
    {
      name: 'the disk of the addresses has no inode left',
      before: `${tmpfs('networks', 'nr_inodes=3')}; mkdir "$0/networks/cbr0"; : > "$0/networks/cbr0/lock"`,
      after: 'mount -o remount,nr_inodes=100 "$0/networks"',
      msg: /: ENOSPC$/,
    },
    {
      name: 'an inode is left for the address and none for its index',
      before: `${tmpfs('networks', 'nr_inodes=4')}; mkdir "$0/networks/cbr0"; : > "$0/networks/cbr0/lock"`,
      after: 'mount -o remount,nr_inodes=100 "$0/networks"',
      msg: /: ENOSPC$/,
    },
    {
      name: 'the folder of the addresses is read-only',
      before: `${tmpfs('networks', 'size=1m')}; mount -o remount,ro "$0/networks"`,
      after: 'mount -o remount,rw "$0/networks"',
      msg: /: EROFS$/,
    },
    {
      name: 'the folder of the saved configurations is read-only',
      before: `${tmpfs('state', 'size=1m')}; mount -o remount,ro "$0/state"`,
      after: 'mount -o remount,rw "$0/state"',
      msg: /: EROFS$/,
    },
    {
      name: 'a file is where the folder of the addresses should be',
      before: ': > "$0/networks"',
      after: 'rm "$0/networks"',
      msg: /: ENOTDIR$/,
    },
  ])('ADD reports it and leaves nothing when $name', async ({ before, after, msg }) => {
    await sh(before);
    await node.attachment().fails('ADD', { code: 999, msg });
    expect(await node.veths()).toEqual([]);
    expect((await node.links('c1')).map(({ ifname }) => ifname)).toEqual(['lo']);
    expect(await kept()).toEqual(before.startsWith(':') ? ['networks'] : []);
    await sh(after);
    await node.attachment().add();
    expect(await node.reaches('10.244.1.2')).toBe(true);
    await node.attachment().del();
    await expectNothing();
  });

  test('DEL frees everything on a full disk', async () => {
    await sh(`${tmpfs('networks', 'size=32k')}; ${tmpfs('state', 'size=32k')}`);
    await node.attachment().add();
    await sh(`${fill('networks')}; ${fill('state')}`);
    await node.attachment().del();
    await expectNothing();
  });

  test('DEL fails on a read-only disk with the pod’s interface removed, and works once the disk is writable', async () => {
    await sh(`${tmpfs('networks', 'size=1m')}; ${tmpfs('state', 'size=1m')}`);
    await node.attachment().add();
    await sh('mount -o remount,ro "$0/networks"; mount -o remount,ro "$0/state"');
    await node.attachment().fails('DEL', { code: 999, msg: /: EROFS$/ });
    await sh('mount -o remount,rw "$0/networks"; mount -o remount,rw "$0/state"');
    await node.attachment().del();
    await expectNothing();
  });
});

describe('a lock', () => {
  test('held by a process that was killed makes nobody wait', async () => {
    await node.attachment().add();
    await node.attachment().del();
    const [file = '', ...args] = node.sandbox.inside([
      'flock',
      node.path('networks/cbr0/lock'),
      'sh',
      '-c',
      'echo held; exec sleep 1000',
    ]);
    const holder = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(holder.stdout, 'data');
    // ADD waits for the lock as long as its holder lives, and no longer.
    const adding = node.attachment().add();
    const early = await Promise.race([adding, new Promise((resolve) => setTimeout(() => resolve('waits'), 300))]);
    expect(early).toBe('waits');
    // flock's child inherits the descriptor, so both are killed, as when a container is killed.
    await sh(
      `end_all() { for c in $(cat /proc/$1/task/$1/children); do end_all $c; done; kill -9 $1; }; end_all ${holder.pid}`,
    );
    await adding;
    await node.attachment().del();
    await expectNothing();
  });
});

describe('foreign files', () => {
  /** Each case puts a file into the folder of addresses before Weft has written anything there. */
  test.for([
    { name: 'an empty address file', make: ': > 10.244.1.2', first: '10.244.1.3', nobodys: true },
    { name: 'an address file cut off in the container’s name', make: 'printf abc > 10.244.1.2', first: '10.244.1.3' },
    { name: 'an address file of bytes', make: 'head -c 5000 /dev/urandom > 10.244.1.2', first: '10.244.1.3' },
    { name: 'an address file of 200 MB', make: 'truncate -s 200M 10.244.1.2', first: '10.244.1.3' },
    { name: 'a folder named as an address', make: 'mkdir 10.244.1.2', first: '10.244.1.3' },
    { name: 'a pipe named as an address', make: 'mkfifo 10.244.1.2', first: '10.244.1.3', nobodys: true },
    {
      name: 'a link to nothing named as an address',
      make: 'ln -s nothing 10.244.1.2',
      first: '10.244.1.3',
      nobodys: true,
    },
    { name: 'a link to itself named as an address', make: 'ln -s 10.244.1.2 10.244.1.2', first: '10.244.1.3' },
    { name: 'a link to a device named as an address', make: 'ln -s /dev/zero 10.244.1.2', first: '10.244.1.3' },
    { name: 'no address in last_reserved_ip', make: 'echo rubbish > last_reserved_ip.0', first: '10.244.1.2' },
    {
      name: 'an address beyond the range in last_reserved_ip',
      make: 'printf 192.0.2.1 > last_reserved_ip.0',
      first: '10.244.1.2',
    },
    { name: 'bytes in last_reserved_ip', make: 'printf "\\377\\000" > last_reserved_ip.0', first: '10.244.1.2' },
    { name: 'an index of a stranger', make: 'ln -s ../../outside ".c1:eth0:0"', first: '10.244.1.2' },
    {
      name: 'names with blanks, dots and line ends',
      make: `touch 'a b' ... '10.244.1.2 ' "10.244.1.2
"`,
      first: '10.244.1.2',
    },
    { name: 'a boot of bytes', make: 'printf "\\377" > .boot', first: '10.244.1.2' },
  ])(
    '$name: ADD takes a free address, DEL frees it, and the foreign file stays',
    async ({ make, first, nobodys = false }) => {
      const address = '10.244.1.2';
      await sh(`mkdir -p "$0/networks/cbr0"; : > "$0/outside"; cd "$0/networks/cbr0"; ${make}`);
      const before = await kept();
      expect((await node.attachment().add()).ips?.[0]?.address).toBe(`${first}/24`);
      await node.attachment().del();
      // The first DEL removed the index, so that this one has to read every file.
      await node.attachment().del();
      const index = /^networks\/cbr0\/\.c1:eth0:0$/;
      expect((await kept()).filter((path) => !index.test(path))).toEqual(
        before.filter((path) => !index.test(path) && !(nobodys && path.endsWith(address))),
      );
      expect(await sh('ls "$0/outside"')).not.toBe('');
      expect(await node.veths()).toEqual([]);
    },
  );

  test.for([
    { name: 'a pipe', make: 'mkfifo "$0/state/c1:eth0"' },
    { name: 'a folder', make: 'mkdir "$0/state/c1:eth0"' },
    { name: 'a folder under flannel’s name', make: 'mkdir -p "$0/state/c1/more"' },
    { name: 'a link to a device', make: 'ln -s /dev/zero "$0/state/c1:eth0"' },
    { name: 'of 200 MB', make: 'truncate -s 200M "$0/state/c1:eth0"' },
  ])('a saved configuration that is $name does not stop DEL', async ({ make }) => {
    await node.attachment().add();
    await sh(`rm "$0"/state/*; ${make}`);
    // A runtime repeats a DEL that fails until one succeeds.
    await node.attachment().del();
    await node.attachment().del();
    expect(await node.veths()).toEqual([]);
    expect(node.addresses()).toEqual([]);
  });

  test.for([
    { name: 'a pipe', make: 'mkfifo "$0/subnet.env"' },
    { name: 'a folder', make: 'mkdir "$0/subnet.env"' },
    { name: 'endless', make: 'ln -s /dev/zero "$0/subnet.env"' },
    { name: 'of bytes', make: 'printf "FLANNEL_SUBNET=\\377\\n" > "$0/subnet.env"' },
  ])('a subnet.env that is $name is an error at once', async ({ make }) => {
    await sh(`rm "$0/subnet.env"; ${make}`);
    await node.attachment().fails('ADD', { code: 999, msg: /subnet\.env/ });
    await expectNothing();
  });
});

describe('a CNI_NETNS that is no network namespace', () => {
  const text = (path: string, why: string): RegExp => new RegExp(`^failed to open netns "${path}": ${why}$`);
  const noNamespace = 'unknown FS magic on ".*": [0-9a-f]+';

  test.for([
    { name: 'a FIFO nobody writes to', make: 'mkfifo "$0"', why: noNamespace },
    { name: 'a folder', make: 'mkdir "$0"', why: noNamespace },
    { name: 'a device', make: 'ln -s /dev/tty "$0"', why: noNamespace },
    {
      name: 'a namespace of another kind',
      make: 'ln -s /proc/self/ns/uts "$0"',
      why: '".*" is a namespace of another kind',
    },
  ])('$name: ADD reports it and makes nothing, DEL succeeds', async ({ make, why }) => {
    const netns = node.path('odd');
    await node.sandbox.must(['sh', '-c', make, netns]);
    const pod = node.attachment({ netns });
    await pod.fails('ADD', { code: 999, msg: text(netns, why) });
    await expectNothing();
    await pod.del();
  });

  test('opening such a FIFO in the usual way waits (control)', async () => {
    await node.sandbox.must(['mkfifo', node.path('odd')]);
    const opened = await node.sandbox.run(['timeout', '1', 'sh', '-c', ': < "$0"', node.path('odd')]);
    expect(opened.exitCode).toBe(124);
  });
});

describe('links and dots in paths', () => {
  test.for(['lock', 'last_reserved_ip.0', '.boot'])('nothing is written through a link named %s', async (name) => {
    await sh(`mkdir -p "$0/networks/cbr0"; echo precious > "$0/victim"; ln -s "$0/victim" "$0/networks/cbr0/${name}"`);
    await node.attachment().exec('ADD');
    await node.attachment().exec('DEL');
    expect(node.read('victim')).toBe('precious\n');
    expect(await node.veths()).toEqual([]);
  });

  test('a data folder that is a link is followed, because administrators move data to other disks that way', async () => {
    await sh('mkdir "$0/elsewhere"; ln -s elsewhere "$0/networks"; mkdir "$0/other"; ln -s other "$0/state"');
    await node.attachment().add();
    expect(await sh('ls "$0/elsewhere/cbr0/10.244.1.2"')).not.toBe('');
    await node.attachment().del();
    expect([await node.veths(), await kept()]).toEqual([[], ['networks', 'state']]);
    expect(await sh('ls "$0/elsewhere/cbr0" "$0/other"')).not.toMatch(/10\.244|c1/);
  });

  test.for([
    { name: 'container', called: '../c1', options: { container: '../c1' }, code: 4 },
    { name: 'container', called: '..', options: { container: '..' }, code: 4 },
    { name: 'interface', called: '..', options: { ifname: '..' }, code: 4 },
    { name: 'interface', called: 'a/b', options: { ifname: 'a/b' }, code: 4 },
    { name: 'network', called: '../cbr0', keys: { name: '../cbr0' }, code: 7 },
    { name: 'network', called: '..', keys: { name: '..' }, code: 7 },
    { name: 'network', called: 'a/b', keys: { name: 'a/b' }, code: 7 },
    { name: 'bridge', called: '../x', keys: { delegate: { bridge: '../x' } }, code: 999 },
    { name: 'delegate', called: '../bin/bridge', keys: { delegate: { type: '../bin/bridge' } }, code: 999 },
    { name: 'IPAM', called: '../bin/host-local', keys: { ipam: { type: '../bin/host-local' } }, code: 999 },
  ])('a $name called $called is refused, and nothing is made', async ({ options = {}, keys = {}, code }) => {
    const outcome = await node.attachment(options, keys).exec('ADD');
    expect(outcome.exitCode).toBe(1);
    expect(JSON.parse(outcome.stdout)).toMatchObject({ code });
    await expectNothing();
    expect((await node.links()).map(({ ifname }) => ifname)).toEqual(['lo']);
  });
});

test('a clock that was set back a year changes nothing', async () => {
  await node.attachment().add();
  // Dates all files a year into the future, as they look after the clock was set back.
  await sh('find "$0/networks" "$0/state" -exec touch -h -d "+1 year" {} +');
  const other = node.attachment({ container: 'c2', netns: await node.pod('c2') });
  expect((await other.add()).ips?.[0]?.address).toBe('10.244.1.3/24');
  await node.attachment().del();
  await other.del();
  await expectNothing();
});
