// The preamble of the tests of the CNI executable: a `test` that compiles the executable once for the file, and opens a node of its own
// for each test.

import { test as base } from 'vitest';
import { CniNode, compilePlugins } from './cni-node.ts';
import type { Executable } from './executable.ts';

/** The node of the running test. Helpers of a test file import it, so that tests need not pass it to them. */
export let node: CniNode;

export const test = base.extend<{ plugins: Executable; openNode: CniNode }>({
  plugins: [
    // biome-ignore lint/correctness/noEmptyPattern: vitest finds what a fixture needs by this pattern.
    async ({}, use) => {
      const plugins = await compilePlugins();
      await use(plugins);
      plugins.remove();
    },
    { scope: 'file' },
  ],
  openNode: [
    async ({ plugins }, use) => {
      node = await CniNode.open(plugins.folder);
      await use(node);
      await node.close();
    },
    { auto: true },
  ],
});
