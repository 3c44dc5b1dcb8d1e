// The conditions before anything is applied, and what a user should know. Pure functions of the API server's answers.

const OLDEST = 25;
const ARCHES = ['amd64', 'arm64'];
/** Other pod networks, by the names that their projects give their DaemonSets. */
const OTHERS = [
  'calico-node',
  'cilium',
  'antrea-agent',
  'kindnet',
  'kube-router',
  'weave-net',
  'aws-node',
  'canal',
  'ovnkube-node',
  'kilo',
];

/** A DaemonSet of flannel's own agent: its pods have the label that flannel's manifests give them. */
export function findFlannel(daemonSets) {
  return daemonSets.find(
    ({ spec }) => spec.template.metadata?.labels?.app === 'flannel' && !isOurs(spec.template.spec),
  );
}

export function isOurs({ containers }) {
  return containers.some(({ command }) => command?.[0] === '/opt/weft/flanneld');
}

/** Lines that stop the deployment, and lines that do not. */
export function preflight({ version, nodes, daemonSets, replaceFlannel }) {
  return {
    errors: [...versionErrors(version), ...nodeErrors(nodes), ...networkErrors(daemonSets, replaceFlannel)],
    warnings: nodeWarnings(nodes),
  };
}

function versionErrors({ major, minor }) {
  const number = Number.parseInt(minor, 10);
  if (Number(major) > 1 || number >= OLDEST) return [];
  return [`the API server is Kubernetes ${major}.${number}; 1.${OLDEST} or later is needed`];
}

function nodeErrors(nodes) {
  const linux = nodes.filter(({ metadata }) => metadata.labels?.['kubernetes.io/os'] === 'linux');
  if (linux.length === 0) return ['the cluster has no Linux node'];
  return linux
    .map(({ metadata, spec, status }) => ({
      name: metadata.name,
      arch: status.nodeInfo.architecture,
      cidr: spec.podCIDR,
    }))
    .flatMap(({ name, arch, cidr }) => [
      ...(ARCHES.includes(arch) ? [] : [`node ${name} is ${arch}: the image is for ${ARCHES.join(' and ')}`]),
      ...(cidr === undefined || cidr === ''
        ? [`node ${name} has no podCIDR: run kube-controller-manager with --allocate-node-cidrs and --cluster-cidr`]
        : []),
    ]);
}

function networkErrors(daemonSets, replaceFlannel) {
  const others = daemonSets.filter(({ metadata }) => OTHERS.includes(metadata.name));
  const flannel = findFlannel(daemonSets);
  const place = ({ metadata }) => `${metadata.namespace}/${metadata.name}`;
  return [
    ...others.map((one) => `another pod network is installed, DaemonSet ${place(one)}: remove it first`),
    ...(flannel !== undefined && !replaceFlannel
      ? [`flannel runs here, DaemonSet ${place(flannel)}: --replace-flannel takes its place node by node`]
      : []),
    ...(flannel === undefined && replaceFlannel
      ? ['--replace-flannel: there is no DaemonSet whose pods have the label app=flannel']
      : []),
  ];
}

function nodeWarnings(nodes) {
  return nodes.flatMap(({ metadata, status }) => {
    const [, major = 0, minor = 0] = /^(\d+)\.(\d+)/.exec(status.nodeInfo.kernelVersion) ?? [];
    const isOld = Number(major) < 5 || (Number(major) === 5 && Number(minor) < 10);
    return isOld ? [`node ${metadata.name} has Linux ${status.nodeInfo.kernelVersion}; 5.10 or later is tested`] : [];
  });
}

/** Whether the server has ValidatingAdmissionPolicies, by its list of resources of admissionregistration.k8s.io/v1. */
export function hasPolicies(resources) {
  return resources?.resources?.some(({ name }) => name === 'validatingadmissionpolicies') === true;
}
