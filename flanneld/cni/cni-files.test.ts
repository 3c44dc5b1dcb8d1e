import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { PluginName } from '../../lib/plugin-names.ts';
import { openKoffiSyscalls } from '../../lib/sys/koffi.ts';
import type { Drift } from '../health/drift-ledger.ts';
import { createLogger } from '../health/log.ts';
import { CniFiles } from './cni-files.ts';
import { withdrawConflist } from './conflist.ts';
import { earlierConfigurations } from './doubtful-files.ts';

const sys = openKoffiSyscalls();
const conflist = JSON.stringify({ name: 'cbr0', plugins: [{ type: 'flannel' }, { type: 'portmap' }, { type: 'sbr' }] });
const stranger = 'somebody’s executable';

interface Bench {
  readonly conf: string;
  readonly bin: string;
  readonly files: CniFiles;
  readonly lines: string[];
  readonly reports: string[];
  readonly drift: string[];
}

function bench({ withBin = true, withConflist = true, replace = [] as PluginName[] } = {}): Bench {
  const root = mkdtempSync(join(tmpdir(), 'weft-cni-files-'));
  onTestFinished(() => rmSync(root, { recursive: true }));
  const [conf, bin] = [join(root, 'net.d'), join(root, 'bin')];
  for (const folder of [conf, bin]) mkdirSync(folder);
  writeFileSync(join(bin, 'sbr'), stranger);
  const cniExecutable = join(root, 'flannel');
  writeFileSync(cniExecutable, 'CNI flannel plugin (weft)\n');
  const lines: string[] = [];
  const reports: string[] = [];
  const manager = { report: (reason: string, message: string) => void reports.push(`${reason}: ${message}`) };
  const log = createLogger('info', { write: (line) => lines.push(line) });
  const drift: string[] = [];
  const notes = { note: ({ object, what, was }: Drift) => void drift.push(`${object} ${what} ${was}`) };
  const options = { cniConfDir: conf, cniBinDir: withBin ? bin : undefined, cniBinReplace: new Set(replace) };
  const files = new CniFiles(withConflist ? conflist : undefined, options, {
    ...{ sys, log, drift: notes, manager, cniExecutable },
  });
  return { conf, bin, files, lines, reports, drift };
}

describe('publish', () => {
  test('installs executables and conflist, logs this once, and reports no problem', () => {
    const { conf, bin, files, lines } = bench();
    files.publish();
    expect(readFileSync(join(conf, '10-flannel.conflist'), 'utf8')).toBe(conflist);
    expect(existsSync(join(bin, 'portmap'))).toBe(true);
    expect(files.checks()).toEqual([]);
    const said = lines.length;
    expect(said).toBe(2);
    files.publish();
    expect(files.look()).toBeUndefined();
    expect(lines).toHaveLength(said);
  });

  test('writes no conflist when the executables cannot be written, and tries again', () => {
    const { conf, bin, files } = bench();
    rmSync(bin, { recursive: true });
    writeFileSync(bin, 'a file where the folder should be');
    expect(() => files.publish()).toThrow(/^cni: mkdir/);
    expect(existsSync(join(conf, '10-flannel.conflist'))).toBe(false);
    rmSync(bin);
    files.publish();
    expect(existsSync(join(conf, '10-flannel.conflist'))).toBe(true);
    expect(existsSync(join(bin, 'flannel'))).toBe(true);
  });

  test('installs no executables when no folder was given', () => {
    const { conf, bin, files } = bench({ withBin: false });
    files.publish();
    expect(existsSync(join(conf, '10-flannel.conflist'))).toBe(true);
    expect(existsSync(join(bin, 'flannel'))).toBe(false);
    expect(files.checks()).toEqual([]);
  });
});

