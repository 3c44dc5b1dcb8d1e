// One executable can contain several plugins and choose one by the name it is called with. This finds out which, and makes a link for
// each name.

import { copyFileSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCommand } from '../../lab/command.ts';
import { pluginNames } from './case.ts';
import { isExecutable } from './machine.ts';

export interface Executables {
  readonly dir: string;
  /** Removes the folder that was made, if any. */
  release(): void;
}

/**
 * Returns the folder itself or, when its `flannel` contains plugins that have no file there, a new folder with that program and
 * links to it. To find out, the program is run without CNI_COMMAND, which changes nothing.
 */
export async function withAllNames(dir: string): Promise<Executables> {
  const absent = pluginNames.filter((name) => !isExecutable(join(dir, name)));
  if (absent.length !== pluginNames.length - 1 || absent.includes('flannel')) return { dir, release: () => undefined };
  const links = mkdtempSync(join(tmpdir(), 'conformance-names-'));
  const release = (): void => rmSync(links, { recursive: true, force: true });
  copyFileSync(join(dir, 'flannel'), join(links, 'flannel'));
  let count = 0;
  for (const name of absent) {
    symlinkSync('flannel', join(links, name));
    const { stderr } = await runCommand([join(links, name)], { env: {}, timeoutMs: 5000 });
    if (stderr.startsWith(`CNI ${name} plugin`)) count += 1;
    else rmSync(join(links, name));
  }
  if (count > 0) return { dir: links, release };
  release();
  return { dir, release: () => undefined };
}
