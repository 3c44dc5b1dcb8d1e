// When rules of other programs refuse all traffic of pods, the node becomes unready within seconds and names the rule, until the rule is
// gone. Rules that refuse something else leave it ready.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { failed } from '../lab/matrix.ts';
import { waitUntil } from '../lab/processes.ts';
import { builtAgent } from '../lab/programs.ts';
import { needs } from '../support/needs.ts';

const LOOK_MS = 20_000;
/** The time in which the agent makes two periodic checks without any event. */
const LOOKS_MS = 7000;

const onTestsEnd: (() => void)[] = [];
let lab: Lab;
let node: LabNode;

beforeAll(async () => {
  const netConf = {
    ...{ Network: '10.244.0.0/16', EnableIPv6: true, IPv6Network: 'fd00:244::/48', Backend: { Type: 'vxlan' } },
  };
  lab = await startLab({ nodes: 2, netConf, agent: { file: withNetAdminAlone() } });
  for (const each of lab.nodes) await each.addPod();
  node = lab.node('node-1');
  await isReady();
});
afterAll(async () => {
  await lab?.down();
  for (const end of onTestsEnd) end();
});

/** A script that starts the agent with NET_ADMIN alone, as the manifests do. The agent must see all this with it. */
function withNetAdminAlone(): string {
  const folder = mkdtempSync(join(tmpdir(), 'weft-net-admin-'));
  onTestsEnd.push(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'flanneld');
  writeFileSync(file, `#!/bin/sh\nexec setpriv --bounding-set=-all,+net_admin -- ${builtAgent} "$@"\n`, {
    mode: 0o755,
  });
  return file;
}

async function readyz(): Promise<{ status: number; body: string }> {
  return await node.agent.http('/readyz?verbose');
}

async function isReady(): Promise<void> {
  await waitUntil(async () => (await readyz()).status === 200, LOOK_MS, 'readiness');
}

/** Waits for a `required` line that contains one of the words. */
async function refusal(words: string): Promise<string> {
  let line: string | undefined;
  await waitUntil(
    async () => {
      const { status, body } = await readyz();
      line = body.split('\n').find((one) => one.startsWith('[-]') && one.includes(words));
      return status === 503 && line !== undefined;
    },
    LOOK_MS,
    `a refusal by ${words}`,
  );
  return line ?? '';
}

async function nft(script: string): Promise<void> {
  await node.run(['nft', '-f', '-'], { input: script });
}

/** Returns a function that runs `undo`. It is also run when the test fails. */
function undoneBy(...undo: readonly string[]): () => Promise<void> {
  let isDone = false;
  const run = async (): Promise<void> => {
    if (!isDone) await node.run(['sh', '-c', undo.join(' && ')]);
    isDone = true;
  };
  onTestFinished(run);
  return run;
}

