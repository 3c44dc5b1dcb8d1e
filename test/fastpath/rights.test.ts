// The rights that the fast path needs: those of the agent, and of `flanneld load-fast-path`, which runs before it with more. When something
// is missing, packets stay on the classic way, and one line says what is missing.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { programNames } from '../../flanneld/fastpath/programs/node-programs.ts';
import { linkInfo } from '../../lib/bpf/bpf-link.ts';
import { openPinned } from '../../lib/bpf/pin.ts';
import { programInfo } from '../../lib/bpf/program.ts';
import { closeFd, listDir } from '../../lib/sys/file.ts';
import { openKoffiSyscalls } from '../../lib/sys/koffi.ts';
import type { Lab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { ask, fastPathOf, PINS, podsOf, serve, startFastLab, untilOff, untilOn } from '../support/fast-path.ts';
import { AGENT_RIGHTS, LOADER_RIGHTS, limitedAgent, loadFastPath, setRights } from '../support/limited-agent.ts';

const sys = openKoffiSyscalls();
const folder = mkdtempSync(join(tmpdir(), 'weft-rights-'));
let lab: Lab;
let one: LabNode;
beforeAll(async () => {
  lab = await startFastLab({ agentFile: limitedAgent(folder) });
  one = lab.node('node-1');
});
afterAll(async () => {
  await lab?.down();
  rmSync(folder, { recursive: true });
});

const load = (capabilities: string): Promise<string> => loadFastPath(one, capabilities);

/** Starts the agent again with these capabilities, after removing everything of an earlier agent's fast path. */
async function restart(capabilities: string): Promise<string> {
  await one.agent.stop();
  await one.run(['sh', '-c', `rm -rf ${PINS}/* ${PINS}`]);
  setRights(one, capabilities);
  const before = (await one.agent.log()).length;
  return await startAgain(before);
}

async function startAgain(before: number): Promise<string> {
  await one.agent.start();
  await one.agent.ready();
  return (await one.agent.log()).slice(before);
}

/** The ids of the pinned programs, and of the attached ones. */
function programIds(): { pinned: number[]; attached: Set<number> } {
  const path = one.pathFromOutside(PINS);
  const [pinned, attached] = [[] as number[], new Set<number>()];
  for (const pin of listDir(sys, path) ?? []) {
    const fd = openPinned(sys, `${path}/${pin}`) ?? -1;
    if (pin.startsWith('program_')) pinned.push(programInfo(sys, fd).id);
    if (pin.startsWith('link_')) attached.add(linkInfo(sys, fd)?.programId ?? 0);
    closeFd(sys, fd);
  }
  return { pinned, attached };
}

const reasonsIn = (log: string): string[] =>
  log.split('\n').flatMap((line) => {
    const { reason = '', msg } = line.startsWith('{') ? (JSON.parse(line) as { reason?: string; msg?: string }) : {};
    return msg?.startsWith('fast path is off') === true && !/not there yet/.test(reason) ? [reason] : [];
  });

test('an agent with NET_ADMIN and BPF uses programs that a process with more rights has loaded, also after a restart', async () => {
  await one.agent.stop();
  await one.run(['sh', '-c', `rm -rf ${PINS}/* ${PINS}`]);
  expect(await load(LOADER_RIGHTS)).toBe(`fast path loaded: programs are in ${PINS}`);
  const { pinned } = programIds();
  expect(pinned).toHaveLength(programNames.length);
  for (let start = 0; start < 2; start++) {
    await startAgain(0);
    await untilOn(one);
    const { attached } = programIds();
    expect(attached.size).toBe(2);
    expect(pinned).toEqual(expect.arrayContaining([...attached]));
    await one.agent.stop();
  }
  // A new version's loader runs while the old agent's programs are still attached.
  expect(await load(LOADER_RIGHTS)).toContain('fast path loaded');
  await startAgain(0);
  await untilOn(one);
});

test.for([
  { without: 'BPF', capabilities: 'net_admin', reason: /this node has no fast path: .*EPERM \(it takes CAP_BPF/ },
])('without $without an agent says so in one line, and pods are reached', async ({ capabilities, reason }) => {
  onTestFinished(async () => void (await restart(AGENT_RIGHTS)));
  const log = await restart(capabilities);
  await untilOff(one, reason);
  expect(reasonsIn(log)).toEqual([expect.stringMatching(reason)]);
  const [[a], [c]] = [podsOf(one), podsOf(lab.node('node-2'))];
  await serve(c);
  expect(await ask(a, 'tcp', c.ip)).toContain(c.name);
});

test.for([
  { without: 'SYS_ADMIN and BPF', capabilities: 'net_admin', want: /classic way: .*EPERM \(it takes CAP_BPF/ },
  { without: 'NET_ADMIN', capabilities: 'bpf', want: /classic way: .*EPERM \(it takes CAP_BPF and CAP_NET_ADMIN\)$/ },
])('without $without the loader says so in one line', async ({ capabilities, want }) => {
  await one.agent.stop();
  await one.run(['sh', '-c', `rm -rf ${PINS}/* ${PINS}`]);
  expect(await load(capabilities)).toMatch(want);
  await startAgain(0);
  await untilOn(one);
});

test('without a bpffs the loader says so, and the agent loads programs that end when it ends', async () => {
  await one.agent.stop();
  await one.run(['umount', '/sys/fs/bpf']);
  onTestFinished(async () => void (await one.run(['mount', '-t', 'bpf', 'bpf', '/sys/fs/bpf'])));
  expect(await load(LOADER_RIGHTS)).toBe(
    'fast path not loaded, packets go the classic way: there is no bpffs at /sys/fs/bpf',
  );
  await startAgain(0);
  await untilOn(one);
  expect((await fastPathOf(one)).on).toBe(true);
});
