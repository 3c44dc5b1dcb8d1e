// The built agent in odd surroundings: unusual paths in its flags, an unusual umask, names that others use, a log that nobody reads, and
// SIGTERM at every stage of its start.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CommandResult } from '../lab/command.ts';
import { NET_CONF_FILE, SUBNET_FILE } from '../lab/contract.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { waitUntil } from '../lab/processes.ts';
import { builtAgent } from '../lab/programs.ts';
import { writeLease, writeLeaseText } from '../lab/support/leases.ts';
import { unsafeIn } from '../support/unsafe-characters.ts';

/** A folder on the node's own /run, so that no odd path leads to a file of the machine. */
const ODD = '/run/odd';
const CNI_CONF = `${ODD}/cni-conf.json`;
const LOOK_MS = 20_000;
const conflist = { name: 'cbr0', cniVersion: '1.0.0', plugins: [{ type: 'flannel' }] };
const flags = [
  '--iface=eth0',
  '--node-name=node-1',
  `--net-config-path=${NET_CONF_FILE}`,
  `--subnet-file=${ODD}/run/subnet.env`,
  `--subnet-dir=${ODD}/leases`,
  `--cni-conf=${CNI_CONF}`,
  `--cni-conf-dir=${ODD}/conf`,
  `--cni-bin-dir=${ODD}/bin`,
];

let lab: Lab;
let node: LabNode;

beforeAll(async () => {
  lab = await startLab({ nodes: 2 });
  node = lab.node('node-1');
  node.writeFile(CNI_CONF, JSON.stringify(conflist));
  node.writeFile(`${ODD}/file`, 'a text of somebody else\n');
  await node.run(['sh', '-c', `cd ${ODD} && mkfifo pipe && mknod device c 1 5 && ln -s loop loop`]);
});
afterAll(() => lab?.down());

async function leftovers(): Promise<string> {
  return await node.run(['sh', '-c', `cd ${ODD} && ls -A; cat file; ip -o link show type vxlan | wc -l`]);
}

describe('a path that is wrong for its flag', () => {
  beforeAll(() => node.agent.stop());

  const neverFiles = [
    '/proc/nope',
    '/proc/nope/x',
    `${ODD}/pipe`,
    `${ODD}/device`,
    ODD,
    `${ODD}/file/x`,
    `${ODD}/loop`,
  ];
  const noFolders = [
    '/proc/nope',
    '/proc/nope/x',
    '/sys/nope',
    `${ODD}/pipe`,
    `${ODD}/device`,
    `${ODD}/file/x`,
    `${ODD}/loop`,
    `${ODD}/file`,
  ];
  /** The same without /proc and /sys: a file that is only read may be missing there. */
  const noReadFolders = noFolders.filter((path) => !/^\/(proc|sys)/.test(path));
  const etcd = ['--etcd-endpoints=https://127.0.0.1:1', '--subnet-dir='];
  const notThere = /nope|file\/x|loop/;

  test.for<{ flag: string; paths: readonly string[]; more?: readonly string[] }>([
    { flag: 'net-config-path', paths: neverFiles },
    { flag: 'cni-conf', paths: neverFiles },
    { flag: 'subnet-file', paths: [...neverFiles, '/sys/nope', `${ODD}/file`] },
    { flag: 'subnet-dir', paths: noFolders },
    { flag: 'cni-conf-dir', paths: noFolders },
    { flag: 'cni-bin-dir', paths: noFolders },
    { flag: 'cni-state-dir', paths: noReadFolders },
    { flag: 'netns-dir', paths: noReadFolders },
    { flag: 'kubeconfig-file', paths: neverFiles, more: ['--kube-subnet-mgr', '--subnet-dir='] },
    { flag: 'etcd-cafile', paths: neverFiles.filter((path) => !notThere.test(path)), more: etcd },
    {
      flag: 'etcd-certfile',
      paths: neverFiles.filter((path) => !notThere.test(path)),
      more: [...etcd, `--etcd-keyfile=${CNI_CONF}`],
    },
    {
      flag: 'etcd-keyfile',
      paths: neverFiles.filter((path) => !notThere.test(path)),
      more: [...etcd, `--etcd-certfile=${CNI_CONF}`],
    },
  ])(
    '--$flag: the agent prints one line that names it, exits with 1 and has changed nothing',
    async ({ flag, paths, more = [] }) => {
      const before = await leftovers();
      for (const path of paths) {
        const { exitCode, stderr } = await node.exec([builtAgent, ...flags, ...more, `--${flag}=${path}`], {
          timeoutMs: LOOK_MS,
        });
        const lines = stderr
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line) as Record<string, string>);
        expect([path, exitCode, lines.map(({ msg }) => msg)]).toEqual([path, 1, ['starting', 'cannot run']]);
        expect(lines.at(-1)?.['err']).toContain(path.replace(/\/x$/, ''));
      }
      const made = /^(run|leases|conf|bin)\n/gm;
      expect((await leftovers()).replace(made, '')).toBe(before.replace(made, ''));
    },
  );
});