describe('look', () => {
  test('changes nothing before the files were published', () => {
    const { conf, files } = bench();
    expect(files.look()).toBeUndefined();
    expect(existsSync(join(conf, '10-flannel.conflist'))).toBe(false);
  });

  test.for([
    { name: 'deleted', spoil: (path: string) => rmSync(path), was: 'missing' },
    { name: 'cut off', spoil: (path: string) => writeFileSync(path, '{"name":"cb'), was: 'no JSON' },
  ])('puts back a conflist that was $name when it has seen this twice, and notes it', ({ spoil, was }) => {
    const { conf, files, drift } = bench();
    files.publish();
    spoil(join(conf, '10-flannel.conflist'));
    expect(files.look()).toBeGreaterThan(0);
    expect(drift).toEqual([]);
    files.look();
    expect(readFileSync(join(conf, '10-flannel.conflist'), 'utf8')).toBe(conflist);
    expect(drift).toEqual([`cni-file 10-flannel.conflist ${was}`]);
    expect(files.look()).toBeUndefined();
  });

  test('does not put back a conflist that was withdrawn, and reports this', () => {
    const { conf, files, drift } = bench();
    files.publish();
    withdrawConflist(sys, conf);
    for (let round = 0; round < 3; round += 1) files.look();
    expect(existsSync(join(conf, '10-flannel.conflist'))).toBe(false);
    expect(drift).toEqual([]);
    expect(files.checks().map(({ problem }) => problem)).toEqual([
      expect.stringContaining('was removed by flanneld withdraw'),
    ]);
  });

  test('keeps what another program has added to the conflist, and reports this', () => {
    const { conf, files, drift } = bench();
    files.publish();
    const root = JSON.parse(conflist) as { plugins: object[] };
    const changed = JSON.stringify({ ...root, plugins: [...root.plugins, { type: 'istio-cni' }] });
    writeFileSync(join(conf, '10-flannel.conflist'), changed);
    for (let round = 0; round < 3; round += 1) files.look();
    expect(readFileSync(join(conf, '10-flannel.conflist'), 'utf8')).toBe(changed);
    expect(drift).toEqual([]);
    expect(files.checks().map(({ problem }) => problem)).toEqual([
      expect.stringContaining('was changed by another program'),
    ]);
  });

  test('puts back executables that were deleted or replaced, except those of other vendors', () => {
    const { bin, files, drift } = bench({ replace: ['bridge'] });
    files.publish();
    const own = readFileSync(join(bin, 'flannel'));
    rmSync(join(bin, 'flannel'));
    writeFileSync(join(bin, 'bridge'), stranger);
    writeFileSync(join(bin, 'portmap'), stranger);
    files.look();
    files.look();
    expect(drift).toEqual(['cni-file flannel missing', 'cni-file bridge replaced']);
    for (const name of ['flannel', 'bridge']) expect(readFileSync(join(bin, name))).toEqual(own);
    expect(readFileSync(join(bin, 'portmap'), 'utf8')).toBe(stranger);
    expect(files.checks().map(({ problem }) => problem)).toEqual([
      expect.stringContaining(`${bin}/portmap is neither Weft’s nor a reference plugin`),
    ]);
    expect(files.look()).toBeUndefined();
  });

  test('waits until another program has written an executable completely', () => {
    const { bin, files, drift } = bench({ replace: ['bridge'] });
    files.publish();
    for (const text of ['a', 'ab', 'abc']) {
      writeFileSync(join(bin, 'bridge'), text);
      files.look();
    }
    expect(drift).toEqual([]);
    files.look();
    expect(drift).toEqual(['cni-file bridge replaced']);
  });
});

describe('checks', () => {
  test('name a configuration that sorts before Weft’s while it exists, and log and Event name it once', () => {
    const { conf, files, lines, reports } = bench();
    files.publish();
    writeFileSync(join(conf, '10-containerd-net.conflist'), '{}');
    for (let round = 0; round < 3; round += 1) files.look();
    expect(files.checks()).toEqual([
      {
        name: 'cni',
        required: false,
        problem: `${conf}/10-containerd-net.conflist sorts before 10-flannel.conflist, so the runtime uses that file for new pods`,
      },
    ]);
    expect(lines.filter((line) => line.includes('10-containerd-net'))).toHaveLength(1);
    expect(reports).toEqual([expect.stringMatching(/^CNIFoldersDoubtful: .*10-containerd-net/)]);
    rmSync(join(conf, '10-containerd-net.conflist'));
    files.look();
    expect(files.checks()).toEqual([]);
    expect(lines.at(-1)).toContain('right again');
  });

  test('name a plugin of the conflist that is not installed', () => {
    const { bin, files } = bench();
    rmSync(join(bin, 'sbr'));
    files.publish();
    expect(files.checks().map(({ problem }) => problem)).toEqual([`${bin}/sbr is missing, but new pods need it`]);
  });

  test('name an executable of an unknown vendor, and how to replace it', () => {
    const { bin, files } = bench();
    writeFileSync(join(bin, 'portmap'), stranger);
    files.publish();
    const [check] = files.checks();
    expect(check?.problem).toContain(`${bin}/portmap is neither Weft’s nor a reference plugin`);
    expect(check?.problem).toContain('--cni-bin-replace=portmap');
  });

  test('report flannel’s own plugin, but not a reference bridge', () => {
    const { bin, files } = bench();
    for (const name of ['flannel', 'bridge']) writeFileSync(join(bin, name), 'github.com/containernetworking/cni');
    files.publish();
    expect(files.checks().map(({ problem }) => problem)).toEqual([
      `${bin}/flannel is flannel's own and is left as it is; --cni-bin-replace=flannel replaces it by Weft's`,
    ]);
  });
});

describe('earlierConfigurations', () => {
  test.for([
    { name: '05-cilium.conflist', want: true },
    { name: '10-containerd-net.conflist', want: true },
    { name: '10-Flannel.conf', want: true },
    { name: '00-meta.json', want: true },
    { name: '10-flannel.conflist', want: false },
    { name: '10-flannel.conflist.not-ready', want: false },
    { name: '00-cilium.conflist.cilium_bak', want: false },
    { name: '87-podman-bridge.conflist', want: false },
    { name: '100-crio-bridge.conf', want: false },
  ])('$name: $want', ({ name, want }) => {
    expect(earlierConfigurations([name], '10-flannel.conflist').length > 0).toBe(want);
  });
});
