import { execFileSync } from 'node:child_process';
import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { formatPrefix } from '../../lib/ip.ts';
import { LeaseDir, readLeaseDir, removeLeaseFile, writeLeaseFile } from './lease-dir.ts';

const good = '{"Subnet":"10.244.7.0/24","PublicIP":"10.0.0.7","BackendType":"vxlan"}';

function makeDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'weft-leases-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

describe('LeaseDir, when it knows which files changed', () => {
  const lease = (node: number): string => good.replace('10.244.7.0', `10.244.${node}.0`);

  /** Three leases that are old enough to be trusted, and a reader that has seen them. */
  async function makeSeen() {
    const path = makeDir();
    const put = (name: string, text: string): void => writeFileSync(join(path, name), text);
    for (const node of [1, 2, 3]) put(`node-${node}.json`, lease(node));
    const dir = new LeaseDir(path);
    await sleep(150);
    await dir.read();
    const subnets = async (changed?: ReadonlySet<string>): Promise<string[]> =>
      [...(await dir.read(changed)).leases.values()].map(({ subnet }) => (subnet ? formatPrefix(subnet) : 'none'));
    return { path, dir, put, subnets };
  }

  test('reads those files, and finds new and removed files by itself', async () => {
    const { path, put, subnets } = await makeSeen();
    put('node-1.json', lease(11));
    put('node-2.json', lease(12));
    put('node-4.json', lease(4));
    rmSync(join(path, 'node-3.json'));
    expect(await subnets(new Set(['node-1.json', 'node-9.json']))).toEqual([
      '10.244.11.0/24',
      '10.244.2.0/24', // changed in place, without an event
      '10.244.4.0/24',
    ]);
    expect(await subnets()).toContain('10.244.12.0/24');
  });

  test('sees in the next reading of all files that a mark was replaced, also when a reading of few was in between', async () => {
    const { dir, put } = await makeSeen();
    const ages = async (): Promise<(string | undefined)[]> =>
      [...(await dir.read()).leases.values()].map(({ created }) => created);
    const before = await ages();
    expect(await ages()).toEqual(before);
    put('.node-2.since', '');
    await sleep(150);
    await dir.read(new Set(['node-1.json']));
    const [first, second, third] = await ages();
    expect([first, third]).toEqual([before[0], before[2]]);
    expect(second).not.toBe(before[1]);
  });

  test('reads everything when another directory has taken the name', async () => {
    const { path, put, subnets } = await makeSeen();
    rmSync(path, { recursive: true });
    mkdirSync(path);
    for (const node of [1, 2]) put(`node-${node}.json`, lease(20 + node));
    expect(await subnets(new Set())).toEqual(['10.244.21.0/24', '10.244.22.0/24']);
  });
});