describe('umask 0', () => {
  test('lets nobody else write what the agent and the CNI executable make', async () => {
    await node.agent.stop();
    const start = `umask 0; ${builtAgent} ${flags.join(' ')} >/dev/null 2>${ODD}/log & echo $!`;
    const pid = await node.run(['sh', '-c', start]);
    await waitUntil(() => node.readFile(`${ODD}/log`).includes('"ready"'), LOOK_MS, 'the agent');
    // Another bridge name, because the node's cni0 has the subnet of the lab's agent.
    const delegate = { isDefaultGateway: true, bridge: 'odd0' };
    const plugin = {
      cniVersion: '1.0.0',
      name: 'odd',
      type: 'flannel',
      subnetFile: `${ODD}/run/subnet.env`,
      dataDir: `${ODD}/cni/flannel`,
      delegate,
    };
    await node.run(['ip', 'netns', 'add', 'odd']);
    const add = 'umask 0; export CNI_COMMAND=ADD CNI_CONTAINERID=odd CNI_NETNS=/run/netns/odd CNI_IFNAME=eth0';
    const input = JSON.stringify({ ...plugin, ipam: { dataDir: `${ODD}/networks` } });
    await node.run(['sh', '-c', `${add} CNI_PATH=${ODD}/bin; ${ODD}/bin/flannel`], { input });
    await node.run(['kill', pid.trim()]);
    const made = await node.run(['sh', '-c', `cd ${ODD} && find run leases conf bin cni networks -printf '%m %p\\n'`]);
    expect(made).toMatch(/755 run\n.*\n?.*subnet\.env/);
    expect(made).toContain(' networks/odd/10.244.');
    const open = made.split('\n').filter((line) => (Number.parseInt(line, 8) & 0o022) !== 0);
    expect(open).toEqual([]);
  });
});