describe('a refusal is named and makes the node unready until it is gone', () => {
  test('a policy of nftables', async () => {
    await nft('table inet strict { chain forward { type filter hook forward priority 10; policy drop; }; }');
    const undo = undoneBy('nft delete table inet strict');
    const line = await refusal('the policy drop of chain inet strict forward');
    expect(line).toContain('nft insert rule inet strict forward ip saddr 10.244.0.0/16 accept');
    const { body } = await readyz();
    for (const version of ['IPv4', 'IPv6']) expect(body).toContain(`[-] forwarding of ${version} from pods`);
    await undo();
    await isReady();
  });

  test('firewalld’s reject behind an accepting policy, and the advice helps', async () => {
    await nft(`table inet firewalld {
      chain filter_FORWARD {
        type filter hook forward priority 10; policy accept;
        ct state { established, related } accept
        iifname "lo" accept
        jump filter_FORWARD_ZONES
        reject with icmpx admin-prohibited
      }
      chain filter_FORWARD_ZONES { oifname "zone9" accept; }
    }`);
    const undo = undoneBy('nft delete table inet firewalld');
    const line = await refusal('"reject with icmpx admin-prohibited" of chain inet firewalld filter_FORWARD');
    expect(line).toContain('firewall-cmd --permanent --zone=trusted --add-interface=cni0 --add-interface=flannel');
    // The rules that firewalld makes for this.
    const trusted =
      'iifname { "cni0", "flannel.1", "flannel-v6.1" } oifname { "cni0", "flannel.1", "flannel-v6.1" } accept';
    await nft(`insert rule inet firewalld filter_FORWARD_ZONES ${trusted}`);
    await isReady();
    await undo();
  });

  test('a DROP of iptables on nftables, and the advice helps', async () => {
    await node.run(['iptables-nft', '-t', 'mangle', '-A', 'FORWARD', '-j', 'DROP']);
    const undo = undoneBy('iptables-nft -t mangle -F FORWARD');
    const line = await refusal('of chain ip mangle FORWARD');
    const insert = 'iptables -t mangle -I FORWARD';
    expect(line).toContain(`${insert} -s 10.244.0.0/16 -j ACCEPT; ${insert} -d 10.244.0.0/16 -j ACCEPT`);
    const advice = /iptables -t mangle .* -j ACCEPT/.exec(line);
    await node.run(['sh', '-c', (advice?.[0] ?? 'false').replaceAll('iptables ', 'iptables-nft ')]);
    await isReady();
    await undo();
  });

  test('a rule that drops what pods send', async () => {
    await nft('table inet some { chain pass { type filter hook forward priority 0; iifname "cni0" counter drop; }; }');
    const undo = undoneBy('nft delete table inet some');
    const line = await refusal('"iifname "cni0" counter drop" of chain inet some pass');
    expect(line).toContain('packets of pods, in by cni0,');
    await undo();
    await isReady();
  });

  test('a rule that drops what other nodes’ pods send', async () => {
    await nft(
      'table ip some { chain pass { type filter hook forward priority 0; ip saddr 10.244.0.0/16 iifname "flannel.1" drop; }; }',
    );
    const undo = undoneBy('nft delete table ip some');
    const line = await refusal('of chain ip some pass');
    expect(line).toContain('packets of other nodes’ pods, in by flannel.1,');
    await undo();
    await isReady();
  });
});

describe('iptables-legacy, which sends no events and does not appear in the kernel’s trace', () => {
  test.for([
    { name: 'all packets', rule: '-t mangle -A FORWARD -j DROP', undo: '-t mangle -F FORWARD' },
    // A probe from the tunnel passes such a rule. Without a change of the rules, no pod's packet is sent.
    { name: 'what pods send', rule: '-A FORWARD -i cni0 -j DROP', undo: '-F FORWARD' },
  ])('a DROP of $name gets a message of its own', async ({ rule, undo }) => {
    await legacy(node, rule);
    const undone = undoneBy(`iptables-legacy ${undo}`);
    const start = performance.now();
    expect(await refusal('a rule that nft does not show refuses')).toContain('see iptables-legacy-save');
    process.stdout.write(`seen after ${Math.round(performance.now() - start)} ms\n`);
    await undone();
    await isReady();
  });
});

/** Adds a rule of iptables-legacy, or skips the test where the kernel has none. */
async function legacy(where: LabNode, rule: string): Promise<void> {
  const { exitCode, stderr } = await where.exec(['iptables-legacy', ...rule.split(' ')]);
  needs.machine(exitCode === 0 || !/Table does not exist|not found/.test(stderr), 'a kernel with iptables-legacy');
  expect(stderr).toBe('');
}

