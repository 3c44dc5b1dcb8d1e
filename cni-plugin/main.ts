// The entry of the CNI executable: one program, whose name decides which plugin it is.

import { useNative } from '../lib/native.ts';
import { readAll } from '../lib/sys/file.ts';
import {
  hostArgs,
  hostEnv,
  hostEnvironment,
  hostNative,
  openHostSyscalls,
  type ProgramOutput,
} from '../lib/sys/host.ts';
import { bandwidth } from './bandwidth/bandwidth.ts';
import { bridge } from './bridge/bridge.ts';
import { flannel } from './flannel/flannel.ts';
import { hostLocal } from './host-local/host-local.ts';
import { loopback } from './loopback.ts';
import { portmap } from './portmap/portmap.ts';
import type { Plugin } from './protocol/plugin.ts';
import { about, runPlugin } from './protocol/run-operation.ts';

/** The most that a runtime may send, in bytes. */
const STDIN_LIMIT_BYTES = 4 * 1024 * 1024;

function pluginNamed(name: string): Plugin {
  switch (name) {
    case 'bandwidth':
      return bandwidth;
    case 'bridge':
      return bridge;
    case 'host-local':
      return hostLocal;
    case 'loopback':
      return loopback;
    case 'portmap':
      return portmap;
    default:
      return flannel;
  }
}

/** Called once by host.c. */
export function main(): ProgramOutput {
  const sys = openHostSyscalls();
  useNative(hostNative());
  const [path = '', option] = hostArgs();
  const plugin = pluginNamed(path.slice(path.lastIndexOf('/') + 1));
  if (option === '--version') return { code: 0, stdout: about(plugin) };
  return runPlugin(plugin, {
    sys,
    stdin: () => readAll(sys, 0, STDIN_LIMIT_BYTES, 'stdin'),
    env: hostEnv,
    environment: hostEnvironment,
  });
}
