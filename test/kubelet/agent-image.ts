// The agent's image without a registry or a build: dist/ where the Dockerfile puts it, and of this machine Node, nft and
// the libraries they are linked with. What is in the real one is proven by its own tests.

import { execFileSync } from 'node:child_process';
import { copyFileSync, cpSync, existsSync, mkdirSync, realpathSync, symlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { packImage, putBusybox } from '../containerd/image.ts';
import { builtAgent, builtPlugins, requireBuilt } from '../lab/programs.ts';

const APP_FOLDER = 'opt/weft';

/** Writes it to `file` under `name`. Needs a build. */
export function writeAgentImage(file: string, name: string): void {
  packImage(file, name, (root) => {
    putBusybox(root);
    // The agent's first line names /usr/bin/env.
    mkdirSync(join(root, 'usr'));
    symlinkSync('../bin', join(root, 'usr/bin'));
    putProgram(root, process.execPath);
    putProgram(root, execFileSync('/bin/sh', ['-c', 'command -v nft'], { encoding: 'utf8' }).trim());
    putAgent(join(root, APP_FOLDER));
  });
}

/** A program into /bin, and what it is linked with where the loader looks for it. */
function putProgram(root: string, program: string): void {
  copyFileSync(realpathSync(program), join(root, 'bin', basename(program)));
  const linked = execFileSync('ldd', [program], { encoding: 'utf8' });
  // `libm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x…)`, and the loader: `/lib64/ld-linux-x86-64.so.2 (0x…)`.
  for (const [, library = ''] of linked.matchAll(/(\/\S+) \(0x/g)) {
    const target = join(root, library);
    if (existsSync(target)) continue;
    mkdirSync(dirname(target), { recursive: true });
    copyFileSync(realpathSync(library), target);
  }
}

function putAgent(folder: string): void {
  const dist = dirname(requireBuilt(builtAgent));
  for (const name of ['flanneld', 'koffi.node', 'package.json']) cpSync(join(dist, name), join(folder, name));
  cpSync(requireBuilt(builtPlugins), join(folder, 'cni'), { recursive: true });
}