describe('rules that leave the node ready', () => {
  const still = async (): Promise<void> => {
    const until = Date.now() + LOOKS_MS;
    while (Date.now() < until) {
      expect(await readyz()).toMatchObject({ status: 200 });
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
    expect(failed(await lab.matrix())).toEqual([]);
  };

  test('what Docker does: the policy of FORWARD, with its own chains', async () => {
    const rules = ['-P FORWARD DROP', '-N DOCKER-USER', '-A FORWARD -j DOCKER-USER', '-A DOCKER-USER -j RETURN'];
    for (const rule of rules) await node.run(['iptables-nft', ...rule.split(' ')]);
    const undo = undoneBy(
      'iptables-nft -P FORWARD ACCEPT',
      'iptables-nft -F FORWARD',
      'iptables-nft -F DOCKER-USER',
      'iptables-nft -X DOCKER-USER',
    );
    await isReady();
    await still();
    await undo();
  });

  test('policies for single pods, as an agent of NetworkPolicy makes them', async () => {
    const [pod] = node.pods;
    await nft(`table inet kube-network-policies {
      set podips-v4 { type ipv4_addr; elements = { 10.244.250.250 }; }
      chain postrouting {
        type filter hook postrouting priority 95; policy accept;
        ct state established,related accept
        ip daddr @podips-v4 drop
      }
    }
    table ip onepod { chain forward { type filter hook forward priority 0; ip daddr ${pod?.ip} tcp dport 5432 drop; }; }`);
    const undo = undoneBy('nft delete table inet kube-network-policies', 'nft delete table ip onepod');
    await still();
    await undo();
  });

  test('what ufw does where it allows forwarding', async () => {
    const rules = [
      '-N ufw-before-forward',
      '-A FORWARD -j ufw-before-forward',
      '-A ufw-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
      '-A ufw-before-forward -m conntrack --ctstate INVALID -j DROP',
      '-N ufw-user-forward',
      '-A ufw-before-forward -j ufw-user-forward',
      '-A ufw-user-forward -j ACCEPT',
      '-A FORWARD -j REJECT',
    ];
    for (const rule of rules) await node.run(['iptables-nft', ...rule.split(' ')]);
    const undo = undoneBy('iptables-nft -F', 'iptables-nft -X ufw-before-forward', 'iptables-nft -X ufw-user-forward');
    await still();
    await undo();
  });
});

describe('without a tunnel: host-gw', () => {
  let plain: Lab;
  let lone: LabNode;
  beforeAll(async () => {
    plain = await startLab({ nodes: 1, netConf: { Network: '10.244.0.0/16', Backend: { Type: 'host-gw' } } });
    lone = plain.node('node-1');
    await lone.addPod();
  });
  afterAll(() => plain?.down());

  const body = async (): Promise<string> => (await lone.agent.http('/readyz')).body;
  const says = async (words: string): Promise<void> =>
    await waitUntil(async () => (await body()).includes(words), LOOK_MS, words);
  /** The name of the temporary device is in the agent's namespace for some milliseconds, and a later device has a higher index. */
  const nextIndex = async (): Promise<number> => {
    await lone.run(['ip', 'link', 'add', 'mark', 'type', 'bridge']);
    const [mark] = JSON.parse(await lone.run(['ip', '-j', 'link', 'show', 'mark'])) as { ifindex: number }[];
    await lone.run(['ip', 'link', 'del', 'mark']);
    return mark?.ifindex ?? 0;
  };

  test('a policy that refuses pods is also found', async () => {
    await lone.run(['nft', 'table inet strict { chain f { type filter hook forward priority 10; policy drop; }; }']);
    await says('policy drop of chain inet strict f');
    await lone.run(['nft', 'delete table inet strict']);
    await says('flanneld is ready');
  });

  test('so is a DROP of iptables-legacy, although no event tells of it', async () => {
    await legacy(lone, '-A FORWARD -i cni0 -j DROP');
    const start = performance.now();
    await says('a rule that nft does not show refuses');
    process.stdout.write(`seen after ${Math.round(performance.now() - start)} ms\n`);
    await lone.run(['iptables-legacy', '-F', 'FORWARD']);
    await says('flanneld is ready');
  });

  test('while the rules of iptables-legacy stay as they are, or are kube-proxy’s, no device comes and goes', async () => {
    await legacy(lone, '-N KUBE-FORWARD');
    let before = await nextIndex();
    await legacy(lone, '-A FORWARD -j KUBE-FORWARD');
    // This is a change. The agent has seen it once a device has taken an index.
    await waitUntil(
      async () => {
        before += 1;
        return (await nextIndex()) > before;
      },
      LOOK_MS,
      'a probe',
    );
    before = await nextIndex();
    await legacy(lone, '-A KUBE-FORWARD -d 10.96.0.1/32 -j ACCEPT');
    await new Promise((resolve) => setTimeout(resolve, LOOKS_MS));
    expect(await nextIndex()).toBe(before + 1);
    expect(await body()).toContain('flanneld is ready');
  });
});

test('an agent that has NET_ADMIN and no other capability finds it', async () => {
  const { pid } = await node.agent.state();
  expect(await node.run(['grep', 'CapEff', `/proc/${pid}/status`])).toBe('CapEff:\t0000000000001000\n');
});

test('no device, table or entry of a probe is left', async () => {
  expect(await node.run(['nft', 'list', 'tables'])).not.toContain('weft_trace');
  expect(await node.run(['ip', 'link'])).not.toContain('weft-probe');
  const neighs = (): Promise<string> => node.run(['ip', 'neigh', 'show', 'nud', 'incomplete', 'dev', 'cni0']);
  await waitUntil(async () => !/10\.244\.\d+\.25\d/.test(await neighs()), LOOK_MS, 'no entry of a probe');
});
