import { describe, expect, test } from 'vitest';
import { formatIp } from '../../lib/ip.ts';
import { flagTable } from './flag-table.ts';
import type { CommandLine, Environment } from './flags.ts';
import { parseCommandLine } from './flags.ts';
import { UsageError } from './go-flags.ts';
import { subCommands } from './sub-commands.ts';

function parse(argv: readonly string[], env: Environment = {}): CommandLine {
  const result = parseCommandLine(argv, env);
  if (result.command === 'help') throw new Error('help');
  return result;
}

function refusal(argv: readonly string[], env: Environment = {}): string {
  try {
    parse(argv, env);
  } catch (error) {
    if (error instanceof UsageError) return error.message;
    throw error;
  }
  return 'accepted';
}

describe('parseCommandLine', () => {
  test("without any flag uses flannel's defaults and its store, and names that store", () => {
    const { command, options, warnings } = parse([]);
    expect(command).toBe('run');
    expect(warnings).toEqual([
      expect.stringMatching(/^no flag names a store, so leases are kept in etcd .* as with flannel; use --kube/),
    ]);
    expect(options).toEqual({
      interface: { iface: [], ifaceRegex: [], ifaceCanReach: undefined, publicIp: undefined, publicIpv6: undefined },
      firewall: {
        ipMasq: false,
        fullyRandom: true,
        forwardRules: true,
        resyncSec: 5,
        blackholeRoute: false,
        unreachableRoute: true,
        guard: 'count',
      },
      store: {
        kind: 'etcd',
        etcd: {
          endpoints: ['http://127.0.0.1:4001', 'http://127.0.0.1:2379'],
          prefix: '/coreos.com/network',
          keyFile: undefined,
          certFile: undefined,
          caFile: undefined,
          username: undefined,
          password: undefined,
        },
      },
      cniConf: undefined,
      cniBinDir: undefined,
      cniBinReplace: new Set(),
      cniConfDir: '/etc/cni/net.d',
      cniStateDir: '/var/lib/cni',
      netnsDir: '/run/netns',
      netConfigPath: '/etc/kube-flannel/net-conf.json',
      subnetFile: '/run/flannel/subnet.env',
      nodeName: undefined,
      fastPath: undefined,
      probePort: 8477,
      healthzIp: { family: 4, value: 0n },
      healthzPort: 0,
      metricsIp: { family: 4, value: 0n },
      metricsPort: 0,
      json: false,
      peer: undefined,
      allPeers: false,
      dryRun: false,
      hostRoot: '',
      force: false,
      logLevel: 'info',
    });
  });

  test('reads every flag', () => {
    const { options } = parse([
      ...['--iface=eth0', '-iface', '10.0.0.1', '--iface-regex=^eth', '--iface-can-reach=10.9.9.9'],
      ...['--public-ip=10.0.0.7', '--public-ipv6=fd00::7', '--net-config-path=/a', '--subnet-file=/b'],
      ...['--node-name=node-1', '--subnet-dir=/c', '--ip-masq', '--ip-masq-fully-random-disable'],
      ...[
        '--iptables-forward-rules=false',
        '--iptables-resync=7',
        '--ip-blackhole-route=T',
        '--ip-unreachable-route=f',
        '--fast-path=redirect',
        '--guard=enforce',
      ],
      ...['--healthz-ip=127.0.0.1', '--healthz-port=10254', '-v=4'],
      ...['--cni-state-dir=/g', '--netns-dir=/h'],
      ...['--cni-conf=/d', '--cni-conf-dir=/e', '--cni-bin-dir=/f', '--cni-bin-replace=flannel,portmap'],
    ]);
    expect([options.cniConf, options.cniConfDir, options.cniBinDir]).toEqual(['/d', '/e', '/f']);
    expect([options.cniStateDir, options.netnsDir]).toEqual(['/g', '/h']);
    expect(parse(['gc', '--dry-run', '--json']).options).toMatchObject({ dryRun: true, json: true });
    expect([...options.cniBinReplace]).toEqual(['flannel', 'portmap']);
    expect(options.interface.iface).toEqual(['eth0', '10.0.0.1']);
    expect(options.interface.ifaceRegex).toEqual([/^eth/]);
    expect(options.interface.ifaceCanReach && formatIp(options.interface.ifaceCanReach)).toBe('10.9.9.9');
    expect(options.interface.publicIp && formatIp(options.interface.publicIp)).toBe('10.0.0.7');
    expect(options.interface.publicIpv6 && formatIp(options.interface.publicIpv6)).toBe('fd00::7');
    expect(options.firewall).toEqual({
      ipMasq: true,
      fullyRandom: false,
      forwardRules: false,
      resyncSec: 7,
      blackholeRoute: true,
      unreachableRoute: false,
      guard: 'enforce',
    });
    expect(options).toMatchObject({
      store: { kind: 'directory', subnetDir: '/c' },
      fastPath: 'redirect',
      netConfigPath: '/a',
      subnetFile: '/b',
      nodeName: 'node-1',
      healthzPort: 10254,
      logLevel: 'debug',
    });
    expect(formatIp(options.healthzIp)).toBe('127.0.0.1');
  });

  test('uses the last value when a flag is repeated', () => {
    expect(parse(['--healthz-port=1', '--healthz-port=2']).options.healthzPort).toBe(2);
  });

  test('treats an empty value as the default, as manifests write it', () => {
    const { options } = parse(['--public-ip=', '--subnet-file=', '--iface-can-reach=']);
    expect(options.interface.publicIp).toBeUndefined();
    expect(options.interface.ifaceCanReach).toBeUndefined();
    expect(options.subnetFile).toBe('/run/flannel/subnet.env');
  });

  test("accepts Go's ignore-case prefix in a regular expression", () => {
    expect(parse(['--iface-regex=(?i)ETH']).options.interface.ifaceRegex).toEqual([/ETH/i]);
  });

  test.for(['1', 't', 'T', 'TRUE', 'true', 'True'])('reads %s as true', (word) => {
    expect(parse([`--ip-masq=${word}`]).options.firewall.ipMasq).toBe(true);
  });

  test.for(['0', 'f', 'F', 'FALSE', 'false', 'False'])('reads %s as false', (word) => {
    expect(parse([`--iptables-forward-rules=${word}`]).options.firewall.forwardRules).toBe(false);
  });

  test.for([
    { argv: ['withdraw'], want: 'withdraw' },
    { argv: ['cleanup', '--cni-bin-dir=/opt/cni/bin'], want: 'cleanup' },
    { argv: ['gc', '--dry-run', '--json'], want: 'gc' },
    { argv: ['status', '--healthz-port=1'], want: 'status' },
    { argv: ['--healthz-port', '1', 'status'], want: 'status' },
    { argv: ['version'], want: 'version' },
    { argv: ['--version'], want: 'version' },
    { argv: ['--version=false'], want: 'run' },
    { argv: ['--version', '--kube-subnet-mgr'], want: 'version' },
  ])('$argv means $want', ({ argv, want }) => {
    expect(parse(argv).command).toBe(want);
  });

  test.for([{ argv: ['-h'] }, { argv: ['--help'] }, { argv: ['-help'] }])(
    '$argv asks for help, which names every flag and command',
    ({ argv }) => {
      const result = parseCommandLine(argv, {});
      if (result.command !== 'help') throw new Error('no help');
      expect(result.text).toContain('FLANNELD_PUBLIC_IP');
      for (const { name } of flagTable) expect(result.text).toContain(`--${name} `);
      for (const { name } of subCommands)
        expect(result.text.replace(/\n {30,}/g, ' ')).toContain(name.includes(' ') ? `\`${name}\`` : `\n  ${name} `);
    },
  );

  test.for(subCommands)(
    'the help of $name names the flags it reads, and no other',
    ({ name, summary, flags, words = [] }) => {
      const result = parseCommandLine([...name.split(' '), '--help'], {});
      if (result.command !== 'help') throw new Error('no help');
      expect(result.text).toContain(`Usage: flanneld ${[name, ...words].join(' ')} [flags]`);
      expect(result.text.replace(/\s+/g, ' ')).toContain(summary);
      const shown = flagTable.map((spec) => spec.name).filter((flag) => result.text.includes(`  --${flag} `));
      expect(shown.sort()).toEqual([...flags].sort());
    },
  );
});

