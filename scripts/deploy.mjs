// `npm run deploy`: makes a running overlay with only a kubeconfig. It checks whether the cluster is suitable, fills image and network into
// the manifests, applies them, waits until every node is ready, and tries the network with pods. README.md of manifests/ has the same steps
// as kubectl commands.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseAllDocuments } from 'yaml';
import { fillImage, fillNetwork } from './deploy/fill.mjs';
import { Kubectl } from './deploy/kubectl.mjs';
import { findNetwork } from './deploy/network.mjs';
import { findFlannel, hasPolicies, preflight } from './deploy/preflight.mjs';
import { Probes } from './deploy/probes.mjs';
import { Replacement, replaceFlannel } from './deploy/replace.mjs';

const manifests = fileURLToPath(new URL('../manifests/', import.meta.url));
const NAMESPACE = 'weft';
const ROLLOUT_MS = 300_000;
const ADMISSION = '/apis/admissionregistration.k8s.io/v1';
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];

const say = (text) => void process.stdout.write(`${text}\n`);
const parseYaml = (text) =>
  parseAllDocuments(text)
    .map((document) => document.toJS())
    .filter((object) => object !== null);
const readManifest = (name) => parseYaml(readFileSync(`${manifests}${name}`, 'utf8'));

/** What matters here about the cluster. */
async function survey(kubectl) {
  const [version, nodes, daemonSets, kubeadmConfig, policies] = await Promise.all([
    kubectl.run(['get', '--raw', '/version']).then(JSON.parse),
    kubectl.list(['nodes']),
    kubectl.list(['daemonsets', '--all-namespaces']),
    kubectl.find(['configmap', 'kubeadm-config', '--namespace=kube-system']),
    kubectl.run(['get', '--raw', ADMISSION]).then(JSON.parse, () => undefined),
  ]);
  return { version, nodes, daemonSets, kubeadmConfig, hasPolicies: hasPolicies(policies) };
}

/** Throws an Error with every reason against the deployment. */
function check(cluster, values) {
  const { errors, warnings } = preflight({ ...cluster, replaceFlannel: values['replace-flannel'] === true });
  for (const line of warnings) say(`[!] ${line}`);
  if (errors.length > 0) throw new Error(errors.join('\n'));
}

async function install(kubectl, cluster, values) {
  const network = findNetwork({ given: values.network, kubeadmConfig: cluster.kubeadmConfig, nodes: cluster.nodes });
  const families = [network[4], network[6]].filter((each) => each !== undefined).join(' and ');
  say(`network     ${families} (from ${network.from})`);
  const objects = fillNetwork(fillImage(readManifest('weft.yml'), values.image), network);
  await kubectl.apply([...(cluster.hasPolicies ? readManifest('weft-policy.yml') : []), ...objects]);
  say(
    `applied     weft.yml${cluster.hasPolicies ? ' and weft-policy.yml' : '; Kubernetes before 1.30 has no policy for a node’s token'}`,
  );
  await untilRolledOut(kubectl, NAMESPACE, 'weft');
  await untilNodesReady(kubectl);
  say(`ready       ${cluster.nodes.length} nodes`);
}

async function untilRolledOut(kubectl, namespace, name) {
  await kubectl.until(
    `agents of ${namespace}/${name}`,
    async () => {
      const { metadata, status } = await kubectl.json(['get', 'daemonset', name, '--namespace', namespace]);
      const {
        desiredNumberScheduled: wanted = 0,
        updatedNumberScheduled: updated = 0,
        numberAvailable: available = 0,
      } = status;
      const isDone =
        status.observedGeneration === metadata.generation && wanted > 0 && updated === wanted && available === wanted;
      return isDone || `${available} of ${wanted} are ready: kubectl --namespace ${namespace} logs daemonset/${name}`;
    },
    ROLLOUT_MS,
  );
}

async function untilNodesReady(kubectl) {
  await kubectl.until(
    'ready nodes',
    async () => {
      const nodes = await kubectl.list(['nodes']);
      const not = nodes.filter(
        ({ status }) => !status.conditions.some(({ type, status: is }) => type === 'Ready' && is === 'True'),
      );
      return not.length === 0 || not.map(({ metadata }) => metadata.name).join(', ');
    },
    ROLLOUT_MS,
  );
}

