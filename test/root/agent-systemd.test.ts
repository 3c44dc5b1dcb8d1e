// A real systemd runs the unit of manifests/systemd with the built agent: it sees the agent's signs of life, and ends an agent whose
// event loop stands still. The control is a unit whose agent is not told that signs of life are expected.
//
// systemd runs as a user manager in namespaces of its own. A user manager cannot restrict file systems without a user namespace, so
// those lines of the unit are switched off.

import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { builtAgent, requireBuilt } from '../lab/programs.ts';
import { needs } from '../support/needs.ts';

const repository = resolve(import.meta.dirname, '../..');
const SYSTEMD = '/lib/systemd/systemd';
const WATCHDOG_SEC = 8;
/** Longer than systemd waits for a sign of life. */
const ALIVE_SEC = 14;
const CGROUPS = existsSync('/sys/fs/cgroup/systemd') ? '/sys/fs/cgroup/systemd' : '/sys/fs/cgroup';
const WITHOUT_SANDBOX = ['ProtectSystem', 'ProtectHome', 'PrivateTmp', 'ProtectKernelTunables', 'ProtectKernelModules'];

const dropIn = (more: string): string => `[Service]
Environment=FLANNELD_SUBNET_DIR=/run/leases FLANNELD_NET_CONFIG_PATH=${repository}/manifests/systemd/net-conf.json
Environment=FLANNELD_IFACE=eth0 FLANNELD_CNI_CONF=${repository}/manifests/systemd/cni-conf.json
Environment=NODE_OPTIONS=--require=${repository}/test/support/injected-fault.cjs FAULT_FILE=/run/fault.js
ExecStart=
ExecStart=${builtAgent}
Restart=no
WatchdogSec=${WATCHDOG_SEC}
StandardError=append:/run/agent.log
${WITHOUT_SANDBOX.map((name) => `${name}=no\n`).join('')}ProtectControlGroups=no
ReadWritePaths=
${more}
`;

/** Runs in new namespaces, and prints systemd's state of the unit: once it has run for a while, and when it has ended. */
const SCENE = `set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system /run/u /run/leases /run/units/systemd/user/flanneld.service.d
mount -t tmpfs tmpfs /sys/fs/cgroup
mkdir /sys/fs/cgroup/systemd
mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd || mount -t cgroup2 cgroup2 /sys/fs/cgroup
for folder in /etc/systemd /etc/cni /opt/cni /var/lib; do
  mkdir -p $folder
  mount -t tmpfs tmpfs $folder
done
ip link set lo up
ip link add eth0 type veth peer name other
ip address add 192.168.50.1/24 dev eth0
ip link set eth0 up
ip link set other up
ip route add default via 192.168.50.254
export XDG_RUNTIME_DIR=/run/u HOME=/run XDG_CONFIG_HOME=/run/units container=other
cp ${repository}/manifests/systemd/flanneld.service /run/units/systemd/user/
cp "$1" /run/units/systemd/user/flanneld.service.d/test.conf
${SYSTEMD} --user --unit=basic.target >/run/systemd.log 2>&1 &
until systemctl --user is-active basic.target >/dev/null 2>&1; do sleep 0.2; done
systemctl --user start flanneld
sleep ${ALIVE_SEC}
systemctl --user show flanneld -P Result,SubState --value | tr '\\n' ' '
if systemctl --user --quiet is-active flanneld; then
  echo 'for (;;);' >/run/fault.js
  systemctl --user kill --signal=SIGUSR2 flanneld
  until systemctl --user show flanneld -P ActiveState --value | grep -qxE 'failed|inactive'; do sleep 0.5; done
  systemctl --user show flanneld -P Result,SubState --value | tr '\\n' ' '
fi
`;

/** Returns the pairs of result and state that systemd has reported for the unit. */
async function scene(more: string): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'weft-systemd-'));
  const cgroup = join(CGROUPS, `weft-${process.pid}-systemd`);
  onTestFinished(() => {
    rmSync(folder, { recursive: true });
    execFileSync('find', [cgroup, '-depth', '-type', 'd', '-delete']);
  });
  writeFileSync(join(folder, 'drop-in.conf'), dropIn(more));
  writeFileSync(join(folder, 'scene.sh'), SCENE);
  const unshare = 'unshare --mount --pid --fork --kill-child --net --uts --cgroup --mount-proc --propagation private';
  const enter = `mkdir -p "$1" && echo $$ >"$1/cgroup.procs" && exec ${unshare} bash "$2/scene.sh" "$2/drop-in.conf"`;
  const child = spawn('timeout', ['--kill-after=5', '100', 'bash', '-c', enter, 'bash', cgroup, folder]);
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (part) => (said += String(part)));
  await new Promise((ended) => child.on('close', ended));
  return said.trim();
}

beforeAll(() => {
  requireBuilt(builtAgent);
});

test('systemd receives the agent’s signs of life, and ends the agent when its event loop is blocked', async () => {
  needs.machine(existsSync(SYSTEMD), 'systemd');
  expect(await scene('')).toBe('success running watchdog failed');
}, 120_000);

test('an agent that is not told to send signs of life is ended although it is alive (control)', async () => {
  needs.machine(existsSync(SYSTEMD), 'systemd');
  expect(await scene('UnsetEnvironment=WATCHDOG_USEC')).toBe('watchdog failed');
}, 120_000);
