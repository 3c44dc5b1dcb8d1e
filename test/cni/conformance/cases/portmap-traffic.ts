// Rows 158 and 159: mapped ports work, tested with packets.

import { type Case, casesOf, type Row } from '../case.ts';
import { same } from '../expect.ts';
import { chained, makePod, prevResult } from '../portmap.ts';
import { ask, serve } from '../traffic.ts';
import type { Trial } from '../trial.ts';

const TCP = { hostPort: 8080, containerPort: 80, protocol: 'tcp' };
const UDP = { hostPort: 8080, containerPort: 80, protocol: 'udp' };

/** Requires that a mapped port reaches the container from everywhere. */
async function everyWay(trial: Trial, backend: string): Promise<void> {
  const config = await chained(trial, { backend, runtimeConfig: { portMappings: [TCP, UDP] } });
  await trial.sh('iptables -P FORWARD ACCEPT');
  await trial.container('c2');
  await makePod(trial, 'c2', '10.0.0.3');
  const server = await serve(trial, 'c1', 80);
  try {
    for (const protocol of ['tcp', 'udp'] as const) {
      same(await ask(trial, { protocol, address: '10.0.0.2', port: 80 }), 'c1', `${protocol} to the container itself`);
    }
    await trial.attachment(config).add();
    const questions = (['tcp', 'udp'] as const).flatMap((protocol) => [
      { protocol, address: '10.0.0.1', port: 8080 },
      { protocol, address: '127.0.0.1', port: 8080 },
      { protocol, address: '10.0.0.1', port: 8080, from: 'c1' },
      { protocol, address: '10.0.0.1', port: 8080, from: 'c2' },
    ]);
    const answers = await Promise.all(questions.map((question) => ask(trial, question)));
    const silent = questions.filter((_, at) => answers[at] !== 'c1');
    same(silent, [], 'questions without answer');
  } finally {
    await server.stop();
  }
}

/** Requires that a client with an unchanged source port reaches the new pod and not the one that had the mapping before. */
async function nextPod(trial: Trial): Promise<void> {
  const config = await chained(trial, { runtimeConfig: { portMappings: [UDP] } });
  await trial.container('c2');
  await makePod(trial, 'c2', '10.0.0.3');
  const servers = [await serve(trial, 'c1', 80), await serve(trial, 'c2', 80)];
  const question = { protocol: 'udp', address: '10.0.0.1', port: 8080, ownPort: 40_000 } as const;
  try {
    const first = trial.attachment(config);
    await first.add();
    same(await ask(trial, question), 'c1', 'answer of the first pod');
    await first.del();
    const second = first.with(
      { container: 'c2', netns: '/run/netns/c2' },
      { prevResult: prevResult(trial, 'c2', '10.0.0.3') },
    );
    await second.add();
    same(await ask(trial, question), 'c2', 'answer of the second pod');
  } finally {
    for (const server of servers) await server.stop();
  }
}

const rows: readonly Row[] = [
  {
    id: '158a',
    title: 'a port mapped by iptables answers the host, its loopback, the container itself and another container',
    needs: ['iptables'],
    check: (trial) => everyWay(trial, 'iptables'),
  },
  {
    id: '158b',
    title: 'a port mapped by nftables answers the host, its loopback, the container itself and another container',
    needs: ['nft', 'iptables'],
    referenceFrom: 'main',
    check: (trial) => everyWay(trial, 'nftables'),
  },
  {
    id: '159',
    title: 'a UDP port that moved to another pod leads there, also for a client that keeps its source port',
    needs: ['iptables'],
    check: nextPod,
  },
];

export const portmapTrafficCases: readonly Case[] = casesOf('portmap', rows);
