// Pods that test the network: one on every node that serves, and others that ask these, once or continuously. They run the image that is
// being installed, so nothing else is pulled, in a namespace of their own, which is removed at the end.

import { readFileSync } from 'node:fs';
import { restricted } from './restricted.mjs';

const PORT = 8080;
const PROGRAM = 'probe.cjs';
const LABEL = 'weft.deploy/probe';
const MAX_TARGETS = 8;
const START_MS = 180_000;
const ONCE_MS = 120_000;
/** When this program is killed nothing removes the pods, so they end by themselves. */
const DEADLINE_S = 3600;
/** In clusters whose kernels lack IPv6 they listen on IPv4. */
/** A pod's specification. `args` are those of probe-program.cjs. */
export function probePod(image, args, more = {}) {
  return {
    terminationGracePeriodSeconds: 1,
    automountServiceAccountToken: false,
    tolerations: [{ operator: 'Exists' }],
    containers: [
      {
        name: 'probe',
        image,
        imagePullPolicy: 'IfNotPresent',
        command: ['node', `/program/${PROGRAM}`, ...args],
        env: [{ name: 'POD_NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }],
        resources: { requests: { cpu: '5m', memory: '32Mi' } },
        securityContext: restricted,
        volumeMounts: [{ name: 'program', mountPath: '/program', readOnly: true }],
        ...more.container,
      },
    ],
    volumes: [{ name: 'program', configMap: { name: 'program' } }],
    ...more.pod,
  };
}

/** The others that each server is asked to reach: all of them in a small cluster; in a large one those after it in the list. */
export function chooseTargets(servers, most = MAX_TARGETS) {
  return servers.map((from, at) => {
    const others = [...servers.slice(at + 1), ...servers.slice(0, at)];
    return { from, targets: others.slice(0, most) };
  });
}

function url(address) {
  return `http://${address.includes(':') ? `[${address}]` : address}:${PORT}/`;
}

export class Probes {
  #kubectl;
  #image;
  #namespace;

  constructor(kubectl, image, namespace = `weft-deploy-${process.pid}`) {
    this.#kubectl = kubectl;
    this.#image = image;
    this.#namespace = namespace;
  }

  /** Starts the pod that serves on every node, and waits until all do. Resolves to them. */
  async start() {
    const namespace = this.#namespace;
    const program = readFileSync(new URL('probe-program.cjs', import.meta.url), 'utf8');
    const labels = { [LABEL]: 'server' };
    const ready = { readinessProbe: { httpGet: { port: PORT, path: '/' }, periodSeconds: 1 } };
    await this.#kubectl.apply([
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace, labels: { [LABEL]: 'namespace' } } },
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'program', namespace }, data: { [PROGRAM]: program } },
      {
        apiVersion: 'apps/v1',
        kind: 'DaemonSet',
        metadata: { name: 'server', namespace },
        spec: {
          selector: { matchLabels: labels },
          template: { metadata: { labels }, spec: probePod(this.#image, ['serve'], { container: ready }) },
        },
      },
    ]);
    let servers = [];
    await this.#kubectl.until(
      'a probe pod on every node',
      async () => {
        const daemonSet = await this.#kubectl.json(['get', 'daemonset', 'server', '--namespace', namespace]);
        const { desiredNumberScheduled: wanted = 0, numberReady = 0 } = daemonSet.status;
        servers = wanted > 0 && numberReady === wanted ? await this.#pods('server') : [];
        return (
          (wanted > 0 && servers.length === wanted) ||
          `${numberReady} of ${wanted} are ready${await this.#why('server')}`
        );
      },
      START_MS,
    );
    return servers;
  }

  /** Every server asks others, at all their addresses. Resolves to one line for each that does not answer. */
  async once(servers) {
    await this.#askers('once', servers);
    let pods = [];
    await this.#kubectl.until(
      'the end of the connectivity test',
      async () => {
        pods = await this.#pods('once');
        const ended = pods.filter(({ status }) => ['Succeeded', 'Failed'].includes(status.phase));
        return (
          ended.length === servers.length || `${ended.length} of ${servers.length} have ended${await this.#why('once')}`
        );
      },
      ONCE_MS,
    );
    await this.#kubectl.run([
      'delete',
      'pods',
      '--namespace',
      this.#namespace,
      `--selector=${LABEL}=once`,
      '--wait=false',
    ]);
    return pods.flatMap(lastWords);
  }

  /** Every server asks others continuously, until `stop`. Resolves when all run. */
  async watch(servers) {
    await this.#askers('watch', servers);
    await this.#kubectl.until(
      'pods that watch',
      async () => {
        const running = (await this.#pods('watch')).filter(({ status }) => status.phase === 'Running');
        return (
          running.length === servers.length || `${running.length} of ${servers.length} run${await this.#why('watch')}`
        );
      },
      START_MS,
    );
  }

  /** One line for each watcher that has lost an answer, and for each pod of ours that is gone or was restarted. */
  async lost(servers) {
    const [watchers, now] = await Promise.all([this.#pods('watch'), this.#pods('server')]);
    const gone = servers.filter(
      (one) => !now.some((pod) => pod.metadata.uid === one.metadata.uid && restarts(pod) === restarts(one)),
    );
    return [
      ...watchers.flatMap(lastWords),
      ...gone.map((pod) => `pod ${pod.metadata.name} on ${pod.spec.nodeName} is gone or was restarted`),
    ];
  }

  async #askers(mode, servers) {
    const pods = chooseTargets(servers).map(({ from, targets }, at) => {
      const words = targets.flatMap(({ spec, status }) => status.podIPs.map(({ ip }) => `${spec.nodeName}=${url(ip)}`));
      const pod = { nodeName: from.spec.nodeName, restartPolicy: 'Never', activeDeadlineSeconds: DEADLINE_S };
      const metadata = { name: `${mode}-${at}`, namespace: this.#namespace, labels: { [LABEL]: mode } };
      return { apiVersion: 'v1', kind: 'Pod', metadata, spec: probePod(this.#image, [mode, ...words], { pod }) };
    });
    await this.#kubectl.apply(pods);
  }

  #pods(role) {
    return this.#kubectl.list(['pods', '--namespace', this.#namespace, `--selector=${LABEL}=${role}`]);
  }

  /** Why the first waiting pod waits, in the kubelet's words. */
  async #why(role) {
    for (const { status } of await this.#pods(role)) {
      const waiting = status.containerStatuses?.[0]?.state?.waiting;
      if (waiting?.message !== undefined) return `: ${waiting.reason}: ${waiting.message}`;
    }
    return '';
  }

  /** Removes the namespace. Never rejects, because it runs when other things have failed. */
  async remove() {
    await this.#kubectl
      .run(['delete', 'namespace', this.#namespace, '--ignore-not-found', '--wait=false'])
      .catch(() => undefined);
  }
}

function restarts({ status }) {
  return status.containerStatuses?.[0]?.restartCount ?? 0;
}

/** The last output of a failed pod, one line for each target. */
function lastWords({ spec, status }) {
  if (status.phase !== 'Failed') return [];
  const { terminated } = status.containerStatuses?.[0]?.state ?? {};
  const words = terminated?.message ?? status.message ?? `ended with ${terminated?.exitCode}`;
  return words.split('\n').map((line) => `from ${spec.nodeName} to ${line}`);
}
