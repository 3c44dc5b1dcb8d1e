// Makes the namespace, the pods and the Services of the test, waits for them, and removes them.

import { KubeError } from '../../subnet/kube/api.ts';
import { type ClusterApi, type Fields, fieldsOf, listOf, textOf } from '../ask/cluster-api.ts';
import {
  type Member,
  namespaceObject,
  podObject,
  type ReadyMember,
  serviceObject,
  TEST_LABEL,
  TEST_NAME,
} from './connectivity-plan.ts';

const POLL_MS = 500;
/** A new namespace gets its service account a moment later; until then no pod is accepted. */
const ACCOUNT_MS = 15_000;
const REMOVE_MS = 90_000;
/** No test takes this long, so an older namespace was left by a test that was killed. */
const STALE_MS = 1_800_000;

export interface SceneOptions {
  readonly namespace: string;
  readonly program: string;
  /** How long pods may take to become ready. */
  readonly podsMs: number;
  readonly signal: AbortSignal;
}

export interface Scene {
  readonly ready: readonly ReadyMember[];
  /** Why a member's pod is not ready. */
  readonly failed: readonly { readonly member: Member; readonly why: string }[];
}

/** The caller removes the namespace, even when this rejects. */
export async function makeScene(api: ClusterApi, members: readonly Member[], options: SceneOptions): Promise<Scene> {
  const { namespace, program, signal } = options;
  await api.create('/api/v1/namespaces', namespaceObject(namespace), signal);
  const base = `/api/v1/namespaces/${namespace}`;
  const serviceIps = new Map<string, string>();
  for (const member of members) {
    const service = await api.create(`${base}/services`, serviceObject(member), signal);
    serviceIps.set(member.name, textOf(fieldsOf(service['spec'])['clusterIP']));
    await createPod(api, `${base}/pods`, podObject(member, program), signal);
  }
  const pods = await untilReady(api, `${base}/pods`, members.length, options);
  const ready: ReadyMember[] = [];
  const failed: { member: Member; why: string }[] = [];
  for (const member of members) {
    const pod = pods.find((each) => textOf(fieldsOf(each['metadata'])['name']) === member.name) ?? {};
    const podIps = listOf(fieldsOf(pod['status'])['podIPs']).map(({ ip }) => textOf(ip));
    if (isReady(pod)) ready.push({ ...member, podIps, serviceIp: serviceIps.get(member.name) ?? '' });
    else failed.push({ member, why: whyNotReady(pod) });
  }
  return { ready, failed };
}

async function createPod(api: ClusterApi, path: string, pod: object, signal: AbortSignal): Promise<void> {
  const until = Date.now() + ACCOUNT_MS;
  for (;;) {
    try {
      await api.create(path, pod, signal);
      return;
    } catch (error) {
      const isEarly = error instanceof KubeError && error.status === 403 && error.message.includes('serviceaccount');
      if (!isEarly || Date.now() > until) throw error;
    }
    await pause(POLL_MS, signal);
  }
}

async function untilReady(
  api: ClusterApi,
  path: string,
  count: number,
  { podsMs, signal }: SceneOptions,
): Promise<Fields[]> {
  const until = Date.now() + podsMs;
  for (;;) {
    const pods = await api.list(path, {}, signal);
    if (pods.filter(isReady).length === count || Date.now() > until) return pods;
    await pause(POLL_MS, signal);
  }
}

function isReady(pod: Fields): boolean {
  const conditions = listOf(fieldsOf(pod['status'])['conditions']);
  return conditions.some((each) => each['type'] === 'Ready' && each['status'] === 'True');
}

function whyNotReady(pod: Fields): string {
  const status = fieldsOf(pod['status']);
  const state = fieldsOf(listOf(status['containerStatuses'])[0]?.['state']);
  const reasons = [state['waiting'], state['terminated'], status].map((each) => {
    const { reason, message } = fieldsOf(each);
    return [textOf(reason), textOf(message)].filter(Boolean).join(': ');
  });
  return reasons.find((each) => each !== '') ?? `phase ${textOf(status['phase']) || 'unknown'}, not ready`;
}

/**
 * Resolves when the namespace is gone, or to false when it still exists after a while. Its time limit does not depend on Ctrl-C, because it
 * also runs after that.
 */
export async function removeScene(api: ClusterApi, namespace: string): Promise<boolean> {
  const signal = AbortSignal.timeout(REMOVE_MS);
  const path = `/api/v1/namespaces/${namespace}`;
  await api.remove(path, signal);
  for (;;) {
    try {
      await api.get(path, signal);
      await pause(POLL_MS, signal);
    } catch (error) {
      if (error instanceof KubeError && error.status === 404) return true;
      if (signal.aborted) return false;
      throw error;
    }
  }
}

/** Removes what killed tests have left; resolves to the namespaces' names. */
export async function removeStale(api: ClusterApi, nowMs: number, signal: AbortSignal): Promise<string[]> {
  const all = await api.list('/api/v1/namespaces', { labelSelector: `${TEST_LABEL}=${TEST_NAME}` }, signal);
  const stale = all
    .map((each) => fieldsOf(each['metadata']))
    .filter(({ creationTimestamp }) => nowMs - Date.parse(textOf(creationTimestamp)) > STALE_MS)
    .map(({ name }) => textOf(name));
  for (const name of stale) await api.remove(`/api/v1/namespaces/${encodeURIComponent(name)}`, signal);
  return stale;
}

/** Rejects when `signal` is aborted. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    }, ms);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
  });
}
