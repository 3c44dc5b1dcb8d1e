// What the npm scripts do and which arguments they accept. run.mjs prints this for `npm run NAME -- --help` and refuses options that are
// not here. Each entry has `does` (sentences); `options` (as for parseArgs of node:util, with `says` and, for an option with a value,
// the `value`'s name and a `check`, which returns what was expected when it refuses the value); `words` (its other arguments);
// and `passes` (who parses the words, `vitest` or the command itself; they may then begin with a dash).

import { folder, image, LAB, labName, vitest, whole } from './option-kinds.mjs';
import { SUITES } from './suites.mjs';

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
    does: 'Makes dist/flanneld, dist/cni/flannel and dist/kubectl-weft, of what has changed.',
    words: '[flanneld|cni|kubectl-weft]',
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
        says: 'unit: tests that need nothing but Node; root and alone: tests of the kernel',
      },
    },
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
  suite: {
    does: 'Runs a suite: tests that take minutes or need programs of others. What each needs is in test/README.md.',
    words: 'NAME [suite option…]',
    passes: 'words',
    commands: {
      list: 'the suites, how long each takes and what it needs',
      all: 'every suite, one after the other; the last line says how many passed',
      ...Object.fromEntries(Object.entries(SUITES).map(([name, { does }]) => [name, does.split(/[.;:] /)[0]])),
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

/** The entry of a script. `suite NAME` gives the entry of a suite. */
export function commandOf(name) {
  return name.startsWith('suite ') ? SUITES[name.slice('suite '.length)] : COMMANDS[name];
}
