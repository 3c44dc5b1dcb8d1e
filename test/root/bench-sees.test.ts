// The bench notices disturbances: packets that are dropped, and another program that takes a processor.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import type { BenchOptions } from '../../bench/options.ts';
import { measureRounds } from '../../bench/packet/packet-rounds.ts';
import { joinResults, type Part } from '../../bench/result.ts';
import { runParts } from '../../bench/suite.ts';
import { startLab } from '../lab/lab.ts';

const DROPPED = 3;

test('when the first packets of a pod are dropped, the first packet that arrives counts, and the report says so', async () => {
  const lab = await startLab({ nodes: 2 });
  onTestFinished(() => lab.down());
  const [node, other] = [lab.node('node-1'), lab.node('node-2')];
  const target = await other.addPod();
  await node.addPod();
  const rule = `ip daddr ${target.ip} udp dport 1-65535 numgen inc mod 1000000 < ${DROPPED} counter drop`;
  await node.run([
    'nft',
    `add table ip selftest; add chain ip selftest forward { type filter hook forward priority -300; }; add rule ip selftest forward ${rule}`,
  ]);
  const samples = await measureRounds({ node, target }, 1);
  expect(samples.map(({ failure }) => failure)).toEqual([undefined, undefined, undefined]);
  const [udp] = samples.filter(({ kind }) => kind === 'udp');
  // Packets sent before the node forwarded never reached the rule that drops.
  expect(udp?.deliveredSequence).toBeGreaterThanOrEqual(DROPPED);
  expect(udp?.sender?.sent).toBeGreaterThan(DROPPED);
  const listed = await node.run(['nft', 'list', 'chain', 'ip', 'selftest', 'forward']);
  expect(listed).toContain(`counter packets ${DROPPED} `);
});

const options: BenchOptions = { repository: '/', runs: undefined, quick: true, peer: undefined };

const resting: Part = {
  name: 'resting',
  question: 'What does nothing cost?',
  seconds: { full: 1, quick: 1 },
  async measure() {
    await sleep(1000);
    return joinResults([]);
  },
};

test('another program that uses a whole processor is reported', async () => {
  // Its priority is higher than that of everything else that runs here.
  const burner = spawn('nice', ['-n', '-10', process.execPath, '-e', 'for (;;);'], { stdio: 'ignore' });
  onTestFinished(async () => {
    const ended = once(burner, 'exit');
    burner.kill('SIGKILL');
    await ended;
  });
  await once(burner, 'spawn');
  const [part] = await runParts([resting], options, { write: () => undefined }, () => undefined);
  expect(part?.othersLoad).toBeGreaterThan(0.5);
  expect(part?.notes).toContainEqual(
    expect.stringMatching(/^DISTURBED: other programs had \d\.\d processors meanwhile$/),
  );
});
