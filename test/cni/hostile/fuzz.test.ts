// Wrong inputs for the parsers of the CNI executable (fuzz/), on its own engine in the sanitizer build. `npm run suite -- fuzz` runs longer
// than `npm test`. Parsers with planted mistakes show that a mistake would be found.

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { compileProgram, type Executable } from '../../support/executable.ts';
import { suiteNumber, suiteOption } from '../../support/suite-options.ts';

const ROUND = 20_000;
const minutes = suiteNumber('minutes', 0);
const inputs = suiteNumber('inputs', minutes > 0 ? Number.POSITIVE_INFINITY : 5000);
const seed = suiteNumber('seed', 11);
const only = suiteOption('only') ?? '';
const timeout = (minutes + 60) * 60_000;

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

interface Report {
  /** The names of the parsers. */
  readonly targets: readonly string[];
  readonly tried: number;
  readonly findings: readonly string[];
}

let program: Executable;
beforeAll(async () => {
  program = await compileProgram(join(import.meta.dirname, 'fuzz/main.ts'), { sanitize: true });
  return () => program.remove();
}, 180_000);

/** Runs one round in a network namespace of its own. */
function round(at: number, count: number, name: string): Report {
  const argv = ['--net', '--', 'sh', '-c', NODE, 'fuzz', program.path, String(at), String(count), name];
  const { status, stdout, stderr } = spawnSync('unshare', argv, { encoding: 'utf8', maxBuffer: 1 << 28 });
  if (status === 0) return JSON.parse(stdout) as Report;
  // The sanitizer or the engine ended the program. The input can be found by repeating the round with --seed and --inputs.
  return { targets: [], tried: 0, findings: [`seed ${at}: ended with ${status}: ${stderr}${stdout}`] };
}

test('spoiled inputs for every parser end in values or in the errors made for them', { timeout }, () => {
  const deadline = minutes > 0 ? Date.now() + minutes * 60_000 : Number.POSITIVE_INFINITY;
  let tried = 0;
  for (let at = seed; tried < inputs && Date.now() < deadline; at++) {
    const report = round(at, Math.min(ROUND, inputs - tried), only);
    expect(report.findings).toEqual([]);
    if (only === '') expect(report.targets).toHaveLength(21);
    expect(report.targets, `no parser has "${only}" in its name`).not.toEqual([]);
    tried += report.tried;
  }
  expect(tried).toBeGreaterThan(0);
  process.stdout.write(`${tried} inputs\n`);
});

test.for([
  { planted: 'planted: trusts a length', says: /^seed 1, input \d+, planted: trusts a length: .*out of bound/m },
  { planted: 'planted: keeps memory', says: /^seed 1: ended with .*AddressSanitizer: use-after-poison/s },
])('a parser that has a mistake is found ($planted)', { timeout }, ({ planted, says }) => {
  expect(round(1, 500, planted).findings.join('\n')).toMatch(says);
});