/** The overlay for the way in which flannel was installed, which its selector shows. */
async function replacementObjects(kubectl, flannel, image) {
  const { name, namespace, annotations = {} } = flannel.metadata;
  if (annotations['meta.helm.sh/release-name'] !== undefined) {
    throw new Error(
      `${namespace}/${name} is of Helm's: upgrade it to manifests/helm/weft with replaceFlannel=true (manifests/README.md)`,
    );
  }
  if (namespace !== 'kube-flannel' || name !== 'kube-flannel-ds') {
    throw new Error(
      `flannel's DaemonSet is ${namespace}/${name}, and the overlays know kube-flannel/kube-flannel-ds: make one of your own from kustomize/components/replace-flannel`,
    );
  }
  const isRelease = flannel.spec.selector.matchLabels['k8s-app'] === 'flannel';
  const overlay = `${manifests}kustomize/overlays/replace-flannel${isRelease ? '-release' : ''}`;
  return fillImage(parseYaml(await kubectl.run(['kustomize', overlay])), image);
}

async function replace(kubectl, cluster, values, probes, signal) {
  const flannel = findFlannel(cluster.daemonSets);
  const replacement = new Replacement(kubectl, await replacementObjects(kubectl, flannel, values.image));
  const nodes = cluster.nodes
    .filter(({ metadata }) => metadata.labels?.['kubernetes.io/os'] === 'linux')
    .map(({ metadata }) => metadata.name);
  const lost = await replaceFlannel({
    kubectl,
    replacement,
    probes,
    nodes,
    signal,
    say: (text) => say(`replaced    ${text}`),
  });
  if (lost.length === 0) return;
  throw new Error(['flannel runs again as before, because this was lost:', ...lost].join('\n'));
}

async function connectivity(probes) {
  const servers = await probes.start();
  const failed = await probes.once(servers);
  if (failed.length > 0) throw new Error(['pods do not reach each other:', ...failed].join('\n'));
  say(`reached     pods on ${servers.length} nodes reach each other`);
}

function next(namespace, name) {
  say(`
Next:
  kubectl --namespace ${namespace} exec daemonset/${name} -- /opt/weft/flanneld status     what a node's agent says
  npm run deploy -- uninstall                                           removes everything again`);
}

async function uninstall(kubectl, values) {
  const daemonSet = await kubectl.find(['daemonset', 'weft', `--namespace=${NAMESPACE}`]);
  const image = values.image ?? daemonSet?.spec.template.spec.containers[0].image;
  if (image === undefined)
    throw new Error('there is no DaemonSet weft/weft; name the image for the clean-up by --image');
  const remove = (...args) => kubectl.run(['delete', '--ignore-not-found', ...args]);
  await remove('daemonset', 'weft', `--namespace=${NAMESPACE}`);
  await kubectl.until(
    'the end of the agents',
    async () => {
      const pods = await kubectl.list(['pods', `--namespace=${NAMESPACE}`, '--selector=app.kubernetes.io/name=weft']);
      return pods.length === 0 || `${pods.length} are left`;
    },
    ROLLOUT_MS,
  );
  await kubectl.apply(fillImage(readManifest('cleanup.yml'), image));
  await untilRolledOut(kubectl, NAMESPACE, 'weft-cleanup');
  say('cleaned     every node');
  for (const name of ['weft.yml', 'weft-policy.yml']) await remove('--wait=false', `--filename=${manifests}${name}`);
  say(
    'removed     the objects of weft.yml and weft-policy.yml; what attached pods use stays on the nodes until they go',
  );
}

async function run(kubectl, values, probes, signal) {
  const cluster = await survey(kubectl);
  check(cluster, values);
  say(`preflight   ${cluster.nodes.length} nodes, Kubernetes ${cluster.version.gitVersion}`);
  if (values['replace-flannel'] === true) {
    await replace(kubectl, cluster, values, probes, signal);
    return next('kube-flannel', 'kube-flannel-ds');
  }
  await install(kubectl, cluster, values);
  await connectivity(probes);
  return next(NAMESPACE, 'weft');
}

export async function main(values, [what, ...rest]) {
  if ((what !== undefined && what !== 'uninstall') || rest.length > 0)
    throw new Error(`expected nothing or uninstall, got "${[what, ...rest].join(' ')}"`);
  const kubectl = new Kubectl(values);
  if (what === 'uninstall') {
    await uninstall(kubectl, values);
    return 0;
  }
  if (values.image === undefined)
    throw new Error('--image REF is needed: what nodes pull, as npm run image -- push printed it');
  const probes = new Probes(kubectl, values.image);
  const interrupted = new AbortController();
  // A second signal ends it at once, wherever it is.
  const stop = async () => {
    if (values['replace-flannel'] === true && !interrupted.signal.aborted) {
      say('interrupted: going back after this step');
      return interrupted.abort();
    }
    await probes.remove();
    process.exit(130);
  };
  for (const signal of SIGNALS) process.on(signal, stop);
  try {
    await run(kubectl, values, probes, interrupted.signal);
    return 0;
  } finally {
    for (const signal of SIGNALS) process.off(signal, stop);
    await probes.remove();
  }
}