describe('readLeaseDir', () => {
  test.for([
    {
      name: 'a truncated file',
      make: (path: string) => writeFileSync(path, good.slice(0, 20)),
      want: /^bad\.json: invalid JSON: /,
    },
    { name: 'an empty file', make: (path: string) => writeFileSync(path, ''), want: /^bad\.json: invalid JSON: / },
    {
      name: 'a file of 64 KiB and a byte',
      make: (path: string) => writeFileSync(path, good.padEnd(65_537)),
      want: /^bad\.json: is larger than 65536 bytes$/,
    },
    {
      name: 'a huge sparse file',
      make: (path: string) => {
        writeFileSync(path, '');
        truncateSync(path, 2 ** 40);
      },
      want: /^bad\.json: is larger than 65536 bytes$/,
    },
    {
      name: 'a symbolic link to a good file',
      make: (path: string) => {
        writeFileSync(`${path}.target`, good);
        symlinkSync(`${path}.target`, path);
      },
      want: /^bad\.json: is a symbolic link, expected a regular file$/,
    },
    {
      name: 'a link to nothing',
      make: (path: string) => symlinkSync('/nowhere', path),
      want: /^bad\.json: is a symbolic link/,
    },
    { name: 'a directory', make: (path: string) => mkdirSync(path), want: /^bad\.json: is not a regular file$/ },
    {
      name: 'a pipe nobody writes to',
      make: (path: string) => execFileSync('sh', ['-c', 'mkfifo "$0"', path]),
      want: /^bad\.json: is not a regular file$/,
    },
    {
      name: 'invalid UTF-8',
      make: (path: string) => writeFileSync(path, Buffer.from([0x22, 0xff, 0x22])),
      want: /^bad\.json: is not valid UTF-8$/,
    },
    {
      name: 'wrong types',
      make: (path: string) => writeFileSync(path, '{"Subnet":[]}'),
      want: /^bad\.json: Subnet: expected an IPv4 subnet/,
    },
  ])('reports $name and reads the others', async ({ make, want }) => {
    const dir = makeDir();
    for (const node of ['aaa', 'zzz']) writeFileSync(join(dir, `${node}.json`), good);
    make(join(dir, 'bad.json'));
    const { leases, problems } = await readLeaseDir(dir);
    expect([...leases.keys()]).toEqual(['aaa', 'zzz']);
    expect(problems).toEqual([{ key: 'bad', reason: expect.stringMatching(want) }]);
  });

  test('reads a file of exactly 64 KiB', async () => {
    const dir = makeDir();
    writeFileSync(join(dir, 'node.json'), good.padEnd(65_536));
    expect((await readLeaseDir(dir)).leases.size).toBe(1);
  });

  test('reports names that are no node names, shortened, and ignores files that are no leases', async () => {
    const dir = makeDir();
    const long = 'a'.repeat(250);
    for (const name of [' x.json', '-x.json', 'x..json', `${long.slice(0, 64)}_.json`])
      writeFileSync(join(dir, name), good);
    for (const name of ['.node-1.tmp', '.hidden.json', 'README', 'node-1.json~']) writeFileSync(join(dir, name), 'x');
    const { leases, problems } = await readLeaseDir(dir);
    expect(leases.size).toBe(0);
    expect(problems.map(({ key }) => key)).toEqual([' x', '-x', 'a'.repeat(64), 'x.']);
    for (const { reason } of problems) expect(reason).toMatch(/: the file name is no node name$/);
  });

  test('rejects when there is no directory, which is not the same as an empty one', async () => {
    await expect(readLeaseDir(join(makeDir(), 'none'))).rejects.toThrow(/ENOENT/);
  });
});

describe('LeaseDir', () => {
  const other = good.replaceAll('7', '8');
  const subnets = async (leases: LeaseDir): Promise<bigint[]> =>
    [...(await leases.read()).leases.values()].map(({ subnet }) => (subnet?.ip.value ?? 0n) >> 8n);

  test('returns the same object while nothing changed, also when files were rewritten with the same content', async () => {
    const dir = makeDir();
    const leases = new LeaseDir(dir);
    for (const node of ['a', 'b']) writeFileSync(join(dir, `${node}.json`), good);
    writeFileSync(join(dir, 'bad.json'), '{');
    await sleep(20);
    const first = await leases.read();
    expect(await leases.read()).toBe(first);
    await writeLeaseFile(dir, 'a', good);
    expect(await leases.read()).toBe(first);
    rmSync(join(dir, 'bad.json'));
    expect(await leases.read()).not.toBe(first);
  });

  test.for([
    { name: 'written over, as long as before, at once', change: (path: string) => writeFileSync(path, other) },
    {
      name: 'replaced by a rename',
      change: (path: string) => {
        writeFileSync(`${path}.new`, other);
        renameSync(`${path}.new`, path);
      },
    },
  ])('sees a file that was $name', async ({ change }) => {
    const dir = makeDir();
    const leases = new LeaseDir(dir);
    writeFileSync(join(dir, 'a.json'), good);
    expect(await subnets(leases)).toEqual([0x0af407n]);
    change(join(dir, 'a.json'));
    expect(await subnets(leases)).toEqual([0x0af408n]);
  });

  test('answers overlapping reads in their order', async () => {
    const dir = makeDir();
    const leases = new LeaseDir(dir);
    writeFileSync(join(dir, 'a.json'), good);
    const looks = [leases.read(), leases.read()];
    await looks[0];
    writeFileSync(join(dir, 'b.json'), good);
    looks.push(leases.read());
    expect((await Promise.all(looks)).map((look) => look.leases.size).at(-1)).toBe(2);
  });

  test('goes on after a read that failed', async () => {
    const dir = join(makeDir(), 'later');
    const leases = new LeaseDir(dir);
    await expect(leases.read()).rejects.toThrow(/ENOENT/);
    await writeLeaseFile(dir, 'a', good);
    expect((await leases.read()).leases.size).toBe(1);
  });
});

