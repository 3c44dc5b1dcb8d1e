// Port mappings together with other plugins and other tools, and many at once. What Weft or the Go plugin left is removed, rules of others
// stay, and without nft or iptables the error says so.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import type { Attachment, AttachmentOptions, JsonObject } from '../cni/conformance/attachment.ts';
import { REFERENCE_BIN } from '../support/cni-node.ts';
import { node, test } from '../support/cni-test.ts';
import { needs } from '../support/needs.ts';

/** The PATH that the Go plugin needs to find its programs. Ours needs none. */
const PATH = '/usr/sbin:/usr/bin:/sbin:/bin';

const prevResult = {
  cniVersion: '1.0.0',
  interfaces: [{ name: 'eth0', sandbox: '/run/netns/c1' }],
  ips: [
    { address: '10.0.0.2/24', interface: 0 },
    { address: 'fd00::2/64', interface: 0 },
  ],
};

function mappings(...ports: readonly number[]): JsonObject {
  return { portMappings: ports.map((hostPort) => ({ hostPort, containerPort: 80, protocol: 'tcp' })) };
}

function pod(options: AttachmentOptions = {}, keys: JsonObject = {}): Attachment {
  const config = {
    cniVersion: '1.0.0',
    name: 'n1',
    type: 'portmap',
    prevResult,
    runtimeConfig: mappings(8080),
    ...keys,
  };
  return node.attachment({ plugin: 'portmap', ...options }).with({}, config);
}

const sh = (script: string): Promise<string> => node.sandbox.must(['bash', '-c', script]);

/** Hides programs on the node. */
async function hide(...paths: readonly string[]): Promise<void> {
  for (const path of paths) await sh(`mount --bind /dev/null "$(readlink -f ${path})"`);
}

