// The two drivers that act as the runtime: the lab's runner, which must itself keep the contract's rules for chains, and cnitool, the
// reference.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { errorText } from '../../../lib/errors.ts';
import { findNetworkList } from '../../lab/cni/conflist.ts';
import { CniDriver } from '../../lab/cni/driver.ts';
import { mustRun, runCommand } from '../../lab/command.ts';
import { CACHE_DIR, type ChainDriver, type ChainOutcome, type ChainPlace, type ChainRequest } from './driver.ts';

const PATH = '/usr/sbin:/usr/bin:/sbin:/bin';

/** The lab's runner, in this process. It executes scripts that enter the sandbox and then run the plugin. */
export const labDriver: ChainDriver = { name: "the lab's runner", run: runLab };

async function runLab(place: ChainPlace, request: ChainRequest): Promise<ChainOutcome> {
  const { operation, configDir, network, pluginPath, netns, ifname } = request;
  const cniPath = await Promise.all(pluginPath.split(':').map((folder, at) => wrapFolder(place, folder, at)));
  const driver = new CniDriver({ cniPath, cacheDir: place.outside(CACHE_DIR) });
  const rt = { containerId: 'c1', netns, ifName: ifname };
  try {
    const list = findNetworkList(configDir, network);
    if (operation === 'gc') await driver.gc(list, []);
    else if (operation === 'status') await driver.status(list);
    else await driver[operation](list, rt);
    return { ok: true, text: '' };
  } catch (thrown) {
    return { ok: false, text: errorText(thrown) };
  }
}

/** Makes a folder with such a script for each executable of `folder`. */
async function wrapFolder(place: ChainPlace, folder: string, at: number): Promise<string> {
  const dir = join(place.dir, `wrapped${at}`);
  mkdirSync(dir, { recursive: true });
  const names = (await mustRun(place.inside(['ls', folder]))).split('\n').filter(Boolean);
  for (const name of names) {
    const command = place.inside([join(folder, name)]).join(' ');
    writeFileSync(join(dir, name), `#!/bin/sh\nexec ${command}\n`, { mode: 0o755 });
  }
  return dir;
}

/** cnitool, which comes with libcni. `path` must be valid inside sandboxes. */
export function cnitoolDriver(path: string): ChainDriver {
  return {
    name: 'cnitool',
    run: async (place, { operation, configDir, network, pluginPath, netns, ifname }) => {
      const env = { PATH, NETCONFPATH: configDir, CNI_PATH: pluginPath, CNI_IFNAME: ifname };
      const argv = place.inside([path, operation, network, netns]);
      const { exitCode, stdout, stderr } = await runCommand(argv, { env, timeoutMs: 30_000 });
      return { ok: exitCode === 0, text: `${stderr}${exitCode === 0 ? '' : stdout}` };
    },
  };
}
