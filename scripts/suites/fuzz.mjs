// `npm run suite -- fuzz`: feeds spoiled inputs to the CNI executable's parsers (test/cni/hostile/fuzz) in the sanitizer build, until
// the time or the number of inputs is used up.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildExecutable } from '../build-executable.mjs';

const repository = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const ROUND = 20_000;

/** A script that makes the kernel objects that are queried. netlink-targets.ts says what each is for. */
const NODE = `set -e
ip link add f0 index 2 type veth peer name f1 index 4
ip link add f2 index 3 type vxlan id 9 local 10.9.0.2 dstport 8472 dev f0 nolearning
ip address add 10.9.0.2/24 dev f0; ip address add fd09::2/64 dev f0 nodad
ip link add f5 index 5 type ifb
for d in lo f0 f1 f2; do ip link set $d up; done
ip neighbour add 10.9.0.7 lladdr 0a:00:00:00:00:07 dev f0 nud permanent
bridge fdb add 0a:00:00:00:00:08 dev f2 dst 10.9.0.8 self permanent
ip nexthop add id 7 via 10.9.0.7 dev f0
ip route add 10.10.0.0/16 nhid 7; ip route add 10.11.0.0/16 via 10.9.0.7 mtu 1400 metric 5
tc qdisc add dev f0 root handle 1: tbf rate 1mbit burst 10kb latency 25ms
nft -f - <<'END'
table inet fuzz {
  set s { type ipv4_addr . inet_proto . inet_service; elements = { 10.9.0.9 . tcp . 80 comment "c1" } }
  chain c { type nat hook prerouting priority 0
    tcp dport 80 accept comment "rule"
  }
  chain o { type filter hook output priority 0
    ct state new accept
  }
}
END
bash -c 'echo x >/dev/udp/10.9.0.7/53'
exec "$@"`;

/** Runs one round in a network namespace of its own; returns the targets' names and the findings. */
function round(program, seed, count, only) {
  const argv = ['--net', '--', 'sh', '-c', NODE, 'fuzz', program, String(seed), String(count), only];
  const { status, stdout, stderr } = spawnSync('unshare', argv, { encoding: 'utf8', maxBuffer: 1 << 28 });
  if (status === 0) return JSON.parse(stdout);
  // The sanitizer or the engine ended the program. The input can be found by repeating the round with --seed and --inputs.
  return { targets: [], tried: 0, findings: [`seed ${seed}: ended with ${status}: ${stderr}${stdout}`] };
}

function fuzz(program, { deadline, inputs, seed, only }) {
  const total = { tried: 0, findings: [], targets: [] };
  for (let at = seed; total.tried < inputs && Date.now() < deadline && total.findings.length === 0; at++) {
    const { targets, tried, findings } = round(program, at, Math.min(ROUND, inputs - total.tried), only);
    total.tried += tried;
    total.findings.push(...findings);
    total.targets = targets;
  }
  return total;
}

export async function main(values) {
  const folder = mkdtempSync(join(tmpdir(), `weft-fuzz-${process.pid}-`));
  try {
    const program = join(folder, 'fuzz');
    await buildExecutable(join(repository, 'test/cni/hostile/fuzz/main.ts'), program, { sanitize: true });
    const inputs = values.inputs === undefined ? Number.POSITIVE_INFINITY : Number(values.inputs);
    const minutes = values.inputs === undefined ? Number(values.minutes) : 60;
    const options = { deadline: Date.now() + minutes * 60_000, inputs, seed: Number(values.seed), only: values.only };
    const { tried, findings, targets } = fuzz(program, options);
    for (const finding of findings) process.stdout.write(`FINDING ${finding}\n`);
    process.stdout.write(
      `${tried} inputs for ${targets.length} parsers (${targets.join(', ')}), ${findings.length} findings\n`,
    );
    return findings.length === 0 && tried > 0 ? 0 : 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
