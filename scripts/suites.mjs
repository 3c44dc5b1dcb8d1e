// The suites: tests that take minutes or need what no script installs, so `npm test` leaves them out or runs a short form.
// `npm run suite -- NAME` runs one. Entries are like those of commands.mjs. `takes` is the time on two idle cores; `needs` is what
// must exist besides a build, including programs of others. test/README.md says where these are looked for.

import { count, folder, image, LAB, oneOf, positive, seed, vitest, whole } from './option-kinds.mjs';

export const SUITES = {
  faults: {
    does: 'What each fault, restart and upgrade costs a flow of 1000 packets a second, on a lab of two nodes.',
    takes: '6 min',
    needs: 'root',
    root: LAB,
    options: {
      rounds: count('N', 'rounds of each', '10'),
      only: { type: 'string', value: 'NAME[,NAME…]', says: 'only these; a wrong name lists all' },
    },
  },
  'agent-faults': {
    does: 'The built agent under a flow with exceptions, stalls, no descriptors and errors of the kernel: it goes on, or ends at once; and under systemd.',
    takes: '4 min',
    needs: 'root',
    root: LAB,
    ...vitest,
  },
  doctor: {
    does: 'Every problem that `flanneld doctor` names, made on a lab of two nodes: it is named, and its fix ends it.',
    takes: '3 min',
    needs: 'root',
    root: LAB,
    ...vitest,
  },
  soak: {
    does: 'Five nodes in random faults; exit code 0 when everything ended as it should.',
    takes: '30 min',
    needs: 'root',
    root: LAB,
    options: {
      minutes: { type: 'string', value: 'N', default: '30', says: 'how long', check: positive },
      seed: seed('of an earlier run, to make the same choices'),
      events: { type: 'string', value: 'FILE', says: 'everything that happens, a line each' },
    },
  },
  stress: {
    does: 'The CNI executable in a year of a node: one usable address again and again, then many pods with random kills. As root.',
    takes: '3 min',
    needs: 'root',
    options: {
      rounds: { ...count('N', 'of ADD, connect, DEL with one usable address', '3000'), check: whole(0) },
      operations: {
        ...count('N', 'ADD and DEL of 64 pods, 16 at once, a fifth of them killed', '2000'),
        check: whole(0),
      },
      seed: seed('of the second part, to have a run again; by chance when not given'),
    },
  },
  kill: {
    does: 'The CNI executable killed at every system call it makes, each in a fresh state. As root.',
    takes: '12 min',
    needs: 'root',
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
  hostile: {
    does: 'Thousands of calls of the CNI executable that no runtime makes. As root.',
    takes: '2 min',
    needs: 'root',
    options: {
      calls: count('N', 'how many', '5000'),
      seed: seed('other numbers make other calls', '1'),
      first: { ...seed('number of the first call, to repeat a finding: --first 1234 --calls 1', '0') },
      executable: { type: 'string', value: 'FILE', says: 'another executable; dist/cni/flannel when not given' },
    },
  },
  fuzz: {
    does: 'The parsers of the CNI executable in the sanitizer build, fed with spoiled inputs. As root.',
    takes: '10 min',
    needs: 'root',
    options: {
      minutes: { type: 'string', value: 'N', default: '10', says: 'how long', check: positive },
      inputs: { type: 'string', value: 'N', says: 'how many inputs, instead of a time', check: whole(1) },
      seed: seed('other numbers make other inputs', '1'),
      only: { type: 'string', value: 'NAME', default: '', says: 'the parsers whose name contains this' },
    },
  },
  containerd: {
    does: "Pods through a real containerd on lab nodes, with flannel's own cluster tests on every backend. Installs Debian's containerd.",
    takes: '3 min',
    needs: 'root; installs containerd',
    root: LAB,
    options: {
      suite: { type: 'string', value: 'NAME', says: 'pods, or one backend; a wrong name lists all' },
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
  cluster: {
    does: 'The stores on a real etcd and kube-apiserver; fails when a server is missing.',
    takes: '15 min',
    needs: 'root, kube-apiserver',
    ...vitest,
  },
  image: {
    does: "The image under a real containerd, as weft.yml runs it. Installs Debian's buildah, mmdebstrap and containerd. As root.",
    takes: '5 min',
    needs: 'root, kube-apiserver; installs buildah, mmdebstrap, containerd',
    words: '[FILE…]',
    options: {
      update: {
        type: 'boolean',
        says: 'writes manifests/NEEDS.md, what each capability and mount is for, as this run finds it',
      },
      ...image,
    },
  },
  interop: {
    does: "Flannel's own agent and plugins and ours in one cluster; fails when one of its programs is missing.",
    takes: '10 min',
    needs: 'root, kube-apiserver, flannel and its plugins',
    ...vitest,
  },
  kubelet: {
    does: "Pods through kube-scheduler, kubelet and containerd; fails when one of these is missing. Installs Debian's containerd.",
    takes: '8 min',
    needs:
      'root, kube-apiserver, -controller-manager, -scheduler, kubelet, flannel and its plugins; installs containerd',
    ...vitest,
  },
  arm64: {
    does: 'The CNI executable cross-compiled for arm64 and run under emulation. Installs the cross compiler and the emulator.',
    takes: '2 min',
    needs: 'root; installs a cross compiler and qemu-user-static',
    ...vitest,
  },
};

/** The rows of the table that `npm run suite -- list` prints and test/README.md has. */
export function suiteRows() {
  return Object.entries(SUITES).map(([name, { does, takes, needs }]) => ({ name, does, takes, needs }));
}
