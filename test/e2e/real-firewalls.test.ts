// Debian's firewalld, ufw and Docker run in a node of the lab, as they are installed: the agent names the rule that refuses packets, and
// the command that it names ends this. The suite firewalls unpacks them; they are never installed, and run only in the node's namespaces.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { failed } from '../lab/matrix.ts';
import { waitUntil } from '../lab/processes.ts';
import { needs } from '../support/needs.ts';

const LOOK_MS = 40_000;
/** firewalld reads some hundred files when it starts. */
const START_MS = 80_000;
const packages = process.env['WEFT_FIREWALLS'] ?? '';
const isThere = ['firewalld', 'ufw', 'dockerd'].every((name) => existsSync(join(packages, 'usr/sbin', name)));
let lab: Lab;
let node: LabNode;

beforeAll(async () => {
  if (!isThere) return;
  lab = await startLab({ nodes: 2 });
  node = lab.node('node-1');
  for (const each of lab.nodes) await each.addPod();
  await isReady();
  await sh(SEE_PACKAGES);
});
afterAll(async () => await lab?.down());
beforeEach(() =>
  needs.machine(isThere, 'firewalld, ufw and Docker (unpacked in WEFT_FIREWALLS, as npm run suite -- firewalls does)'),
);

/** Mounts the packages' files in their places in the node. /etc is the node's own already. */
const SEE_PACKAGES = `mkdir -p /run/over && mount -t tmpfs tmpfs /run/over && mkdir /run/over/up /run/over/work
mount -t overlay overlay -o lowerdir=${packages}/usr:/usr,upperdir=/run/over/up,workdir=/run/over/work /usr
cp -r ${packages}/etc/* /etc/
cp -r ${packages}/lib/* /usr/lib/
cp /usr/share/ufw/ufw.conf /usr/share/ufw/iptables/* /etc/ufw/ && chmod 640 /etc/ufw/*.rules
mkdir -p /run/dbus /etc/firewalld/zones`;

const BUS = `<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>`;

async function sh(script: string): Promise<string> {
  return await node.run(['sh', '-ec', script], { timeoutMs: 60_000 });
}

async function readyz(): Promise<{ status: number; body: string }> {
  return await node.agent.http('/readyz?verbose').catch(() => ({ status: 0, body: '' }));
}

async function isReady(): Promise<void> {
  await waitUntil(async () => (await readyz()).status === 200, LOOK_MS, 'readiness');
}

async function refusal(words: string): Promise<string> {
  let body = '';
  const isNamed = async (): Promise<boolean> => {
    const answer = await readyz();
    body = answer.body;
    return answer.status === 503 && body.includes(words);
  };
  await waitUntil(isNamed, LOOK_MS, `a refusal by ${words}`).catch((error: unknown) => {
    throw new Error(`${String(error)}: ${body}`);
  });
  return body;
}

/** Waits until the node is ready and every pod reaches every other, which may take until the agent has noticed the change. */
async function forwards(): Promise<void> {
  const isWhole = async (): Promise<boolean> =>
    (await readyz()).status === 200 && failed(await lab.matrix()).length === 0;
  await waitUntil(isWhole, LOOK_MS, 'a node that forwards and says so').catch(async (error: unknown) => {
    throw new Error(`${String(error)}: ${(await readyz()).body} ${JSON.stringify(failed(await lab.matrix()))}`);
  });
}

/** The time in which the agent checks at least once more, whatever has happened. */
const LOOKS_MS = 5000;