describe('refusals', () => {
  test.for([
    { argv: ['--ifce=eth0'], want: "unknown option '--ifce' (Did you mean --iface?)" },
    { argv: ['--zzzzzzzz'], want: "unknown option '--zzzzzzzz'" },
    { argv: ['-ip-mask'], want: "unknown option '--ip-mask' (Did you mean --ip-masq?)" },
    { argv: ['statsu'], want: 'unknown command "statsu", expected one such as status' },
    {
      argv: ['frobnicate'],
      want: 'unknown command "frobnicate", expected none or one of withdraw, cleanup, gc, status, doctor, preflight, snapshot, rotate-key, load-fast-path, version',
    },
    { argv: ['status', 'status'], want: 'status takes no argument, got "status"' },
    { argv: ['status', 'extra'], want: 'status takes no argument, got "extra"' },
    { argv: ['gc', '--dry-run', 'false'], want: 'unexpected false: a boolean is written --flag=false' },
    {
      argv: ['--json'],
      want: '--json needs a command, expected flanneld gc or status or doctor or preflight or snapshot',
    },
    { argv: ['--dry-run'], want: '--dry-run needs a command, expected flanneld gc' },
    { argv: ['withdraw', '--dry-run'], want: '--dry-run is not a flag of withdraw, expected flanneld gc' },
    { argv: ['--ip-masq', 'false'], want: 'unexpected false: a boolean is written --flag=false' },
    { argv: ['--ip-masq=yes'], want: '--ip-masq: expected true or false, got "yes"' },
    { argv: ['--fast-path=fast'], want: '--fast-path: expected off, redirect or full, got "fast"' },
    { argv: ['--guard=on'], want: '--guard: expected count, enforce or off, got "on"' },
    { argv: ['--healthz-port=65536'], want: '--healthz-port: expected integer 0–65535, got "65536"' },
    { argv: ['--healthz-port=0x10'], want: '--healthz-port: expected integer 0–65535, got "0x10"' },
    { argv: ['--healthz-port='], want: '--healthz-port: expected integer 0–65535, got ""' },
    {
      argv: ['--healthz-port=70000', '--healthz-port=1'],
      want: '--healthz-port: expected integer 0–65535, got "70000"',
    },
    { argv: ['--healthz-port'], want: '--healthz-port: expected a value after it' },
    { argv: ['--public-ip=10.0.0'], want: '--public-ip: expected an IPv4 address, got "10.0.0"' },
    { argv: ['--public-ip=fd00::1'], want: '--public-ip: expected an IPv4 address, got "fd00::1"' },
    { argv: ['--public-ipv6=10.0.0.1'], want: '--public-ipv6: expected an IPv6 address, got "10.0.0.1"' },
    {
      argv: ['--cni-bin-replace=flannel,cilium'],
      want: '--cni-bin-replace: expected names out of flannel, bridge, host-local, loopback, portmap, bandwidth, got "flannel,cilium"',
    },
    { argv: ['--iface='], want: '--iface: expected an interface name or an address, got ""' },
    { argv: ['--iface-regex=('], want: '--iface-regex: expected a regular expression, got "("' },
    { argv: ['--iface-can-reach=host'], want: '--iface-can-reach: expected an IP address, got "host"' },
    {
      argv: ['--node-name=../x'],
      want: '--node-name: expected a node name (letters, digits, ".", "-", "_"), got "../x"',
    },
    {
      argv: ['--subnet-lease-renew-margin=1440'],
      want: '--subnet-lease-renew-margin: expected integer 1–1439, got "1440"',
    },
    { argv: ['--subnet-lease-renew-margin=0'], want: '--subnet-lease-renew-margin: expected integer 1–1439, got "0"' },
    {
      argv: ['--etcd-prefix=/x', '--subnet-dir=/y'],
      want: '--subnet-dir and --etcd-prefix name two stores, expected one',
    },
    {
      argv: ['--kube-subnet-mgr', '--subnet-dir=/y'],
      want: '--subnet-dir and --kube-subnet-mgr name two stores, expected one',
    },
  ])('$argv: $want', ({ argv, want }) => {
    expect(refusal(argv)).toBe(want);
  });

  test('shortens and escapes hostile values in the error', () => {
    expect(refusal([`--public-ip=\u001b${'x'.repeat(100_000)}`])).toBe(
      `--public-ip: expected an IPv4 address, got "\\u001b${'x'.repeat(63)}"`,
    );
  });

  test('refuses two flags that name different stores', () => {
    expect(parse(['--kube-subnet-mgr']).options.store.kind).toBe('kube');
    expect(parse([], { FLANNELD_KUBE_SUBNET_MGR: 'true' }).options.store.kind).toBe('kube');
    expect(parse(['--etcd-endpoints=http://x:2379']).options.store.kind).toBe('etcd');
    expect(parse([], { FLANNELD_ETCD_PREFIX: '/x' }).options.store.kind).toBe('etcd');
  });

  test('does not count a store whose flag is false or empty', () => {
    for (const argv of [['--kube-subnet-mgr=false'], ['--subnet-dir='], []]) {
      const { options, warnings } = parse(argv);
      expect([options.store.kind, warnings.length]).toEqual(['etcd', 1]);
    }
    expect(parse(['--subnet-dir=/x']).warnings).toEqual([]);
    // Only the agent needs a store.
    expect(parse(['status']).warnings).toEqual([]);
  });
});