/** The lines of every firewall that name a mapping of ours or of the Go plugin. */
async function left(): Promise<string[]> {
  const text = await sh(
    `nft list ruleset 2>/dev/null
     for v in nft legacy; do iptables-$v-save -t nat; ip6tables-$v-save -t nat; done 2>/dev/null; true`,
  );
  return text
    .split('\n')
    .filter((line) => /CNI-DN-|comment "c1"|comment "\d+ [0-9a-f]{15} |dnat ip6? to [0-9f]/.test(line));
}

async function elements(): Promise<number> {
  const text = await sh('nft -j list table inet weft_portmap');
  const { nftables } = JSON.parse(text) as { nftables: { map?: { name: string; elem?: unknown[] } }[] };
  return nftables.reduce((sum, { map }) => sum + (map?.elem?.length ?? 0), 0);
}

describe('portmap and the Go plugin', () => {
  const references = [REFERENCE_BIN, process.env['CNI_REFERENCE_BIN'] ?? ''].filter((folder) => folder !== '');
  const rows = references.flatMap((folder) =>
    (['iptables', 'nftables'] as const).map((backend) => ({ folder, backend })),
  );

  test.for(rows)('DEL removes what the plugin of $folder made with $backend', async ({ folder, backend }) => {
    needs.machine(existsSync(join(folder, 'portmap')), `the reference plugins in ${folder}`);
    const go = pod({ plugin: join(folder, 'portmap'), env: { PATH } }, { backend });
    await go.add();
    const made = (await sh('nft list tables')).includes('cni_hostport') ? 'nftables' : 'iptables';
    needs.machine(made === backend, `a reference portmap with the ${backend} backend in ${folder}`);
    expect((await left()).length).toBeGreaterThan(0);
    const other = go.with({ container: 'c2' }, { runtimeConfig: mappings(9090) });
    await other.add();
    await pod({ env: { CNI_NETNS: '' } }, { runtimeConfig: undefined, prevResult: undefined }).del();
    expect((await left()).filter((line) => line.includes('8080') || line.includes('"c1"'))).toEqual([]);
    expect(await sh('nft list ruleset')).toContain('9090');
  });

  test.for(references)('DEL of the plugin of %s removes what our iptables backend made', async (folder) => {
    needs.machine(existsSync(join(folder, 'portmap')), `the reference plugins in ${folder}`);
    await pod({}, { backend: 'iptables' }).add();
    expect((await left()).length).toBeGreaterThan(0);
    await pod({ plugin: join(folder, 'portmap'), env: { PATH } }, { backend: 'iptables' }).del();
    expect(await left()).toEqual([]);
  });
});

describe('portmap with iptables', () => {
  test('uses iptables-legacy where that is the node’s iptables', async () => {
    needs.machine(existsSync('/usr/sbin/iptables-legacy-save'), 'iptables-legacy');
    const legacy = join(node.sandbox.dir, 'legacy');
    await sh(`mkdir ${legacy} && for f in '' 6; do for verb in save restore; do
      ln -s /usr/sbin/ip\${f}tables-legacy-$verb ${legacy}/ip\${f}tables-$verb; done; done`);
    const mapped = pod({ env: { PATH: `${legacy}:${PATH}` } }, { backend: 'iptables' });
    await mapped.add();
    await mapped.check(prevResult);
    expect((await sh('iptables-legacy-save -t nat')).match(/--to-destination 10.0.0.2:80/g)).toHaveLength(1);
    // It is also found when the runtime's PATH does not have the folder.
    await pod().del();
    expect(await left()).toEqual([]);
    await mapped.fails('CHECK', { code: 999, msg: /^host ports of IPv4: chain CNI-DN-\w+ not found/ });
  });

  test('is used when nft is not installed, and DEL finds its rules', async () => {
    await hide('/usr/sbin/nft');
    const { stderr } = await pod().exec('ADD');
    expect(stderr).toMatch(/nft is not installed; trying iptables/);
    expect((await sh('iptables-save -t nat')).match(/--to-destination 10.0.0.2:80/g)).toHaveLength(1);
    await pod().check(prevResult);
    await pod().fails('ADD', { code: 999, msg: /nft is not installed/ }, { backend: 'nftables' });
    await pod({}, { runtimeConfig: undefined }).del();
    expect((await sh('iptables-save -t nat')).includes('CNI-DN-')).toBe(false);
  });

  // Without the lock, one round in twenty makes a shared rule twice.
  test.for([1, 2, 3, 4, 5, 6])('makes the shared rules of many calls at the same time once: round %i', async () => {
    const pods = Array.from({ length: 6 }, (_, at) =>
      pod({ container: `p${at}` }, { backend: 'iptables', runtimeConfig: mappings(9000 + at) }),
    );
    await Promise.all(pods.map((one) => one.add()));
    const saved = await sh('iptables-save -t nat');
    expect(saved.match(/ -j DNAT /g)).toHaveLength(6);
    expect(saved.match(/^-A PREROUTING/gm)).toHaveLength(1);
    await Promise.all(pods.map((one) => one.del()));
    expect(await left()).toEqual([]);
  });
});

describe('portmap with nftables', () => {
  test('executes nft only for the shared rules: the next ADD, and every DEL, need no nft', async () => {
    await pod().add();
    await hide('/usr/sbin/nft', '/usr/sbin/iptables-save');
    const next = pod({ container: 'c2' }, { runtimeConfig: mappings(8081), backend: 'nftables' });
    await next.add();
    await next.check(prevResult);
    await next.del();
    await pod().del();
    await sh('umount /usr/sbin/nft');
    expect(await elements()).toBe(0);
  });

  test('makes and removes the mappings of many calls at the same time, and the shared rules once', async () => {
    const pods = Array.from({ length: 12 }, (_, at) =>
      pod({ container: `p${at}` }, { runtimeConfig: mappings(9000 + at) }),
    );
    await Promise.all(pods.map((one) => one.add()));
    expect(await elements()).toBe(12 * 4);
    const jumps = (await sh('nft list table inet weft_portmap')).match(/jump ports[46]/g);
    expect(jumps).toHaveLength(4);
    await Promise.all(pods.map((one) => one.del()));
    expect(await elements()).toBe(0);
  });

  test('gives a port that many calls want to one of them', async () => {
    const pods = Array.from({ length: 8 }, (_, at) => pod({ container: `p${at}` }));
    await Promise.all(pods.map((one) => one.add()));
    expect(await elements()).toBe(4);
    await Promise.all(pods.map((one) => one.del()));
    expect(await elements()).toBe(0);
  });

  test('maps a thousand ports of one pod', async () => {
    const ports = Array.from({ length: 1000 }, (_, at) => 20_000 + at);
    const large = pod({}, { runtimeConfig: mappings(...ports) });
    await large.add();
    expect(await elements()).toBe(4000);
    await large.check(prevResult);
    await large.del({ runtimeConfig: undefined });
    expect(await elements()).toBe(0);
  });

  test('keeps mappings with conditions, other marks and no source NAT separate', async () => {
    const rows = [
      { runtimeConfig: mappings(9001), conditionsV4: ['ip', 'saddr', '192.0.2.0/24'] },
      { runtimeConfig: mappings(9002), conditionsV4: ['ip', 'saddr', '{ 192.0.2.1, 192.0.2.7 }'] },
      { runtimeConfig: mappings(9003), markMasqBit: 5 },
      { runtimeConfig: mappings(9004), snat: false },
      { runtimeConfig: mappings(9005), masqAll: true },
    ];
    const pods = rows.map((keys, at) => pod({ container: `p${at}` }, keys));
    for (const one of pods) await one.add();
    for (const one of pods) await one.check(prevResult);
    const table = await sh('nft list table inet weft_portmap');
    expect(table.match(/ip saddr 192.0.2.0\/24 fib daddr type local jump ports4_\w+/g)).toHaveLength(2);
    expect(table).toMatch(/meta mark & 0x00000020 == 0x00000020 masquerade/);
    expect(table).not.toContain('9004 : jump');
    expect(table).toMatch(/tcp \. 9005 : jump from_all4_13/);
    for (const one of pods) await one.del();
    expect(await elements()).toBe(0);
  });

  test('leaves no chain of an earlier subnet of the node, and breaks no mapping of one it still has', async () => {
    const inSubnet = (subnet: number, ports = mappings(8000 + subnet)): Attachment => {
      const ips = [
        { address: `10.0.${subnet}.2/24`, interface: 0 },
        { address: `fd00:${subnet}::2/64`, interface: 0 },
      ];
      return pod({ container: `c${subnet}` }, { prevResult: { ...prevResult, ips }, runtimeConfig: ports });
    };
    const chains = async (): Promise<string[]> => {
      const text = await sh('nft list table inet weft_portmap');
      return [...text.matchAll(/chain (from_\S+) \{/g)].map(([, name]) => name ?? '').sort();
    };
    const of = (...subnets: number[]): string[] =>
      [...subnets.map((n) => `from_10.0.${n}.0/24_13`), ...subnets.map((n) => `from_fd00_${n}__/64_13`)].sort();
    await inSubnet(1).add();
    await inSubnet(2).add();
    expect(await chains()).toEqual(of(1, 2));
    await inSubnet(1).del();
    // An ADD that has no mapping to make does not look for programs.
    await inSubnet(2).add();
    expect(await chains()).toEqual(of(1, 2));
    await inSubnet(3).add();
    expect(await chains()).toEqual(of(2, 3));
    await inSubnet(2).check({ ...prevResult, ips: [{ address: '10.0.2.2/24', interface: 0 }] });
    await inSubnet(2).del();
    await inSubnet(3).del();
    expect(await elements()).toBe(0);
  });

  test('treats names that are keywords of nft as plain names', async () => {
    const ifname = '"};reset;{$(x)';
    const odd = {
      ...prevResult,
      interfaces: [{ name: ifname, sandbox: '/run/netns/c1' }],
    };
    const keys = { name: 'CNI-DN-0..-_', prevResult: odd };
    const mapped = pod({ container: `${'x'.repeat(200)}.-_`, ifname }, keys);
    await mapped.add();
    expect(await elements()).toBe(4);
    await sh('nft list table inet weft_portmap > /run/dump && nft delete table inet weft_portmap && nft -f /run/dump');
    await mapped.check(odd);
    await mapped.del();
    expect(await elements()).toBe(0);
  });

  test('reports a foreign table of its name, or uses iptables', async () => {
    await sh('nft add table inet weft_portmap && nft "add map inet weft_portmap dnat4 { type ipv4_addr : verdict; }"');
    await pod().fails('ADD', { code: 999, msg: /^cannot map ports by nftables: / }, { backend: 'nftables' });
    await pod().add();
    expect((await left()).filter((line) => line.includes('CNI-DN-')).length).toBeGreaterThan(0);
    await pod().del();
    expect(await left()).toEqual([]);
    expect(await sh('nft list table inet weft_portmap')).toContain('type ipv4_addr : verdict');
  });

  test('needs no file: /run may be read-only or full', async () => {
    await sh('mount -o remount,ro /run');
    await pod().add();
    await pod().check(prevResult);
    await pod().del();
    expect(await elements()).toBe(0);
    await sh('mount -o remount,rw,size=4096 /run && (head -c 100000 /dev/zero > /run/fill || true)');
    await sh('nft delete table inet weft_portmap');
    await pod().add();
    await pod().del();
  });
});

describe('GC of portmap', () => {
  const keys = { cniVersion: '1.1.0' };
  const listed = (...containers: readonly string[]): JsonObject => ({
    'cni.dev/valid-attachments': containers.map((containerID) => ({ containerID, ifname: 'eth0' })),
  });

  test.for([{ backend: 'nftables' }, { backend: 'iptables' }])(
    'removes with $backend what is not listed, of its own network only',
    async ({ backend }) => {
      const own = (container: string, port: number, name = 'n1'): Attachment =>
        pod({ container }, { ...keys, backend, name, runtimeConfig: mappings(port) });
      await own('keep', 9001).add();
      await own('lost', 9002).add();
      await own('lost', 9003, 'n2').add();
      const ports = async (): Promise<string[]> => {
        const text = await sh('nft list ruleset; iptables-save -t nat');
        return ['9001', '9002', '9003'].filter((port) => text.includes(port));
      };
      expect(await ports()).toEqual(['9001', '9002', '9003']);
      const gc = pod({}, { ...keys, prevResult: undefined, runtimeConfig: undefined });
      expect((await gc.exec('GC')).exitCode).toBe(0);
      expect(await ports()).toEqual(['9001', '9002', '9003']);
      expect(await gc.exec('GC', listed('keep'))).toMatchObject({ exitCode: 0, stdout: '' });
      expect(await ports()).toEqual(['9001', '9003']);
      expect((await gc.exec('GC', listed())).exitCode).toBe(0);
      expect(await ports()).toEqual(['9003']);
    },
  );
});

describe('STATUS of portmap', () => {
  const status = (keys: JsonObject = {}): Attachment =>
    pod({}, { cniVersion: '1.1.0', prevResult: undefined, ...keys });

  test('succeeds while nftables or iptables can be used, and has code 50 when neither can', async () => {
    expect((await status().exec('STATUS')).exitCode).toBe(0);
    await hide('/usr/sbin/nft');
    expect((await status().exec('STATUS')).exitCode).toBe(0);
    await status({ backend: 'nftables' }).fails('STATUS', { code: 50, msg: /portmap cannot map ports: nft/ });
    await sh('mount --bind /dev/null /usr/sbin/iptables-save');
    await status().fails('STATUS', { code: 50, msg: /portmap cannot map ports: .*iptables-save/ });
  });
});
