// What the npm scripts do and take: the text of `npm run NAME -- --help`, and what run.mjs holds their arguments to. An option that
// is not here is refused. Of each: `does`, sentences; `options`, as parseArgs of node:util has them, with `says`, for one with a value
// the `value`'s name, and `check`, which returns what was expected instead of a value it refuses; `words`, what else it takes;
// `passes`, who reads them: `vitest`, or the command itself (`words`), and then they may begin with a dash.

import { statSync } from 'node:fs';

const VITEST =
  'Everything else goes to vitest: words select the files whose path contains one of them, -t PATTERN the tests by name.';
/** Words and unknown options are vitest's, which says itself what is wrong. */
const vitest = { words: '[FILE…] [vitest option…]', passes: 'vitest', note: VITEST };
const LAB = 'a lab makes network namespaces: run it as root';

function whole(least, most = Number.MAX_SAFE_INTEGER) {
  const range = most === Number.MAX_SAFE_INTEGER ? `from ${least}` : `from ${least} to ${most}`;
  return (text) => {
    const isRight = /^\d{1,16}$/.test(text) && Number(text) >= least && Number(text) <= most;
    return isRight ? undefined : `a whole number ${range}`;
  };
}

function positive(text) {
  return Number(text) > 0 && Number(text) < Number.POSITIVE_INFINITY ? undefined : 'a number above 0';
}

function labName(text) {
  return /^[a-z0-9][a-z0-9-]{0,40}$/.test(text) ? undefined : 'small letters, digits and dashes';
}

function oneOf(...names) {
  return (text) => (names.includes(text) ? undefined : names.join(' or '));
}

function folder(path) {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true ? undefined : 'a folder that exists';
}

const count = (value, says, initial) => ({ type: 'string', value, says, default: initial, check: whole(1) });
const seed = (says, initial) => ({ type: 'string', value: 'N', says, default: initial, check: whole(0) });

const image = {
  pull: {
    type: 'boolean',
    says: "takes the Dockerfile's own base images from their registry, instead of ones made here",
  },
  'build-arg': {
    type: 'string',
    multiple: true,
    value: 'A=B',
    says: 'the same, with this argument for the Dockerfile',
  },
  platform: { type: 'string', value: 'P', says: 'linux/arm64 and the like, under emulation; with --pull' },
};