describe('environment', () => {
  test('gives the values that argv does not have', () => {
    const env = { FLANNELD_IFACE: 'eth0,eth1', FLANNELD_IP_MASQ: 'true', FLANNELD_HEALTHZ_PORT: '1', FLANNELD_V: '' };
    const { options } = parse(['--healthz-port=2'], env);
    expect(options.interface.iface).toEqual(['eth0,eth1']);
    expect(options.firewall.ipMasq).toBe(true);
    expect(options.healthzPort).toBe(2);
    expect(options.logLevel).toBe('info');
  });

  test('gives the node’s name: the flag comes before FLANNELD_NODE_NAME, and that before NODE_NAME', () => {
    expect(parse([], { NODE_NAME: 'a' }).options.nodeName).toBe('a');
    expect(parse([], { NODE_NAME: 'a', FLANNELD_NODE_NAME: 'b' }).options.nodeName).toBe('b');
    expect(parse(['--node-name=c'], { NODE_NAME: 'a', FLANNELD_NODE_NAME: 'b' }).options.nodeName).toBe('c');
  });

  test.for([
    { env: { FLANNELD_HEALTHZ_PORT: 'x' }, want: 'FLANNELD_HEALTHZ_PORT: expected integer 0–65535, got "x"' },
    { env: { NODE_NAME: 'a/b' }, want: 'NODE_NAME: expected a node name (letters, digits, ".", "-", "_"), got "a/b"' },
  ])('is named in the error when its value is refused: $want', ({ env, want }) => {
    expect(refusal([], env)).toBe(want);
  });

  test('warns about a misspelled variable, and not about those that Kubernetes sets for a Service', () => {
    const env = { FLANNELD_IFCE: 'eth0', FLANNELD_SERVICE_HOST: '10.0.0.1', FLANNELD_PORT_8080_TCP: 'tcp://1' };
    expect(parse(['--subnet-dir=/x'], env).warnings).toEqual([
      'FLANNELD_IFCE has no effect (did you mean FLANNELD_IFACE?)',
    ]);
  });
});

describe('flags without effect', () => {
  test('are accepted with a warning that says why', () => {
    expect(parse(['--subnet-dir=/x', '--vmodule=x=1', '--log_backtrace_at=a:1']).warnings).toEqual([
      '--vmodule has no effect: log lines are structured and can be filtered by their fields',
      '--log_backtrace_at has no effect: an error carries its own cause',
    ]);
    expect(parse(['--etcd-prefix=/x', '--subnet-lease-renew-margin=30']).warnings).toEqual([
      '--subnet-lease-renew-margin has no effect: the agent always keeps its etcd lease alive',
    ]);
  });
});
