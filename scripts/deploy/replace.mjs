// Puts Weft into flannel's own DaemonSet, on one node first, then on a tenth at a time. Between the steps, pods that ask each other
// continuously must have lost nothing, and pods that were ready on a changed node must still be ready. Otherwise flannel is restored.

import { isOurs } from './preflight.mjs';

const READY_MS = 180_000;
/** How long the nodes of a step are observed before the next step. */
const WATCH_MS = 8000;
const PARTS = 10;

/** The steps: a canary, then a tenth of the nodes at a time. */
export function planSteps(nodes) {
  const [canary, ...rest] = nodes;
  const size = Math.max(1, Math.floor(nodes.length / PARTS));
  const steps = canary === undefined ? [] : [[canary]];
  for (let at = 0; at < rest.length; at += size) steps.push(rest.slice(at, at + size));
  return steps;
}

/** An object in the form in which it can be restored: without what the server wrote into it. */
export function withoutServerFields({ status: _status, ...object }) {
  const {
    resourceVersion: _r,
    uid: _u,
    creationTimestamp: _c,
    managedFields: _m,
    generation: _g,
    ...metadata
  } = object.metadata;
  return { ...object, metadata };
}

/** The DaemonSet that replaces a pod only when it is deleted, so that we decide when each node changes. */
export function onDelete(object) {
  return { ...object, spec: { ...object.spec, updateStrategy: { type: 'OnDelete', rollingUpdate: null } } };
}

/** Pods with a network of their own that were ready before, run on one of `nodes`, and are not ready now or were restarted. */
export function lostPods(before, now, nodes) {
  const current = new Map(now.map((pod) => [pod.metadata.uid, pod]));
  return before.filter(isReady).flatMap((old) => {
    const pod = current.get(old.metadata.uid);
    // A pod may have been deleted for any reason; whether its successor becomes ready shows whether pods start.
    if (pod === undefined || pod.metadata.deletionTimestamp !== undefined || !nodes.includes(old.spec.nodeName))
      return [];
    const name = `pod ${pod.metadata.namespace}/${pod.metadata.name} on ${pod.spec.nodeName}`;
    if (!isReady(pod)) return [`${name} is no longer ready`];
    return restarts(pod) > restarts(old) ? [`${name} was restarted`] : [];
  });
}

function isReady({ spec, status }) {
  return (
    spec.hostNetwork !== true &&
    status.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') === true
  );
}

function restarts({ status }) {
  return (status.containerStatuses ?? []).reduce((sum, { restartCount }) => sum + restartCount, 0);
}

export class Replacement {
  #kubectl;
  #objects;
  #daemonSet;
  #saved = [];
  #changed = [];

  /** `objects` are those of the overlay with the image filled in. Their DaemonSet has flannel's name. */
  constructor(kubectl, objects) {
    this.#kubectl = kubectl;
    this.#objects = objects;
    this.#daemonSet = objects.find(({ kind }) => kind === 'DaemonSet');
  }

  /** Saves the present objects, and makes the DaemonSet ours without changing any node. */
  async begin() {
    for (const { kind, metadata } of this.#objects) {
      const found = await this.#kubectl.find([kind.toLowerCase(), metadata.name, ...namespaceFlag(metadata)]);
      if (found !== undefined) this.#saved.push(withoutServerFields(found));
    }
    await this.#kubectl.apply(this.#objects.map((one) => (one === this.#daemonSet ? onDelete(one) : one)));
  }

  /** Replaces the agents of these nodes, and resolves when all new ones are ready. */
  async step(nodes) {
    this.#changed.push(...nodes);
    await Promise.all(nodes.map((node) => this.#renew(node, true)));
  }

  async #renew(node, isToBeOurs) {
    const before = await this.#podOn(node);
    if (before !== undefined && isOurs(before.spec) !== isToBeOurs) await this.#delete(before);
    await this.#kubectl.until(
      `the new agent of ${node}`,
      async () => {
        const pod = await this.#podOn(node);
        if (pod === undefined || isOurs(pod.spec) !== isToBeOurs || pod.metadata.deletionTimestamp !== undefined)
          return 'not started';
        const { waiting } = pod.status.containerStatuses?.[0]?.state ?? {};
        const isUp = pod.status.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;
        return (
          isUp || `${pod.metadata.name} is not ready${waiting?.message === undefined ? '' : `: ${waiting.message}`}`
        );
      },
      READY_MS,
    );
  }

  async #podOn(node) {
    const { namespace } = this.#daemonSet.metadata;
    const pods = await this.#kubectl.list([
      'pods',
      '--namespace',
      namespace,
      '--selector=app=flannel',
      `--field-selector=spec.nodeName=${node}`,
    ]);
    return pods.find(({ metadata }) => metadata.deletionTimestamp === undefined) ?? pods[0];
  }

  async #delete({ metadata }) {
    await this.#kubectl.run(['delete', 'pod', metadata.name, '--namespace', metadata.namespace, '--wait=false']);
  }

  /** Lets Kubernetes replace agents by itself from now on, as the manifest says. */
  async finish() {
    await this.#kubectl.apply([this.#daemonSet]);
  }

  /** Restores flannel's objects, and its agent on the nodes that were changed, one after the other. */
  async goBack() {
    const ours = this.#saved.find(({ kind }) => kind === 'DaemonSet');
    for (const object of this.#saved) await this.#replace(object === ours ? onDelete(object) : object);
    for (const node of this.#changed) await this.#renew(node, false);
    if (ours !== undefined) await this.#replace(ours);
  }

  async #replace(object) {
    await this.#kubectl.run(['replace', '--filename=-'], { input: JSON.stringify(object) });
  }
}

function namespaceFlag({ namespace }) {
  return namespace === undefined ? [] : ['--namespace', namespace];
}

/**
 * All steps, with probes before and between. Resolves to what was lost: nothing, when all nodes are ours. `say` is called for each step.
 * When anything is lost or fails, or `signal` is aborted, everything is as before when this resolves.
 */
export async function replaceFlannel({ kubectl, replacement, probes, nodes, say, signal }) {
  const servers = await probes.start();
  const failed = await probes.once(servers);
  if (failed.length > 0) return ['before anything was changed:', ...failed];
  await probes.watch(servers);
  const before = await kubectl.list(['pods', '--all-namespaces']);
  const done = [];
  let lost = [];
  try {
    await replacement.begin();
    for (const step of planSteps(nodes)) {
      await replacement.step(step);
      done.push(...step);
      await new Promise((resolve) => void setTimeout(resolve, WATCH_MS));
      lost = [
        ...(await probes.lost(servers)),
        ...lostPods(before, await kubectl.list(['pods', '--all-namespaces']), done),
      ];
      if (signal?.aborted) lost.push('this was interrupted');
      if (lost.length > 0) break;
      say(`${done.length} of ${nodes.length} nodes: ${step.join(', ')}`);
    }
    if (lost.length === 0) await replacement.finish();
  } catch (error) {
    lost = [error.message];
  }
  if (lost.length > 0) await replacement.goBack();
  return lost;
}
