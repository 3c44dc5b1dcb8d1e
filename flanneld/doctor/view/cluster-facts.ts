// The cluster as this node knows it: the network configuration and the leases. They come from the running agent; without one, from the
// files of a directory store or the state that an agent has saved.

import { readRegularFile } from '../../../lib/files-node.ts';
import { type NetConf, parseNetConf } from '../../../lib/net-conf.ts';
import { readTextIfPresent } from '../../../lib/sys/file.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';
import { decodeUtf8 } from '../../../lib/utf8-node.ts';
import type { Options } from '../../cli/options.ts';
import { stretched } from '../../cli/time-factor.ts';
import { fetchLeases } from '../../health/status/client.ts';
import { readLeaseDir } from '../../subnet/lease-dir.ts';
import { parseSavedState, type SavedState, savedStateFile } from '../../subnet/saved-state.ts';
import type { AgentFacts, LeaseFacts } from './facts.ts';
import type { Reads } from './reads.ts';

const NET_CONF_BYTES = 1024 * 1024;
const SAVED_BYTES = 16 * 1024 * 1024;
const ANSWER_MS = 2000;

export interface ClusterFacts {
  readonly conf: NetConf | undefined;
  readonly leases: LeaseFacts | undefined;
  readonly saved: SavedState | undefined;
}

export async function clusterFacts(
  options: Options,
  node: string,
  agent: AgentFacts,
  sys: Syscalls,
  reads: Reads,
): Promise<ClusterFacts> {
  const file = savedStateFile(options.subnetFile);
  const saved = reads.one('the saved leases', () => {
    const text = readTextIfPresent(sys, file, SAVED_BYTES);
    return text === undefined ? undefined : parseSavedState(text);
  });
  const told = agent.state === 'answers' ? await toldLeases(options.subnetFile) : undefined;
  const leases = told ?? (await storedLeases(options, node, saved, file, reads));
  return { conf: netConf(options, saved, reads), leases, saved };
}

/** The running agent's leases; undefined when its version does not serve them. */
async function toldLeases(subnetFile: string): Promise<LeaseFacts | undefined> {
  try {
    const { snapshot } = parseSavedState(await fetchLeases(subnetFile, stretched(ANSWER_MS)));
    return snapshot && { snapshot, source: 'the agent' };
  } catch {
    return undefined;
  }
}

async function storedLeases(
  { store }: Options,
  node: string,
  saved: SavedState | undefined,
  file: string,
  reads: Reads,
): Promise<LeaseFacts | undefined> {
  if (store.kind === 'directory') {
    const dir = store.subnetDir;
    const snapshot = await reads.slow(`the leases in ${dir}`, () => readLeaseDir(dir));
    return snapshot && { snapshot: { ...snapshot, ownKey: node }, source: dir };
  }
  return saved?.snapshot && { snapshot: saved.snapshot, source: file };
}

function netConf({ store, netConfigPath }: Options, saved: SavedState | undefined, reads: Reads): NetConf | undefined {
  return reads.one('the network configuration', () => {
    const kept = store.kind === 'etcd' ? saved?.netConf : undefined;
    const text = kept ?? decodeUtf8('net-conf', readRegularFile(netConfigPath, NET_CONF_BYTES));
    return parseNetConf(text).config;
  });
}
