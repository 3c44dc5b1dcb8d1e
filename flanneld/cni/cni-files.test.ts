import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { openKoffiSyscalls } from '../../lib/sys/koffi.ts';
import { createLogger } from '../health/log.ts';
import { CniFiles } from './cni-files.ts';
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
  pass(ms: number): void;
}

function bench({ withBin = true, withConflist = true } = {}): Bench {
  const root = mkdtempSync(join(tmpdir(), 'weft-cni-files-'));
  onTestFinished(() => rmSync(root, { recursive: true }));
  const [conf, bin] = [join(root, 'net.d'), join(root, 'bin')];
  for (const folder of [conf, bin]) mkdirSync(folder);
  writeFileSync(join(bin, 'sbr'), stranger);
  const cniExecutable = join(root, 'flannel');
  writeFileSync(cniExecutable, 'CNI flannel plugin (weft)\n');
  let nowMs = 1000;
  const lines: string[] = [];
  const reports: string[] = [];
  const manager = { report: (reason: string, message: string) => void reports.push(`${reason}: ${message}`) };
  const log = createLogger('info', { write: (line) => lines.push(line) });
  const clock = { now: () => nowMs, after: () => () => undefined };
  const options = { cniConfDir: conf, cniBinDir: withBin ? bin : undefined, cniBinReplace: new Set<never>() };
  const files = new CniFiles(withConflist ? conflist : undefined, options, { sys, log, clock, manager, cniExecutable });
  return {
    conf,
    bin,
    files,
    lines,
    reports,
    pass(ms) {
      nowMs += ms;
    },
  };
}

describe('publish', () => {
  test('installs executables and conflist, says so once, and has no doubts', () => {
    const { conf, bin, files, lines, pass } = bench();
    files.publish();
    expect(readFileSync(join(conf, '10-flannel.conflist'), 'utf8')).toBe(conflist);
    expect(existsSync(join(bin, 'portmap'))).toBe(true);
    expect(files.checks()).toEqual([]);
    const said = lines.length;
    expect(said).toBe(2);
    pass(60_000);
    files.publish();
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

  test('leaves the executables to somebody else when no folder was given', () => {
    const { conf, bin, files } = bench({ withBin: false });
    files.publish();
    expect(existsSync(join(conf, '10-flannel.conflist'))).toBe(true);
    expect(existsSync(join(bin, 'flannel'))).toBe(false);
    expect(files.checks()).toEqual([]);
  });

  test('does not put back a conflist that was withdrawn', () => {
    const { conf, files, pass } = bench();
    files.publish();
    rmSync(join(conf, '10-flannel.conflist'));
    pass(60_000);
    files.publish();
    expect(existsSync(join(conf, '10-flannel.conflist'))).toBe(false);
  });
});

describe('checks', () => {
  test('name a configuration that sorts before ours while it is there; log and Event do so once', () => {
    const { conf, files, lines, reports, pass } = bench();
    files.publish();
    writeFileSync(join(conf, '10-containerd-net.conflist'), '{}');
    files.publish();
    expect(files.checks()).toEqual([]);
    for (let round = 0; round < 3; round += 1) {
      pass(30_000);
      files.publish();
    }
    expect(files.checks()).toEqual([
      {
        name: 'cni',
        required: false,
        problem: `${conf}/10-containerd-net.conflist sorts before 10-flannel.conflist: the runtime uses it for new pods instead`,
      },
    ]);
    expect(lines.filter((line) => line.includes('10-containerd-net'))).toHaveLength(1);
    expect(reports).toEqual([expect.stringMatching(/^CNIFoldersDoubtful: .*10-containerd-net/)]);
    rmSync(join(conf, '10-containerd-net.conflist'));
    pass(30_000);
    files.publish();
    expect(files.checks()).toEqual([]);
    expect(lines.at(-1)).toContain('right again');
  });

  test('name a plugin of the conflist that nobody installed', () => {
    const { bin, files } = bench();
    rmSync(join(bin, 'sbr'));
    files.publish();
    expect(files.checks().map(({ problem }) => problem)).toEqual([`${bin}/sbr is missing, and pods need it`]);
  });

  test('name an executable of a vendor nobody knows, and how to replace it', () => {
    const { bin, files } = bench();
    writeFileSync(join(bin, 'portmap'), stranger);
    files.publish();
    const [check] = files.checks();
    expect(check?.problem).toContain(`${bin}/portmap is of a vendor not known here`);
    expect(check?.problem).toContain('--cni-bin-replace=portmap');
  });

  test('tell flannel’s own plugin from a reference bridge, which nobody minds', () => {
    const { bin, files } = bench();
    for (const name of ['flannel', 'bridge']) writeFileSync(join(bin, name), 'github.com/containernetworking/cni');
    files.publish();
    expect(files.checks().map(({ problem }) => problem)).toEqual([
      `${bin}/flannel is flannel's own, left as it is; --cni-bin-replace=flannel puts Weft's in its place`,
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
