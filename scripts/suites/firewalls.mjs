// `npm run suite -- firewalls`: Debian's firewalld, ufw and Docker run in nodes of the lab. Their packages are unpacked in the cache and not
// installed, because an installed one would start on this machine.

import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { cacheFolder } from '../command.mjs';
import { testSuite } from '../vitest-suite.mjs';

const PACKAGES = ['firewalld', 'ufw', 'docker.io'];

export function main(_values, args) {
  return testSuite({
    args,
    command: 'npm run suite -- firewalls',
    programs: ['flanneld', 'cni'],
    prepare: () => {
      process.env['WEFT_FIREWALLS'] = unpackedPackages();
    },
    files: ['test/e2e/real-firewalls.test.ts'],
  });
}

/** A folder with the packages and with those of their dependencies that this machine lacks. */
function unpackedPackages() {
  const folder = join(cacheFolder(), `unpacked-${PACKAGES.join('-')}`);
  if (readdirIfAny(folder).length > 0) return folder;
  mkdirSync(cacheFolder(), { recursive: true });
  const work = mkdtempSync(join(cacheFolder(), 'unpacked-'));
  try {
    const debs = join(work, 'debs');
    mkdirSync(join(debs, 'partial'), { recursive: true });
    const fetch = ['install', '--download-only', '--yes', '--no-install-recommends', ...PACKAGES];
    must('apt-get', ['-qq', 'update']);
    must('apt-get', ['-qq', '-o', `Dir::Cache::archives=${debs}`, ...fetch]);
    const names = readdirIfAny(debs).filter((name) => name.endsWith('.deb'));
    for (const name of names) must('dpkg-deb', ['-x', join(debs, name), join(work, 'root')]);
    renameSync(join(work, 'root'), folder);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return folder;
}

function must(program, argv) {
  const { status, stderr } = spawnSync(program, argv, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`suite firewalls: ${program} ${argv.join(' ')}: ${stderr?.trim()}`);
}

function readdirIfAny(folder) {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
