// One executable may be several plugins, by the name it is called with: finds out, and gives it all its names.

import { copyFileSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCommand } from '../lab/command.ts';
import { pluginNames } from './case.ts';
import { isExecutable } from './machine.ts';

export interface Executables {
  readonly dir: string;
  /** Removes what was made for it. */
  release(): void;
}

/**
 * The folder itself, or, where its `flannel` also is plugins that have no file there, a folder of that program and
 * links to it. A program is asked without CNI_COMMAND what it is, which changes nothing.
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