describe('names and data from others', () => {
  test('reach probes, status and log without terminal commands and bidirectional controls', async () => {
    await node.agent.start();
    await node.agent.ready();
    const evil = 'e\u001b[2J\u009b31m\u202evil\u2066\u061c';
    writeLease(lab, 'odd-mac', { subnet: '10.244.201.0/24', publicIp: '192.168.50.98', mac: evil });
    writeLeaseText(lab, evil, '{}');
    writeLeaseText(lab, 'odd-text', `{"${evil}\n": ${evil}`);
    const verbose = async (): Promise<string> => (await node.agent.http('/readyz?verbose')).body;
    const isShown = async (): Promise<boolean> => {
      const text = await verbose();
      return ['odd-mac', 'odd-text', '\\x9b31m'].every((part) => text.includes(part));
    };
    await waitUntil(isShown, LOOK_MS, 'the problems');
    const status = (...more: string[]): Promise<CommandResult> =>
      node.exec([builtAgent, 'status', `--subnet-file=${SUBNET_FILE}`, ...more]);
    const shown = {
      readyz: await verbose(),
      status: (await status()).stdout,
      json: (await status('--json')).stdout,
      log: node.agent.log(),
    };
    for (const [where, text] of Object.entries(shown)) {
      expect([where, unsafeIn(text)]).toEqual([where, []]);
      expect([where, /\\x1b\[2J|\\u001b\[2J/.test(text)]).toEqual([where, true]);
    }
    await node.agent.stop();
  });
});

describe('SIGTERM while it starts', () => {
  const silent = '--kube-api-url=http://127.0.0.1:1234';

  /** Runs the agent, and ends it two seconds after it logs its first line. Returns its exit code and how long it took to end. */
  async function endedIn(
    more: readonly string[],
    env = '',
    log = `${ODD}/log`,
  ): Promise<readonly [code: number, ms: number]> {
    const started = log.endsWith('/full')
      ? 'sleep 3'
      : `for i in $(seq 300); do [ -s ${log} ] && break; sleep 0.1; done`;
    const script = `rm -f ${ODD}/log; ${env} "$@" 2>${log} & P=$!; ${started}; sleep 2; S=$(date +%s%N); kill -TERM $P; wait $P; echo "$? $(( ($(date +%s%N) - S) / 1000000 ))"`;
    const { stdout } = await node.exec(['sh', '-c', script, 'sh', builtAgent, ...flags, ...more], {
      timeoutMs: 60_000,
    });
    const [code = Number.NaN, ms = Number.NaN] = stdout.trim().split(' ').map(Number);
    return [code, ms];
  }

  beforeAll(async () => {
    const listen = 'require("node:net").createServer(() => undefined).listen(1234, "127.0.0.1")';
    await node.run(['sh', '-c', `"$1" -e "$2" >/dev/null 2>&1 &`, 'sh', process.execPath, listen]);
    node.writeFile(`${ODD}/hangs/nft`, '#!/bin/sh\ntrap "" TERM\nsleep 1000\n');
    node.writeFile(`${ODD}/fails/nft`, '#!/bin/sh\nexit 1\n');
    await node.run(['chmod', '+x', `${ODD}/hangs/nft`, `${ODD}/fails/nft`]);
  });

  test.for<{ name: string; more?: readonly string[]; env?: string }>([
    { name: 'it is ready' },
    { name: 'the API server says nothing', more: ['--subnet-dir=', '--kube-subnet-mgr', silent] },
    {
      name: 'nobody listens where the API server should',
      more: ['--subnet-dir=', '--kube-subnet-mgr', '--kube-api-url=http://127.0.0.1:1'],
    },
    { name: 'etcd says nothing', more: ['--subnet-dir=', '--etcd-endpoints=http://127.0.0.1:1234'] },
    { name: 'nobody listens where etcd should', more: ['--subnet-dir=', '--etcd-endpoints=http://127.0.0.1:1'] },
    { name: 'nft fails, and is tried again', env: `PATH=${ODD}/fails:$PATH` },
  ])('ends it cleanly within five seconds: $name', async ({ more = [], env }) => {
    const [code, ms] = await endedIn(more, env);
    expect([code, ms < 5000]).toEqual([0, true]);
  });

  test('ends it within five seconds when nft hangs and the stop cannot wait for it', async () => {
    const [code, ms] = await endedIn([], `PATH=${ODD}/hangs:$PATH`);
    expect([code, ms < 5000]).toEqual([1, true]);
    expect(node.readFile(`${ODD}/log`)).toContain('not stopped in time and therefore ended; data plane left in place');
  });

  test('ends it within five seconds when its log is a pipe that is full and that nobody reads', async () => {
    const fill = `mkfifo ${ODD}/full; exec 3<>${ODD}/full; dd if=/dev/zero of=${ODD}/full bs=4096 count=16 oflag=nonblock 2>/dev/null;`;
    const [code, ms] = await endedIn([], fill, `${ODD}/full`);
    expect([code, ms < 5000]).toEqual([0, true]);
  });
});