/** Expects that the node forwards, and reports so continuously until the agent has checked again. */
async function staysReady(): Promise<void> {
  await forwards();
  for (const until = Date.now() + LOOKS_MS; Date.now() < until; ) {
    expect(await readyz()).toMatchObject({ status: 200 });
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

describe('firewalld', () => {
  beforeAll(async () => {
    if (!isThere) return;
    node.writeFile('/run/bus.conf', BUS);
    await sh(`dbus-daemon --config-file=/run/bus.conf --fork --nopidfile
      /usr/bin/python3 -s /usr/sbin/firewalld --nofork --nopid >/run/firewalld.log 2>&1 & echo $! >/run/firewalld.pid`);
    await waitUntil(
      async () => (await node.exec(['/usr/bin/python3', '-s', '/usr/bin/firewall-cmd', '--state'])).exitCode === 0,
      START_MS,
      'firewalld',
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}: ${node.readFile('/run/firewalld.log')}`);
    });
  }, START_MS + 20_000);

  test('as installed: the reject at its end is named, and the command named for it ends it', async () => {
    const cmd = (args: string): Promise<string> => sh(`/usr/bin/python3 -s /usr/bin/${args}`);
    const body = await refusal('"reject with icmpx admin-prohibited" of chain inet firewalld filter_F');
    const [add = '', reload = ''] =
      /(firewall-cmd --permanent .*?) && (firewall-cmd --reload)/.exec(body)?.slice(1) ?? [];
    expect(add).toContain('--zone=trusted');
    await cmd(add);
    // Rules for packets to the node itself are a different case: the README's table of ports asks for these.
    await cmd('firewall-cmd --permanent --add-port=8472/udp');
    await cmd(reload);
    await forwards();
  });

  test('ended: its table is gone and the node stays ready', async () => {
    await sh('kill $(cat /run/firewalld.pid)');
    const hasTable = async (): Promise<boolean> => (await node.run(['nft', 'list', 'tables'])).includes('firewalld');
    await waitUntil(async () => !(await hasTable()), LOOK_MS, 'the end of its table');
    await isReady();
  });
});

describe('ufw', () => {
  const ufw = (args: string): Promise<string> => sh(`/usr/bin/python3 -s /usr/sbin/ufw ${args}`);

  beforeEach(async () => {
    if (!isThere) return;
    onTestFinished(async () => void (await ufw('--force reset')));
    await ufw('allow 8472/udp');
    await ufw('--force enable');
  });

  test('as installed, which refuses forwarding: the pods’ packets pass, and the node stays ready', async () => {
    expect(await node.run(['iptables', '-S', 'FORWARD'])).toContain('-P FORWARD DROP');
    await staysReady();
  });

  test('with a rule against what pods send: it is named, and the command named for it ends it', async () => {
    await ufw('route deny in on cni0');
    const body = await refusal('of chain ip filter ufw-user-forward');
    const advice = [...body.matchAll(/ufw (route prepend allow \w+ [0-9./]+)/g)].map(([, words = '']) => words);
    expect(new Set(advice).size).toBe(2);
    for (const words of new Set(advice)) await ufw(words);
    await forwards();
  });
});

describe('Docker', () => {
  beforeAll(async () => {
    if (!isThere) return;
    // Docker wants control groups, but needs none without containers. It cannot put an overlay on the node's overlay. It sets the policy of
    // FORWARD to DROP when it is Docker that turns forwarding on, as at the boot of a machine.
    await sh(`echo 0 >/proc/sys/net/ipv4/ip_forward
      mount -t cgroup2 -o ro cgroup2 /sys/fs/cgroup
      dockerd --storage-driver=vfs --data-root=/run/docker-data >/run/dockerd.log 2>&1 & echo $! >/run/dockerd.pid`);
    const isUp = async (): Promise<boolean> => (await node.exec(['docker', 'info'])).exitCode === 0;
    await waitUntil(isUp, START_MS, 'dockerd').catch((error: unknown) => {
      throw new Error(`${String(error)}: ${node.readFile('/run/dockerd.log')}`);
    });
    await sh('docker network create --subnet 172.30.0.0/16 --ipv6 --subnet fd00:30::/64 another');
  }, START_MS + 20_000);

  test('as installed, which refuses forwarding: the pods’ packets pass, and the node stays ready', async () => {
    const rules = await node.run(['iptables', '-S']);
    expect(rules).toContain('-P FORWARD DROP');
    expect(rules).toContain('-A FORWARD -o docker0 -j DOCKER');
    expect(rules).toContain('-A FORWARD -j DOCKER-ISOLATION-STAGE-1');
    await staysReady();
  });

  test('with a refusal in its chain for users’ rules: it is named, and the command named for it ends it', async () => {
    await sh('iptables -I DOCKER-USER -j REJECT');
    const body = await refusal('"counter reject" of chain ip filter DOCKER-USER');
    const advice = /(iptables -t filter -I DOCKER-USER -s \S+ -j ACCEPT); (iptables .*? -j ACCEPT)/.exec(body);
    await sh(advice?.slice(1).join('\n') ?? 'false');
    await forwards();
  });

  test('ended, with its rules left behind and then removed: the node stays ready', async () => {
    await sh('kill $(cat /run/dockerd.pid); while kill -0 $(cat /run/dockerd.pid) 2>&-; do sleep 0.1; done');
    await forwards();
    await sh('iptables -P FORWARD ACCEPT; iptables -F; iptables -t nat -F; iptables -X');
    await forwards();
  });
});
