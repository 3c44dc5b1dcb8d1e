// `flanneld rotate-key`: tells the running agent to make a new WireGuard key, and waits until the agent uses it.

import { setTimeout as sleep } from 'node:timers/promises';
import { steadyMs } from '../../../lib/clock-node.ts';
import { OpError } from '../../../lib/errors.ts';
import { askToRotateKey, fetchStatus, TIMEOUT_MS } from './client.ts';
import type { StatusReport } from './report.ts';

const LIMIT_MS = 15_000;
const ASK_AGAIN_MS = 100;

/**
 * Resolves to one line that names the new public key. `stretched` lengthens a time limit on slow machines. Rejects with OpError when there
 * is no agent, or its backend has no keys.
 */
export async function rotateKey(subnetFile: string, stretched: (limitMs: number) => number): Promise<string> {
  const before = await fetchStatus(subnetFile, stretched(TIMEOUT_MS));
  const former = keyOf(before);
  if (former === undefined) {
    throw failure(
      before.node,
      'no key',
      `the backend ${before.backend} does not encrypt; only the backend wireguard has keys`,
    );
  }
  await askToRotateKey(subnetFile);
  const endMs = steadyMs() + stretched(LIMIT_MS);
  while (steadyMs() < endMs) {
    await sleep(ASK_AGAIN_MS);
    const now = keyOf(await fetchStatus(subnetFile, stretched(TIMEOUT_MS)));
    if (now !== undefined && now !== former)
      return `${before.node} now uses the key ${now}; peers learn it from the node’s lease`;
  }
  throw failure(before.node, 'timeout', `the agent still uses ${former}; its log says why`);
}

function keyOf({ overlays }: StatusReport): string | undefined {
  return overlays.find(({ publicKey }) => publicKey !== undefined)?.publicKey;
}

function failure(object: string, code: string, detail: string): OpError {
  return new OpError({ subsystem: 'status', op: 'rotate the key of', object, code, detail });
}
