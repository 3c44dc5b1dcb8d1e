import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { NLM_F_DUMP } from '../../../lib/netlink/constants.ts';
import { type FakeAnswer, openFakeNetlink } from '../../../lib/netlink/fake.ts';
import { RTM_DELROUTE, RTM_GETLINK, RTM_GETROUTE } from '../../../lib/rtnetlink/rtnetlink-constants.ts';
import { ENODEV, EPERM } from '../../../lib/sys/errno.ts';
import { openKoffiSyscalls } from '../../../lib/sys/koffi.ts';
import { WEFT_PROTOCOL } from '../../dataplane/objects/kind.ts';
import type { Nft } from '../../firewall/nft-program.ts';
import { cleanUp } from './cleanup.ts';
import type { CleanupScope } from './leftover.ts';

const sys = openKoffiSyscalls();
const nothingKnown: FakeAnswer = (request, replies) => {
  if (request.type === RTM_GETLINK && (request.flags & NLM_F_DUMP) === 0) replies.error(ENODEV);
};
const noTables: Nft = {
  apply: () => Promise.resolve(),
  accepts: () => Promise.resolve(true),
  list: () => Promise.resolve(undefined),
  listChains: () => Promise.resolve('{"nftables":[]}'),
  listChain: () => Promise.resolve(''),
};

const noIptables = () => Promise.resolve({ all: [], plain: undefined, lookedFor: [] });

function scope(): CleanupScope & { readonly root: string } {
  const root = mkdtempSync(join(tmpdir(), 'weft-cleanup-'));
  onTestFinished(() => rmSync(root, { recursive: true }));
  for (const name of ['net.d', 'bin', 'state/networks/cbr0', 'state/flannel']) {
    mkdirSync(join(root, name), { recursive: true });
  }
  return {
    root,
    cniConfDir: join(root, 'net.d'),
    cniBinDir: join(root, 'bin'),
    subnetFile: join(root, 'subnet.env'),
    leaseFile: join(root, 'node-1.json'),
    cniStateDir: join(root, 'state'),
  };
}

function writeSubnetEnv(path: string): void {
  const lines = ['FLANNEL_NETWORK=10.244.0.0/16', 'FLANNEL_SUBNET=10.244.1.1/24', 'FLANNEL_MTU=1450'];
  writeFileSync(path, [...lines, 'FLANNEL_IPMASQ=true', ''].join('\n'));
}

async function run(
  where: CleanupScope,
  answer: FakeAnswer = nothingKnown,
  nft: Nft = noTables,
): Promise<{ clean: boolean; lines: string[] }> {
  const lines: string[] = [];
  const { netlink } = openFakeNetlink(answer);
  const clean = await cleanUp(where, { sys, netlink, nft, findIptables: noIptables }, (line) => lines.push(line));
  return { clean, lines };
}

/** `count` routes of ours to 10.244.N.0/24, in every IPv4 listing. */
function routes(count: number): FakeAnswer {
  return (request, replies) => {
    nothingKnown(request, replies);
    if (request.type !== RTM_GETROUTE) return;
    for (let at = 0; at < count; at += 1) {
      replies.message(24, (writer) => {
        // struct rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, u32 flags
        for (const byte of [2, 24, 0, 0, 254, WEFT_PROTOCOL, 0, 1]) writer.u8(byte);
        writer.u32(0);
        writer.attrBytes(1, new Uint8Array([10, 244, at, 0]));
      });
    }
  };
}

