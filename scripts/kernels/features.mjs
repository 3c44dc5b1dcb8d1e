// The tests for each kernel, and the README's table of their results, which is made from the kept ones.

/**
 * The rows of the table. A long one runs only with --all or when named by --test, so that the others take no more than 25 minutes of an
 * emulated processor together: with the boots and the main job 20.9 on 5.10, 18.2 on 6.1 and 17.6 on 6.12. Minutes of others, with a boot,
 * which takes not quite one: bad networks 2.3, the fast path 2.7, the firewall in iptables 3.0, flannel beside Weft 3.0 to 4.6, what dead pods
 * hold 3.3, the doctor 4.3 to 5.7, a move up to 4.9, the conformance 8.8, and 15.4 on 5.10.
 */
export const FEATURES = [
  {
    feature: 'netlink: requests, answers, namespaces',
    files: ['test/root/rtnetlink-socket.test.ts', 'test/root/netns.test.ts'],
  },
  { feature: 'every kernel object, made and listed', files: ['test/root/rtnetlink.test.ts'] },
  { feature: 'events of changes, own and others’', files: ['test/root/echoes.test.ts'] },
  {
    feature: 'the agent’s device, both families',
    files: ['test/root/agent-device.test.ts', 'test/root/agent-families.test.ts'],
  },
  { feature: 'faults put right', files: ['test/kernels/faults.test.ts'] },
  { feature: 'firewall in nftables', files: ['test/root/firewall.test.ts'] },
  { feature: 'firewall in iptables', files: ['test/root/firewall-iptables.test.ts'], isLong: true },
  { feature: 'CNI executable: conformance', files: ['test/root/conformance.test.ts'], isLong: true },
  { feature: 'what dead pods hold is freed', files: ['test/root/gc.test.ts'], isLong: true },
  { feature: 'WireGuard', files: ['test/kernels/wireguard.test.ts'] },
  { feature: 'a cluster moves from vxlan to WireGuard', files: ['test/kernels/moving.test.ts'], isLong: true },
  { feature: 'IPIP', files: ['test/kernels/ipip.test.ts'] },
  { feature: 'a cluster changes from IPIP to WireGuard and back', files: ['test/kernels/backend-change.test.ts'] },
  {
    feature: 'WireGuard and IPIP beside a real flanneld',
    files: ['test/kernels/beside-flannel.test.ts'],
    isLong: true,
  },
  { feature: 'delay, loss, reordering, links that flap', files: ['test/kernels/netem.test.ts'], isLong: true },
  { feature: 'doctor: a full table of neighbours', files: ['test/kernels/doctor-neighbours.test.ts'] },
  { feature: 'the fast path, on two nodes', files: ['test/kernels/fast-path.test.ts'], isLong: true },
  {
    feature: 'the fast path’s programs, on all sorts of packets',
    files: ['test/root/fastpath-programs.test.ts', 'test/root/fastpath-full.test.ts'],
    isLong: true,
  },
  {
    feature: 'doctor with WireGuard and IPIP',
    files: ['test/kernels/doctor-wireguard.test.ts', 'test/kernels/doctor-ipip.test.ts'],
    isLong: true,
  },
  { feature: 'no nexthop objects, no strict dumps', files: ['test/root/agent-older-kernel.test.ts'] },
  { feature: 'missing modules are named', files: ['test/kernels/lacking.test.ts'] },
];

const MAIN_JOB = 'main job: `npm start`';

/** What one file needs: a machine that does not find these modules. */
export const WITHOUT = {
  file: 'test/kernels/lacking.test.ts',
  modules: ['nft_masq', 'nft_fib', 'nft_fib_inet', 'nft_fib_ipv4', 'nft_fib_ipv6', 'wireguard', 'ipip'],
};

/** The outcome of each file of a tally (scripts/tally.mjs): how many tests passed, failed and were skipped, and why. */
export function byFile({ tests }, commit) {
  const files = {};
  for (const { file, state, reason } of tests) {
    files[file] ??= { passed: 0, failed: 0, skipped: 0, reasons: [], commit };
    files[file][state]++;
    if (reason !== undefined && !files[file].reasons.includes(reason)) files[file].reasons.push(reason);
  }
  return files;
}

/** The table in Markdown. `results` has one object for each kernel: { name, packaged, job, files }. */
export function kernelTable(results) {
  const rows = [
    [MAIN_JOB, ({ job }) => job ?? 'not run'],
    ...FEATURES.map(({ feature, files }) => [feature, cell(files)]),
  ];
  const line = (cells) => `| ${cells.join(' | ')} |`;
  return [
    line([
      '',
      ...results.map(({ name, packaged }) => `${name} (\`${packaged.replace(/^linux-image-/, '').split(' ')[0]}\`)`),
    ]),
    line(['---', ...results.map(() => '---')]),
    ...rows.map(([feature, of]) => line([feature, ...results.map(of)])),
  ].join('\n');
}

function cell(files) {
  return ({ files: found }) => {
    const runs = files.map((file) => found[file]).filter((run) => run !== undefined);
    if (runs.length < files.length) return 'not run';
    const sum = (state) => runs.reduce((total, run) => total + run[state], 0);
    const parts = [`${sum('passed')} passed`];
    if (sum('failed') > 0) parts.push(`**${sum('failed')} failed**`);
    if (sum('skipped') > 0) parts.push(`${sum('skipped')} skipped`);
    return parts.join(', ');
  };
}
