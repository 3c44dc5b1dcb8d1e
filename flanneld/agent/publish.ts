// What the agent publishes once its node forwards: subnet.env, the CNI files, and the message to the service manager.

import { errorText } from '../../lib/errors.ts';
import { type Loop, startLoop } from '../../lib/loop-node.ts';
import { renderSubnetEnv, type SubnetEnvContent, writeSubnetEnv } from '../../lib/subnet-env.ts';
import { readTextIfPresent } from '../../lib/sys/file.ts';
import type { Overlay } from '../backend/overlay.ts';
import type { Options } from '../cli/options.ts';
import type { CniFiles } from '../cni/cni-files.ts';
import type { DriftNotes } from '../health/drift-ledger.ts';
import { createFailureLog } from '../health/log.ts';
import type { Readiness } from '../health/readiness.ts';
import { CNI_FILES, FIREWALL, SUBNET_ENV } from './check-names.ts';
import type { AgentTools } from './tools.ts';

interface PublishParts {
  readonly overlays: readonly Overlay[];
  readonly readiness: Readiness;
  readonly options: Options;
  readonly cniFiles: CniFiles;
  readonly tools: AgentTools;
  readonly drift: DriftNotes;
}

/** A check takes a dozen system calls. inotify would be quicker, but it stays with the old folder when one is mounted over it. */
const CNI_FILES_LOOK_MS = 2000;

/**
 * Returns the function to call after each good run: it keeps subnet.env correct, and the first time it writes the CNI files and reports
 * READY.
 */
export function publisher({ overlays, readiness, options, cniFiles, tools, drift }: PublishParts): () => void {
  const { sys, log } = tools;
  let announced = false;
  let written: string | undefined;
  return () => {
    if (!readiness.isFine(FIREWALL)) return;
    attemptPart(readiness, SUBNET_ENV, () => {
      const content = subnetEnvFor(overlays, options.firewall.ipMasq);
      const present = readTextIfPresent(sys, options.subnetFile, 4096);
      const wanted = renderSubnetEnv(content);
      if (present === wanted) return;
      writeSubnetEnv(sys, options.subnetFile, content);
      log.info({ file: options.subnetFile, mtu: content.mtu }, 'subnet.env written');
      // When the wanted content changed (a new MTU), the difference is the agent's own doing and no drift.
      if (written === wanted) noteSubnetEnv(drift, options.subnetFile, present, wanted);
      written = wanted;
    });
    attemptPart(readiness, CNI_FILES, () => cniFiles.publish());
    if (announced) return;
    announced = true;
    log.info({ peers: overlays.map((overlay) => overlay.peerCount).join(' + ') }, 'ready');
    try {
      tools.notifyReady();
    } catch (error) {
      log.warn({ err: errorText(error) }, 'systemd could not be told that the agent is ready');
    }
  };
}

/** Keeps the CNI files correct once they are published, because other installers write to the same folders. */
export function keepCniFiles({ readiness, cniFiles, tools }: PublishParts): Loop {
  const failures = createFailureLog(tools.log);
  let hasFailed = false;
  const run = (): Promise<number | undefined> => {
    const nextMs = cniFiles.look();
    if (hasFailed) readiness.fine(CNI_FILES);
    hasFailed = false;
    failures.recovered('look', {}, 'CNI files are right again');
    return Promise.resolve(nextMs);
  };
  const onError = (error: unknown): void => {
    hasFailed = true;
    readiness.failed(CNI_FILES, error);
    failures.failed('look', error, {}, 'CNI files are wrong, will retry');
  };
  return startLoop({ run, onError, clock: tools.clock, minGapMs: 0, auditMs: CNI_FILES_LOOK_MS });
}

function noteSubnetEnv(drift: DriftNotes, file: string, present: string | undefined, wanted: string): void {
  const was = present === undefined ? 'missing' : 'changed';
  const cmd = `printf '${wanted.replaceAll('\n', '\\n')}' >${file}`;
  drift.note({ object: 'subnet.env', place: file, what: 'subnet.env', was, cmd });
}

function attemptPart(readiness: Readiness, part: string, body: () => void): void {
  try {
    body();
  } catch (error) {
    readiness.failed(part, error);
    throw error;
  }
  readiness.fine(part);
}

/** Differs from flannel (D17): the MTU is the smaller one of both families; flannel takes that of IPv4. */
function subnetEnvFor(overlays: readonly Overlay[], ipMasq: boolean): SubnetEnvContent {
  const v4 = overlays.find(({ family }) => family === 4);
  const v6 = overlays.find(({ family }) => family === 6);
  return {
    network: v4?.network,
    subnet: v4?.subnet,
    ipv6Network: v6?.network,
    ipv6Subnet: v6?.subnet,
    mtu: Math.min(...overlays.map(({ mtuBytes }) => mtuBytes)),
    ipMasq,
  };
}