describe('cleanUp', () => {
  test('removes files, lease and records', async () => {
    const where = scope();
    writeSubnetEnv(where.subnetFile);
    writeFileSync(where.leaseFile ?? '', '{}');
    writeFileSync(join(where.root, 'weft-leases.json'), '{}');
    writeFileSync(join(where.cniConfDir, '10-flannel.conflist'), '{"plugins":[{"type":"flannel"}]}');
    const { clean, lines } = await run(where);
    expect(clean).toBe(true);
    expect(lines).toEqual([
      'before:',
      `  file ${where.cniConfDir}/10-flannel.conflist`,
      `  file ${where.subnetFile}`,
      `  file ${where.leaseFile}`,
      `  file ${where.root}/weft-leases.json`,
      `  directory ${where.cniStateDir}/networks/cbr0`,
      `  directory ${where.cniStateDir}/flannel`,
      `  directory ${where.cniStateDir}/networks`,
      'after: nothing',
    ]);
    expect(existsSync(where.subnetFile)).toBe(false);
  });

  test('keeps records of other networks, and all records when nothing shows that they are ours', async () => {
    const where = scope();
    expect((await run(where)).lines).toEqual(['before: nothing', 'after: nothing']);
    mkdirSync(join(where.cniStateDir, 'networks/other'));
    writeSubnetEnv(where.subnetFile);
    await run(where);
    expect(existsSync(join(where.cniStateDir, 'networks/cbr0'))).toBe(false);
    expect(existsSync(join(where.cniStateDir, 'networks/other'))).toBe(true);
  });

  test.for(['../..', '..', '.', '/etc', 'a/b', ''])('removes nothing for a network called "%s"', async (name) => {
    const where = scope();
    writeSubnetEnv(where.subnetFile);
    const conflist = { name, plugins: [{ type: 'flannel' }] };
    writeFileSync(join(where.cniConfDir, '10-flannel.conflist'), JSON.stringify(conflist));
    writeFileSync(join(where.root, 'treasure'), '');
    await run(where);
    expect(existsSync(join(where.root, 'treasure'))).toBe(true);
    expect(existsSync(where.cniStateDir)).toBe(true);
  });

  test('names twenty objects of a kind and counts the others, and fails while they stay', async () => {
    const { clean, lines } = await run(scope(), routes(25));
    expect(lines.filter((line) => line.startsWith('  route '))).toHaveLength(40);
    expect(lines).toContain('  … and 5 more of kind route');
    expect(lines).toContain(
      'not removed: route 10.244.0.0/24: it is there again, perhaps because the agent still runs',
    );
    expect(clean).toBe(false);
  });

  test('prints the kernel’s answer to a refused removal', async () => {
    const { lines } = await run(scope(), (request, replies) => {
      routes(1)(request, replies);
      if (request.type === RTM_DELROUTE) replies.error(EPERM);
    });
    expect(lines.at(-1)).toBe('not removed: route 10.244.0.0/24: rtnetlink: delete route 10.244.0.0/24: EPERM');
  });

  test('keeps what a running flannel also uses, and removes everything else', async () => {
    const where = scope();
    writeSubnetEnv(where.subnetFile);
    writeFileSync(join(where.root, 'weft-leases.json'), '{}');
    const conflist = join(where.cniConfDir, '10-flannel.conflist');
    for (const path of [conflist, `${conflist}.not-ready`]) writeFileSync(path, '{"plugins":[{"type":"flannel"}]}');
    writeFileSync(join(where.cniStateDir, 'networks/cbr0/.boot'), '');
    const list: Nft['list'] = (_, table) => Promise.resolve(table === 'flannel-ipv4' ? '{"nftables":[]}' : undefined);
    const { clean, lines } = await run(where, nothingKnown, { ...noTables, list });
    const why = '(stays: flannel runs here and has table ip flannel-ipv4)';
    expect(lines.slice(lines.indexOf('after:') + 1)).toEqual([
      `  file ${conflist} ${why}`,
      `  file ${where.subnetFile} ${why}`,
      `  directory ${where.cniStateDir}/networks/cbr0 ${why}`,
      `  directory ${where.cniStateDir}/flannel ${why}`,
      `  directory ${where.cniStateDir}/networks ${why}`,
    ]);
    expect(lines).toContain(`  file ${conflist}.not-ready`);
    expect(clean).toBe(true);
  });

  test('goes on when one part cannot be read, and reports this', async () => {
    const where = scope();
    writeSubnetEnv(where.subnetFile);
    const { clean, lines } = await run(where, nothingKnown, {
      ...noTables,
      list: () => Promise.reject(new Error('exec: nft: ENOENT (nft is not installed)')),
    });
    expect(clean).toBe(false);
    const why = 'exec: nft: ENOENT (nft is not installed)';
    expect(lines).toContain(`not removed: what could not be read: ${why}`);
  });
});