describe('writeLeaseFile', () => {
  test('makes the directory, replaces the file and leaves no other file', async () => {
    const dir = join(makeDir(), 'a', 'b');
    await writeLeaseFile(dir, 'node-1', 'x'.repeat(1000));
    await writeLeaseFile(dir, 'node-1', good);
    expect(readdirSync(dir).sort()).toEqual(['.node-1.since', 'node-1.json']);
    expect(readFileSync(join(dir, 'node-1.json'), 'utf8')).toBe(good);
    expect(statSync(join(dir, 'node-1.json')).mode & 0o022).toBe(0);
  });

  test('writes through neither a link at its own name nor one at the temporary name', async () => {
    const dir = makeDir();
    const victim = join(dir, 'victim');
    writeFileSync(victim, 'keep');
    symlinkSync(victim, join(dir, 'node-1.json'));
    symlinkSync(victim, join(dir, '.node-1.tmp'));
    await writeLeaseFile(dir, 'node-1', good);
    expect(readFileSync(victim, 'utf8')).toBe('keep');
    expect(statSync(join(dir, 'node-1.json')).isFile()).toBe(true);
    expect(readFileSync(join(dir, 'node-1.json'), 'utf8')).toBe(good);
  });

  test('is not stopped by a file that a crash left at the temporary name', async () => {
    const dir = makeDir();
    mkdirSync(join(dir, '.node-1.tmp', 'x'), { recursive: true });
    await writeLeaseFile(dir, 'node-1', good);
    expect(readdirSync(dir).sort()).toEqual(['.node-1.since', 'node-1.json']);
  });

  const createdIn = async (dir: string): Promise<Map<string, string | undefined>> =>
    new Map([...(await readLeaseDir(dir)).leases].map(([key, { created }]) => [key, created]));

  test('a lease is as old as its first file, also one of a version without marks', async () => {
    const dir = makeDir();
    writeFileSync(join(dir, 'old.json'), good);
    await writeLeaseFile(dir, 'node-1', good);
    const before = await createdIn(dir);
    await sleep(20);
    for (const round of [1, 2]) {
      for (const node of ['old', 'node-1']) await writeLeaseFile(dir, node, good.padEnd(200 + round));
      expect(await createdIn(dir)).toEqual(before);
    }
    await removeLeaseFile(dir, 'node-1');
    await writeLeaseFile(dir, 'node-1', good);
    expect((await createdIn(dir)).get('node-1')).not.toBe(before.get('node-1'));
  });

  test.for([
    { name: 'a link to an older mark', make: (mark: string, old: string) => linkSync(old, mark) },
    { name: 'a symbolic link to an older mark', make: (mark: string, old: string) => symlinkSync(old, mark) },
    { name: 'a time set back', make: (mark: string) => utimesSync(mark, 0, 0) },
    { name: 'a directory', make: (mark: string) => mkdirSync(mark) },
  ])('nobody gets older by $name', async ({ name, make }) => {
    const dir = makeDir();
    await writeLeaseFile(dir, 'node-1', good);
    await sleep(20);
    await writeLeaseFile(dir, 'aaa', good);
    const mark = join(dir, '.aaa.since');
    if (!name.startsWith('a time')) rmSync(mark);
    make(mark, join(dir, '.node-1.since'));
    const created = await createdIn(dir);
    expect((created.get('aaa') ?? '') > (created.get('node-1') ?? '')).toBe(true);
  });

  test('removing is idempotent', async () => {
    const dir = makeDir();
    await writeLeaseFile(dir, 'node-1', good);
    await removeLeaseFile(dir, 'node-1');
    await removeLeaseFile(dir, 'node-1');
    expect(readdirSync(dir)).toEqual([]);
  });
});
