// What the npm scripts do and which arguments they accept. npm-script.mjs prints this for `npm run NAME -- --help` and refuses options that are
// not here. Each entry has `does` (sentences); `options` (as for parseArgs of node:util, with `says` and, for an option with a value,
// the `value`'s name and a `check`, which returns what was expected when it refuses the value); `words` (its other arguments);
// `passes` (who parses the words, `vitest` or the command itself; they may then begin with a dash);
// and `setUp: 'modules'` for what needs no packages of Debian and no build.

import { folder, image, LAB, labName, oneOf, vitest, whole } from './option-kinds.mjs';
import { SUITES } from './suites.mjs';

export const COMMANDS = {
  setup: {
    does: 'Installs what every other script needs: Debian packages (as root), node_modules, and the engine of the CNI executable.',
  },
  start: {
    does: 'Starts three nodes with pods on this machine, prints which pods reach each other, and removes everything. Ctrl-C removes what exists by then.',
    root: LAB,
    options: {
      nodes: { type: 'string', value: 'N', default: '3', says: 'how many nodes', check: whole(1, 100) },
      pods: { type: 'string', value: 'N', default: '2', says: 'pods on each node', check: whole(0, 200) },
      keep: { type: 'boolean', says: 'keeps the lab, so that npm run lab can use it' },
      name: { type: 'string', value: 'NAME', default: 'lab', says: 'the name of a kept lab', check: labName },
    },
  },
  lab: {
    does: 'Works on a lab that npm start -- --keep has kept.',
    words: 'COMMAND',
    passes: 'words',
    commands: {
      status: 'shows nodes, agents and pods',
      ping: 'pings from every pod to every other pod',
      'exec NODE|POD CMD…': 'runs a command there, such as ping or flanneld status; Ctrl-C ends only the command',
      'logs NODE': "prints the agent's log since the node booted",
      'pod add NODE': 'attaches one more pod',
      'pod del NODE POD': 'detaches it',
      'agent start|stop|kill NODE': 'starts the agent, or ends it by SIGTERM (stop) or SIGKILL (kill)',
      'node reboot NODE': 'cuts the power and boots the node again; its disk stays',
      'node remove NODE': 'cuts the power and removes the node',
      down: 'removes everything',
    },
    options: {
      name: {
        type: 'string',
        value: 'NAME',
        says: 'which lab, when more than one is kept; it comes before the command',
      },
    },
  },
  build: {
    does: 'Builds dist/flanneld, dist/cni/flannel and dist/kubectl-weft when their sources have changed.',
    words: '[flanneld|cni|kubectl-weft]',
    options: {
      arch: {
        type: 'string',
        value: 'P',
        says: 'for another processor than this one: amd64 or arm64',
        check: oneOf('amd64', 'arm64'),
      },
    },
  },
  check: { does: 'Checks types, lint rules, format and dead code.' },
  image: {
    does: 'Builds the image for amd64 and arm64 as dist/weft-VERSION.oci.tar, with an SBOM of each, the same bytes each time. As root.',
    words: '[load PLACE | push REF]',
    commands: {
      'load kind [CLUSTER]': 'brings it to the nodes of a kind cluster',
      'load containerd [SOCKET]': 'into the containerd of this machine, where kubelet finds it',
      'load docker': 'into docker on this machine',
      'push REGISTRY/NAME:TAG': 'to a registry, for both processors, by skopeo or buildah',
    },
    options: {
      arch: {
        type: 'string',
        multiple: true,
        value: 'P',
        says: 'only for this processor, amd64 or arm64',
        check: oneOf('amd64', 'arm64'),
      },
      builder: {
        type: 'string',
        value: 'NAME',
        says: 'buildah, or docker where there is no buildah and no apt; docker pulls the base images',
        check: oneOf('buildah', 'docker'),
      },
      ...image,
    },
  },
  'image:size': {
    does: 'Builds the image (manifests/Dockerfile), and prints the size of each part and the memory that the agent uses in it. As root.',
    options: image,
  },
  deploy: {
    does: 'Installs Weft in the cluster of a kubeconfig: looks whether it can, applies the manifests with image and network filled in, waits until the nodes are ready, and lets pods on all nodes reach each other.',
    words: '[uninstall]',
    setUp: 'modules',
    commands: { uninstall: 'removes Weft from every node and the cluster' },
    options: {
      image: { type: 'string', value: 'REF', says: 'what nodes pull; npm run image -- push prints it' },
      network: {
        type: 'string',
        value: 'CIDR[,CIDR]',
        says: "the pod network, instead of kubeadm's or what the nodes' podCIDRs lie in",
      },
      'replace-flannel': {
        type: 'boolean',
        says: 'takes the place of flannel: one node, then a tenth at a time; goes back when a probe or a pod is lost',
      },
      kubeconfig: { type: 'string', value: 'FILE', says: 'as for kubectl' },
      context: { type: 'string', value: 'NAME', says: 'as for kubectl' },
    },
  },
  release: {
    does: 'Makes everything that a version is published as, in dist/release/VERSION, the same bytes each time; pushes the image unless --dry-run. As root.',
    words: '[version X.Y.Z]',
    commands: { 'version X.Y.Z': 'gives the repository its next version, in package.json and wherever else it stands' },
    options: {
      'dry-run': {
        type: 'boolean',
        says: 'pushes nothing, and takes Unreleased of the CHANGELOG where the version has no heading',
      },
      image: {
        type: 'string',
        value: 'REGISTRY/NAME',
        says: 'where the image is pushed to and the manifests take it from',
      },
      ...image,
    },
  },
  format: { does: 'Formats the sources, applies safe fixes, and makes manifests/REFERENCE.md anew.' },
  test: {
    does: 'Sets up, builds, runs the checks and then all tests. With arguments, it runs only the tests that they select, without the checks. The last line is the result.',
    ...vitest,
    options: {
      project: {
        type: 'string',
        value: 'NAME',
        says: 'unit: tests that need nothing but Node; root and alone: tests of the kernel',
      },
    },
  },
  bench: {
    does: 'Measures the named parts (all except nodes, cluster and backends when none is named) beside references, and writes samples and a report (bench/README.md). As root.',
    words: '[PART…]',
    commands: {
      'start, cni, where, packet, peers, throughput': 'the parts',
      'guard, probes, fast-path, faults': 'more parts',
      'nodes, nodes-start, nodes-changes': 'the agent among thousands of Nodes',
      backends: 'wireguard and ipip beside flannel’s own; needs a kernel with both, flanneld and etcd',
      cluster: 'measures what pods of a cluster see, whatever its network',
      kind: 'the same with kind: Weft, then flannel, and compares',
      'compare BEFORE.json AFTER.json': 'prints figures that differ by more than noise; exits with 1 if one is worse',
      'table RESULT.json…': 'prints the headline figures in Markdown; of several machines their range',
      'report RESULT.json': 'writes the report of a result beside it',
      selftest: 'tests that the bench notices disturbances made on purpose',
    },
    options: {
      quick: { type: 'boolean', says: 'measures less often, for a first look; no limit is checked' },
      runs: {
        type: 'string',
        value: 'N',
        says: 'how often each thing is measured; otherwise each part has its own number',
        check: whole(1),
      },
      peer: {
        type: 'string',
        value: 'DIR',
        says: 'flannel, bridge and host-local executables to compare with',
        check: folder,
      },
      out: {
        type: 'string',
        value: 'DIR',
        says: 'the folder for samples and report, in place of one in bench/results/local',
      },
      into: {
        type: 'string',
        value: 'FILE',
        says: 'with table: the document into which the table is written, README.md',
      },
      kubeconfig: { type: 'string', value: 'FILE', says: 'with cluster: as for kubectl' },
      context: { type: 'string', value: 'NAME', says: 'with cluster: as for kubectl' },
      nodes: {
        type: 'string',
        value: 'A,B',
        says: 'with cluster: between which nodes; otherwise the first two that are ready',
      },
      image: {
        type: 'string',
        value: 'REF',
        says: "with cluster: Weft's image, whose Node runs the pods; otherwise that of the installed agents",
      },
      compare: {
        type: 'string',
        value: 'A.json B.json',
        says: 'with cluster: measures nothing, and judges the second of two results against the first, as compare does',
      },
      churn: {
        type: 'string',
        value: 'N',
        says: 'with cluster: how many pods are made at once; otherwise 30',
        check: whole(1, 200),
      },
    },
  },
  suite: {
    does: 'Runs a suite: tests that take minutes or need programs that are not installed by set-up. test/README.md says what each needs.',
    words: 'NAME [suite option…]',
    passes: 'words',
    commands: {
      list: 'lists the suites, how long each takes and what it needs',
      all: 'runs every suite, one after the other; the last line says how many passed',
      ...Object.fromEntries(Object.entries(SUITES).map(([name, { does }]) => [name, does.split(/[.;:] /)[0]])),
    },
  },
  conformance: {
    does: 'Tests whether the CNI executables in a folder keep the contract (cni-plugin/CONFORMANCE.md). As root.',
    options: {
      bin: {
        type: 'string',
        value: 'DIR',
        says: 'the folder with the executables: those of flannel, bridge, host-local, loopback, portmap and bandwidth that exist',
        check: folder,
      },
      reference: { type: 'boolean', says: 'expect what the reference plugins do, where ours differ on purpose' },
      release: {
        type: 'string',
        value: 'VERSION',
        says: 'with --reference: the release of those plugins (0.9.1, 1.1.1, main); detected when not given',
      },
      plugin: { type: 'string', multiple: true, value: 'NAME', says: 'only cases of this plugin; may be repeated' },
      case: {
        type: 'string',
        multiple: true,
        value: 'ID',
        says: 'only this row or case, such as 54, 2a, 2a@bridge; may be repeated',
      },
      jobs: {
        type: 'string',
        value: 'N',
        says: 'how many cases run at the same time; 3 when not given',
        check: whole(1),
      },
      json: { type: 'string', value: 'FILE', says: 'writes one report for each case' },
      verbose: { type: 'boolean', says: 'prints a line for every case, and the calls and answers of a failed one' },
      list: { type: 'boolean', says: 'prints the cases and runs none' },
      table: { type: 'boolean', says: 'prints the cases as a document (cni-plugin/CONFORMANCE.md) and runs none' },
    },
  },
};

/** The entry of a script. `suite NAME` gives the entry of a suite. */
export function commandOf(name) {
  return name.startsWith('suite ') ? SUITES[name.slice('suite '.length)] : COMMANDS[name];
}
