import { existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { formatPrefix, overlaps, parseIp, parsePrefix } from '../../lib/ip.ts';
import { jsonObject } from '../../lib/json.ts';
import type { Logger } from '../health/log.ts';
import type { DirectoryOptions } from './directory.ts';
import { createDirectoryManager } from './directory.ts';
import { renderLeaseFile } from './lease-file.ts';
import type { LeaseAttributes, LeaseSnapshot, SubnetManager } from './manager.ts';

const never = new AbortController().signal;

function attributes(publicIp: string): LeaseAttributes {
  const backendData = jsonObject({ VNI: 1, VtepMAC: 'c6:d2:32:6f:8f:44' });
  return { publicIp: parseIp(publicIp), backendType: 'vxlan', backendData };
}

interface Site {
  readonly dir: string;
  readonly logged: string[];
  manager(nodeName: string, change?: Partial<DirectoryOptions>): SubnetManager;
  put(node: string, subnet: string, publicIp?: string): void;
  text(node: string): string;
}

function makeSite(netConf: object = { Network: '10.244.0.0/16' }): Site {
  const root = mkdtempSync(join(tmpdir(), 'weft-directory-'));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  const dir = join(root, 'leases');
  const netConfigPath = join(root, 'net-conf.json');
  writeFileSync(netConfigPath, JSON.stringify(netConf));
  const logged: string[] = [];
  const add = (facts: unknown, msg: string) => void logged.push(`${msg} ${JSON.stringify(facts)}`);
  const log: Logger = { error: add, warn: add, info: add, debug: add };
  return {
    dir,
    logged,
    manager: (nodeName, change) =>
      createDirectoryManager({
        dir,
        nodeName,
        netConfigPath,
        previous: {},
        log,
        random: () => 0,
        periodMs: 60_000,
        ...change,
      }),
    put: (node, subnet, publicIp = '10.0.0.9') => {
      const lease = { ...attributes(publicIp), subnet: parsePrefix(subnet) };
      writeFileSync(join(dir, `${node}.json`), renderLeaseFile(lease));
    },
    text: (node) => readFileSync(join(dir, `${node}.json`), 'utf8'),
  };
}

async function acquire(manager: SubnetManager, publicIp = '10.0.0.1'): Promise<string> {
  const { subnet } = await manager.acquire(attributes(publicIp), never);
  return subnet ? formatPrefix(subnet) : 'none';
}

/** Runs the watch until the test ends; `until` waits for a snapshot that fulfils the condition. */
function follow(manager: SubnetManager) {
  const abort = new AbortController();
  const snapshots: LeaseSnapshot[] = [];
  let check: () => void = () => undefined;
  const ended = manager.watch((snapshot) => {
    snapshots.push(snapshot);
    check();
  }, abort.signal);
  const stop = async (): Promise<void> => {
    abort.abort();
    await ended;
  };
  onTestFinished(stop);
  return {
    snapshots,
    stop,
    until: (condition: (snapshot: LeaseSnapshot) => boolean) =>
      new Promise<LeaseSnapshot>((resolve) => {
        check = () => {
          const latest = snapshots.at(-1);
          if (latest && condition(latest)) resolve(latest);
        };
        check();
      }),
  };
}

function nodes({ leases }: LeaseSnapshot): string {
  return [...leases.keys()].join(' ');
}

describe('acquire', () => {
  test('makes the directory and writes the lease as documented', async () => {
    const site = makeSite();
    expect(await acquire(site.manager('node-1'))).toBe('10.244.1.0/24');
    expect(JSON.parse(site.text('node-1'))).toEqual({
      Subnet: '10.244.1.0/24',
      PublicIP: '10.0.0.1',
      BackendType: 'vxlan',
      BackendData: { VNI: 1, VtepMAC: 'c6:d2:32:6f:8f:44' },
    });
    expect(readdirSync(site.dir).sort()).toEqual(['.node-1.since', 'node-1.json']);
  });

  test('keeps the subnet of its own file, with new attributes', async () => {
    const site = makeSite();
    await acquire(site.manager('node-1', { random: () => 0.5 }));
    const before = JSON.parse(site.text('node-1')).Subnet;
    expect(await acquire(site.manager('node-1'), '10.0.0.2')).toBe(before);
    expect(JSON.parse(site.text('node-1'))).toMatchObject({ Subnet: before, PublicIP: '10.0.0.2' });
  });

  test('prefers the subnet of the file to that of subnet.env, and that to a free one', async () => {
    const site = makeSite();
    const previous = { subnet: parsePrefix('10.244.77.0/24') };
    expect(await acquire(site.manager('node-1', { previous }))).toBe('10.244.77.0/24');
    expect(await acquire(site.manager('node-2', { previous }))).toBe('10.244.1.0/24');
    const other = { subnet: parsePrefix('10.244.88.0/24') };
    expect(await acquire(site.manager('node-1', { previous: other }))).toBe('10.244.77.0/24');
  });

  test('takes another subnet when the network changed, or when another node has had it longer', async () => {
    const site = makeSite();
    await acquire(site.manager('node-1'));
    site.put('node-1', '10.99.0.0/24');
    expect(await acquire(site.manager('node-1'))).toBe('10.244.1.0/24');
    site.put('node-9', '10.244.7.0/24');
    await sleep(20);
    site.put('node-8', '10.244.7.0/24');
    expect(await acquire(site.manager('node-8'))).toBe('10.244.2.0/24');
  });

  test('keeps its subnet when a later lease claims it, and after its file was damaged', async () => {
    const site = makeSite();
    await acquire(site.manager('node-1'));
    await sleep(20);
    site.put('aaa', '10.244.1.0/24');
    expect(await acquire(site.manager('node-1'), '10.0.0.2')).toBe('10.244.1.0/24');
    writeFileSync(join(site.dir, 'node-1.json'), '{');
    const previous = { subnet: parsePrefix('10.244.1.0/24') };
    expect(await acquire(site.manager('node-1', { previous }))).toBe('10.244.1.0/24');
  });

  test('loses no subnet to a lease of another length, and finds a subnet although such a lease covers all', async () => {
    const site = makeSite();
    await acquire(site.manager('node-1'));
    rmSync(join(site.dir, '.node-1.since'));
    site.put('aaa', '10.244.0.0/16');
    site.put('node-1', '10.244.1.0/24');
    expect(await acquire(site.manager('node-1'))).toBe('10.244.1.0/24');
    expect(await acquire(site.manager('node-2'))).toBe('10.244.2.0/24');
  });

  test('is not disturbed by hostile files, and replaces its own file when that is hostile', async () => {
    const site = makeSite();
    await acquire(site.manager('node-2'));
    for (const name of ['node-1', 'x', '..']) writeFileSync(join(site.dir, `${name}.json`), '{"Subnet":');
    expect(await acquire(site.manager('node-1'))).toBe('10.244.2.0/24');
    expect(JSON.parse(site.text('node-1')).Subnet).toBe('10.244.2.0/24');
  });

  test('leases both families', async () => {
    const site = makeSite({ Network: '10.244.0.0/16', EnableIPv6: true, IPv6Network: 'fd00:10:244::/48' });
    await acquire(site.manager('node-1'));
    const { subnet, ipv6Subnet } = await site.manager('node-2').acquire(attributes('10.0.0.2'), never);
    expect([subnet, ipv6Subnet].map((prefix) => prefix && formatPrefix(prefix))).toEqual([
      '10.244.2.0/24',
      'fd00:10:244:2::/64',
    ]);
  });

  test('gives different subnets to 14 agents that start at once and want the same one', async () => {
    const site = makeSite({ Network: '10.244.0.0/24', SubnetLen: 28 });
    const previous = { subnet: parsePrefix('10.244.0.16/28') };
    const names = Array.from({ length: 14 }, (_, n) => `node-${n}`);
    const leases = await Promise.all(
      names.map((name, n) =>
        site
          .manager(name, { previous, random: Math.random })
          .acquire(attributes(`10.0.0.${n + 1}`), new AbortController().signal),
      ),
    );
    const subnets = leases.map(({ subnet }) => subnet ?? parsePrefix('0.0.0.0/0'));
    for (const [at, a] of subnets.entries()) {
      for (const b of subnets.slice(at + 1))
        expect(overlaps(a, b), `${formatPrefix(a)} ${formatPrefix(b)}`).toBe(false);
    }
    for (const [at, name] of names.entries()) {
      expect(JSON.parse(site.text(name)).Subnet).toBe(formatPrefix(subnets[at] ?? parsePrefix('0.0.0.0/0')));
    }
  });

  test('reports that no subnet is left', async () => {
    const site = makeSite({ Network: '10.244.0.0/24', SubnetLen: 26 });
    for (const name of ['a', 'b', 'c']) await acquire(site.manager(name));
    await expect(acquire(site.manager('d'))).rejects.toThrow('leases: acquire d: no subnet is free (10.244.0.0/24)');
    expect(readdirSync(site.dir).filter((name) => !name.startsWith('.'))).toEqual(['a.json', 'b.json', 'c.json']);
  });

  test('rejects with a configuration error before anything is written', async () => {
    const site = makeSite({ Network: '10.244.0.0/29' });
    await expect(acquire(site.manager('a'))).rejects.toThrow(
      'net-conf: Network: network is too small. Minimum useful network prefix is /28',
    );
    expect(() => readdirSync(site.dir)).toThrow(/ENOENT/);
  });

  test('stops when it is aborted', async () => {
    const site = makeSite();
    await expect(site.manager('a').acquire(attributes('10.0.0.1'), AbortSignal.abort())).rejects.toThrow(/abort/);
  });
});

describe('networkConfig', () => {
  test('reads the file and logs its warnings', async () => {
    const site = makeSite({ Network: '10.244.0.0/16', Netwrok: 1 });
    expect((await site.manager('a').networkConfig(never)).backend.type).toBe('vxlan');
    expect(site.logged.join('\n')).toContain('did you mean Network?');
  });

  test('names the file that cannot be read', async () => {
    const manager = makeSite().manager('a', { netConfigPath: '/nowhere/net-conf.json' });
    await expect(manager.networkConfig(never)).rejects.toThrow('net-conf: read /nowhere/net-conf.json: ENOENT');
  });

  test('refuses invalid UTF-8', async () => {
    const site = makeSite();
    const netConfigPath = join(site.dir, '..', 'bad.json');
    writeFileSync(netConfigPath, Buffer.from([0x7b, 0xff, 0x7d]));
    await expect(site.manager('a', { netConfigPath }).networkConfig(never)).rejects.toThrow(
      'net-conf: is not valid UTF-8',
    );
  });
});

describe('watch', () => {
  test('reports the whole state first and after every change, and nothing when nothing changed', async () => {
    const site = makeSite();
    const manager = site.manager('node-1', { periodMs: 30 });
    await acquire(manager);
    const { until, snapshots } = follow(manager);
    expect(nodes(await until(() => true))).toBe('node-1');
    site.put('node-2', '10.244.2.0/24');
    await until((snapshot) => nodes(snapshot) === 'node-1 node-2');
    site.put('node-2', '10.244.3.0/24');
    await until(({ leases }) => leases.get('node-2')?.subnet?.ip.value === parseIp('10.244.3.0').value);
    rmSync(join(site.dir, 'node-2.json'));
    await until((snapshot) => nodes(snapshot) === 'node-1');
    for (const [at, snapshot] of snapshots.entries()) if (at > 0) expect(snapshot).not.toEqual(snapshots[at - 1]);
  });

  test('reports a hostile file as a problem, and reports when it is gone', async () => {
    const site = makeSite();
    const manager = site.manager('node-1');
    await acquire(manager);
    const { until } = follow(manager);
    writeFileSync(join(site.dir, 'evil.json'), '{"Subnet":"10.244.9.0/33"}');
    const { problems, leases } = await until((snapshot) => snapshot.problems.length > 0);
    expect(problems).toEqual([
      {
        key: 'evil',
        reason: 'evil.json: Subnet: expected an IPv4 subnet such as "10.244.1.0/24", got "10.244.9.0/33"',
      },
    ]);
    expect([...leases.keys()]).toEqual(['node-1']);
    rmSync(join(site.dir, 'evil.json'));
    await until((snapshot) => snapshot.problems.length === 0);
  });

  test.for([
    { name: 'removed', harm: (dir: string) => rmSync(join(dir, 'node-1.json')) },
    { name: 'truncated', harm: (dir: string) => writeFileSync(join(dir, 'node-1.json'), '{') },
    { name: 'removed with the whole directory', harm: (dir: string) => rmSync(dir, { recursive: true }) },
    { name: 'moved away with the whole directory', harm: (dir: string) => renameSync(dir, `${dir}.old`) },
  ])('restores its own lease when it is $name', async ({ harm }) => {
    const site = makeSite();
    const manager = site.manager('node-1');
    await acquire(manager);
    const before = site.text('node-1');
    const { until } = follow(manager);
    await until(() => true);
    harm(site.dir);
    await expect.poll(() => readOr(site, 'node-1'), { timeout: 5000 }).toBe(before);
    // It still notices other nodes, in whatever directory is there now.
    site.put('node-2', '10.244.2.0/24');
    await until((snapshot) => nodes(snapshot) === 'node-1 node-2');
    expect(site.logged.filter((line) => line.startsWith('own lease restored'))).toHaveLength(1);
  });

  test('restores its file each time it is removed, at most once a second', async () => {
    const site = makeSite();
    const manager = site.manager('node-1'); // a period of a minute: only its own alarm can wake it in time
    await acquire(manager);
    const { until } = follow(manager);
    await until(() => true);
    for (let round = 0; round < 2; round++) {
      rmSync(join(site.dir, 'node-1.json'));
      await expect.poll(() => readOr(site, 'node-1'), { timeout: 5000 }).not.toBe('none');
    }
    expect(site.logged.filter((line) => line.startsWith('own lease restored'))).toHaveLength(1); // the 10th is next
  });

  test('ends with the reason when another node has the subnet, and does not fight for it', async () => {
    const site = makeSite();
    const manager = site.manager('node-1');
    await acquire(manager);
    const abort = new AbortController();
    onTestFinished(() => abort.abort());
    const ended = manager.watch(() => undefined, abort.signal);
    rmSync(join(site.dir, '.node-1.since'));
    renameSync(join(site.dir, 'node-1.json'), join(site.dir, 'node-9.json'));
    await expect(ended).rejects.toThrow(
      /^leases: keep lease 10\.244\.1\.0\/24: lost \(the subnet is now leased to node-9; a restart takes another subnet, existing/,
    );
    expect(readOr(site, 'node-1')).toBe('none');
  });

  test('restores its lease beside a later one that claims the same subnet', async () => {
    const site = makeSite();
    const manager = site.manager('node-1');
    await acquire(manager);
    await sleep(20);
    const { until } = follow(manager);
    site.put('aaa', '10.244.1.0/24');
    rmSync(join(site.dir, 'node-1.json'));
    await until(({ leases }) => leases.size === 2);
    expect(JSON.parse(site.text('node-1')).Subnet).toBe('10.244.1.0/24');
  });

  test('does not touch its lease while it is acquired again, and keeps the new one', async () => {
    const site = makeSite();
    const manager = site.manager('node-1', { periodMs: 5 });
    await acquire(manager);
    const { until } = follow(manager);
    for (let last = 1; last <= 40; last += 1) {
      const publicIp = parseIp(`192.168.50.${last}`);
      await manager.acquire({ backendType: 'vxlan', publicIp }, new AbortController().signal);
    }
    const { leases, ownKey } = await until(
      (snapshot) => snapshot.leases.get('node-1')?.publicIp?.value === parseIp('192.168.50.40').value,
    );
    expect([leases.size, ownKey]).toEqual([1, 'node-1']);
    expect(site.logged.filter((line) => line.startsWith('own lease restored'))).toEqual([]);
  });

  test('keeps the last state while the directory cannot be read, so no peer is purged', async () => {
    const site = makeSite();
    const manager = site.manager('node-1', { periodMs: 20 });
    await acquire(site.manager('node-2'));
    const { until, snapshots } = follow(manager); // without a lease of its own, so that nothing is restored
    await until((snapshot) => nodes(snapshot) === 'node-2');
    renameSync(site.dir, `${site.dir}.away`);
    await expect.poll(() => site.logged.join('\n'), { timeout: 5000 }).toContain('lease directory cannot be used');
    renameSync(`${site.dir}.away`, site.dir);
    await expect.poll(() => site.logged.join('\n'), { timeout: 5000 }).toContain('lease directory is readable again');
    expect(snapshots).toHaveLength(1);
  });

  test('waits for a directory that does not exist yet', async () => {
    const site = makeSite();
    const { until } = follow(site.manager('node-1', { periodMs: 20 }));
    await acquire(site.manager('node-2'));
    await until((snapshot) => nodes(snapshot) === 'node-2');
  });

  test('resolves when aborted, also before it has begun', async () => {
    const site = makeSite();
    const manager = site.manager('node-1');
    await acquire(manager);
    const { until, stop } = follow(manager);
    await until(() => true);
    await stop();
    const seen: LeaseSnapshot[] = [];
    await manager.watch((snapshot) => seen.push(snapshot), AbortSignal.abort());
    expect(seen).toEqual([]);
  });
});

describe('release', () => {
  test('removes the lease permanently, and may be called twice', async () => {
    const site = makeSite();
    const manager = site.manager('node-1');
    await acquire(manager);
    await acquire(site.manager('node-2'));
    const { until } = follow(manager);
    await until(() => true);
    await manager.release?.(never);
    await manager.release?.(never);
    await until((snapshot) => nodes(snapshot) === 'node-2');
    expect(readdirSync(site.dir).sort()).toEqual(['.node-2.since', 'node-2.json']);
  });
});

const readOr = ({ dir, text }: Site, node: string) => (existsSync(join(dir, `${node}.json`)) ? text(node) : 'none');
