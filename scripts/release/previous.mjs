// The programs of the previous release, for tests of an upgrade from it. They are kept outside the repository: in the folder
// WEFT_PREVIOUS, where a release's files were unpacked, or in the cache, built once from the commit that the release was made of.

import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheFolder } from '../command.mjs';
import { publish } from '../engine.mjs';

/** The last release, and the commit from which it was made. Change both when a version is released. */
const PREVIOUS = { version: '0.1.0', commit: '0ad0d13bb2d7e20f6a16fee711166cf4cb8cd630' };

const repository = fileURLToPath(new URL('../../', import.meta.url));
const FILES = ['flanneld', 'koffi.node', 'package.json', 'cni'];
/** Not every release has such files: flanneld-agent.js, flanneld-extra.js. */
const BESIDE = /^flanneld-/;

/** The folder with flanneld, koffi.node and cni/flannel of the previous release. Throws an Error of one line. */
export async function previousRelease({ version, commit } = PREVIOUS) {
  const given = process.env['WEFT_PREVIOUS'];
  if (given) {
    if (FILES.every((name) => existsSync(join(given, name)))) return given;
    throw new Error(`WEFT_PREVIOUS: expected ${FILES.join(', ')} in ${given}`);
  }
  const kept = join(cacheFolder(), 'releases', `${version}-${commit.slice(0, 12)}-${process.arch}`);
  if (existsSync(kept)) return kept;
  process.stderr.write(`building ${version} from commit ${commit.slice(0, 12)}\n`);
  const work = mkdtempSync(join(tmpdir(), 'weft-previous-'));
  try {
    const tree = join(work, 'tree');
    git('worktree', 'add', '--detach', '--quiet', tree, commit);
    buildTree(tree);
    mkdirSync(join(cacheFolder(), 'releases'), { recursive: true });
    const draft = mkdtempSync(join(cacheFolder(), 'releases', 'work-'));
    const names = [...FILES, ...readdirSync(join(tree, 'dist')).filter((name) => BESIDE.test(name))];
    for (const name of names) cpSync(join(tree, 'dist', name), join(draft, name), { recursive: true });
    await publish(draft, kept);
    return kept;
  } finally {
    spawnSync('git', ['worktree', 'remove', '--force', join(work, 'tree')], { cwd: repository });
    rmSync(work, { recursive: true, force: true });
  }
}

function git(...args) {
  const { status, stderr, error } = spawnSync('git', args, { cwd: repository, encoding: 'utf8' });
  if (status === 0) return;
  const why = error?.message ?? stderr.trim().split('\n').at(-1);
  throw new Error(`git ${args[0]}: ${why}: the whole history is needed, or WEFT_PREVIOUS`);
}

/** Built as a clone of that time builds itself: with the packages of its own lock file. */
function buildTree(tree) {
  const commands = [
    ['npm', ['ci', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund']],
    [process.execPath, ['scripts/build.mjs']],
  ];
  for (const [program, args] of commands) {
    const { status } = spawnSync(program, args, { cwd: tree, stdio: ['ignore', 2, 2] });
    if (status !== 0) throw new Error(`${program} ${args[0]} failed in the tree of ${PREVIOUS.version}`);
  }
}
