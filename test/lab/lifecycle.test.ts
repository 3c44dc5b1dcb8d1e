// Starts labs and ends them: in order, by every signal, at any moment. Nothing of a lab may stay on the machine.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { slowed } from '../support/slowness.ts';
import { attachLab, startLab } from './lab.ts';
import { isAlive, processId, waitUntil } from './processes.ts';
import { labPrograms } from './programs.ts';
import { forgetLab, keptLabs, reapLabs, recordLab } from './registry.ts';
import { familyOf, footprint, survivors } from './support/leftovers.ts';

/** Any existing folder will do, because these labs attach no pod. */
const pluginFolder = '/etc/alternatives';
const bare = { agent: false, pluginFolder } as const;

/** This process, and every launcher that it has started. */
const owners = [process.pid];

async function startLauncher(nodes: number, ...more: string[]): Promise<ChildProcess> {
  const program = join(await labPrograms(), 'launcher.mjs');
  const child = spawn(process.execPath, [program, String(nodes), ...more], { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  owners.push(child.pid ?? 0);
  return child;
}

async function firstLineOf(child: ChildProcess): Promise<string> {
  const [line] = (await once(child.stdout ?? child, 'data')) as [Buffer];
  return line.toString().trim();
}

/** Removes the lab also when a test fails. */
async function endIfKept(name: string): Promise<void> {
  if (keptLabs().some((kept) => kept.name === name)) await (await attachLab(name)).down();
}

describe('a lab', () => {
  test('starts, ends, and leaves nothing', async () => {
    const before = footprint(owners);
    const lab = await startLab({ ...bare, nodes: 2 });
    const family = familyOf(lab.pid);
    expect(family.length).toBeGreaterThanOrEqual(2 + 3 * 2);
    await lab.nodes[0]?.run(['ip', 'netns', 'add', 'cni-left']);
    lab.nodes[0]?.writeFile('/etc/cni/net.d/x', 'x');
    await lab.down();
    expect(survivors(family)).toEqual([]);
    expect(footprint(owners)).toEqual(before);
  });

  test('ends although its host program was killed, and can be ended twice', async () => {
    const lab = await startLab({ ...bare, nodes: 2 });
    const family = familyOf(lab.pid);
    process.kill(lab.pid, 'SIGKILL');
    await lab.down();
    await lab.down();
    expect(survivors(family)).toEqual([]);
    await expect(lab.addNodes(1)).rejects.toThrow(/lab: addNode lab lab-.*: EPIPE/);
  });

  test('makes each node look like a separate machine', async () => {
    const lab = await startLab({ ...bare, nodes: 2 });
    onTestFinished(() => lab.down());
    const [one, two] = [lab.node('node-1'), lab.node('node-2')];
    one.writeFile('/var/lib/cni/x', 'x');
    expect(existsSync(two.pathFromOutside('/var/lib/cni/x'))).toBe(false);
    expect(existsSync('/var/lib/cni/x')).toBe(false);
    const facts = async (node: typeof one): Promise<string[]> =>
      (
        await node.run([
          'sh',
          '-c',
          'hostname; cat /proc/sys/kernel/random/boot_id /proc/sys/net/ipv4/ip_forward; ls /sys/class/net | tr "\\n" " "',
        ])
      ).split('\n');
    const [oneFacts, twoFacts] = [await facts(one), await facts(two)];
    expect([oneFacts[0], oneFacts[2], oneFacts[3]]).toEqual(['node-1', '1', 'eth0 lo ']);
    expect(twoFacts[0]).toBe('node-2');
    expect(twoFacts[1]).not.toBe(oneFacts[1]);
    expect(await one.ping([two.address])).toEqual([{ ip: two.address, rttMs: expect.any(Number) }]);
    await two.run(['true']);
    await expect(two.run(['false'])).rejects.toThrow('exec: run false: exit 1');
  });

  test('shares the lease folder among its nodes, and nothing with another lab', async () => {
    const [lab, other] = await Promise.all([startLab({ ...bare, nodes: 2 }), startLab({ ...bare, nodes: 1 })]);
    onTestFinished(async () => void (await Promise.all([lab.down(), other.down()])));
    lab.node('node-1').writeFile('/run/lab/leases/x', 'from node-1');
    expect(lab.node('node-2').readFile('/run/lab/leases/x')).toBe('from node-1');
    expect(existsSync(join(lab.leaseFolder, 'x'))).toBe(true);
    expect(existsSync(join(other.leaseFolder, 'x'))).toBe(false);
    expect(await other.node('node-1').ping(['192.168.50.12'], { timeoutMs: 200 })).toMatchObject([
      { failure: expect.any(String) },
    ]);
  });

  test('reboots a node with its disk and without its /run', async () => {
    const lab = await startLab({ ...bare, nodes: 2 });
    onTestFinished(() => lab.down());
    const [one, two] = [lab.node('node-1'), lab.node('node-2')];
    const bootId = '/proc/sys/kernel/random/boot_id';
    const [pid, boot] = [processId(one.pid), one.readFile(bootId)];
    one.writeFile('/etc/cni/net.d/kept', 'kept');
    one.writeFile('/run/flannel/lost', 'lost');
    await one.run(['ip', 'link', 'add', 'cni0', 'type', 'bridge']);
    await one.reboot();
    expect(pid !== undefined && isAlive(pid)).toBe(false);
    expect(one.readFile('/etc/cni/net.d/kept')).toBe('kept');
    expect(existsSync(one.pathFromOutside('/run/flannel/lost'))).toBe(false);
    expect(one.readFile(bootId)).not.toBe(boot);
    expect((await one.exec(['ip', 'link', 'show', 'cni0'])).exitCode).toBe(1);
    expect(await two.ping([one.address])).toMatchObject([{ rttMs: expect.any(Number) }]);
  });

  test('can lose a node for good and get new ones', async () => {
    const lab = await startLab({ ...bare, nodes: 2 });
    onTestFinished(() => lab.down());
    const address = lab.node('node-2').address;
    await lab.removeNode('node-2');
    expect(lab.nodes.map(({ name }) => name)).toEqual(['node-1']);
    expect(await lab.node('node-1').ping([address], { timeoutMs: 200 })).toMatchObject([
      { failure: expect.any(String) },
    ]);
    await lab.addNodes(1);
    expect(await lab.node('node-1').ping([lab.node('node-2').address])).toMatchObject([{ rttMs: expect.any(Number) }]);
    expect(() => lab.node('node-9')).toThrow('lab: find node node-9: ENOENT (there are node-1, node-2)');
  });

  test('that cannot start says why and leaves nothing', async () => {
    const before = footprint(owners);
    const start = startLab({ agent: false, nodes: 2, pluginFolder: '/nowhere' });
    await expect(start).rejects.toThrow(/lab: boot node node-\d: ended \([\s\S]*\/nowhere/);
    expect(footprint(owners)).toEqual(before);
  });

  test.for([
    { name: 'a bad name', options: { name: 'A b' }, want: 'a name has small letters, digits and dashes' },
    { name: 'too many nodes', options: { nodes: 1000 }, want: '0 to 200' },
    { name: 'half a node', options: { nodes: 1.5 }, want: '0 to 200' },
  ])('refuses $name', async ({ options, want }) => {
    await expect(startLab({ ...bare, ...options })).rejects.toThrow(want);
  });
});

describe('a lab whose owner is killed', () => {
  const moments = [0, 40, 80, 120, 160, 200, 250, 300, 400, 500].map((ms) => ms + Math.floor(Math.random() * 40));
  test('leaves nothing, whenever that happens', { timeout: slowed(120_000) }, async () => {
    const before = footprint(owners);
    for (const keep of [[], ['keep']]) {
      for (const ms of moments) {
        const launcher = await startLauncher(2, ...keep);
        await sleep(ms);
        const family = familyOf(launcher.pid ?? 0);
        launcher.kill('SIGKILL');
        await once(launcher, 'exit');
        await waitUntil(() => survivors(family).length === 0, 10_000, `end of a lab killed after ${ms} ms`);
        await waitUntil(() => footprint(owners).processes.length === 0, 10_000, 'end of its processes');
      }
    }
    expect(footprint(owners)).toEqual(before);
  });

  test('is ended by the next lab’s start when it could not notice that', async () => {
    const launcher = await startLauncher(1, 'keep');
    const pid = Number((await firstLineOf(launcher)).replace('up ', ''));
    const family = familyOf(pid);
    // A stopped process does not notice that its owner's pipe has closed.
    for (const one of family) process.kill(one.pid, 'SIGSTOP');
    launcher.kill('SIGKILL');
    await once(launcher, 'exit');
    await sleep(100);
    expect(survivors(family)).toHaveLength(family.length);
    expect(await reapLabs()).toContain(`lab-${launcher.pid}-1`);
    expect(survivors(family)).toEqual([]);
  });

  test('ends although it was running', async () => {
    const launcher = await startLauncher(2);
    expect(await firstLineOf(launcher)).toMatch(/^up \d+$/);
    const family = familyOf(launcher.pid ?? 0);
    expect(family.length).toBeGreaterThan(6);
    launcher.kill('SIGKILL');
    await waitUntil(() => survivors(family).length === 0, 10_000, 'end of the lab');
  });
});

describe('a kept lab', () => {
  test('survives its owner, can be found again, and can be ended', async () => {
    const before = footprint(owners);
    const name = `kept-${process.pid}`;
    const lab = await startLab({ ...bare, nodes: 2, name, keepable: true });
    onTestFinished(() => endIfKept(name));
    await lab.keep();
    lab.detach();
    const again = await attachLab(name);
    expect(again.nodes.map((node) => [node.name, node.address])).toEqual([
      ['node-1', '192.168.50.11'],
      ['node-2', '192.168.50.12'],
    ]);
    expect(await again.node('node-1').ping([again.node('node-2').address])).toMatchObject([
      { rttMs: expect.any(Number) },
    ]);
    await expect(startLab({ ...bare, name })).rejects.toThrow(`lab: start lab ${name}: EEXIST`);
    expect(await reapLabs()).not.toContain(name);
    const family = familyOf(again.pid);
    await again.down();
    expect(survivors(family)).toEqual([]);
    expect(footprint(owners)).toEqual(before);
    await expect(attachLab(name)).rejects.toThrow(`lab: find lab ${name}: ENOENT (npm start -- --keep makes one)`);
  });

  test('is forgotten when it was killed', async () => {
    const name = `dead-${process.pid}`;
    const child = spawn('sleep', ['60']);
    const init = processId(child.pid ?? 0);
    if (init === undefined) throw new Error('no process');
    recordLab({ name, init, created: new Date().toISOString() });
    onTestFinished(() => forgetLab(name));
    expect(keptLabs().map((kept) => kept.name)).toContain(name);
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(keptLabs().map((kept) => kept.name)).not.toContain(name);
    expect(await reapLabs()).toContain(name);
    expect(await reapLabs()).not.toContain(name);
  });
});