export const COMMANDS = {
  setup: {
    does: 'Installs what every other script needs: packages of Debian (as root), node_modules, the engine of the CNI executable.',
  },
  start: {
    does: 'Three nodes with pods on this machine: builds, runs, prints who reaches whom, removes everything. Ctrl-C removes what there is by then and ends.',
    root: LAB,
    options: {
      nodes: { type: 'string', value: 'N', default: '3', says: 'how many nodes', check: whole(1, 100) },
      pods: { type: 'string', value: 'N', default: '2', says: 'pods on each node', check: whole(0, 200) },
      keep: { type: 'boolean', says: 'leaves the lab up for npm run lab' },
      name: { type: 'string', value: 'NAME', default: 'lab', says: 'name of a kept lab', check: labName },
    },
  },
  lab: {
    does: 'Works on a lab that npm start -- --keep left up.',
    words: 'COMMAND',
    passes: 'words',
    commands: {
      status: 'nodes, agents, pods',
      ping: 'every pod to every pod',
      'exec NODE|POD CMD…': 'runs a command there, as ping or flanneld status; Ctrl-C is for it',
      'logs NODE': "the agent's log since the node booted",
      'pod add NODE': 'attaches one more pod',
      'pod del NODE POD': 'detaches it',
      'agent start|stop|kill NODE': 'SIGTERM for stop, SIGKILL for kill',
      'node reboot NODE': 'a power cut, then a boot: its disk stays',
      'node remove NODE': 'a power cut for good',
      down: 'removes everything',
    },
    options: {
      name: { type: 'string', value: 'NAME', says: 'which lab, where more than one is kept; before the command' },
    },
  },
  build: {
    does: 'Makes dist/flanneld and dist/cni/flannel, of what has changed.',
    words: '[flanneld|cni]',
  },
  check: { does: 'Types, lint and format, dead code.' },
  'image:size': {
    does: 'Builds the image (manifests/Dockerfile), says how large each part is and what memory the agent takes in it. As root.',
    options: image,
  },
  format: { does: 'Formats, applies safe fixes, and makes manifests/REFERENCE.md anew.' },
  test: {
    does: 'Set-up, build, checks, then all tests; with arguments only the tests they select, without the checks. The last line is the result.',
    ...vitest,
    options: {
      project: {
        type: 'string',
        value: 'NAME',
        says: 'unit: tests that need nothing but Node; root: those of the kernel',
      },
    },
  },
  'test:faults': {
    does: 'What each fault, restart and upgrade costs a flow of 1000 packets a second, on a lab of two nodes.',
    root: LAB,
    options: {
      rounds: count('N', 'rounds of each', '10'),
      only: { type: 'string', value: 'NAME[,NAME…]', says: 'only these; a name that is none lists them' },
    },
  },
  'test:soak': {
    does: 'Five nodes in random faults; exit code 0 when everything ended as it should.',
    root: LAB,
    options: {
      minutes: { type: 'string', value: 'N', default: '30', says: 'how long', check: positive },
      seed: seed('of an earlier run, to make the same choices'),
      events: { type: 'string', value: 'FILE', says: 'everything that happens, a line each' },
    },
  },
  'test:stress': {
    does: 'The CNI executable in a year of a node: one usable address again and again, then many pods with random kills. As root.',
    options: {
      rounds: { ...count('N', 'of ADD, connect, DEL with one usable address', '3000'), check: whole(0) },
      operations: {
        ...count('N', 'ADD and DEL of 64 pods, 16 at once, a fifth of them killed', '2000'),
        check: whole(0),
      },
      seed: seed('of the second part, to have a run again; by chance when not given'),
    },
  },
  'test:kill': {
    does: 'The CNI executable killed at every system call it makes, each in a fresh state. As root.',
    options: {
      plugin: {
        type: 'string',
        value: 'NAME',
        says: 'only this one of flannel, portmap, bandwidth',
        check: oneOf('flannel', 'portmap', 'bandwidth'),
      },
      point: {
        type: 'string',
        value: 'N',
        says: 'only the Nth point, from 0, of its ADD and of its DEL',
        check: whole(0),
      },
    },
  },
  'test:hostile': {
    does: 'Thousands of calls of the CNI executable that no runtime makes. As root.',
    options: {
      calls: count('N', 'how many', '5000'),
      seed: seed('other numbers make other calls', '1'),
      first: { ...seed('number of the first call, to repeat a finding: --first 1234 --calls 1', '0') },
      executable: { type: 'string', value: 'FILE', says: 'another executable; dist/cni/flannel when not given' },
    },
  },
  'test:fuzz': {
    does: 'The parsers of the CNI executable in the sanitizer build, fed with spoiled inputs. As root.',
    options: {
      minutes: { type: 'string', value: 'N', default: '10', says: 'how long', check: positive },
      inputs: { type: 'string', value: 'N', says: 'how many inputs, instead of a time', check: whole(1) },
      seed: seed('other numbers make other inputs', '1'),
      only: { type: 'string', value: 'NAME', default: '', says: 'the parsers whose name contains this' },
    },
  },
  'test:containerd': {
    does: "Pods through a real containerd on lab nodes, with flannel's own cluster tests on every backend. Installs Debian's containerd.",
    root: LAB,
    options: {
      suite: { type: 'string', value: 'NAME', says: 'pods, or one backend; a name that is none lists them' },
      bin: {
        type: 'string',
        value: 'DIR',
        says: 'CNI executables to test instead of dist/cni, for comparison',
        check: folder,
      },
      control: {
        type: 'string',
        value: 'PART',
        says: 'breaks a part on purpose, or all one by one: exactly the checks that stand on it must fail; another word lists the parts',
      },
    },
  },
  'test:cluster': {
    does: 'The stores on a real etcd and kube-apiserver; fails when a server is missing.',
    ...vitest,
  },
  'test:image': {
    does: "The image under a real containerd, as weft.yml runs it. Installs Debian's buildah, mmdebstrap and containerd. As root.",
    words: '[FILE…]',
    options: {
      update: {
        type: 'boolean',
        says: 'writes manifests/NEEDS.md, what each capability and mount is for, as this run finds it',
      },
      ...image,
    },
  },
  'test:interop': {
    does: "Flannel's own agent and plugins and ours in one cluster; fails when one of its programs is missing.",
    ...vitest,
  },
  'test:kubelet': {
    does: "Pods through kube-scheduler, kubelet and containerd; fails when one of these is missing. Installs Debian's containerd.",
    ...vitest,
  },
  'test:arm64': {
    does: 'The CNI executable cross-compiled for arm64 and run under emulation. Installs the cross compiler and the emulator.',
    ...vitest,
  },
  bench: {
    does: 'Measures the parts named, or all but nodes, beside references, and writes samples and a report (bench/README.md). As root.',
    words: '[PART…]',
    commands: {
      'start, cni, where, packet, peers, throughput, faults, nodes': 'the parts',
      'compare BEFORE.json AFTER.json': 'which figures differ by more than noise; exit 1 when one is worse',
      'table RESULT.json': 'the headline figures in Markdown',
      'report RESULT.json': 'writes the report of a result beside it',
      selftest: 'whether the bench sees what is done to it',
    },
    options: {
      quick: { type: 'boolean', says: 'fewer runs, for a look; no limit is held' },
      runs: {
        type: 'string',
        value: 'N',
        says: "how often each thing is measured, instead of the part's own number",
        check: whole(1),
      },
      peer: {
        type: 'string',
        value: 'DIR',
        says: 'flannel, bridge and host-local executables to compare with',
        check: folder,
      },
      out: { type: 'string', value: 'DIR', says: 'for samples and report, instead of one in bench/results/local' },
      into: { type: 'string', value: 'FILE', says: 'with table: the document that has a place for it, README.md' },
    },
  },
  conformance: {
    does: 'Holds the CNI executables in a folder to the contract (cni-plugin/CONFORMANCE.md). As root.',
    options: {
      bin: {
        type: 'string',
        value: 'DIR',
        says: 'the executables: flannel, bridge, host-local, loopback, portmap, bandwidth, as far as they are there',
        check: folder,
      },
      reference: { type: 'boolean', says: 'hold them to what the reference plugins do, where ours differ on purpose' },
      release: {
        type: 'string',
        value: 'VERSION',
        says: 'with --reference: release of those plugins (0.9.1, 1.1.1, main); found out when not given',
      },
      plugin: { type: 'string', multiple: true, value: 'NAME', says: 'only cases of this one (repeatable)' },
      case: {
        type: 'string',
        multiple: true,
        value: 'ID',
        says: 'only this row or case (repeatable): 54, 2a, 2a@bridge',
      },
      jobs: { type: 'string', value: 'N', says: 'cases at a time; 3 when not given', check: whole(1) },
      json: { type: 'string', value: 'FILE', says: 'write one report a case' },
      verbose: { type: 'boolean', says: 'a line for every case, and what was called and answered for a failed one' },
      list: { type: 'boolean', says: 'print the cases, run none' },
      table: { type: 'boolean', says: 'print the cases as a document (cni-plugin/CONFORMANCE.md), run none' },
    },
  },
};
